"""Layers on two cores: the same spikes, one more destination before, refused where that is not there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.backends.speck.mapped import mapped, words_of_layer
from snncc.backends.speck.split import split
from snncc.backends.target import DoesNotFit
from snncc.cli import main
from snncc.errors import BadInput
from snncc.ir import Add, Concat, Dense, Node, Pool, Reshape, SpikeGraph, wires
from snncc.ir.file import save_graph
from tests.backends.speck.limits import conv, network, neuron
from tests.backends.speck.networks import data, drawn, emitted
from tests.backends.speck.standin import SpeckConfiguration
from tests.backends.speck.test_emitted import script


def wide() -> SpikeGraph:
    """A second layer of 80 Ki kernel words, which no core has, between two that fit."""
    return network(
        conv("c1", "x", 20, 2),
        neuron("n1", "c1", theta=np.array(2.0), rho=np.array(2.0)),
        conv("c2", "n1", 129, 20),
        neuron(
            "n2", "c2", theta=np.array(6.0), rho=np.array(6.0), v_init=np.arange(129.0)[:, None, None] / 30
        ),
        Pool(name="p", inputs=wires("n2"), kernel=(2, 2), stride=(2, 2)),
        Reshape(name="flat", inputs=wires("p"), shape=(129 * 4,)),
        Dense(
            name="d",
            inputs=wires("flat"),
            weight=np.random.default_rng(2).normal(0.5, size=(3, 129 * 4)),
            bias=np.array([1.0, 0.0, -1.0]),
        ),
        neuron("n3", "d", theta=np.array(6.0), rho=np.array(6.0)),
    )


def compare_with_module(program: snncc.Program, graph: SpikeGraph, folder: Path) -> None:
    """Spikes and potentials of every layer of what is emitted to *folder*."""
    x = data(graph, 0)
    names = [node.name for node in program.graph.neurons]
    mine = program.run(x, record=names)
    program.target.emit(program.graph, folder)
    theirs = emitted(folder).run(x, record_states=True)
    for name in names:
        assert mine.records[name].train.any()
        u_post = mine.records[name].u_post
        assert u_post is not None
        np.testing.assert_array_equal(theirs[f"spikes/{name}"].ravel(), mine.records[name].train.ravel())
        np.testing.assert_array_equal(theirs[f"potentials/{name}"].ravel(), u_post.ravel())


def test_a_layer_too_large_for_any_core_is_on_two(tmp_path: Path) -> None:
    graph = wide()
    (problem,) = snncc.check(graph, "speck")
    assert "--split-cores" in problem.hint
    assert snncc.check(graph, "speck", split_cores=True) == []
    program = snncc.compile(graph, target="speck", split_cores=True)
    m = mapped(program.graph)
    halves = [m.by_name["n2/0"], m.by_name["n2/1"]]
    assert [len(half.weight) for half in halves] == [65, 64]
    assert [words_of_layer(half).kernel for half in halves] == [20 << 11, 20 << 10]
    assert [(one.layer, one.first) for one in m.destinations["n1"]] == [("n2/0", 0), ("n2/1", 0)]
    assert [(one.layer, one.pool, one.first) for one in m.destinations["n2/1"]] == [("n3", 2, 65)]
    compare_with_module(program, graph, tmp_path)
    proof = snncc.verify(program, None, data(graph, 1))
    assert proof.holds
    assert next(check for check in proof.stages if check.name == "split-cores").claim.value == "exact"


def test_channels_are_joined_by_feature_shift(tmp_path: Path) -> None:
    snncc.compile(wide(), target="speck", split_cores=True).save(tmp_path / "out")
    folder = tmp_path / "out" / "speck"
    document = json.loads((folder / "config.json").read_text())
    config = script(folder, "deploy").configure(SpeckConfiguration(), document)
    by_name = {fields["layer"]: config.cnn_layers[int(k)] for k, fields in document["cnn_layers"].items()}
    last = next(int(k) for k, fields in document["cnn_layers"].items() if fields["layer"] == "n3")
    shifted = by_name["n2/1"].destinations[0]
    assert (shifted.layer, shifted.pooling, shifted.feature_shift) == (last, 2, 65)
    assert not hasattr(by_name["n2/0"].destinations[0], "feature_shift")
    assert sum(one.enable for one in by_name["n1"].destinations) == 2


def test_layers_that_compete_are_split() -> None:
    """Four layers of 64 Ki neuron words each; three cores have as much."""
    nodes: list[Node] = []
    for k in range(4):
        source = "x" if k == 0 else f"n{k - 1}"
        nodes += [conv(f"c{k}", source, 16, 2 if k == 0 else 16, 1), neuron(f"n{k}", f"c{k}")]
    graph = network(*nodes, shape=(2, 64, 64))
    assert len(snncc.check(graph, "speck")) == 1
    assert snncc.check(graph, "speck", split_cores=True) == []
    m = mapped(snncc.compile(graph, target="speck", split_cores=True).graph)
    assert sorted(m.by_name) == ["n0/0", "n0/1", "n1", "n2", "n3"]
    assert {m.core_of["n0/0"], m.core_of["n0/1"]} <= {3, 4}


def test_a_layer_without_a_destination_left_is_not_split() -> None:
    """The wide layer's source sends to two others."""
    graph = wide()
    nodes = list(graph.nodes[:-1])
    nodes[3:3] = [conv("c0", "n1", 20, 20, 1), neuron("n0", "c0")]
    nodes = [replace(node, inputs=wires("sum")) if node.name == "c2" else node for node in nodes]
    at = next(k for k, node in enumerate(nodes) if node.name == "c2")
    nodes.insert(at, Add(name="sum", inputs=wires("n1", "n0")))
    skipping = replace(graph, nodes=(*nodes, graph.nodes[-1]))
    with pytest.raises(DoesNotFit, match="destinations: needs 3, has 2"):
        snncc.compile(skipping, target="speck", split_cores=True)


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 7])
def test_splitting_changes_no_spike(seed: int, tmp_path: Path) -> None:
    """Any layer of a drawn network whose sources have room; merged, pooled, biased, or at the end."""
    program = snncc.compile(drawn(seed), target="speck")
    x = data(drawn(seed), seed)
    before = program.run(x)
    tried = 0
    for layer in mapped(program.graph).layers:
        if len(layer.weight) < 2:
            continue
        graph = split(program.graph, layer)
        graph.verify()
        tried += 1
        other = replace(program, stages=(replace(program.stages[-1], graph=graph),))
        after = other.run(x)
        assert after.output.any()
        np.testing.assert_array_equal(after.output, before.output)
        halves = sum(after.spikes[f"{layer.name}/{k}"] for k in (0, 1))
        np.testing.assert_array_equal(halves, before.spikes[layer.name])
        (tmp_path / layer.name).mkdir()
        program.target.emit(graph, tmp_path / layer.name)
        theirs = emitted(tmp_path / layer.name).run(x)
        for node in graph.neurons:
            assert theirs[f"spikes/{node.name}"].sum() == after.spikes[node.name].sum()
    assert tried


