"""The pipeline verifies after each pass, and names the one that broke the graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from snncc.errors import InvalidGraph
from snncc.ir import Dense, Encoding, Input, Neuron, NeuronParameters, Output, SpikeGraph, wires
from snncc.passes import ElideIdentities, ExpandCounts, FoldBatchNorm, Pass, Preserves, run_passes

GRAPH = SpikeGraph(
    (
        Input(name="x", shape=(3,)),
        Dense(name="fc", inputs=wires("x"), weight=np.ones((2, 3)), origin="net.fc"),
        Neuron(name="n", inputs=wires("fc"), parameters=NeuronParameters(max_count=4)),
        Output(name="y", inputs=wires("n")),
    )
)


@dataclass(frozen=True, slots=True)
class Break:
    """Cuts a column off every dense layer."""

    columns: int = 1
    name: ClassVar[str] = "break"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(
            replace(n, weight=n.weight[:, self.columns :]) if isinstance(n, Dense) else n for n in graph
        )


def test_stages() -> None:
    passes: list[Pass] = [ElideIdentities(), FoldBatchNorm(), ExpandCounts()]
    stages = run_passes(GRAPH, passes)
    assert [stage.name for stage in stages] == [
        "trace",
        "elide-identities",
        "fold-batch-norm",
        "expand-counts",
    ]
    assert [stage.made_by for stage in stages] == [None, *passes]
    assert stages[0].graph is GRAPH
    last = stages[-1].graph["n"]
    assert isinstance(last, Neuron)
    assert last.parameters.encoding is Encoding.SPIKES
    first = GRAPH["n"]
    assert isinstance(first, Neuron)
    assert first.parameters.encoding is Encoding.UNDECIDED


def test_names_the_pass_that_broke_the_graph() -> None:
    with pytest.raises(InvalidGraph) as error:
        run_passes(GRAPH, [ElideIdentities(), Break(columns=2), ExpandCounts()])
    assert str(error.value) == (
        "fc (Dense, net.fc): weight (2, 1) does not take an input of shape (3,)\n  after Break(columns=2)"
    )


def test_a_graph_that_was_broken_before_names_no_pass() -> None:
    with pytest.raises(InvalidGraph) as error:
        run_passes(Break()(GRAPH), [ElideIdentities()])
    assert "after" not in str(error.value)


def test_passes_are_values() -> None:
    assert ExpandCounts(Encoding.STREAM, flush=2) == ExpandCounts(Encoding.STREAM, flush=2)
    assert len({FoldBatchNorm(), FoldBatchNorm(), ElideIdentities()}) == 2
    assert repr(ElideIdentities()) == "ElideIdentities()"
