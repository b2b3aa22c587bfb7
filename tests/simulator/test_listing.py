"""The events of a train of bytes, in the order of rows, channels and columns, and what is no spike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.ir import Array
from snncc.simulator.layer_run import Workspace
from snncc.simulator.stream import Grid, Stream, listed

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 100))
"""Channels, rows, columns: less than a block, whole blocks, and the rest of one."""

SEEDS = st.integers(0, 2**32 - 1)


def events_of(x: Array, pitch: int) -> Iterator[list[int]]:
    """The codes of each row, sample by sample and timestep by timestep."""
    for train in np.moveaxis(x, 1, 0):
        for maps in train:
            for row in np.moveaxis(maps, 1, 0):
                yield [int(column) * pitch + c for c in range(len(row)) for column in np.flatnonzero(row[c])]


def new_stream(grid: Grid, batch: int, timesteps: int) -> Stream:
    return Workspace().stream("x", grid, (batch, timesteps, 1))


@given(SHAPES, st.integers(1, 3), st.integers(1, 2), st.floats(0, 1), SEEDS)
def test_bytes_are_listed_as_numbers_are(
    shape: tuple[int, int, int], timesteps: int, batch: int, rate: float, seed: int
) -> None:
    x = (np.random.default_rng(seed).random((timesteps, batch, *shape)) < rate).astype(np.uint8)
    grid = Grid(shape, shape[0])
    for train in (x, x.astype(np.int64)):
        stream = new_stream(grid, batch, timesteps)
        assert listed(train[:, :, None], 0, stream)
        assert np.diff(stream.starts).min() >= 0
        rows = zip(stream.starts[:-1], stream.starts[1:], strict=True)
        found = [stream.events[start:stop].tolist() for start, stop in rows]
        assert found == list(events_of(x, grid.pitch))
    assert stream.starts[-1] == x.sum()


@given(
    st.lists(SHAPES, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1)
)
def test_copies_are_the_streams_as_they_were(
    shapes: list[tuple[int, int, int]], timesteps: int, batch: int, seed: int
) -> None:
    """Also after the memory of the workspace lists something else."""
    rng, space, x = np.random.default_rng(seed), Workspace(), {}
    streams = {}
    for k, shape in enumerate(shapes):
        steps = timesteps if k else 1  # one timestep may stand for all
        x[k] = (rng.random((steps, batch, *shape)) < rng.random()).astype(np.uint8)
        streams[str(k)] = space.stream(str(k), Grid(shape, shape[0]), (batch, steps, 1))
        assert listed(x[k][:, :, None], 0, streams[str(k)])
    copies = [space.listing(streams)]
    for k, stream in enumerate(streams.values()):
        assert listed(1 - x[k][:, :, None], 0, stream)
    copies.append(space.listing(streams))
    assert copies[0].layout is copies[1].layout
    for copy, trains in zip(copies, (x, {k: 1 - train for k, train in x.items()}), strict=True):
        for k, shape in enumerate(shapes):
            for sample in range(batch):
                found = copy.stream(k, sample)
                assert found.dense(1).tolist() == trains[k][:, sample, None, None].tolist()
                assert found.grid.shape == shape


@pytest.mark.parametrize("columns", [5, 32, 40, 64, 75])
def test_a_number_that_is_no_spike_is_found_anywhere(columns: int) -> None:
    grid = Grid((1, 1, columns), 1)
    for k in range(columns):
        x = np.zeros((1, 1, 1, 1, 1, columns), np.uint8)
        x[..., k] = 2
        assert not listed(x, 0, new_stream(grid, 1, 1))
