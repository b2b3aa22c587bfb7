"""The weights of a layer as the event kernel reads them: a run of targets for each event and row of taps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Conv, Dense
from snncc.simulator.layer_match import Source
from snncc.simulator.simd import lanes_of
from snncc.simulator.stream import Grid


def taps_across(node: Conv | Dense) -> int:
    """Most columns of targets that one column of the source reaches."""
    return -(-node.weight.shape[3] // node.stride[1]) if isinstance(node, Conv) else 1


def taps_down(node: Conv | Dense) -> int:
    """Most rows of targets that one row of the source reaches."""
    return -(-node.weight.shape[2] // node.stride[0]) if isinstance(node, Conv) else 1


def reach(source: Source) -> tuple[int, int]:
    """The first and the last column of targets that *source* writes to, on the map or beside it."""
    node = source.synapse
    if isinstance(node, Dense):
        return 0, 0
    left, columns = node.padding[2], source.grid.columns // source.window[1]
    return left // node.stride[1] - taps_across(node) + 1, (columns - 1 + left) // node.stride[1]


def run_length(node: Conv | Dense, grid: Grid, bits: int) -> int:
    """Weights that one event adds side by side, in whole blocks."""
    lanes = lanes_of(bits)
    return -(-taps_across(node) * grid.pitch // lanes) * lanes


def arranged(source: Source, grid: Grid, bits: int) -> NDArray[np.int16]:
    """The weights of *source* as the kernel reads them: for each event a run of targets, for each tap row."""
    node, run = source.synapse, run_length(source.synapse, grid, bits)
    if isinstance(node, Dense):
        channels, rows, columns = entering_shape(source)
        maps = node.weight.reshape(-1, channels, rows, columns)
        result = np.zeros((rows, columns, channels, run), np.int16)
        step = max(1, 256 // (rows * columns))  # what stays in the cache at a time
        for k in range(0, channels, step):
            result[:, :, k : k + step, : len(maps)] = maps[:, k : k + step].transpose(2, 3, 1, 0)
        result <<= node.shift
        return result.reshape(-1)
    weight = node.weight.astype(np.int16) << node.shift
    outs, ins, kh, kw = weight.shape
    across, phases = taps_across(node), node.stride[1]
    laid = np.zeros((phases, ins, kh, run), np.int16)
    for phase in range(phases):
        for k in range(across):
            kx = phase + phases * (across - 1 - k)
            if kx < kw:
                laid[phase, :, :, k * grid.pitch : k * grid.pitch + outs] = weight[..., kx].transpose(1, 2, 0)
    return laid.reshape(-1)


def paired(weight: NDArray[np.int16], blocks: int, bits: int) -> NDArray[np.signedinteger[Any]]:
    """Weights in runs of *blocks* for sums of *bits*, twice their own, as `gather_blocks` adds them.

    Two blocks of weights of 8 bits become one of 16: each number ``256 * b + (a + 128)`` has a weight of the
    first block below one of the second, so that sums of these numbers, and of their upper halves, give both.
    """
    half = np.dtype(f"i{bits // 16}")
    runs = weight.reshape(-1, blocks, lanes_of(bits))
    result = runs.astype(half)
    even = blocks - blocks % 2
    two = result[:, :even].reshape(len(runs), even // 2, 2, lanes_of(bits)).copy()
    two[:, :, 0] ^= np.iinfo(half).min
    result[:, :even] = two.swapaxes(2, 3).reshape(len(runs), even, lanes_of(bits))
    return result.reshape(-1)


def entering_shape(source: Source) -> tuple[int, int, int]:
    """What enters the synapse, before it is flattened: channels, rows, columns."""
    grid = source.grid
    return grid.channels, grid.rows // source.window[0], grid.columns // source.window[1]
