"""How kernels are compiled: without the interpreter's lock, and kept on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

njit: Any = numba.njit  # its types know neither all options nor what caching adds

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile *function* on its first call.

    Numba keeps the machine code in the folder of the package, in the user's cache folder where that cannot
    be written (``NUMBA_CACHE_DIR`` names another); where there is no such place, it is compiled every time.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Any = njit(cache=True, **options)(function)
    except RuntimeError:
        compiled = njit(**options)(function)
    kept: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(kept, "_source_stamp"):
        kept._source_stamp = SOURCES
    return cast(Function, compiled)


def source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every module here: kernels are made of several.

    Numba alone would look at the module of a kernel only, and run old code after a change of another.
    """
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


SOURCES = source_stamp()


def inner(function: Function) -> Function:
    """Compile *function* as a part of the kernels that call it; Python cannot."""
    compiled: Function = njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False
    )(function)
    return compiled
