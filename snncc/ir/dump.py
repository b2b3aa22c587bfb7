"""The stable text form of a graph: one line a node, arrays as shape and range, no ids, no addresses."""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.ir.arrays import same
from snncc.ir.edges import text_of
from snncc.ir.neuron import NeuronParameters
from snncc.ir.nodes import Node, Wire

if TYPE_CHECKING:
    from snncc.ir.graph import SpikeGraph

HIDDEN = ("name", "inputs", "origin")


def dump(graph: SpikeGraph) -> str:
    """One line per node: name, kind, sources, parameters that are not at their default, edge, origin."""
    dt = "" if graph.dt is None else f" dt={graph.dt:g}"
    lines = [f"{graph.numbers} graph {graph.name} timesteps={graph.timesteps} layout={graph.layout}{dt}"]
    for node in graph.nodes:
        sources = ", ".join(wire_text(wire) for wire in node.inputs)
        settings = " ".join(setting_texts(node))
        origin = f"  # {node.origin}" if node.origin else ""
        arrow = f"({sources})" if sources else ""
        parts = [f"  {node.name} = {type(node).__name__}{arrow}", settings, f"-> {graph.edges[node.name]}"]
        lines.append(" ".join(part for part in parts if part) + origin)
    return "\n".join(lines)


def wire_text(wire: Wire) -> str:
    delay = f"@-{wire.delay}" if wire.delay else ""
    initial = f"={text_of(wire.initial)}" if wire.initial is not None else ""
    return f"{wire.source}{delay}{initial}"


def setting_texts(item: Node | NeuronParameters) -> list[str]:
    """``name=value`` for each field that is not at its default."""
    texts = []
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name in HIDDEN or is_default(field, value):
            continue
        if isinstance(value, NeuronParameters):
            texts += setting_texts(value)
        else:
            texts.append(f"{field.name}={value_text(value)}")
    return texts


def is_default(field: Any, value: Any) -> bool:
    default = field.default if field.default is not MISSING else None
    if field.default is MISSING and field.default_factory is not MISSING:
        default = field.default_factory()
    if isinstance(value, np.ndarray):
        return isinstance(default, np.ndarray) and same(value.astype(np.float64), default.astype(np.float64))
    return type(value) is type(default) and bool(value == default)


def value_text(value: Any) -> str:
    match value:
        case np.ndarray():
            return text_of(value)
        case Enum():
            return str(value.value)
        case tuple():
            return "(" + ",".join(value_text(v) for v in value) + ")"
        case dict():
            return "{" + ", ".join(f"{k}: {value_text(v)}" for k, v in sorted(value.items())) + "}"
        case _:
            return str(value)
