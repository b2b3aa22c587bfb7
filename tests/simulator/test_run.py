from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc import reference, simulator
from snncc.errors import BadInput, CannotLower, StateOverflow, UnknownName
from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Overflow,
    Pool,
    Presence,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.simulator.plan import plan_of
from tests.simulator.compare import assert_equal, assert_equal_runs

RNG = np.random.default_rng(5)
T, B = 7, 5


def neuron(name: str, source: str, theta: int, **more: Any) -> Neuron:
    p = NeuronParameters(theta=np.array(theta), rho=np.array(theta), **more)
    return Neuron(name=name, inputs=wires(source), parameters=p, origin="model.py:7")


def network(*, overflow: Overflow = Overflow.ERROR, bits: int | None = None, theta: int = 60) -> SpikeGraph:
    """Convolution, pooling, flattening, dense: all of it for the event kernel."""
    rng = np.random.default_rng(3)
    nodes: list[Node] = [
        Input(name="x", shape=(2, 8, 6), kind=Kind.SPIKE),
        Conv(
            name="conv",
            inputs=wires("x"),
            weight=rng.integers(-20, 30, (20, 2, 3, 3)),
            padding=(1, 1, 1, 1),
        ),
        neuron("hidden", "conv", theta, v_bits=bits, overflow=overflow),
        Pool(name="pool", inputs=wires("hidden"), kernel=(2, 2), stride=(2, 2)),
        Reshape(name="flat", inputs=wires("pool"), shape=(240,)),
        Dense(name="dense", inputs=wires("flat"), weight=rng.integers(-9, 12, (10, 240))),
        neuron("last", "dense", 80, max_count=2, encoding=Encoding.SPIKES),
        Output(name="out", inputs=wires("last"), over=Over.SUM),
    ]
    graph = SpikeGraph(tuple(nodes), Numbers.INTEGER, "small")
    graph.verify()
    return graph


def data(batch: int = B) -> Array:
    return (np.random.default_rng(9).random((T, batch, 2, 8, 6)) < 0.3).astype(np.uint8)


def test_equals_the_reference() -> None:
    graph = network()
    assert set(plan_of(graph).layers) == {"hidden", "last"}
    assert_equal_runs(reference.run(graph, data(), timesteps=T), simulator.run(graph, data(), timesteps=T))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    expected = simulator.run(graph, data(), timesteps=T, threads=1)
    monkeypatch.setattr("snncc.simulator.batch.CHUNK_BYTES", 1)  # a chunk for each sample
    assert_equal_runs(expected, simulator.run(graph, data(), timesteps=T, threads=threads))


def test_a_sample_does_not_depend_on_its_batch_mates() -> None:
    graph, x = network(), data()
    whole = simulator.run(graph, x, timesteps=T)
    backwards = simulator.run(graph, x[:, ::-1], timesteps=T)
    assert_equal(whole.output, backwards.output[::-1].copy(), "output")
    assert_equal(whole.spikes["hidden"], backwards.spikes["hidden"][::-1].copy(), "spikes")
    for b in range(B):
        alone = simulator.run(graph, x[:, b : b + 1], timesteps=T)
        assert_equal(whole.output[b : b + 1], alone.output, "output")
        assert_equal(whole.operations["dense"].ac[b : b + 1], alone.operations["dense"].ac, "ac")


def test_the_second_run_equals_the_first() -> None:
    graph = network()
    first, second = (simulator.run(graph, data(), timesteps=T) for _ in range(2))
    assert_equal_runs(first, second)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.float32, np.float64])
def test_the_type_of_the_data_does_not_matter(dtype: type[np.generic]) -> None:
    graph = network()
    expected = simulator.run(graph, data(), timesteps=T)
    assert_equal_runs(expected, simulator.run(graph, data().astype(dtype), timesteps=T))
    sealed = data().astype(dtype)
    sealed.setflags(write=False)
    assert_equal_runs(expected, simulator.run(graph, sealed, timesteps=T))


@pytest.mark.parametrize("overflow", [Overflow.SATURATE, Overflow.WRAP])
@pytest.mark.parametrize("bits", [6, 8, 12])
def test_potentials_beyond_their_width(overflow: Overflow, bits: int) -> None:
    graph = network(overflow=overflow, bits=bits, theta=20)
    expected = reference.run(graph, data(), timesteps=T)
    assert (expected.saturations["hidden"] > 0) == (bits < 12)
    assert_equal_runs(expected, simulator.run(graph, data(), timesteps=T))


def test_overflow_names_layer_sample_neuron_and_timestep() -> None:
    graph, x = network(bits=9, theta=200), data()
    x[:, :2] = 0  # the first samples are silent
    with pytest.raises(StateOverflow) as expected:
        reference.run(graph, x[:, 2:3], timesteps=T)
    for threads in (1, 2):
        with pytest.raises(StateOverflow) as found:
            simulator.run(graph, x, timesteps=T, threads=threads)
        message = str(found.value)
        assert message.startswith(expected.value.message.replace("in sample 0;", "in sample 2;"))
        assert "hidden (Neuron, model.py:7)" in message
        assert "in timestep " in message
        assert "its width holds -256..255" in message