@pytest.mark.parametrize("shape", [(), (6, 1, 1), (1, 6, 1), (6, 6), (6,), (6, 6, 6)])
def test_a_state_is_cut_along_the_features_alone(shape: tuple[int, ...]) -> None:
    """As many features as rows and columns: what has fewer axes than the maps belongs to all features."""
    start = np.random.default_rng(3).uniform(0, 2.5, shape)
    high = {"theta": np.array(3.0), "rho": np.array(3.0), "v_init": start}
    graph = network(conv("c", "x", 6, 2), neuron("n", "c", **high))
    program = snncc.compile(graph, target="speck")
    (layer,) = mapped(program.graph).layers
    halves = split(program.graph, layer)
    other = replace(program, stages=(replace(program.stages[-1], graph=halves),))
    x = data(graph, 0)
    before, after = program.run(x), other.run(x)
    assert before.output.any()
    np.testing.assert_array_equal(after.output, before.output)


def test_two_halves_at_the_end_have_no_readout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = network(conv("c", "x", 257, 12, 4), neuron("n", "c"), shape=(12, 4, 4))
    save_graph(graph, tmp_path / "model.snn")
    np.savez(tmp_path / "x.npz", x=data(graph, 0))
    model, out = str(tmp_path / "model.snn"), str(tmp_path / "out")
    assert main(["check", model, "--target", "speck"]) == 1
    assert main(["check", model, "--target", "speck", "--split-cores"]) == 0
    assert main(["compile", model, "--target", "speck", "--split-cores", "--chip", "speck2f", "-o", out]) == 0
    document = json.loads((tmp_path / "out/speck/config.json").read_text())
    assert [(one["first_channel"], one["readout"]) for one in document["outputs"]] == [
        (0, False),
        (129, False),
    ]
    assert main(["simulate", out, "--input", str(tmp_path / "x.npz"), "--timing", "cycle"]) == 0
    assert "n/1" in capsys.readouterr().out
    assert snncc.load_program(out).target.settings == {"split_cores": 1}


def test_it_is_an_option_of_speck() -> None:
    with pytest.raises(BadInput, match="split_cores"):
        snncc.compile(wide(), target="sim", split_cores=True)


def test_joins_of_other_things_are_refused() -> None:
    def joined(*sources: str, axis: int = 0) -> SpikeGraph:
        return network(
            conv("a", "x", 4, 2, 1, stride=(2, 2)),
            neuron("na", "a"),
            conv("b", "x", 4, 2, 1, stride=(1, 1) if "pb" in sources else (2, 2)),
            neuron("nb", "b"),
            *([Pool(name="pb", inputs=wires("nb"), kernel=(2, 2), stride=(2, 2))] * ("pb" in sources)),
            Concat(name="join", inputs=wires(*sources), axis=axis),
            conv("c", "join", 3, 8 if axis == 0 else 4, 1),
            neuron("n", "c"),
        )

    assert snncc.check(joined("na", "nb"), "speck") == []
    for graph in (joined("na", "pb"), joined("na", "nb", axis=1)):
        assert "Concat" in [problem.need for problem in snncc.check(graph, "speck")]
