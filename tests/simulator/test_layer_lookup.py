"""Rows of many spikes are run by lookup, with the results of running their events one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snncc import reference, simulator
from snncc.ir import (
    Array,
    Conv,
    Encoding,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Overflow,
    Pool,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.simulator import chunk, layer_lookup, replay
from snncc.simulator.layer_run import Job
from snncc.simulator.plan import plan_of
from tests.graphs import Case
from tests.simulator.chains import chains
from tests.simulator.compare import assert_equal, assert_equal_runs

SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large]
T = 6
SEEDS = st.integers(0, 2**32 - 1)
RATES = st.sampled_from([0, 0.02, 0.2, 0.6, 1])
ALWAYS, NEVER = 0.0, 2.0


@contextmanager
def lookup_from(share: float) -> Iterator[None]:
    """Inside, new layers are run by lookup from this share of events on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_lookup, "BREAK_EVEN", share)
        yield


def both_ways(graph: SpikeGraph, x: Any, timesteps: int) -> tuple[int, int]:
    """Assert that a graph does what the reference does, forced both ways.

    Returns how many sources were run by lookup, and how many might have been but were silent.
    """
    expected = reference.run(graph, x, timesteps=timesteps)
    for share in (NEVER, ALWAYS):
        fresh = SpikeGraph(graph.nodes, graph.numbers, graph.name)
        with lookup_from(share):
            for _ in range(3):  # the first makes room, the second is kept, the third repeats it
                assert_equal_runs(expected, simulator.run(fresh, x, timesteps=timesteps, threads=1))
        jobs = jobs_of(fresh)
        turned, watched = [s for job in jobs for s in job.turned], [s for job in jobs for s in job.watched]
        assert all(s.stream.starts[-1] > 0 for s in turned)
        assert share == ALWAYS or not turned
    assert all(s.stream.starts[-1] == 0 for s in watched)
    return len(turned), len(watched)


def jobs_of(graph: SpikeGraph) -> list[Job]:
    """What the latest run did, if it did all of it event by event."""
    (space,) = plan_of(graph).spaces
    return [job for one in space.replays.values() if one is not None for _, job in one.jobs]


@settings(max_examples=40, suppress_health_check=SLOW_DRAWS)
@given(chains(), RATES, SEEDS)
def test_chains_equal_the_reference_both_ways(case: Case, rate: float, seed: int) -> None:
    x = case.x["x"]
    spikes = (np.random.default_rng(seed).random(x.shape) < rate).astype(x.dtype)
    both_ways(case.graph, spikes, case.timesteps)


def conv(name: str, source: Wire, weight: Array, **more: Any) -> Conv:
    return Conv(name=name, inputs=(source,), weight=weight, **more)


def neuron(name: str, theta: int, *sources: Wire, **more: Any) -> Neuron:
    p = NeuronParameters(theta=np.array(theta), rho=np.array(theta), **more)
    return Neuron(name=name, inputs=sources, parameters=p)


@st.composite
def two_sources(draw: st.DrawFn) -> SpikeGraph:
    """Two convolutions into one layer, of data and of other data or its own spikes; one behind.

    Whole, half and several blocks of channels; weights of 8 and 16 bits; potentials of 16 and 32, or limited.
    """
    rng = np.random.default_rng(draw(SEEDS))
    ins, outs, lasts = (draw(st.sampled_from([1, 2, 3, 16, 33, 64, 130])) for _ in range(3))
    most = draw(st.sampled_from([3, 127, 128, 3000, 30000]))
    size = draw(st.integers(4, 7)), 2 * draw(st.integers(4, 20))

    def weight(*shape: int) -> Array:
        return rng.integers(-most, most + 1, shape)

    loops, pools = draw(st.booleans()), draw(st.booleans())
    late, early = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    same = {"padding": (1, 1, 1, 1)}
    bits: dict[str, Any] = {"v_bits": draw(st.sampled_from([None, 17])), "overflow": Overflow.SATURATE}
    kernel, stride = draw(st.tuples(*[st.integers(1, 4)] * 2)), draw(st.tuples(*[st.integers(1, 4)] * 2))
    behind = {"stride": stride, "padding": draw(st.tuples(*[st.integers(0, 3)] * 4))}
    other = conv("other", Wire("first" if loops else "y"), weight(outs, outs if loops else ins, 3, 3), **same)
    nodes: list[Node] = [
        *(Input(name=name, shape=(ins, *size), kind=Kind.SPIKE) for name in ("x", "y")[: 2 - loops]),
        conv("conv", Wire("x", early), weight(outs, ins, 3, 3), **same),
        *([] if loops else [other]),
        neuron("first", most, Wire("conv", late), Wire("other", 1 if loops else late), **bits),
        *([other] if loops else []),
        *([Pool(name="pool", inputs=wires("first"), kernel=(1, 2), stride=(1, 2))] if pools else []),
        conv("behind", Wire("pool" if pools else "first"), weight(lasts, outs, *kernel), **behind),
        neuron("second", most, Wire("behind"), **bits),
        Output(name="out", inputs=wires("second"), over=Over.SUM),
    ]
    return SpikeGraph(tuple(nodes), Numbers.INTEGER, "two")


