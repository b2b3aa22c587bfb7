"""What the discipline `event` refuses, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.chips import Cost, Discipline, Entry
from snncc.errors import BadInput, CannotLower, InvalidGraph, UnknownName
from snncc.ir import Encoding, NeuronParameters, Reset, ResetAt
from snncc.simulator.event_check import check_events
from snncc.simulator.machine.events import run_events
from tests.simulator.event.hand import Hand, dense, free_chip, graph_of, hand, iaf, neuron, slots, spikes_in


def one(p: NeuronParameters | None = None, **fields: Any) -> Hand:
    graph = graph_of(spikes_in(1), dense("x", "a", [[1]]), neuron("a", p or iaf(1), "x"))
    return hand(graph, free_chip(1, **fields), [("a", 0, [0])], x=[[1]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"max_count": 2, "encoding": Encoding.SPIKES},
            "a (Neuron): up to 2 spikes in a timestep (needs at most 1)",
        ),
        ({"leak": np.array(3), "leak_shift": 2}, "a (Neuron): a leak (of 3 / 4, needs 1)"),
        ({"leak_i": np.array(1), "leak_i_shift": 1}, "a (Neuron): a memory of its current"),
        ({"refractory": 2}, "a (Neuron): a refractory time (of 2 timesteps, needs 0)"),
        ({"stateless": True}, "a (Neuron): a potential that is forgotten"),
        ({"steps": np.array([1])}, "a (Neuron): explicit steps"),
        ({"reset": Reset.NONE}, "a (Neuron): a potential that no spike resets"),
        ({"reset_at": ResetAt.NEXT}, "a (Neuron): a reset in another timestep (next, needs same)"),
        ({"clamp_high": np.array(9)}, "a (Neuron): an upper clamp"),
    ],
)
def test_neurons(fields: dict[str, Any], message: str) -> None:
    program = one(iaf(1, **fields))
    with pytest.raises(CannotLower) as caught:
        check_events(program.graph, program.placement)
    assert message in str(caught.value)
    assert "hint: " in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"discipline": Discipline.BARRIER}, "tiny: its discipline is 'barrier', events need 'event'"),
        ({"entry": Entry.CORES}, "tiny: input enters by 'cores'"),
        ({"cores": slots(0, 1)}, "tiny: a queue has 0 slots, it needs 1"),
    ],
)
def test_chips(fields: dict[str, Any], message: str) -> None:
    program = one()
    chip = replace(program.placement.chip, **fields)
    with pytest.raises(CannotLower) as caught:
        run_events(program.graph, replace(program.placement, chip=chip), program.inputs)
    assert message in str(caught.value)


def test_credit_and_time_of_a_message() -> None:
    program = one(cores=slots(1, 1))
    chip = program.placement.chip
    for wrong, message in (
        (replace(chip, fabric=replace(chip.fabric, credit=0)), "credit must be at least 1, not 0"),
        (
            replace(chip, operations=replace(chip.operations, message_in=Cost(0))),
            "message_in takes 0, it must take at least 1",
        ),
    ):
        with pytest.raises(CannotLower, match=message):
            check_events(program.graph, replace(program.placement, chip=wrong))


def test_delays() -> None:
    program = one()
    network = program.placement.network
    late = replace(network, connections=tuple(replace(c, delay=2) for c in network.connections))
    with pytest.raises(CannotLower, match="x -> a: has a delay of 2 timesteps, events need 0"):
        check_events(program.graph, replace(program.placement, network=late))


def test_numbers() -> None:
    program = one()
    network = program.placement.network
    graded = {name: replace(p, payload_bits=3) for name, p in network.populations.items()}
    placement = replace(program.placement, network=replace(network, populations=graded))
    with pytest.raises(CannotLower, match=r"x \(Input\): its messages carry numbers of 3 bits"):
        check_events(program.graph, placement)


def test_placements_and_inputs() -> None:
    program = one()
    with pytest.raises(InvalidGraph, match="its parts must hold"):
        check_events(program.graph, replace(program.placement, parts=()))
    for inputs, message in (
        ({}, "x: no train"),
        ({"x": np.array([[[2]]])}, "nothing but 0 and 1"),
        ({"x": np.zeros((3, 2), np.int64)}, r"needs \[timesteps, 1, 1\]"),
    ):
        with pytest.raises(BadInput, match=message):
            run_events(program.graph, program.placement, inputs)
    with pytest.raises(UnknownName, match="unknown order 'time'"):
        run_events(*program, "time")
