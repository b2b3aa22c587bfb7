"""Single rules of section 7 of `MACHINE.md`, each in a network that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.chips import LinkKind
from snncc.chips.model import Overflow as Full
from snncc.errors import Deadlock, Runaway, StateOverflow
from snncc.ir import NeuronParameters, Output, Over, Overflow, Reset, Wire
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow.event_order import canonical
from snncc.simulator.slow.events import simulate_events
from tests.simulator.event.hand import (
    Hand,
    dense,
    event_chip,
    free_chip,
    graph_of,
    hand,
    iaf,
    neuron,
    slots,
    spikes_in,
)
from tests.simulator.tiny import fabric, operations

RUNS: dict[str, Callable[[Hand], EventRun]] = {
    "canonical slow": lambda h: canonical(*h, most=1000),
    "canonical": lambda h: run_events(*h, most=1000),
    "timed slow": lambda h: simulate_events(*h, most=1000),
    "timed": lambda h: run_events(*h, order="timed", most=1000),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Any:
    return RUNS[request.param]


def one(p: NeuronParameters, weights: list[int], x: list[list[int]], **fields: Any) -> Hand:
    """Inputs of one weight each into one neuron."""
    graph = graph_of(spikes_in(len(weights)), dense("x", "a", [weights], **fields), neuron("a", p, "x"))
    return hand(graph, free_chip(1), [("a", 0, [0])], x=x)


def told(run: EventRun) -> tuple[Any, Any, int]:
    """Spikes in the whole run, potential and saturations of a0."""
    return int(run.spikes["a"].sum()), run.potentials["a"].tolist(), run.saturations["a"]


@pytest.mark.parametrize(
    ("p", "weights", "expected"),
    [
        (iaf(4), [9, 0, -1], (2, [0], 0)),  # 9 -> 5, 5 -> 1, 1 - 1
        (iaf(4, strict=True), [4, 1, 0], (1, [1], 0)),
        (iaf(4, v_init=np.array(3)), [1], (1, [0], 0)),
        (replace(iaf(4), reset=Reset.VALUE, v_reset=np.array(-2)), [9, 5, 0], (1, [3], 0)),
        (iaf(4, clamp_low=np.array(-1)), [-7, 2, 2], (0, [3], 0)),
        (iaf(6, v_bits=4, overflow=Overflow.SATURATE), [-7, -7, 1], (0, [-7], 1)),
        (iaf(6, v_bits=4, overflow=Overflow.SATURATE), [5, 7], (1, [1], 1)),
        (iaf(6, v_bits=4, overflow=Overflow.WRAP), [-7, -2, 1], (1, [2], 1)),  # -9 is 7
        (
            NeuronParameters(theta=np.array(1), rho=np.array(15), v_bits=4, overflow=Overflow.SATURATE),
            [1],
            (1, [-8], 1),
        ),
    ],
)
def test_neuron(run: Any, p: NeuronParameters, weights: list[int], expected: Any) -> None:
    assert told(run(one(p, weights, [[1] * len(weights)]))) == expected


def test_a_clamp_far_below_the_threshold(run: Any) -> None:
    """Farther than narrow potentials reach: they are kept in more bits."""
    narrow = replace(dense("x", "a", [[-100] * 200]), weight=np.full((1, 200), -100, np.int8))
    graph = graph_of(spikes_in(200), narrow, neuron("a", iaf(4, clamp_low=np.array(-18000)), "x"))
    sample = hand(graph, free_chip(1), [("a", 0, [0])], x=[[1] * 200])
    assert told(run(sample)) == (0, [-18000], 0)


def test_shift(run: Any) -> None:
    assert told(run(one(iaf(9), [1, 1], [[1, 1]], shift=2)))[1] == [8]


def test_ticks_bring_all_biases(run: Any) -> None:
    """That of the neuron and that of the synapses, also where no spike comes; the tick is first."""
    two = one(iaf(5, bias=np.array(2)), [-4], [[0], [1], [0]], bias=np.array([1]))
    assert told(run(two)) == (1, [0], 0)  # 3; 6 fires, 1 - 4; 0
    zero = one(iaf(5, bias=np.array(2)), [-4], [[0], [1], [0]], bias=np.array([-2]))
    assert told(run(zero)) == (0, [-4], 0)


def test_readouts_sum_and_take_their_bias(run: Any) -> None:
    nodes = (
        spikes_in(2),
        dense("x", "a", [[1, 1]]),
        neuron("a", iaf(1), "x"),
        dense("x", "y", [[3, -5]], bias=np.array([10])),
        Output(name="y", inputs=(Wire("x_y"),), over=Over.SEQUENCE),
    )
    summed = hand(graph_of(*nodes), free_chip(2), [("a", 0, [0]), ("y", 1, [0])], x=[[1, 0], [1, 1]])
    assert int(run(summed).sums["y"].sum()) == 3 + 10 + 3 - 5 + 10


def test_width_errors(run: Any) -> None:
    with pytest.raises(StateOverflow, match=r"a: the potential of neuron \(0,\) reaches -14"):
        run(one(iaf(6, v_bits=4), [-7, -7], [[1, 1]]))


def ring(size: int, **fields: Any) -> Hand:
    """Two populations that excite each other without end."""
    nodes = (
        spikes_in(1),
        dense("x", "a", [[1]] * size),
        neuron("a", iaf(1), "x", late=["b"]),
        dense("a", "b", np.ones((size, size))),
        neuron("b", iaf(1), "a"),
        dense("b", "a", np.ones((size, size))),
    )
    every = range(size)
    return hand(graph_of(*nodes), free_chip(2, **fields), [("a", 0, every), ("b", 1, every)], x=[[1]])


def test_a_loop_that_excites_itself_is_an_error(run: Any) -> None:
    with pytest.raises(Runaway, match="x: the event of its neuron 0 in timestep 0 causes more than 1000"):
        run(ring(1))


def tight(**fields: Any) -> Hand:
    """`ring`, with one slot everywhere."""
    one = LinkKind(1, 1, capacity=1)
    kinds: dict[str, Any] = dict.fromkeys(("inject", "east_west", "north_south", "eject"), one)
    loop = ring(3)
    chip = event_chip(fabric(2, **kinds), operations(message_in=1), cores=slots(1, 2), **fields)
    return loop._replace(placement=replace(loop.placement, chip=chip))


@pytest.mark.parametrize("which", ["timed slow", "timed"])
def test_deadlock_names_the_cycle(which: str) -> None:
    with pytest.raises(Deadlock) as caught:
        RUNS[which](tight())
    assert caught.value.cycle == (
        *("inject 0", "east 0", "eject 1", "synapse unit 1"),
        *("inject 1", "west 1", "eject 0", "synapse unit 0"),
    )
    assert "inject 0 -> east 0 -> eject 1 -> synapse unit 1 -> inject 1" in str(caught.value)


@pytest.mark.parametrize("which", ["timed slow", "timed"])
def test_drops_are_counted(which: str) -> None:
    """x sends six messages that arrive every 1; the unit takes one every 4 and has one slot."""
    graph = graph_of(spikes_in(6), dense("x", "a", [[1] * 6]), neuron("a", iaf(9), "x"))
    chip = event_chip(fabric(1), operations(message_in=4), cores=slots(1, 1), overflow=Full.DROP)
    run = RUNS[which](hand(graph, chip, [("a", 0, [0])], x=[[1] * 6]))
    # Taken at 1; 2 waits; 3 to 5 are lost (the slot of 2 is free at 5 + 1); 6 waits.
    assert run.dropped.tolist() == [3]
    assert run.potentials["a"].tolist() == [3]
    assert run.timing is not None
    assert run.timing.events["message_in"].tolist() == [3, 0]
    assert run.timing.total == 13


@pytest.mark.parametrize(
    ("period", "total", "spikes"), [(0, 3, [0, 0, 2]), (2, 4, [0, 1, 1]), (10, 20, [1, 1, 0])]
)
def test_period(period: int, total: int, spikes: list[int]) -> None:
    """A spike counts for the timestep that the port has begun by then, which has the lowest rank."""
    graph = graph_of(spikes_in(1), dense("x", "a", [[1]]), neuron("a", iaf(1), "x"))
    line = hand(graph, free_chip(1), [("a", 0, [0])], x=[[1], [1], [0]])
    for run in (simulate_events(*line, period=period), run_events(*line, order="timed", period=period)):
        assert run.timing is not None
        assert run.timing.total == total
        assert run.spikes["a"][:, 0].tolist() == spikes