def drawn(graph: SpikeGraph, rate: float, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {n.name: (rng.random((T, 2, *n.shape)) < rate).astype(np.uint8) for n in graph.inputs}


def test_two_sources_equal_the_reference_both_ways() -> None:
    """And a source is run by lookup in every other graph or more often."""
    seen: Counter[str] = Counter()

    @settings(max_examples=30, suppress_health_check=SLOW_DRAWS)
    @given(two_sources(), RATES, SEEDS)
    def look(graph: SpikeGraph, rate: float, seed: int) -> None:
        turned, silent = both_ways(graph, drawn(graph, rate, seed), T)
        seen["turned"] += turned
        seen["silent"] += silent
        seen["graphs"] += 1

    look()
    assert seen["turned"] >= seen["graphs"] / 2, seen


def layer(theta: int = 40) -> SpikeGraph:
    weight = np.random.default_rng(2).integers(-20, 40, (20, 3, 3, 3))
    nodes = (
        Input(name="x", shape=(3, 10, 10), kind=Kind.SPIKE),
        conv("conv", Wire("x"), weight, padding=(1, 1, 1, 1)),
        neuron("n", theta, Wire("conv")),
        Output(name="out", inputs=wires("n"), over=Over.SUM),
    )
    return SpikeGraph(nodes, Numbers.INTEGER, "layer")


def spikes(count: int) -> Array:
    """A map of 300 neurons, in one timestep, of which so many fire."""
    x = np.zeros(300, np.uint8)
    x[np.random.default_rng(0).permutation(300)[:count]] = 1
    return x.reshape(1, 1, 3, 10, 10)


@pytest.mark.parametrize(("count", "is_looked_up"), [(0, False), (74, False), (75, True), (300, True)])
def test_the_measured_share_decides(count: int, is_looked_up: bool) -> None:
    graph, x = layer(), spikes(count)
    with lookup_from(0.25):
        for _ in range(3):
            run = simulator.run(graph, x, timesteps=1, threads=1)
            assert_equal_runs(reference.run(graph, x, timesteps=1), run)
        assert (run.spikes["n"].sum() > 0) == (count > 0)
    (job,) = jobs_of(graph)
    assert (len(job.turned), len(job.watched)) == ((1, 0) if is_looked_up else (0, 1))


def test_each_row_is_run_in_the_faster_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tables of zeros, rows of many events are silent, those of few are not; all are counted."""
    weighed = layer_lookup.weighed
    monkeypatch.setattr(layer_lookup, "weighed", lambda *arguments: np.zeros_like(weighed(*arguments)))
    x = np.zeros((1, 1, 3, 10, 10), np.uint8)
    x[..., 1, :], x[..., 8, 4] = 1, 1  # 30 of the 30 neurons of a row, 3 of those of another
    with lookup_from(0.11):  # 33 of 300 events; of a row, 3.3
        run = simulator.run(layer(), x, timesteps=1, threads=1)
    expected = reference.run(layer(), x, timesteps=1).operations["conv"]
    assert_equal(expected, run.operations["conv"], "operations")
    x[..., 1, :] = 0
    few = reference.run(layer(), x, timesteps=1)
    assert few.spikes["n"].sum() > 0
    assert_equal(few.output, run.output, "output")


def test_replays_look_at_the_rates_of_their_own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    replays: list[bool] = []
    replayed = replay.replayed

    def watched(*arguments: Any) -> bool:
        replays.append(replayed(*arguments))
        return replays[-1]

    monkeypatch.setattr(chunk, "replayed", watched)
    graph, turned = layer(), []
    with lookup_from(0.25):
        for count in (20, 20, 20, 200, 20, 60, 300):
            x = spikes(count)
            run = simulator.run(graph, x, timesteps=1, threads=1)
            assert_equal_runs(reference.run(graph, x, timesteps=1), run)
            assert run.spikes["n"].sum() > 0
            turned.append(any(job.turned for job in jobs_of(graph)))
    assert replays == [True] * 6
    assert turned == [False] * 3 + [True] * 4


def test_no_table_for_what_has_no_place_in_it() -> None:
    """Neurons that fire several times a timestep, and weights of which tables would be too large."""
    twice = neuron("first", 30, Wire("conv"), max_count=2, encoding=Encoding.SPIKES)
    large = np.ones((200, 20, 5, 5), np.int64)
    nodes = (
        Input(name="x", shape=(3, 10, 10), kind=Kind.SPIKE),
        conv("conv", Wire("x"), np.full((20, 3, 3, 3), 20)),
        twice,
        conv("behind", Wire("first"), large),
        neuron("second", 30, Wire("behind")),
        conv("last", Wire("second"), np.ones((400, 200, 4, 4), np.int64)),
        neuron("third", 30, Wire("last")),
        Output(name="out", inputs=wires("third"), over=Over.SUM),
    )
    graph = SpikeGraph(nodes, Numbers.INTEGER)
    x = np.ones((T, 1, 3, 10, 10), np.uint8)
    for _ in range(3):
        run = simulator.run(graph, x, timesteps=T, threads=1)
        assert_equal_runs(reference.run(graph, x, timesteps=T), run)
    assert all(train.sum() > 0 for train in run.spikes.values())
    assert [len(job.turned) for job in jobs_of(graph)] == [1, 0, 0]
    assert not any(job.watched for job in jobs_of(graph))
