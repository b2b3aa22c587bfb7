"""The bounds of the tests with damaged files are ones that can be broken."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.mutations import GROWTH, ROOM, in_a_process, limits


def taking(size: int, *, is_touched: bool) -> int:
    """Takes *size* bytes in one piece, and uses them or not."""
    taken = np.ones(size, np.uint8) if is_touched else np.zeros(size, np.uint8)
    return int(taken[-1])


def unused(size: int) -> int:
    return taking(size, is_touched=False)


def used(size: int) -> int:
    return taking(size, is_touched=True)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's bounds")
def test_a_process_with_bounded_memory() -> None:
    assert in_a_process(used, (GROWTH // 2,), (1,)) == 1
    with pytest.raises(MemoryError):
        in_a_process(unused, (2 * ROOM,), (1,))
    own = np.ones(3 * GROWTH, np.uint8)  # what the parent takes does not count
    with pytest.raises(AssertionError, match="the process grew by"):
        in_a_process(used, (GROWTH + (64 << 20),), (1,))
    assert own[-1] == 1


def test_memory_of_one_file() -> None:
    with pytest.raises(AssertionError, match=r"a file takes \d+ bytes"), limits(1 << 20):
        used(2 << 20)
