"""Telling failures of snncc from those of a model that runs: both meet in one traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snncc.errors import Defect, SnnccError
from snncc.frontends.torch_codes import Mixed

REPORT = (
    "this is a defect of snncc, not of the model: please report it, with the line of the model that is named "
    "and the traceback of snncc.trace(model, x)"
)


@contextmanager
def ours(where: object, what: str) -> Iterator[None]:
    """What fails inside, but for refusals, is a `Defect` of snncc."""
    try:
        yield
    except (SnnccError, Mixed):
        raise
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise Defect(f"{where}: snncc fails to record {what}: {said}", hint=REPORT) from problem
