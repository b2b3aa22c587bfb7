"""Where the two orders agree, where they need not, and what never gets lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from snncc.chips import CoreLimits
from snncc.chips.model import Overflow as Full
from snncc.errors import Deadlock, SnnccError
from snncc.ir import Node
from snncc.mapping.building import network_of
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.events import run_events
from tests.simulator.event.hand import Hand, dense, free_chip, graph_of, hand, iaf, neuron, spikes_in
from tests.simulator.event.programs import EventProgram, event_chips, event_programs
from tests.simulator.tiny import placed

NAMES = "abcd"


@st.composite
def lines(draw: st.DrawFn) -> Hand:
    """Chains of populations without bias, each on one core of its own, that fire."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chip = replace(draw(event_chips()), overflow=Full.STALL)
    length = min(chip.fabric.cores, draw(st.integers(1, 4)))
    sizes = [draw(st.integers(2, 8)) for _ in range(length + 1)]
    nodes: list[Node] = [spikes_in(sizes[0])]
    for (source, target), (ins, outs) in zip(pairwise(("x", *NAMES[:length])), pairwise(sizes), strict=True):
        nodes.append(dense(source, target, rng.integers(-1, 5, (outs, ins))))
        theta = rng.integers(1, 5, outs)
        nodes.append(neuron(target, iaf(theta, strict=draw(st.booleans()), v_bits=16), source))
    graph = graph_of(*nodes)
    cores = rng.permutation(chip.fabric.cores)
    parts = [
        (name, int(core), range(size)) for name, core, size in zip(NAMES, cores, sizes[1:], strict=False)
    ]
    x = rng.random((draw(st.sampled_from([4, 2, 3, 5])), 1, sizes[0])) < 0.8
    return Hand(graph, placed(chip, network_of(graph), parts), {"x": x.astype(np.int64)})


def timed(line: Hand, period: int) -> EventRun:
    """Also a chain can deadlock, where its connections share links: then with room before the event units."""
    try:
        return run_events(*line, order="timed", period=period)
    except Deadlock:
        chip = line.placement.chip
        roomy = replace(chip, cores=(CoreLimits(),) * len(chip.cores))
        placement = replace(line.placement, chip=roomy)
        return run_events(line.graph, placement, line.inputs, "timed", period)


@given(lines(), st.integers(0, 20))
def test_chains_agree(line: Hand, period: int) -> None:
    canonical, run = run_events(*line), timed(line, period)
    assume(sum(int(train.sum()) for train in canonical.spikes.values()) > 0)
    assert not any(run.differing(canonical).values())
    for name, potentials in canonical.potentials.items():
        assert np.array_equal(run.potentials[name], potentials)


@given(lines())
def test_chains_agree_in_every_timestep_that_is_long_enough(line: Hand) -> None:
    canonical = run_events(*line)
    assume(sum(int(train.sum()) for train in canonical.spikes.values()) > 0)
    run = timed(line, 1_000_000)
    for name, train in canonical.spikes.items():
        assert np.array_equal(run.spikes[name], train)


def test_chains_spike() -> None:
    """The two tests above are about something: nearly every chain that is drawn fires."""
    fired = []

    @given(lines())
    def count(line: Hand) -> None:
        fired.append(sum(int(train.sum()) for train in run_events(*line).spikes.values()))

    count()
    assert np.mean(np.array(fired) > 0) > 0.8
    assert np.median(fired) >= 5


def test_joins_differ_at_times() -> None:
    """Random programs, cut over cores: some differ, and the difference is the one of the trains."""
    seen = []

    @given(event_programs())
    def count(program: EventProgram) -> None:
        given = program.graph, program.placement, program.inputs
        try:
            canonical, timed = run_events(*given, most=60), run_events(*given, "timed", most=60)
        except SnnccError:
            return
        differing = timed.differing(canonical)
        for name, train in timed.spikes.items():
            assert differing[name] == np.abs(train.sum(axis=0) - canonical.spikes[name].sum(axis=0)).sum()
        seen.append(sum(differing.values()))

    count()
    assert 0 < np.count_nonzero(seen) < len(seen)


@given(event_programs())
def test_nothing_gets_lost(program: EventProgram) -> None:
    """What is sent to a core arrives there or is dropped before it, and counts agree with each other."""
    given = program.graph, program.placement, program.inputs
    try:
        run = run_events(*given, "timed", program.period, most=60)
    except SnnccError:
        return
    timing, cores = run.timing, program.placement.chip.fabric.cores
    assert timing is not None
    arrived, sent = timing.events["message_in"], timing.events["message_out"] + timing.events["port"]
    ejected = timing.messages[-2 * cores : -cores]
    assert np.array_equal(ejected, arrived[:cores] + run.dropped)
    assert np.array_equal(timing.messages[-cores:], arrived[:cores])
    injected = timing.messages[cores + 1 : 2 * cores + 2]
    assert np.array_equal(injected, sent)
    if program.placement.chip.fabric.multicast:
        assert sent.sum() <= arrived.sum() + run.dropped.sum()
    else:
        assert sent.sum() == arrived.sum() + run.dropped.sum()
    if program.placement.chip.overflow is Full.STALL:
        assert not run.dropped.any()
    assert np.array_equal(timing.depths.sum(axis=1)[cores + 1 :], timing.messages[cores + 1 :])
    assert timing.events["spike"].sum() == sum(int(train.sum()) for train in run.spikes.values())


@given(event_programs())
def test_sums_are_what_readouts_hold(program: EventProgram) -> None:
    """Without drops every spike is summed up once, whatever the order and the timestep."""
    given = program.graph, program.placement, program.inputs
    try:
        run = run_events(*given, "timed", program.period, most=60)
    except SnnccError:
        return
    assume(not run.dropped.any())
    timesteps = len(next(iter(program.inputs.values())))
    trains = {name: train[:, 0] for name, train in program.inputs.items()} | dict(run.spikes)
    for name, sums in run.sums.items():
        expected = np.zeros(sums.shape[1], np.int64)
        into = list(program.placement.network.into(name))
        for connection in into:
            for source, times in enumerate(trains[connection.source].sum(axis=0).tolist()):
                targets, weights = connection.synapses(source)
                np.add.at(expected, targets, times * weights)
        biases = [c.node.bias for c in into if c.node is not None and c.node.bias is not None]
        if not biases:
            assert np.array_equal(sums.sum(axis=0), expected)
        assert len(sums) == timesteps


def test_a_join_by_hand() -> None:
    """Two ways from x to c, of which the inhibiting one is longer: c fires only where time counts."""
    graph = graph_of(
        spikes_in(1),
        dense("x", "a", [[1]]),
        neuron("a", iaf(1), "x"),
        dense("a", "c", [[-1]]),
        dense("x", "c", [[1]]),
        neuron("c", iaf(1), "a", "x"),
    )
    join = hand(graph, free_chip(2), [("a", 0, [0]), ("c", 1, [0])], x=[[1], [1]])
    canonical, timed = run_events(*join), run_events(*join, "timed")
    assert canonical.spikes["c"].sum() == 0
    assert timed.differing(canonical) == {"a": 0, "c": int(timed.spikes["c"].sum())}
