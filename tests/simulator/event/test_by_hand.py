"""The tables of section 7.1 of `MACHINE.md`: worked out by hand from its text, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import snncc.simulator
from snncc.chips import LinkKind
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow.event_order import canonical
from snncc.simulator.slow.events import simulate_events
from snncc.simulator.slow.stations import Record
from tests.simulator.event.hand import Hand, dense, event_chip, graph_of, hand, iaf, neuron, spikes_in
from tests.simulator.tiny import fabric, operations

PAGE = Path(snncc.simulator.__file__).parent / "MACHINE.md"
Row = tuple[int, str, str, str]


def one_slot() -> Hand:
    links = fabric(
        2, credit=3, inject=LinkKind(1, 1, capacity=1), east_west=LinkKind(1, 1), eject=LinkKind(1, 1)
    )
    work = operations(lanes=2, synapse=1, spike=1, message_out=1, message_in=1)
    graph = graph_of(
        spikes_in(1),
        dense("x", "a", [[2], [2], [1]]),
        neuron("a", iaf(2), "x"),
        dense("a", "b", [[1, 1, 1]]),
        neuron("b", iaf(2), "a"),
    )
    return hand(graph, event_chip(links, work), [("a", 0, [0, 1, 2]), ("b", 1, [0])], x=[[1]])


def join() -> Hand:
    links = fabric(2, inject=LinkKind(1, 0), east_west=LinkKind(1, 2), eject=LinkKind(1, 0))
    work = operations(synapse=1, access=1, update=1, spike=1, message_in=1)
    graph = graph_of(
        spikes_in(1),
        dense("x", "a", [[1]]),
        neuron("a", iaf(1), "x"),
        dense("x", "c", [[1]], bias=[1]),
        dense("a", "c", [[-1]]),
        neuron("c", iaf(2), "x", "a"),
    )
    return hand(graph, event_chip(links, work), [("a", 1, [0]), ("c", 0, [0])], x=[[1]])


PROGRAMS = {"7.1.1": one_slot, "7.1.2": join}


def table(section: str) -> list[Row]:
    """The rows of one table of the page."""
    text = re.split(r"^#### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (chosen,) = (part for part in text if part.startswith(section))
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in chosen.splitlines() if line[:1] == "|"
    ]
    return [(int(instant), station, what, message) for instant, station, what, message in cells[2:]]


def row(record: Record) -> Row:
    """A record as the page writes it."""
    message = record.message
    if message is None:
        return record.instant, record.station, record.what, ""
    what = f"{message.population}{message.address}" if message.population else "tick"
    cores = ", ".join(map(str, message.cores))
    return record.instant, record.station, record.what, f"{what} to {cores}"


@pytest.mark.parametrize("section", PROGRAMS)
def test_every_row(section: str) -> None:
    log: list[Record] = []
    simulate_events(*PROGRAMS[section](), log=log)
    assert [row(record) for record in log] == table(section)


def test_one_slot() -> None:
    run = run_events(*one_slot(), "timed")
    timing = run.timing
    assert timing is not None
    busy, stalled = (
        dict(zip(timing.stations, of.tolist(), strict=True)) for of in (timing.busy, timing.stalled)
    )
    assert timing.total == 16
    assert (busy["synapse unit 0"], stalled["synapse unit 0"], busy["synapse unit 1"]) == (7, 1, 5)
    assert [run.spikes["a"].tolist(), run.spikes["b"].tolist()] == [[[1, 1, 0]], [[1]]]
    assert run.potentials["b"].tolist() == [0]
    assert run.differing(canonical(*one_slot())) == {"a": 0, "b": 0}


def test_join() -> None:
    run = run_events(*join(), "timed")
    assert run.timing is not None
    assert run.timing.total == 12
    assert [run.spikes["a"].tolist(), run.spikes["c"].tolist()] == [[[1]], [[1]]]
    assert run.potentials["c"].tolist() == [-1]
    assert run.differing(run_events(*join())) == {"a": 0, "c": 1}
