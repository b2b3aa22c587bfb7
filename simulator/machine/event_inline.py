"""Parts of kernels that take many arrays: compiled into their callers, as to pass arrays costs more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from snncc.simulator.jit import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """As `snncc.simulator.jit.inner`, and never called."""
    compiled: Function = njit(
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        _nrt=False,
        forceinline=True,
    )(function)
    return compiled
