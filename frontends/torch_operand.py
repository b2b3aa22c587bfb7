"""The operand of an operation that acts on the last axes of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snncc.frontends.torch_codes import Digit, Grid, Layout, Mixed, Signal, layout_of
from snncc.frontends.torch_frames import Frame, frame_of_layout
from snncc.ir import Array, Over


@dataclass(frozen=True, slots=True)
class Operand:
    """*cells* [rows of data..., last axes...]; *digits* are the axes before the last ones."""

    cells: Array
    digits: tuple[Digit, ...]
    layout: Layout
    over: Over | None
    grid: Grid

    @property
    def outer(self) -> tuple[int, ...]:
        """Sizes of the data before the last axes."""
        return tuple(digit.size for digit in self.digits if not digit.is_lead)

    def frame(self, sizes: Sequence[int]) -> Frame:
        """The frame of a result that has *sizes* in place of the last axes."""
        digits = (*self.digits, *(Digit(size, False, -1) for size in sizes))
        layout = Layout(digits, self.layout.rows, self.layout.cells)
        return frame_of_layout(layout, self.over, self.grid)


def operand(signal: Signal, grid: Grid, last: int) -> Operand:
    """The operand in a tensor whose *last* axes are data. Raises `Mixed` where they are not."""
    layout = layout_of(signal.codes)
    first = signal.codes.ndim - last
    if any(digit.is_lead for digit in layout.digits if digit.axis >= first):
        raise Mixed(
            "finds samples or timesteps where it needs data", "check the order of the axes and the layout"
        )
    digits = tuple(digit for digit in layout.digits if digit.axis < first)
    sizes = tuple(digit.size for digit in digits if not digit.is_lead)
    cells = np.asarray(layout.cells.numpy()).reshape(*sizes, *signal.codes.shape[first:])
    return Operand(np.ascontiguousarray(cells), digits, layout, signal.over, grid)


def batched(signal: Signal, grid: Grid, last: int) -> Operand:
    """As `operand`, for an operation whose axes before the last ones must be samples only."""
    found = operand(signal, grid, last)
    if any(size > 1 for size in found.outer):
        raise Mixed(
            "finds data in the axis of the samples",
            "the first axis must hold samples (and timesteps) only; look for a hard-coded batch size",
        )
    cells = found.cells.reshape(signal.codes.shape[signal.codes.ndim - last :])
    digits = tuple(digit for digit in found.digits if digit.is_lead)
    return Operand(cells, digits, found.layout, signal.over, grid)
