"""Masks of spike sparse convolution: which output positions may receive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.ir.arrays import Array, seal_fields

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Which output positions may receive, all channels alike.

    - *keep*, bool [h, w], is scaled to the output map as `snncc.nn.SparseConv2d` scales it: row i of H
      reads row ``i * h // H``. None: all positions.
    - *needs_center*: a position receives only in timesteps in which the input spikes, in any channel,
      under the center of the position's kernel.
    """

    keep: Array | None = None
    needs_center: bool = False

    def __post_init__(self) -> None:
        seal_fields(self, "keep")

    @property
    def bits(self) -> int:
        """The map, one bit for each of its positions."""
        return 0 if self.keep is None else self.keep.size

    def scaled(self, height: int, width: int) -> Bools:
        """The kept positions of a map, bool [height, width]."""
        if self.keep is None:
            return np.ones((height, width), bool)
        h, w = self.keep.shape
        kept: Bools = self.keep[np.arange(height) * h // height][:, np.arange(width) * w // width]
        return kept


NO_MASK = Mask()
