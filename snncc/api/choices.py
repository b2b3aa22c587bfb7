"""Options that are given by name."""

from __future__ import annotations

from typing import Any

from snncc.errors import BadInput
from snncc.ir import Encoding, SpikeGraph
from snncc.passes.expand import default_encoding


def encoding_of(graph: SpikeGraph, encoding: str | None, relu_levels: int | None = None) -> Encoding:
    """The encoding called *encoding*, or the default of *graph*, whose rectifiers get *relu_levels*."""
    return (
        default_encoding(graph, relu_levels or 0)
        if encoding is None
        else member(Encoding, encoding, "encoding")
    )


def member(kind: Any, value: str, what: str) -> Any:
    """The member of the enumeration *kind* called *value*. Raises `BadInput`."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise BadInput(f"unknown {what} {value!r}; known: {known}") from None
