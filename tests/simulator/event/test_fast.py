"""The fast kernels of the discipline `event` equal the slow definitions, bit for bit, errors included."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import given, settings

from snncc.errors import SnnccError
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.event_state import BEGINS, DROPS, FINISHES, FIRES, SENDS, STARTS
from snncc.simulator.machine.event_trace import named
from snncc.simulator.machine.events import event_log, program_of, run_events
from snncc.simulator.slow import Record
from snncc.simulator.slow.event_order import canonical
from snncc.simulator.slow.events import simulate_events
from snncc.simulator.slow.routes import station_names
from tests.simulator.compare import assert_equal_events
from tests.simulator.event.programs import EventProgram, event_programs

EXAMPLES = 300 if os.environ.get("SNNCC_HYPOTHESIS") == "all" else 50
MOST = 60
"""Loops that excite themselves end early: the slow machine has to follow them."""


def outcome(run: Callable[[], EventRun]) -> EventRun | str:
    """What a run did, or its error."""
    try:
        return run()
    except SnnccError as error:
        return str(error)


def compare(slow: EventRun | str, fast: EventRun | str) -> None:
    if isinstance(slow, str) or isinstance(fast, str):
        assert slow == fast
    else:
        assert_equal_events(slow, fast)


@settings(max_examples=EXAMPLES)
@given(event_programs())
def test_canonical(program: EventProgram) -> None:
    given = program.graph, program.placement, program.inputs
    compare(
        outcome(lambda: canonical(*given, most=MOST)),
        outcome(lambda: run_events(*given, most=MOST)),
    )


@settings(max_examples=EXAMPLES)
@given(event_programs())
def test_timed(program: EventProgram) -> None:
    given = program.graph, program.placement, program.inputs
    compare(
        outcome(lambda: simulate_events(*given, period=program.period, most=MOST)),
        outcome(lambda: run_events(*given, "timed", program.period, most=MOST)),
    )


class Seen:
    """Things that the logs had, by what they are."""

    compared = 0
    whats: ClassVar[set[str]] = set()


WHAT = {BEGINS: "begins timestep {}", SENDS: "sends", STARTS: "starts", FINISHES: "finishes", DROPS: "drops"}


@settings(max_examples=EXAMPLES)
@given(event_programs())
def check_log(program: EventProgram) -> None:
    given, log, kept = (program.graph, program.placement, program.inputs), list[Record](), event_log(10**5)
    try:
        run = simulate_events(*given, period=program.period, most=MOST, log=log)
    except SnnccError:
        return
    run_events(*given, "timed", program.period, most=MOST, log=kept)
    rows = list(zip(*(part[: kept.used[0]].tolist() for part in kept[1:]), strict=True))
    slots, names = (
        program_of(program.graph, program.placement).slots,
        station_names(program.placement.chip.fabric),
    )
    found: list[tuple[Any, ...]] = []
    for station, time, what, slot in rows:
        if what == BEGINS:
            found.append((time, names[station], WHAT[what].format(slot), None))
        elif what != FIRES:
            found.append((time, names[station], WHAT[what], slots.place(slot) if slot >= 0 else ("", 0)))
    expected = [
        (one.instant, one.station, one.what, one.message and (one.message.population, one.message.address))
        for one in log
        if one.what != "waits"
    ]
    assert found == expected
    fired = [slots.place(slot)[0] for _, _, what, slot in rows if what == FIRES]
    assert Counter(fired) == {name: int(train.sum()) for name, train in run.spikes.items() if train.any()}
    Seen.compared += len(found)
    Seen.whats |= {what.split()[0] for _, _, what, _ in expected}


def test_the_log_is_that_of_the_slow_machine() -> None:
    Seen.compared, Seen.whats = 0, set()
    check_log()
    assert Seen.compared > 1000
    assert Seen.whats == {"begins", "sends", "starts", "finishes", "drops"}


@settings(max_examples=20)
@given(event_programs())
def test_a_timeline_names_neurons_as_they_are_addressed(program: EventProgram) -> None:
    try:
        made = program_of(program.graph, program.placement)
    except SnnccError:
        return
    for name, slots in made.slots.of.items():
        found = [named(made, slot) for slot in slots.tolist()]
        assert found == [(f"{name}[{k}]", {"population": name, "neuron": k}) for k in range(len(slots))]
