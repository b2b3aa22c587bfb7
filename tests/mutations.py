"""Random damage to files, and limits within which a reader must answer."""

from __future__ import annotations

import random
import resource
import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SECONDS = 60
"""A single file that takes longer hangs."""
MOST = 100 << 20
"""Bytes that reading a small damaged file may take: a packet of AEDAT 4 and its copy."""
ROOM = 1 << 30
"""Bytes of addresses that a process may take for thousands of damaged files, one after another."""
GROWTH = 2 * MOST
"""Bytes of memory by which such a process may grow."""
ENDS = [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(4)]


def mutated(draw: random.Random, data: bytes) -> bytes:
    """*data* with bytes changed, cut out, put in, or made to extreme numbers."""
    result = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        at = draw.randrange(len(result)) if result else 0
        match draw.randrange(5) if result else 3:
            case 0:
                result[at] = draw.randrange(256)
            case 1:
                result[at] ^= 1 << draw.randrange(8)
            case 2:
                del result[at : at + draw.randrange(1, 9)]
            case 3:
                result[at:at] = draw.randbytes(draw.randrange(1, 9))
            case 4:
                result[at : at + 4] = draw.choice(ENDS)
    return bytes(result)


@contextmanager
def limits(most: int = MOST, seconds: int = SECONDS) -> Iterator[None]:
    """Fails where the body takes more than *most* bytes at a time, or longer than *seconds*."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"a file takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, hangs)
    tracemalloc.start()
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most, f"a file takes {peak} bytes"


def in_a_process(read: Callable[..., Any], arguments: tuple[Any, ...], before: tuple[Any, ...]) -> Any:
    """What *read*, a function of a module, returns on *arguments*, in a process with bounded memory.

    The bound is Linux's own, so that what Python does not allocate counts, too; elsewhere there is none.
    *before* are arguments of a first call, without a bound, that loads what is needed.
    """
    if sys.platform != "linux":
        return read(*arguments)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(bounded, read, arguments, before).result()


def bounded(read: Callable[..., Any], arguments: tuple[Any, ...], before: tuple[Any, ...]) -> Any:
    """In the process: addresses are limited, and the most memory that was ever in use is compared."""
    read(*before)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    most = most_memory()
    result = read(*arguments)
    grown = most_memory() - most
    assert grown < GROWTH, f"the process grew by {grown} bytes"
    return result


def most_memory() -> int:
    """The most bytes that this process had in memory; ``getrusage`` would begin with its parent's."""
    status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    return int(status.split()[0]) << 10
