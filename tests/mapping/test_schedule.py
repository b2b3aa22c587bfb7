"""Which populations each chip step sweeps, and what cannot be run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc.chips import Discipline, LinkKind
from snncc.chips.model import Limits, Overflow
from snncc.errors import BadInput, CannotLower, InvalidGraph, SnnccError
from snncc.mapping.network import Network
from snncc.mapping.placement import Placement, Schedule
from snncc.mapping.schedule import check_schedule, checked_trains, steps_of
from tests.simulator.tiny import chip, dense, fabric, network, operations, placed, population, trains

ONE = [[1]]


def three(back: int = 3, **fields: Any) -> Network:
    """x -> a -> b -> y, and from b back to a with a delay; b has three ticks."""
    return network(
        [
            population("x", 1, 0),
            population("a", 1, 1),
            population("b", 1, 2, ticks=3, **fields),
            population("y", 1, 3, ticks=0),
        ],
        [dense("x", "a", ONE), dense("a", "b", ONE), dense("b", "y", ONE), dense("b", "a", ONE, back)],
    )


def on_one_core(net: Network, schedule: Schedule = Schedule.PIPELINED, **fields: Any) -> Placement:
    parts = [(name, 0, range(p.size)) for name, p in net.populations.items()]
    return placed(chip(fabric(), operations(), **fields), net, parts, schedule)


def test_layered() -> None:
    b = [(("b", t, tick),) for t in (0, 1) for tick in (0, 1, 2)]
    expected = [(("x", 0, 0),), (("a", 0, 0),), *b[:3], (("y", 0, 0),)]
    expected += [(("x", 1, 0),), (("a", 1, 0),), *b[3:], (("y", 1, 0),)]
    assert list(steps_of(three(), Schedule.LAYERED, 2)) == expected


def test_layered_skips_depths_of_nobody_and_joins_equal_ones() -> None:
    net = network([population("x", 1, 0), population("a", 1, 2), population("b", 1, 2, ticks=2)], [])
    expected = [(("x", 0, 0),), (("a", 0, 0), ("b", 0, 0)), (("b", 0, 1),)]
    assert list(steps_of(net, Schedule.LAYERED, 1)) == expected


def test_pipelined() -> None:
    """T + L groups of D steps; steps in which nothing is swept are steps."""
    first = [
        *[(("x", 0, 0),), (), ()],
        *[(("x", 1, 0), ("a", 0, 0)), (), ()],
        *[(("a", 1, 0), ("b", 0, 0)), (("b", 0, 1),), (("b", 0, 2),)],
        *[(("b", 1, 0), ("y", 0, 0)), (("b", 1, 1),), (("b", 1, 2),)],
        *[(("y", 1, 0),), (), ()],
    ]
    assert list(steps_of(three(), Schedule.PIPELINED, 2)) == first


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("timesteps", [1, 4])
def test_everything_is_swept_once(schedule: Schedule, timesteps: int) -> None:
    swept = [sweep for step in steps_of(three(), schedule, timesteps) for sweep in step]
    ticks = {"x": 1, "a": 1, "b": 3, "y": 1}
    assert sorted(swept) == [
        (n, t, d) for n in sorted(ticks) for t in range(timesteps) for d in range(ticks[n])
    ]


def test_good_ones_pass() -> None:
    check_schedule(on_one_core(three(back=2)))
    check_schedule(on_one_core(three(back=1), Schedule.LAYERED))
    check_schedule(on_one_core(three(back=3), limits=Limits(payload_bits=0, max_delay=3)))
    whole = on_one_core(three(), port=1)
    check_schedule(replace(whole, parts=whole.parts[1:]))


QUEUE = fabric(inject=LinkKind(capacity=1), credit=0)
WRONG: list[tuple[Placement, type[SnnccError], str]] = [
    (
        on_one_core(three(back=1)),
        CannotLower,
        "b -> a: to be pipelined it needs a delay of 2 timesteps, has 1",
    ),
    (
        on_one_core(three(back=4), limits=Limits(max_delay=5)),
        CannotLower,
        "b -> a: pipelined, it needs a delay of 6 steps, tiny has 5",
    ),
    (
        on_one_core(three(back=3), Schedule.LAYERED, limits=Limits(max_delay=1)),
        CannotLower,
        "b -> a: layered, it needs a delay of 2 sweeps of a, tiny has 1",
    ),
    (
        on_one_core(three(payload_bits=4), limits=Limits(payload_bits=3)),
        CannotLower,
        "b: its messages need 4 bits, those of tiny have 3",
    ),
    (
        on_one_core(three(), discipline=Discipline.EVENT),
        CannotLower,
        "tiny: its steps are closed by 'event', only 'barrier' is simulated",
    ),
    (
        on_one_core(three(), overflow=Overflow.DROP),
        CannotLower,
        "tiny: full queues 'drop'; with the discipline 'barrier' senders stall",
    ),
    (
        replace(on_one_core(three()), chip=chip(QUEUE, operations())),
        CannotLower,
        "tiny: queues are bounded, so credit must be at least 1, not 0",
    ),
    (on_one_core(three(), in_queue=0), CannotLower, "tiny: a queue has 0 slots, it needs 1"),
    (
        on_one_core(three(), port=1),
        InvalidGraph,
        "x: its parts must hold each of 0 neurons once; they hold 1, 0 of them different ones of these",
    ),
]


@pytest.mark.parametrize(("placement", "kind", "message"), WRONG)
def test_refused(placement: Placement, kind: type[SnnccError], message: str) -> None:
    with pytest.raises(kind) as caught:
        check_schedule(placement)
    assert caught.value.message == message


PARTS = [
    (
        [("x", 0, [0]), ("a", 0, [0, 1])],
        "a: its parts must hold each of 3 neurons once; they hold 2, 2 of them",
    ),
    ([("x", 0, [0]), ("a", 0, [0, 1, 2]), ("a", 0, [2])], "they hold 4, 3 of them"),
    ([("x", 0, [0]), ("a", 1, [0, 1, 2])], "a: on core 1, the chip has 1"),
    ([("x", 0, [0]), ("a", 0, [0, 2, 1])], "a: its addresses on core 0 do not ascend"),
    ([("z", 0, [0])], "core 0: there is no population 'z'"),
]


@pytest.mark.parametrize(("parts", "message"), PARTS)
def test_wrong_parts(parts: list[tuple[str, int, list[int]]], message: str) -> None:
    net = network([population("x", 1, 0), population("a", 3, 1)], [dense("x", "a", [[1], [1], [1]])])
    with pytest.raises(InvalidGraph) as caught:
        check_schedule(placed(chip(fabric(), operations()), net, parts))
    assert message in caught.value.message


def test_trains() -> None:
    net = network([population("x", 2, 0, payload_bits=4), population("a", 1, 1, ticks=2)], [])
    good = trains(x=[[[0, -3]], [[7, 1]]], a=[[[0], [1]], [[1], [1]]])
    checked = checked_trains(net, good)
    assert {name: train.tolist() for name, train in checked.items()} == {
        name: train.tolist() for name, train in good.items()
    }


BAD = [
    ({"a": None}, "a: no train; every input and neuron needs one"),
    ({"a": [[[0, 0], [1, 0]]]}, "a: its train has the shape [1, 2, 2], needs [timesteps, 2, 1]"),
    ({"a": [[[0], [2]], [[0], [0]]]}, "a: its messages are bare spikes, its train has 0..2, not 0 and 1"),
    ({"a": [[[0], [1]]]}, "trains differ in their timesteps (x: 2, a: 1)"),
    ({"a": np.zeros((2, 2, 1))}, "a: its train has float64, needs integers"),
    ({"a": np.zeros((0, 2, 1), int)}, "a: its train has the shape [0, 2, 1], needs [timesteps, 2, 1]"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_trains(change: dict[str, Any], message: str) -> None:
    net = network([population("x", 2, 0, payload_bits=4), population("a", 1, 1, ticks=2)], [])
    given: dict[str, Any] = {"x": [[[0, -3]], [[7, 1]]], "a": [[[0], [1]], [[1], [1]]]} | change
    with pytest.raises(BadInput) as caught:
        checked_trains(net, {name: np.asarray(train) for name, train in given.items() if train is not None})
    assert caught.value.message == message
