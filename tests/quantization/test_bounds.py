"""Static bounds: what the weights allow is never exceeded, whatever enters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.errors import BadInput
from snncc.ir import (
    Affine,
    Array,
    Dense,
    Emit,
    Input,
    Kind,
    MaxPool,
    Neuron,
    NeuronParameters,
    Node,
    Order,
    Output,
    Pad,
    Pool,
    Reset,
    ResetAt,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.quantization import Quantize
from snncc.quantization.ranges import bounded, extremes_of, measured
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs


def extremes(shape: tuple[int, ...], low: float, high: float, seed: int) -> Array:
    """Values that lie at one end of their range or the other, for long stretches."""
    rng = np.random.default_rng(seed)
    value = rng.choice([low, high], shape)
    value[:, : shape[1] // 2] = rng.choice([low, high], (1, shape[1] // 2, *shape[2:]))
    return np.asarray(value)


@given(float_graphs(), st.integers(0, 2**32 - 1))
def test_random_networks_stay_inside(case: FloatCase, seed: int) -> None:
    graph = case.graph
    ranges = bounded(graph, {"x": (-1.0, 2.0)}, case.timesteps)
    names = [node.name for node in graph.neurons]
    lead = 1 if case.x.ndim == 5 else 0
    x = extremes((case.timesteps, 4, *case.x.shape[1 + lead :]), -1.0, 2.0, seed)
    seen = run(graph, x if lead else x[0], timesteps=case.timesteps, record=names, count=False)
    for name in names:
        record = seen.records[name]
        assert record.u_pre is not None
        assert record.u_post is not None
        bound = ranges.potentials[name] * (1 + 1e-9)
        assert np.all(np.abs(record.u_pre) <= bound)
        assert np.all(np.abs(record.u_post) <= bound)


@st.composite
def neurons(draw: st.DrawFn) -> NeuronParameters:
    def number(low: float, high: float) -> Array:
        return np.array(draw(st.floats(low, high)))

    return NeuronParameters(
        theta=number(0.1, 3),
        rho=number(0.1, 3),
        max_count=draw(st.sampled_from([1, 2, 5])),
        leak=number(0, 1.25),
        leak_i=number(0, 1.25),
        order=draw(st.sampled_from(Order)),
        bias=number(-1, 1),
        reset=draw(st.sampled_from(Reset)),
        reset_at=draw(st.sampled_from(ResetAt)),
        v_reset=number(-2, 0.1),
        v_init=number(-2, 2),
        i_init=number(-2, 2),
        stateless=draw(st.sampled_from([False, False, True])),
    )


@given(neurons(), st.integers(0, 2**32 - 1))
def test_single_neurons_stay_inside(p: NeuronParameters, seed: int) -> None:
    # Leaks above one were found in review: their states grow, and the bound did not.
    nodes = (
        Input(name="x", shape=(4,)),
        Neuron(name="n", inputs=wires("x"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes)
    x = extremes((12, 6, 4), -1.0, 1.5, seed)
    x[:, 0], x[:, 1] = -1.0, 1.5
    record = run(graph, x, timesteps=12, record=["n"]).records["n"]
    bound = bounded(graph, {"x": (-1.0, 1.5)}, 12).potentials["n"] * (1 + 1e-9)
    for state in (record.u_pre, record.u_post):
        assert state is not None
        assert np.all(np.abs(state) <= bound)
    assert np.all(largest_current(graph, x) <= bound)


def largest_current(graph: SpikeGraph, x: Array) -> Array:
    """The largest synaptic current of each neuron, one timestep after another."""
    state, largest = None, np.zeros(4)
    for one in x:
        state = run(graph, one[None], timesteps=1, state=state).state
        largest = np.maximum(largest, np.abs(state["states"]["n"]["i"]).max(axis=0))
    return largest


SIGNALS: list[Node] = [
    Pad(name="s", inputs=wires("c"), padding=(1, 0, 0, 1), value=np.array([-7.0, 5.0]).reshape(2, 1, 1)),
    Pool(name="s", inputs=wires("c"), kernel=(2, 2), stride=(1, 1)),
    Pool(name="s", inputs=wires("c"), kernel=(2, 2), stride=(1, 1), is_average=True),
    MaxPool(name="s", inputs=wires("c"), kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 0)),
    Affine(name="s", inputs=wires("c"), gain=np.array([-2.0, 0.5]).reshape(2, 1, 1), offset=np.array(-3.0)),
]


@pytest.mark.parametrize("node", SIGNALS, ids=lambda n: type(n).__name__)
def test_other_nodes_stay_inside(node: Node) -> None:
    # A pad with a negative value was found in review: its bound was negative.
    weight = np.random.default_rng(0).normal(size=(3, 3))
    nodes = (
        Input(name="x", shape=(2, 3, 3)),
        Dense(name="c", inputs=wires("x"), weight=weight),
        node,
        Neuron(name="n", inputs=wires("s"), parameters=NeuronParameters(stateless=True)),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes)
    graph.verify()
    x = extremes((200, 4, 2, 3, 3), -1.0, 1.5, 1)
    u = run(graph, x, timesteps=200, record=["n"]).records["n"].u_pre
    assert u is not None
    bound = bounded(graph, {"x": (-1.0, 1.5)}, None).potentials["n"]
    assert np.all(np.abs(u) <= bound * (1 + 1e-9))
    assert np.abs(u).max() > 0.3 * bound.max()  # it is a bound, not a guess into the blue


def small(p: NeuronParameters, kind: Kind = Kind.ANALOG, inputs: int = 3) -> SpikeGraph:
    return SpikeGraph(
        (
            Input(name="x", shape=(inputs,), kind=kind),
            Dense(name="fc", inputs=wires("x"), weight=np.random.default_rng(0).normal(0.4, 1, (8, inputs))),
            Neuron(name="n", inputs=wires("fc"), parameters=p),
            Output(name="y", inputs=wires("n")),
        ),
        timesteps=6,
    )


@pytest.mark.parametrize("leak", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("inputs", [1, 3, 40])
@pytest.mark.parametrize("kind", [Kind.ANALOG, Kind.SPIKE])
def test_no_state_leaves_a_width_without_data(leak: float, inputs: int, kind: Kind) -> None:
    p = NeuronParameters(theta=np.array(0.7), rho=np.array(0.7), leak=np.array(leak))
    graph = small(p, kind, inputs)
    ranges = {} if kind is Kind.SPIKE else {"x": (0.0, 1.0)}
    integer = Quantize(input_ranges=ranges, timesteps=6)(graph)
    integer.verify()
    fc = graph["fc"]
    assert isinstance(fc, Dense)
    worst = np.stack([(fc.weight > 0), (fc.weight < 0)]).reshape(-1, inputs).astype(int)
    x = np.broadcast_to(worst, (6, *worst.shape))
    seen = run(integer, x, timesteps=6)
    assert sum(seen.saturations.values()) == 0
    assert seen.spikes["n"].any()


def test_a_current_that_never_decays_needs_the_number_of_timesteps() -> None:
    # Found in review: it got a bound of 1e300, and every weight became zero.
    graph = small(NeuronParameters(leak=np.array(0.5), leak_i=np.array(1.0)))
    with pytest.raises(BadInput, match="a neuron without leak has no static bound over unknown time"):
        Quantize(input_ranges={"x": (0, 1)})(graph)
    Quantize(input_ranges={"x": (0, 1)}, timesteps=6)(graph).verify()


def test_measured_ranges() -> None:
    graph = small(NeuronParameters(theta=np.array(0.7), v_init=np.array(-9.0), leak=np.array(0.0)))
    x = np.random.default_rng(0).integers(0, 5, (6, 70, 3)) / 4  # more samples than are held at once
    ranges = measured(graph, x, 6)
    assert ranges.is_measured
    assert ranges.inputs["x"] == (0.0, 1.0, 0.25)
    record = run(graph, x, timesteps=6, record=["n"]).records["n"]
    assert record.u_pre is not None
    assert record.u_post is not None
    need = np.maximum(np.abs(record.u_pre), np.abs(record.u_post)).max(axis=(0, 1))
    assert np.array_equal(ranges.potentials["n"], need)


@pytest.mark.parametrize(
    ("values", "need"),
    [
        ([0.0, 0.5, 1.0], (0.0, 1.0, 0.5)),
        ([0.25, 1.0], (0.25, 1.0, 0.25)),
        ([0.3, 1.0], (0.3, 1.0, 0.0)),
        ([-1.0, 2.0], (-1.0, 2.0, 1.0)),
        ([0.0, 0.0], (0.0, 0.0, 0.0)),
        (np.linspace(0, 1, 1000), (0.0, 1.0, 0.0)),
        (np.arange(256) / 255, (0.0, 1.0, pytest.approx(1 / 255))),
    ],
)
def test_the_grid_of_an_input(values: Any, need: Any) -> None:
    assert extremes_of(np.asarray(values)) == need


def test_ranges_by_name() -> None:
    graph = small(NeuronParameters(leak=np.array(0.5)))
    with pytest.raises(BadInput, match=r"x \(Input\): quantization needs the range of this analog input"):
        Quantize(input_ranges={"y": (0, 1)})(graph)
    integer = Quantize(input_ranges={"x": (-2, 1)})(graph)
    entry = integer["x"]
    assert isinstance(entry, Input)
    assert (entry.low, entry.high, float(entry.scale)) == (-128, 127, 2 / 128)
    again = replace(Quantize(input_ranges={"x": (0, 4)}))(graph)["x"]
    assert isinstance(again, Input)
    assert (again.low, again.high, float(again.scale)) == (0, 255, 4 / 255)


def looped(emit: Emit) -> SpikeGraph:
    """Two layers, each of which reads the other's last timestep through weights that come later."""
    spikes = NeuronParameters(theta=np.array(0.8), rho=np.array(0.8), leak=np.array(0.5))
    rng = np.random.default_rng(1)
    nodes = (
        Input(name="x", shape=(4,), kind=Kind.SPIKE),
        Dense(name="w", inputs=wires("x"), weight=rng.normal(0.3, 0.5, (3, 4))),
        Neuron(name="a", inputs=(Wire("w"), Wire("back", delay=1)), parameters=replace(spikes, emit=emit)),
        Dense(name="v", inputs=wires("a"), weight=rng.normal(0.3, 0.5, (3, 3))),
        Neuron(name="b", inputs=(Wire("v"), Wire("back", delay=2)), parameters=replace(spikes, emit=emit)),
        Dense(name="back", inputs=wires("b"), weight=rng.normal(-0.2, 0.5, (3, 3))),
        Output(name="y", inputs=wires("b")),
    )
    return SpikeGraph(nodes, timesteps=20)


def test_loops_end_at_neurons_that_count() -> None:
    """Found in a test: every recurrent layer was refused, for want of a bound that its neurons have."""
    graph = looped(Emit.COUNT)
    ranges = bounded(graph, {}, 20)
    x = (np.random.default_rng(0).random((20, 30, 4)) < 0.4).astype(np.float64)
    seen = measured(graph, x, 20)
    for name in ("a", "b"):
        assert np.all(seen.potentials[name] <= ranges.potentials[name])
        assert np.all(seen.potentials[name] > 0.1 * ranges.potentials[name])
    integers = Quantize(timesteps=20)(graph)
    assert all(spikes.sum() > 100 for spikes in run(integers, x, timesteps=20).spikes.values())


def test_loops_of_reals_have_no_bound() -> None:
    with pytest.raises(BadInput, match="what it sends comes back to it, and no count bounds it"):
        bounded(looped(Emit.RELU), {}, 20)
