"""What is worked out once for an object, and forgotten with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

Key = TypeVar("Key")
Made = TypeVar("Made")


def once(make: Callable[[Key], Made]) -> Callable[[Key], Made]:
    """*make*, called once for each argument that is alive; what it makes must not hold the argument.

    An argument is known by itself, not by what it equals, if its class says so (``eq=False``).
    """
    known: WeakKeyDictionary[Key, Made] = WeakKeyDictionary()

    @wraps(make)
    def made(key: Key) -> Made:
        found = known.get(key)
        if found is None:
            found = known[key] = make(key)
        return found

    return made
