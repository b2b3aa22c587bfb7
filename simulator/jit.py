"""How kernels are compiled: without the interpreter's lock, and kept on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile *function* on its first call.

    Numba keeps the machine code in the folder of the package, in the user's cache folder where that cannot
    be written (``NUMBA_CACHE_DIR`` names another); where there is no such place, it is compiled every time.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        compiled = numba.njit(**options)(function)
    return compiled
