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

    def of_axis(self, axis: int) -> tuple[Digit, ...]:
        """The digits of *axis*."""
        return tuple(d for d in self.digits if d.axis == axis)


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


@dataclass(frozen=True, slots=True)
class Frame:
    """How a tensor holds a signal of the IR: *places* [rows, numbers] are flat positions in the tensor.

    *rows* are the row numbers in ascending order; *shape* is the signal's per sample and timestep.
    """

    places: Tensor
    rows: Tensor
    shape: Shape
    over: Over | None = None

    def codes(self, node: int, like: torch.Size) -> Tensor:
        """Codes that say that a tensor of shape *like* holds the output of *node* in this way."""
        codes = torch.empty(self.places.numel(), dtype=torch.int64)
        numbers = torch.arange(self.places.shape[1])
        values = (node << NODE_SHIFT) | (self.rows << ADDRESS_BITS)[:, None] | numbers
        codes[self.places.reshape(-1)] = values.reshape(-1)
        return codes.reshape(like)

    def values(self, tensor: Tensor) -> Array:
        """The numbers of *tensor*, [rows, *shape]."""
        taken = tensor.detach().reshape(-1)[self.places]
        return np.asarray(taken.numpy()).reshape(-1, *self.shape)

    def constant(self, tensor: Tensor, like: torch.Size) -> Array:
        """A constant that broadcasts to *like*, as an array that broadcasts to the signal's shape."""
        if tensor.numel() == 1:
            return np.asarray(tensor.detach().double().numpy()).reshape(())
        table = torch.broadcast_to(tensor.detach(), like).reshape(-1)[self.places]
        if bool((table != table[0]).any()):
            raise Mixed(
                "combines the signal with a constant that differs between samples or timesteps",
                "a batch size is hard-coded, or a parameter has one value for each timestep",
            )
        return shrunk(table[0].double().numpy().reshape(self.shape))

    def timed(self, tensor: Tensor, like: torch.Size, grid: Grid) -> Array:
        """A constant that differs between timesteps: [timesteps, *what broadcasts to the signal's shape]."""
        if tensor.numel() == 1:
            return self.constant(tensor, like)
        table = torch.broadcast_to(tensor.detach(), like).reshape(-1)[self.places]
        table = table.reshape(-1, grid.samples, self.places.shape[1])
        if bool((table != table[:, :1]).any()) or len(table) != grid.timesteps:
            raise Mixed(
                "combines the signal with a constant that differs between samples",
                "a batch size is hard-coded",
            )
        array = table[:, 0].double().numpy().reshape(-1, *self.shape)
        for axis in range(1, array.ndim):
            first = array.take([0], axis)
            array = first if np.all(array == first) else array
        return array

    def cells(self, codes: Tensor, like: torch.Size) -> Array:
        """The cells of another traced tensor that broadcasts to *like*, in the signal's shape."""
        table = torch.broadcast_to(codes, like).reshape(-1)[self.places]
        cells = table[0] & CELL
        known = (cells >> NODE_SHIFT) != CONSTANT
        if bool(((table & CELL) != cells).any()):
            raise Mixed("mixes samples or timesteps with data, or treats samples differently")
        if bool((((table & ROW) >> ADDRESS_BITS != self.rows[:, None]) & known).any()):
            raise Mixed(
                "combines different timesteps or samples",
                "a sample must not depend on its batch mates, and only a neuron sees other timesteps",
            )
        return np.asarray(cells.numpy()).reshape(self.shape)


def shrunk(array: Array) -> Array:
    """*array* without the axes along which it is constant, as far as broadcasting brings them back."""
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if np.all(array == first):
            array = first
    while array.ndim and array.shape[0] == 1:
        array = array[0]
    return array


def frame_of_source(signal: Signal, size_of: dict[int, Shape], grid: Grid) -> Frame | None:
    """The frame of a tensor that holds the whole output of one node, each number once; else None."""
    codes = signal.codes.reshape(-1)
    node = int(codes[0]) >> NODE_SHIFT if codes.numel() else CONSTANT
    if node == CONSTANT:
        return None
    shape = size_of[node]
    size = prod(shape)
    if codes.numel() % size or bool((codes >> NODE_SHIFT != node).any()):
        return None
    rows = (codes & ROW) >> ADDRESS_BITS
    present = torch.unique(rows)
    if len(present) * size != codes.numel():
        return None
    number = torch.full((int(present[-1]) + 1,), -1, dtype=torch.int64)
    number[present] = torch.arange(len(present))
    slots = number[rows] * size + (codes & ADDRESS)
    places = torch.full((codes.numel(),), -1, dtype=torch.int64)
    places[slots] = torch.arange(codes.numel())
    if bool((places < 0).any()):
        return None
    check_rows(present, signal.over, grid)
    return Frame(places.reshape(len(present), size), present, shape, signal.over)


def frame_of_layout(layout: Layout, over: Over | None, grid: Grid) -> Frame:
    """The frame of a tensor with the digits of *layout*, whose data digits are the signal's shape."""
    sizes = [d.size for d in layout.digits]
    lead = [k for k, d in enumerate(layout.digits) if d.is_lead]
    rest = [k for k, d in enumerate(layout.digits) if not d.is_lead]
    places = torch.arange(prod(sizes)).reshape(sizes).permute(*lead, *rest)
    order = torch.argsort(layout.rows)
    rows = layout.rows[order]
    check_rows(rows, over, grid)
    return Frame(places.reshape(len(rows), -1)[order], rows, layout.data_shape, over)


def unrolled(codes: Tensor, over: Over | None, grid: Grid) -> tuple[Tensor, Over | None]:
    """Codes that repeat a constant input (over LAST) along the first axis, as the timesteps they become."""
    if over is not Over.LAST or grid.timesteps < 2 or not codes.numel() or codes.shape[0] % grid.timesteps:
        return codes, over
    outer = codes.reshape(grid.timesteps, -1)
    if bool((outer != outer[:1]).any()):
        return codes, over
    first = torch.arange(grid.timesteps)[:, None] * grid.samples << ADDRESS_BITS
    return (outer + first).reshape(codes.shape), None


def check_rows(rows: Tensor, over: Over | None, grid: Grid) -> None:
    """Raise `Mixed` unless *rows* (ascending) are all samples at all timesteps, or at the last one."""
    wanted = torch.arange(grid.samples if over is not None else grid.rows)
    if torch.equal(rows, wanted) or torch.equal(rows, wanted[-grid.samples :]):
        return
    if len(torch.unique(rows)) < len(rows):
        raise Repeated(
            "repeats its input along a new axis",
            "where that axis is time, it comes first: trace with layout='B', timesteps=T and multi-step "
            "neurons, or let the model take one timestep",
        )
    times = sorted(set((rows // grid.samples).tolist()))
    if len(times) < grid.timesteps and over is None:
        which = f"timestep {times[0]}" if len(times) == 1 else f"timesteps {times[0]} to {times[-1]}"
        raise Mixed(
            f"works on {which} alone, as in a Python loop over time",
            "let the model take one timestep (single-step neurons) and trace with layout='B' and timesteps=T",
        )
    raise Mixed("works on some samples of the batch alone", "a sample must not depend on its batch mates")
