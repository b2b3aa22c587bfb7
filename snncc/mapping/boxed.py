"""Generated tables of a box of a layer's output: what one core needs of a descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from snncc.ir import Shape
from snncc.mapping.box import Box
from snncc.mapping.descriptor import Descriptor, Rows, Synapses, Windows
from snncc.mapping.masks import Ints
from snncc.mapping.tables import Generated


@dataclass(frozen=True, slots=True, eq=False)
class Boxed(Generated):
    """As `Generated`, for the targets in *box* alone, which count from 0 in row-major order.

    *weights* are those that lead into the box; weight addresses count from the first of these. The box adds
    its first and last target along each axis to the descriptor, unless it is the whole output.
    """

    box: Box = ()

    @property
    def out(self) -> Shape:
        """The shape of the box."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def fields(self) -> dict[str, int]:
        """What the descriptor stores, with its box."""
        return box_fields(self.descriptor, self.box)

    def synapses(self, sources: Ints) -> Synapses:
        """The synapses of events at *sources* [n] to the box; also those of weight 0."""
        event, target, weight = self.descriptor.synapses(sources, self.mask)
        at = np.unravel_index(target, self.descriptor.out)
        inside = np.ones(len(target), bool)
        place = np.zeros(len(target), np.int64)
        for axis, (start, stop) in zip(at, self.box, strict=True):
            inside &= (axis >= start) & (axis < stop)
            place = place * (stop - start) + axis - start
        first = weight_range(self.descriptor, self.box)[0]
        return Synapses(event[inside], place[inside], weight[inside] - first)


def box_fields(descriptor: Descriptor, box: Box) -> dict[str, int]:
    """The fields of a generated table of *box*: the layer's (without a mask), first and last targets."""
    plain = descriptor.fields | {"mask_y": 0, "mask_x": 0, "needs_center": 0}
    if tuple(stop - start for start, stop in box) == descriptor.out:
        return plain
    sides = {
        f"{what}_{axis}": place
        for axis, (start, stop) in enumerate(box)
        for what, place in (("first", start), ("last", stop - 1))
    }
    return plain | sides


def weight_range(descriptor: Descriptor, box: Box) -> tuple[int, int]:
    """The addresses of the weights that lead into *box*: (first, behind the last)."""
    match descriptor:
        case Rows():
            return box[-1][0] * descriptor.shape[-1], box[-1][1] * descriptor.shape[-1]
        case Windows(is_shared=True):
            return 0, 1
        case Windows():
            each = descriptor.per_group[0] * prod(descriptor.kernel)
            return box[0][0] * each, box[0][1] * each
