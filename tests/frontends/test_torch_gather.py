"""Gathers as chains of moves: what they do, and how few they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.frontends.torch_gather import Cut, Joined, Permuted, Shaped, Tiled, applied, moves
from snncc.ir import Array

SOURCE = np.arange(4 * 6 * 8).reshape(4, 6, 8)

CASES: dict[str, tuple[Callable[[Array], Array], tuple[type, ...]]] = {
    "nothing": (lambda x: x, ()),
    "flatten": (lambda x: x.reshape(-1), (Shaped,)),
    "transpose": (lambda x: x.transpose(2, 0, 1), (Permuted,)),
    "tokens": (lambda x: x.reshape(4, 48).T, (Permuted, Shaped)),
    "slice with steps": (lambda x: x[1:3, ::2, 1:], (Cut, Cut, Cut)),
    "select": (lambda x: x[:, 2], (Cut, Shaped)),
    "half of the flat channels": (lambda x: x.reshape(4, 48)[:, 24:], (Cut, Shaped)),
    "heads": (lambda x: x.reshape(2, 2, 48).transpose(0, 2, 1), (Shaped, Permuted, Shaped)),
    "repeat": (lambda x: np.tile(x, (1, 2, 1)), (Shaped, Tiled, Shaped)),
    "roll": (lambda x: np.roll(x, 1, 2), (Joined,)),
    "some channels": (lambda x: x[[0, 2, 3]], (Joined,)),
    "any flat range": (lambda x: x.reshape(-1)[5:77], (Shaped, Cut)),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    function, kinds = CASES[name]
    wanted = np.ascontiguousarray(function(SOURCE))
    chain = moves(SOURCE.shape, wanted)
    assert chain is not None
    assert tuple(type(move) for move in chain) == kinds
    np.testing.assert_array_equal(applied(chain, SOURCE), wanted)


@given(st.data())
def test_any_mixture_of_views(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    source = np.arange(int(np.prod(shape))).reshape(shape)
    array = source
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["permute", "reshape", "slice", "repeat"])):
            case "permute":
                array = array.transpose(data.draw(st.permutations(range(array.ndim))))
            case "reshape":
                divisors = [d for d in range(1, array.size + 1) if array.size % d == 0]
                array = array.reshape(data.draw(st.sampled_from(divisors)), -1)
            case "slice":
                axis = data.draw(st.integers(0, array.ndim - 1))
                start = data.draw(st.integers(0, array.shape[axis] - 1))
                stop = data.draw(st.integers(start + 1, array.shape[axis]))
                array = np.take(array, range(start, stop, data.draw(st.integers(1, 3))), axis)
            case "repeat" if array.size < 500:
                array = np.concatenate([array, array], data.draw(st.integers(0, array.ndim - 1)))
    wanted = np.ascontiguousarray(array)
    chain = moves(shape, wanted)
    if chain is not None:
        np.testing.assert_array_equal(applied(chain, source), wanted)


def test_what_is_no_chain() -> None:
    assert moves((4, 4), np.array([[0, 3, 1], [2, 2, 9], [7, 1, 0]])) is None
