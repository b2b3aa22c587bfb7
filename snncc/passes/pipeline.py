"""Passes, and the pipeline that applies them in order and verifies after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from snncc.errors import InvalidGraph
from snncc.ir import SpikeGraph


class Preserves(StrEnum):
    """What a pass promises about the numbers."""

    EXACT = "exact"
    """Equal in real arithmetic; in floats up to rounding, in integers bit for bit."""
    APPROXIMATE = "approximate"
    """Counts may differ; the difference is measured on the user's data and reported."""


class Pass(Protocol):
    """A value whose fields are its options, and a function from graph to graph."""

    @property
    def name(self) -> str: ...

    @property
    def preserves(self) -> Preserves: ...

    def __call__(self, graph: SpikeGraph) -> SpikeGraph: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """A graph, and the pass that made it (None: the front end)."""

    made_by: Pass | None
    graph: SpikeGraph

    @property
    def name(self) -> str:
        """The name of the pass, or ``trace``."""
        return "trace" if self.made_by is None else self.made_by.name


def run_passes(graph: SpikeGraph, passes: Sequence[Pass]) -> tuple[Stage, ...]:
    """Every stage of applying *passes* in order, the first being *graph* itself.

    Raises `InvalidGraph`, with a note that names the pass, when one breaks an invariant.
    """
    graph.verify()
    stages = [Stage(None, graph)]
    for one in passes:
        graph = one(graph)
        try:
            graph.verify()
        except InvalidGraph as error:
            error.add_note(f"after {one!r}")
            raise
        stages.append(Stage(one, graph))
    return tuple(stages)