def test_large_potentials_take_wider_sums() -> None:
    """A drift beyond 16 bits, and beyond 32: the result does not depend on the width."""
    for weight, width in ((30000, 2), (300, 1), (1 << 40, 3)):
        nodes: tuple[Node, ...] = (
            Input(name="x", shape=(40,), kind=Kind.SPIKE),
            Dense(name="dense", inputs=wires("x"), weight=np.full((8, 40), weight, np.int64)),
            neuron("n", "dense", 5),
            Output(name="out", inputs=wires("n"), over=Over.SUM),
        )
        graph = SpikeGraph(nodes, Numbers.INTEGER)
        x = np.ones((60, 2, 40), np.uint8)
        run = simulator.run(graph, x, timesteps=60)
        assert_equal_runs(reference.run(graph, x, timesteps=60), run)
        layer = plan_of(graph).layers.get("n")
        assert (layer.narrowest if layer else 3) in (1, 2) if width < 3 else layer is None


def test_recording_a_layer_does_not_change_it() -> None:
    graph = network()
    plain = simulator.run(graph, data(), timesteps=T)
    names = [node.name for node in graph.nodes]
    full = simulator.run(graph, data(), timesteps=T, record=names)
    assert_equal(plain.spikes, full.spikes, "spikes")
    assert_equal(plain.operations, full.operations, "operations")
    assert_equal(full.records, reference.run(graph, data(), timesteps=T, record=names).records, "records")


def test_a_run_goes_on_from_a_state() -> None:
    graph, x = network(), data()
    whole = reference.run(graph, x, timesteps=T, record=["last"])
    for first in (
        simulator.run(graph, x[:3], timesteps=3, keep_state=True),
        reference.run(graph, x[:3], timesteps=3),
    ):
        rest = simulator.run(graph, x[3:], timesteps=T - 3, state=first.state, record=["last"])
        assert_equal(whole.records["last"].train[3:].copy(), rest.records["last"].train, "train")


def test_plans_do_not_keep_graphs_alive() -> None:
    graph = network()
    simulator.run(graph, data(), timesteps=T)
    seen = weakref.ref(graph)
    del graph
    gc.collect()
    assert seen() is None


def test_neuron_updates() -> None:
    run = simulator.run(network(), data(), timesteps=T)
    assert run.neuron_updates == {"hidden": T * 20 * 8 * 6, "last": T * 10}


def test_progress_counts_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.simulator.batch.CHUNK_BYTES", 1)
    seen: list[tuple[int, int]] = []
    simulator.run(network(), data(), timesteps=T, threads=2, progress=lambda *done: seen.append(done))
    assert seen == [(k + 1, B) for k in range(B)]


