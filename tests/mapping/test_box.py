"""Boxes cover a map once, in boxes of nearly one size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snncc.mapping.box import addresses, box_of, boxes, grids, middle, volume

shapes = st.lists(st.integers(1, 6), max_size=3).map(tuple)


@given(shapes, st.integers(1, 12))
def test_a_grid_covers_each_neuron_once(shape: tuple[int, ...], count: int) -> None:
    for grid in grids(shape, count):
        found = list(boxes(shape, grid))
        assert len(found) == count
        every = np.sort(np.concatenate([addresses(shape, box) for box in found]))
        assert np.array_equal(every, np.arange(np.prod(shape, dtype=int)))
        assert volume(middle(shape, grid)) == max(map(volume, found))
        assert middle(shape, grid) in found


@given(shapes, st.integers(1, 12))
def test_a_box_is_known_by_its_addresses(shape: tuple[int, ...], count: int) -> None:
    for grid in grids(shape, count):
        for box in boxes(shape, grid):
            assert box_of(shape, addresses(shape, box)) == box


def test_what_is_no_box() -> None:
    assert box_of((4, 4), np.array([0, 5])) is None
    assert box_of((4, 4), np.zeros(0, np.int64)) is None
