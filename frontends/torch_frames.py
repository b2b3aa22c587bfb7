"""Frames: how a tensor holds one signal of the IR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snncc.frontends.torch_codes import (
    ADDRESS,
    ADDRESS_BITS,
    CELL,
    CONSTANT,
    NODE_SHIFT,
    ROW,
    Grid,
    Layout,
    Mixed,
    Repeated,
    Signal,
    prod,
)
from snncc.ir import Array, Over, Shape


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
                "a sample must not depend on its batch mates, and only a neuron sees other timesteps; "
                "collect what a loop over time would add up, and add it once: torch.stack(values).sum(0); "
                "what returns to a layer must enter a neuron with a state",
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
    present = torch.nonzero(torch.bincount(rows)).reshape(-1)  # few rows: no need to sort them
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


PART_HINT = (
    "outputs are of all timesteps or of one, or a sum or mean over any of them, taken behind the last layer "
    "(torch.stack(out)[5:].mean(0)): return all timesteps, and take the part behind the program"
)


def times_of(rows: Tensor, grid: Grid) -> str:
    """The timesteps of *rows* in words."""
    times = torch.unique(rows // grid.samples)
    which = "timestep" if len(times) == 1 else f"{len(times)} timesteps,"
    last = "" if len(times) == 1 else f" to {int(times[-1])}"
    return f"{which} {int(times[0])}{last} of 0 to {grid.timesteps - 1}"


def check_rows(rows: Tensor, over: Over | None, grid: Grid) -> None:
    """Raise `Mixed` unless *rows* (ascending) are all samples, at all timesteps or at one of them."""
    wanted = torch.arange(grid.samples if over is not None else grid.rows)
    first = int(rows[0]) // grid.samples * grid.samples
    if torch.equal(rows, wanted) or torch.equal(rows, wanted[first : first + grid.samples]):
        return
    if len(torch.unique(rows)) < len(rows):
        raise Repeated(
            "repeats its input along a new axis",
            "where that axis is time, it comes first: trace with layout='B', timesteps=T and multi-step "
            "neurons, or let the model take one timestep",
        )
    if over is None and len(torch.unique(rows // grid.samples)) < grid.timesteps:
        raise Mixed(f"works on {times_of(rows, grid)} alone", PART_HINT)
    raise Mixed("works on some samples of the batch alone", "a sample must not depend on its batch mates")