def test_float_graphs_are_refused() -> None:
    graph = replace(network(), numbers=Numbers.FLOAT)
    with pytest.raises(CannotLower, match="computes with integers") as error:
        simulator.run(graph, data(), timesteps=T)
    assert "quantize" in str(error.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_spikes_are_zero_or_one(dtype: type[np.generic]) -> None:
    x = data().astype(dtype)
    x[4, 3, 1, 2, 5] = 2
    with pytest.raises(BadInput) as error:
        simulator.run(network(), x, timesteps=T)
    assert "x (Input): carries spikes, so its data must be 0 or 1, but index (4, 3, 1, 2, 5) holds 2" in str(
        error.value
    )


def bad_values() -> list[tuple[Any, str]]:
    half, nan = data().astype(float), data().astype(float)
    half[1, 2, 0, 0, 0], nan[2, 1, 1, 7, 5] = 0.5, np.nan
    return [
        (half, r"index \(1, 2, 0, 0, 0\) holds 0.5"),
        (nan, r"1 values are NaN or infinite, the first at index \(2, 1, 1, 7, 5\)"),
        (data()[:-1], "needs 7 timesteps, has 6"),
        (data()[:, :, :1], r"needs data \[T, B, \*shape\] = T x B x 2 x 8 x 6, has shape"),
        (data()[:, :0], "the data is empty"),
        (data().astype("complex64"), "needs numbers, has an array of complex64"),
        ({"y": data()}, "has inputs x; the data has y"),
    ]


@pytest.mark.parametrize(("x", "message"), bad_values())
def test_bad_data_is_refused(x: Any, message: str) -> None:
    for threads in (1, 2):
        with pytest.raises(BadInput, match=message):
            simulator.run(network(), x, timesteps=T, threads=threads)


def test_counts_beyond_their_bound_are_refused() -> None:
    nodes: tuple[Node, ...] = (
        Input(name="x", shape=(3,), kind=Kind.COUNT, max_count=2),
        Output(name="out", inputs=wires("x")),
    )
    x = np.zeros((2, 2, 3))
    x[1, 1, 0] = 3
    with pytest.raises(BadInput, match=r"must be integers 0\.\.2, but index \(1, 1, 0\) holds 3"):
        simulator.run(SpikeGraph(nodes, Numbers.INTEGER), x, timesteps=2)


def test_unknown_records_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hidden'"):
        simulator.run(network(), data(), timesteps=T, record=["hiden"])


@pytest.mark.parametrize("presence", list(Presence))
def test_analog_inputs(presence: Presence) -> None:
    nodes: tuple[Node, ...] = (
        Input(name="x", shape=(2, 5, 5), presence=presence, scale=np.array(0.1), low=0, high=255),
        Conv(
            name="conv",
            inputs=wires("x"),
            weight=RNG.integers(-5, 6, (4, 2, 3, 3)),
            padding=(1, 1, 1, 1),
        ),
        neuron("n", "conv", 300),
        Output(name="out", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    shape = (T, B, 2, 5, 5) if presence is Presence.SEQUENCE else (B, 2, 5, 5)
    x = RNG.uniform(-1, 30, shape)
    expected = reference.run(graph, x, timesteps=T)
    assert expected.spikes["n"].sum() > 0
    assert_equal_runs(expected, simulator.run(graph, x, timesteps=T))


def test_a_layer_whose_input_is_no_list_of_spikes_still_counts_its_synapses() -> None:
    """Twos arrive, which the event kernel cannot list: the general executor takes over."""
    nodes = (
        Input(name="x", shape=(6,), kind=Kind.SPIKE),
        Add(name="twice", inputs=wires("x", "x")),
        Dense(name="fc", inputs=wires("twice"), weight=np.full((4, 6), 3, np.int8)),
        Neuron(name="n", inputs=wires("fc"), parameters=NeuronParameters(theta=np.array(9), rho=np.array(9))),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    x = np.random.default_rng(0).integers(0, 2, (5, 3, 6))
    done = simulator.run(graph, x, timesteps=5)
    assert done.spikes["n"].any()
    assert_equal_runs(done, reference.run(graph, x, timesteps=5))


@pytest.mark.parametrize("bits", [None, 16])
def test_the_lowest_potential_of_a_width_leaks_toward_zero(bits: int | None) -> None:
    """Found in review: -32768 has no magnitude in 16 bits, and leaked to a large positive potential."""
    p = NeuronParameters(
        theta=np.array(3000),
        rho=np.array(3000),
        leak=np.array(7),
        leak_shift=3,
        leak_rounding=LeakRounding.ZERO,
        v_bits=bits,
        overflow=Overflow.SATURATE,
    )
    nodes = (
        Input(name="x", shape=(1,), kind=Kind.SPIKE),
        Dense(name="fc", inputs=wires("x"), weight=np.array([[-4097]], np.int16)),
        Neuron(name="n", inputs=wires("fc"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    x = np.ones((100, 1, 1), np.uint8)
    assert_equal_runs(simulator.run(graph, x, timesteps=100), reference.run(graph, x, timesteps=100))


def test_a_table_that_ends_before_the_run_is_refused() -> None:
    nodes = (
        Input(name="x", shape=(1,), low=0, high=9),
        Affine(name="f", inputs=wires("x"), gain=np.array([[1], [2]]), per_timestep=True),
        Output(name="y", inputs=wires("f")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    for run in (reference.run, simulator.run):
        with pytest.raises(BadInput, match="has numbers for 2 timesteps, but the run has 3"):
            run(graph, np.ones((3, 1, 1)), timesteps=3)


def test_two_spiking_branches_meet_in_a_neuron() -> None:
    """A residual connection: two synapses into one neuron, one of them delayed."""
    rng = np.random.default_rng(4)
    nodes: tuple[Node, ...] = (
        Input(name="x", shape=(3, 6, 6), kind=Kind.SPIKE),
        Conv(name="a", inputs=wires("x"), weight=rng.integers(-9, 14, (16, 3, 3, 3)), padding=(1, 1, 1, 1)),
        neuron("first", "a", 25),
        Conv(
            name="b", inputs=wires("first"), weight=rng.integers(-9, 12, (8, 16, 3, 3)), padding=(1, 1, 1, 1)
        ),
        Conv(name="skip", inputs=(Wire("x", 1),), weight=rng.integers(-9, 14, (8, 3, 1, 1))),
        Neuron(
            name="second",
            inputs=wires("b", "skip"),
            parameters=NeuronParameters(theta=np.array(60), rho=np.array(50)),
        ),
        Output(name="out", inputs=wires("second")),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    x = rng.random((T, B, 3, 6, 6)) < 0.3
    assert set(plan_of(graph).layers) == {"first", "second"}
    expected = reference.run(graph, x, timesteps=T)
    assert expected.spikes["second"].sum() > 0
    assert_equal_runs(expected, simulator.run(graph, x, timesteps=T))
