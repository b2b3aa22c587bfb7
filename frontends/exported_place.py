"""Where in the model that was exported the operation is that runs now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PLACE: ContextVar[tuple[str, str]] = ContextVar("place", default=("", ""))


def current_place() -> tuple[str, str]:
    """The module's path and the user's source line, ``file.py:12``; both empty outside of a program."""
    return _PLACE.get()


@contextmanager
def at(path: str, line: str) -> Iterator[None]:
    """Inside, `current_place` is *path* and *line*."""
    token = _PLACE.set((path, line))
    try:
        yield
    finally:
        _PLACE.reset(token)
