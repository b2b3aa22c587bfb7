"""How kernels are compiled: without the interpreter's lock, and kept on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching
from numba.core.runtime.nrt import rtsys

njit: Any = numba.njit  # its types know neither all options nor what caching adds
FunctionCache: Any = caching.FunctionCache  # has none

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile *function* on its first call.

    Numba keeps the machine code in the folder of the package, in the user's cache folder where that cannot
    be written (``NUMBA_CACHE_DIR`` names another); where there is no such place, it is compiled every time.
    """
    compiled: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):
        compiled._cache = KernelCache(function)
    return cast(Function, compiled)


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Where Numba keeps the machine code of a kernel.

    It differs from its parent in two ways, which looks at the module of a kernel only, and would run old code
    after a change of another; and which gets all ready to compile before it looks for code on disk: most of
    the time of a first call. Here only what running needs is made ready; what compiles sees to the rest.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = SOURCES

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for arguments of these types, None where it is not on disk."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def source_stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every module here: kernels are made of several."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


SOURCES = source_stamp()


def inner(function: Function, **options: bool) -> Function:
    """Compile *function* as a part of the kernels that call it; Python cannot."""
    compiled: Function = njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, **options
    )(function)
    return compiled


def inlined(function: Function) -> Function:
    """As `inner`, for a large function that is called often in one place."""
    return inner(function, forceinline=True)
