"""Codes: which number of which node, for which timestep and sample, every element of a tensor is.

A traced tensor has a tensor of codes beside it, of the same shape. Whatever only moves numbers (view,
permute, slice, cat, ...) is applied to the codes as it is to the numbers, so no layout is ever guessed:
what an axis holds is read off the codes where an operation needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snncc.errors import CannotTrace
from snncc.ir import Array, Over, Shape

ADDRESS_BITS, ROW_BITS = 30, 18
ADDRESS = (1 << ADDRESS_BITS) - 1
ROW = ((1 << ROW_BITS) - 1) << ADDRESS_BITS
NODE_SHIFT = ADDRESS_BITS + ROW_BITS
CELL = ~ROW
"""A cell is a code without its row: node and address."""
CONSTANT = 0
"""The node of elements that are no data; their address is an index into the table of constants."""


class Mixed(Exception):
    """Codes that have no such structure as an operation needs; becomes a `CannotTrace` with its place."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def at(self, where: str) -> CannotTrace:
        """The error that says where this is."""
        return CannotTrace(f"{where} {self}", hint=self.hint)


class RepeatsInput(CannotTrace):
    """The model repeats its input along an axis that is not known to be time."""


class LoopsOverTime(RepeatsInput):
    """The model calls a neuron again and again, as in a loop over timesteps of its own."""


class Repeated(Mixed):
    """As `Mixed`; becomes a `RepeatsInput`."""

    def at(self, where: str) -> CannotTrace:
        return RepeatsInput(f"{where} {self}", hint=self.hint)


@dataclass(frozen=True, slots=True)
class Grid:
    """The timesteps and samples of a recording; row t * samples + b is sample b at timestep t."""

    timesteps: int
    samples: int

    def __post_init__(self) -> None:
        if self.rows >= 1 << ROW_BITS:
            raise CannotTrace(f"{self.timesteps} timesteps of {self.samples} samples are too many at once")

    @property
    def rows(self) -> int:
        """Timesteps times samples."""
        return self.timesteps * self.samples


@dataclass(slots=True)
class Signal:
    """The codes of a traced tensor; *over* says how time was reduced (then all rows are at t = 0)."""

    codes: Tensor
    over: Over | None = None


@dataclass(frozen=True, slots=True)
class Digit:
    """A factor of an axis of a tensor: samples and timesteps (lead), or data."""

    size: int
    is_lead: bool
    axis: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What the axes of a tensor hold: its digits, outermost first, and the row of each lead position."""

    digits: tuple[Digit, ...]
    rows: Tensor
    cells: Tensor

    @property
    def data_shape(self) -> Shape:
        """Sizes of the data digits, in order."""
        return tuple(d.size for d in self.digits if not d.is_lead)


def layout_of(codes: Tensor) -> Layout:
    """What the axes of *codes* hold. Raises `Mixed` where an axis mixes samples and data for good."""
    is_data = (codes >> NODE_SHIFT) != CONSTANT
    if not codes.numel():
        raise Mixed("is an empty tensor")
    if not bool(is_data.any()):
        raise Mixed("holds constants only")
    anchor = np.unravel_index(int(is_data.reshape(-1).to(torch.uint8).argmax()), tuple(codes.shape))
    digits: list[Digit] = []
    for axis in range(codes.ndim):
        index = tuple(slice(None) if k == axis else int(anchor[k]) for k in range(codes.ndim))
        line = codes[index].numpy()
        data = (line >> NODE_SHIFT) != CONSTANT
        rows = np.where(data, line & ROW, int(codes[tuple(map(int, anchor))]) & ROW)
        digits += [Digit(size, lead, axis) for size, lead in split(rows, line & CELL)]
    refined = codes.reshape([d.size for d in digits])
    lead = [k for k, d in enumerate(digits) if d.is_lead]
    rest = [k for k, d in enumerate(digits) if not d.is_lead]
    table = refined.permute(*lead, *rest).reshape(
        prod(digits[k].size for k in lead), prod(digits[k].size for k in rest)
    )
    cells = table[0] & CELL
    column = int((cells >> NODE_SHIFT != CONSTANT).to(torch.uint8).argmax())
    rows_of = table[:, column] & ROW
    known = (cells >> NODE_SHIFT) != CONSTANT
    if bool(((table & CELL) != cells).any()) or bool((((table & ROW) != rows_of[:, None]) & known).any()):
        raise Mixed("mixes samples or timesteps with data, or treats samples differently")
    return Layout(tuple(digits), rows_of >> ADDRESS_BITS, cells)


def split(rows: Array, cells: Array) -> list[tuple[int, bool]]:
    """Factors (size, is lead) of an axis along which rows and cells change as given, outermost first."""
    if rows.size == 0 or np.all(rows == rows[0]):
        return [(rows.size, False)]
    if np.all(cells == cells[0]):
        return [(rows.size, True)]
    factors: list[tuple[int, bool]] = []
    while len(rows) > 1:
        for values, is_lead in ((rows, False), (cells, True)):
            size = constant_block(values)
            if size > 1:
                factors.append((size, is_lead))
                rows, cells = rows[::size], cells[::size]
                break
        else:
            raise Mixed("mixes samples or timesteps with data along one axis")
    return factors[::-1]


def constant_block(values: Array) -> int:
    """The largest divisor d of the length such that *values* is constant in each block of d."""
    changes = np.flatnonzero(np.diff(values)) + 1
    return int(np.gcd.reduce(np.append(changes, len(values))))


def prod(sizes: object) -> int:
    """The product of integers; 1 for none."""
    return int(np.prod(list(sizes), dtype=np.int64))  # type: ignore[call-overload]


def unrolled(codes: Tensor, over: Over | None, grid: Grid) -> tuple[Tensor, Over | None]:
    """Codes that repeat a constant input (over LAST) along the first axis, as the timesteps they become."""
    if over is not Over.LAST or grid.timesteps < 2 or not codes.numel() or codes.shape[0] % grid.timesteps:
        return codes, over
    outer = codes.reshape(grid.timesteps, -1)
    if bool((outer != outer[:1]).any()):
        return codes, over
    first = torch.arange(grid.timesteps)[:, None] * grid.samples << ADDRESS_BITS
    return (outer + first).reshape(codes.shape), None
