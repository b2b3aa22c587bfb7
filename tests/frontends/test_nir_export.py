"""Export to NIR: what it says comes back equal; what it cannot say is refused, or carried and listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snncc
from snncc.errors import BadFile, BadInput, CannotLower, MissingDependency, UnknownName
from snncc.frontends.nir_image import alike
from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Emit,
    Input,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Output,
    Over,
    Presence,
    Rectifier,
    Reset,
    ResetAt,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.frontends.nir_files import chain, outputs, unit
from tests.frontends.nir_networks import HARD, WEIGHT, N, T, conv_graph, data, drawn_graph, layer


def same_parameters(a: NeuronParameters, b: NeuronParameters) -> bool:
    return all(alike(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


# -- what NIR says


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), dt=st.sampled_from([1e-4, 1e-3, 1.0, 0.3]))
def test_what_nir_says_comes_back_equal(
    seed: int, dt: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = drawn_graph(np.random.default_rng(seed))
    graph.verify()
    path = tmp_path_factory.mktemp("nir") / "g.nir"
    assert snncc.save_nir(graph, path, dt=dt) == ()
    again = snncc.load(path)
    for node in graph.neurons:
        other = again[node.name]
        assert isinstance(other, Neuron)
        assert same_parameters(node.parameters, other.parameters)
    before, after = (
        run(g, data(seed % 99), timesteps=T, record=[n.name for n in graph.neurons]) for g in (graph, again)
    )
    np.testing.assert_allclose(before.output, after.output, rtol=1e-9, atol=1e-9)
    for name, record in before.records.items():
        if graph.edges[name].is_events:
            np.testing.assert_array_equal(record.train, after.records[name].train)


def test_the_property_above_is_about_networks_that_spike() -> None:
    rates = []
    for seed in range(40):
        graph = drawn_graph(np.random.default_rng(seed))
        spikes = run(graph, data(seed), timesteps=T).spikes
        rates += [float(s.mean()) / N for name, s in spikes.items() if name != "in"]
    assert np.mean([0.02 < rate < 0.98 for rate in rates]) > 0.7


def test_convolutions_come_back_equal(tmp_path: Path) -> None:
    graph = conv_graph()
    graph.verify()
    assert snncc.save_nir(graph, tmp_path / "c.nir") == ()
    again = snncc.load(tmp_path / "c.nir")
    x = (np.random.default_rng(1).random((12, 2, 2, 8, 9)) < 0.4).astype(float)
    assert isinstance(again["bn"], Affine)
    before, after = (run(g, x, timesteps=12) for g in (graph, again))
    assert before.spikes["n1"].sum() > 100
    assert before.spikes["n2"].sum() > 20
    for name in ("n1", "n2"):
        np.testing.assert_array_equal(before.spikes[name], after.spikes[name])
    np.testing.assert_allclose(before.output, after.output, rtol=1e-12, atol=1e-12)
    theirs = (
        nir.read(tmp_path / "o.nir")
        if snncc.save_nir(graph, tmp_path / "o.nir", lossy=True, version="1.0.4")
        else None
    )
    assert theirs is not None
    kinds = {name: type(node).__name__ for name, node in theirs.nodes.items()}
    assert (kinds["conv1d"], kinds["bn"], kinds["pool"]) == ("Conv1d", "Conv2d", "AvgPool2d")
    np.testing.assert_array_equal(theirs.nodes["conv"].weight, graph["conv"].weight)  # type: ignore[union-attr]


# -- what NIR does not say

LOSSES: list[tuple[str, NeuronParameters, str]] = [
    ("reset", NeuronParameters(), "reset: subtract; that of NIR since 1.0.6 is to v_reset"),
    ("reset", replace(HARD, reset=Reset.NONE), "reset: none; that of NIR since 1.0.6 is to v_reset"),
    ("reset", replace(HARD, reset_at=ResetAt.NEXT), "reset: in the next timestep; that of NIR is immediate"),
    ("spikes", replace(HARD, max_count=None), "spike function: any number of spikes a timestep"),
    ("spikes", replace(HARD, max_count=3), "spike function: up to 3 spikes a timestep"),
    ("spikes", replace(HARD, rectifier=Rectifier.MPR), "spike function: a membrane rectifier"),
    (
        "clamp",
        replace(HARD, clamp_low=np.array(-0.25)),
        "lower clamp: -0.25; potentials of NIR have no bounds",
    ),
    ("clamp", replace(HARD, clamp_high=np.array(0.9)), "upper clamp: 0.9"),
    ("rest", replace(HARD, refractory=2), "refractory time: 2 timesteps"),
    ("start", replace(HARD, v_init=np.array(0.5)), "initial state: v = 0.5"),
    ("start", replace(HARD, leak_i=np.array(0.5), i_init=np.array(0.7)), "initial state: i = 0.7"),
    ("bias", replace(HARD, bias=np.full(N, 0.25)), "bias: 0.25 at most; put it into the weights"),
    ("scale", replace(HARD, scale=np.array(2.0)), "size of a spike: 2; a spike of NIR is 1"),
]


@pytest.mark.parametrize(("_what", "p", "loss"), LOSSES)
def test_each_loss_is_refused_or_carried(_what: str, p: NeuronParameters, loss: str, tmp_path: Path) -> None:
    graph, path = layer(p), tmp_path / "g.nir"
    with pytest.raises(CannotLower) as caught:
        snncc.save_nir(graph, path)
    assert not path.exists()
    text = str(caught.value)
    assert text.startswith("NIR cannot say 1 part of this network:")
    assert f"lif (Neuron, model.py:7): {loss}" in text
    assert "--lossy" in text
    (listed,) = snncc.save_nir(graph, path, lossy=True)
    assert listed in text
    again = snncc.load(path)
    (neuron,) = again.neurons
    assert same_parameters(neuron.parameters, p)
    out = outputs(graph, data())
    assert out.any()
    np.testing.assert_array_equal(outputs(again, data()), out)
    if p.reset is not Reset.VALUE:
        with pytest.raises(BadInput, match=f"the file says its reset, {p.reset}"):
            snncc.load(path, reset="zero")


def test_skip_edges_are_said(tmp_path: Path) -> None:
    """A skip with ``+``, over a layer and into the same neuron: Sinabs loses it, and the neuron."""
    skip = (
        Dense(name="fc2", inputs=wires("lif"), weight=WEIGHT),
        Neuron(name="n2", inputs=wires("fc2", "lif"), parameters=replace(HARD, theta=np.array(1.5))),
        Add(name="sum", inputs=wires("n2", "lif")),
    )
    graph = layer(HARD, *skip, sends="sum")
    assert snncc.save_nir(graph, tmp_path / "g.nir", version="1.0.4", lossy=True)
    edges = {tuple(edge) for edge in nir.read(tmp_path / "g.nir").edges}
    assert {("lif", "n2"), ("fc2", "n2"), ("n2", "out"), ("lif", "out")} <= edges
    assert snncc.save_nir(graph, tmp_path / "h.nir") == ()
    out = outputs(graph, data())
    assert set(np.unique(out)) == {0, 1, 2}
    np.testing.assert_array_equal(outputs(snncc.load(tmp_path / "h.nir"), data()), out)


def test_a_signal_taken_twice(tmp_path: Path) -> None:
    graph = layer(HARD, Add(name="sum", inputs=wires("lif", "lif")), sends="sum")
    assert snncc.save_nir(graph, tmp_path / "g.nir") == ()
    out = outputs(graph, data())
    assert out.max() == 2
    np.testing.assert_array_equal(outputs(snncc.load(tmp_path / "g.nir"), data()), out)


@settings(max_examples=20)
@given(case=float_graphs())
def test_lossy_files_come_back_whole(case: FloatCase, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("nir") / "g.nir"
    snncc.save_nir(case.graph, path, lossy=True)
    again = snncc.load(path)
    for node in case.graph.neurons:
        other = again[node.name]
        assert isinstance(other, Neuron)
        assert same_parameters(node.parameters, other.parameters)
    before, after = (run(g, case.x, timesteps=case.timesteps) for g in (case.graph, again))
    for name, spikes in before.spikes.items():
        np.testing.assert_array_equal(spikes, after.spikes[name])
    np.testing.assert_allclose(before.output, after.output, rtol=1e-9, atol=1e-9)


# -- versions, names, errors


def test_version_1_0_4_subtracts(tmp_path: Path) -> None:
    """The other way round: a reset by subtraction is said, one to a value is a loss."""
    soft = layer(replace(NeuronParameters(), leak=np.array(0.9), strict=True))
    assert snncc.save_nir(soft, tmp_path / "g.nir", version="1.0.4") == ()
    out = outputs(soft, data())
    assert out.any()
    np.testing.assert_array_equal(outputs(snncc.load(tmp_path / "g.nir"), data()), out)
    (loss,) = snncc.save_nir(layer(HARD), tmp_path / "h.nir", version="1.0.4", lossy=True)
    assert "reset: value; that of NIR up to 1.0.5 subtracts the threshold" in loss
    assert snncc.load(tmp_path / "h.nir").neurons[0].parameters.reset is Reset.VALUE


def test_nir_reads_equal_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    leaky = replace(NeuronParameters(strict=True), leak=rng.uniform(0.1, 0.9, N), theta=rng.uniform(1, 2, N))
    p = replace(leaky, rho=leaky.theta)
    assert snncc.save_nir(layer(p), tmp_path / "g.nir", version="1.0.4", dt=1e-3) == ()
    theirs = nir.read(tmp_path / "g.nir")
    node = theirs.nodes["lif"]
    np.testing.assert_array_equal(theirs.nodes["fc"].weight, WEIGHT)
    np.testing.assert_array_equal(node.v_threshold, p.theta)
    np.testing.assert_allclose(1 - 1e-3 / node.tau, p.leak, rtol=1e-12)
    np.testing.assert_allclose(1e-3 * node.r / node.tau, np.ones(N), rtol=1e-12)
    assert theirs.nodes["in"].output_type["output"].tolist() == [N]


def test_a_file_that_somebody_changed(tmp_path: Path) -> None:
    """Notes beside other weights would be believed; so the digest must agree."""
    snncc.save_nir(layer(NeuronParameters()), tmp_path / "g.nir", version="1.0.4", lossy=True)
    theirs = nir.read(tmp_path / "g.nir")
    nir.write(tmp_path / "same.nir", theirs)
    assert snncc.load(tmp_path / "same.nir").neurons[0].parameters.reset is Reset.SUBTRACT
    theirs.nodes["fc"].weight[0, 0] += 1
    nir.write(tmp_path / "other.nir", theirs)
    with pytest.raises(BadFile, match="was changed after snncc wrote it"):
        snncc.load(tmp_path / "other.nir")


def max_pool() -> SpikeGraph:
    nodes = (
        Input(name="in", shape=(1, 4, 4)),
        MaxPool(name="pool", inputs=wires("in"), kernel=(2, 2), stride=(2, 2), origin="pool"),
        Conv(name="conv", inputs=wires("pool"), weight=np.ones((1, 1, 2, 2)), padding=(0, 1, 0, 1)),
        Output(name="out", inputs=wires("conv")),
    )
    return SpikeGraph(nodes)


def liaf() -> SpikeGraph:
    return layer(replace(HARD, emit=Emit.RELU))


def late() -> SpikeGraph:
    back = Dense(name="rec", inputs=wires("lif"), weight=WEIGHT)
    nodes = [n for n in layer(HARD).nodes if n.name != "lif"]
    first = Neuron(name="lif", inputs=(Wire("fc"), Wire("rec", 1, np.ones(N))), parameters=HARD)
    return SpikeGraph((*nodes[:2], first, back, nodes[2]))


NO_NODE: list[tuple[Callable[[], SpikeGraph], list[str]]] = [
    (max_pool, ["pool (MaxPool, pool): a MaxPool", "conv (Conv): the padding (0, 1, 0, 1)"]),
    (liaf, ["lif (Neuron, model.py:7): a neuron that sends its rectified potential"]),
    (late, ["lif (Neuron): the initial value of what it reads from rec"]),
]


@pytest.mark.parametrize(("make", "parts"), NO_NODE)
@pytest.mark.parametrize("lossy", [False, True])
def test_what_has_no_node_is_refused(make: Any, parts: list[str], lossy: bool, tmp_path: Path) -> None:
    graph = make()
    graph.verify()
    with pytest.raises(CannotLower) as caught:
        snncc.save_nir(graph, tmp_path / "g.nir", lossy=lossy)
    assert str(caught.value).startswith(f"NIR has no node for {len(parts)} part")
    for part in parts:
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_kind_presence_layout_and_reduction_are_carried(tmp_path: Path) -> None:
    nodes = (
        Input(name="in", shape=(N,), kind=Kind.COUNT, max_count=3, presence=Presence.CONSTANT),
        *layer(HARD).nodes[1:-1],
        Output(name="out", inputs=wires("lif"), over=Over.MEAN),
    )
    graph = replace(SpikeGraph(nodes, timesteps=9, name="named"), layout=snncc.ir.Layout.BT)
    (loss,) = snncc.save_nir(graph, tmp_path / "g.nir", lossy=True)
    assert loss == "out (Output): the mean over time; NIR gives the sequence"
    again = snncc.load(tmp_path / "g.nir")
    assert (again.timesteps, again.name, again.layout) == (9, "named", graph.layout)
    assert (again.inputs[0].kind, again.inputs[0].max_count) == (Kind.COUNT, 3)
    assert (again.inputs[0].presence, again.outputs[0].over) == (Presence.CONSTANT, Over.MEAN)
    with pytest.raises(BadInput, match=r"was written with dt = 0.0001 s, not 0.001 s"):
        snncc.load(tmp_path / "g.nir", dt=1e-3)


def test_programs_export_what_they_were_compiled_from(tmp_path: Path) -> None:
    graph = layer(HARD)
    program = snncc.compile(graph, calibration=data())
    assert snncc.save_nir(program, tmp_path / "g.nir") == ()
    np.testing.assert_array_equal(outputs(snncc.load(tmp_path / "g.nir"), data()), outputs(graph, data()))
    with pytest.raises(CannotLower, match="computes with integers"):
        snncc.save_nir(program.graph, tmp_path / "g.nir")


def written_tau(path: Path) -> Array:
    with h5py.File(path) as file:
        return np.asarray(file["node/nodes/b/tau"])


@pytest.mark.parametrize("target", ["sim", "loihi"])
def test_the_step_of_the_file_is_that_of_its_export(target: str, tmp_path: Path) -> None:
    """Found in use: read with 1e-3, a network was written with 1e-4, its time constants ten times shorter."""
    fields = {"tau": [3e-3], "r": [3.0], "v_leak": [0.0], "v_threshold": [0.75], "v_reset": [0.0]}
    one = unit("LIF", **{name: np.array(value * N) for name, value in fields.items()})
    linear = unit("Linear", weight=WEIGHT)
    path = chain(tmp_path / "g.nir", [N], linear, one, out=[N])
    graph = snncc.load(path, dt=1e-3, timesteps=T)
    assert graph.dt == 1e-3
    program = snncc.compile(graph, target=target, calibration=data())
    assert [stage.graph.dt for stage in program.stages] == [1e-3] * len(program.stages)
    program.save(tmp_path / "out")
    for again in (graph, program, snncc.load_program(tmp_path / "out")):
        assert snncc.save_nir(again, tmp_path / "h.nir") == ()
        np.testing.assert_allclose(written_tau(tmp_path / "h.nir"), fields["tau"] * N, rtol=1e-12)
        back = snncc.load(tmp_path / "h.nir")
        assert back.dt == 1e-3
        out = outputs(graph, data())
        assert out.any()
        np.testing.assert_array_equal(outputs(back, data()), out)
    snncc.save_nir(graph, tmp_path / "i.nir", dt=1e-4)
    np.testing.assert_allclose(written_tau(tmp_path / "i.nir"), fields["tau"][0] / 10, rtol=1e-12)
    assert snncc.load(tmp_path / "i.nir").dt == 1e-4


def test_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layer(HARD)
    with pytest.raises(BadFile, match=r"have names that end in .nir"):
        snncc.save_nir(graph, tmp_path / "g.h5")
    with pytest.raises(BadFile, match="cannot be written"):
        snncc.save_nir(graph, tmp_path / "missing" / "g.nir")
    with pytest.raises(UnknownName, match=r"unknown NIR version '2'; known: 1\.0\.4, 1\.0\.8"):
        snncc.save_nir(graph, tmp_path / "g.nir", version="2")
    with pytest.raises(BadInput, match="dt is a time in seconds"):
        snncc.save_nir(graph, tmp_path / "g.nir", dt=-1)
    monkeypatch.setattr("snncc.frontends.nir_write.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="h5py is not installed") as caught:
        snncc.save_nir(graph, tmp_path / "g.nir")
    assert "pip install 'snncc[nir]'" in str(caught.value)
