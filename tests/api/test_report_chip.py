"""The chip's part of the HTML report: whole, self-contained, and with the numbers of the run."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import pytest

import snncc
from snncc import Program, Result
from snncc.api.report import html_report
from snncc.api.tables import event_rows, joules, number, seconds, usage_rows, usage_table
from snncc.chips import Entry, Topology
from snncc.ir import Neuron, SpikeGraph
from snncc.measure.style import ceiling
from snncc.simulator.machine import ChipRun, Energy
from tests.api.chips import chip, ran, silent_graph
from tests.api.networks import images, lif_graph, sfa_graph

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = "<s>\"n\" & 'm'</s>"


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def of_class(self, kind: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if attrs.get("class") == kind]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def reported(program: Program, result: Result) -> tuple[Page, ChipRun]:
    assert result.chip is not None
    return Page(html_report(program, result)), result.chip


@pytest.fixture(scope="module")
def result() -> tuple[Program, Result]:
    program = snncc.compile(sfa_graph(), calibration=images(), chip=chip(3, 2), cores=6)
    return program, program.run(images(4), timing="cycle")


def test_the_page_has_the_numbers_of_the_run(result: tuple[Program, Result]) -> None:
    page, run = reported(*result)
    low, high = run.static
    for words in (
        "figures of different accountings are not comparable",
        "6 of 6 cores in use, pipelined, timing cycle",
        seconds(float(run.seconds.mean())),
        f"{number(float(run.times.mean()))} × 1 ns",
        f"{number(int(run.times.min()))} to {number(int(run.times.max()))} × 1 ns an inference",
        f"{joules(low)} … {joules(high)}",
        f"{run.critical}, {run.busy[run.critical]:.1%}",
        f"{run.steps} chip steps, {run.timings[0].barrier} × 1 ns each to synchronize",
        f"Neuron units waited {number(run.stalled)} × 1 ns",
    ):
        assert words in page.text
    for row in event_rows(run):
        assert row in page.rows
    for name, value in run.layers.items():
        assert f"{name} {joules(value)}, {value / run.energy:.1%}" in page.text
    for name, share in run.busy.items():
        assert f"{name}: {share:.1%}" in page.text
    for name, load in sorted(run.loads.items(), key=lambda item: -item[1])[:3]:
        assert f"{name} {number(load)} messages" in page.text
    deepest = max(run.deepest, key=lambda name: run.deepest[name])
    assert f"{deepest} {run.deepest[deepest]} slots" in page.text
    for k, count in enumerate(run.depths):
        digits = "1" if k == 0 else f"{2**k} to {2 ** (k + 1) - 1}"
        assert f"{digits} {number(int(count))}" in page.text


def test_the_page_has_what_each_core_needs(result: tuple[Program, Result]) -> None:
    page, run = reported(*result)
    heads, rows = usage_rows(run.placement)
    assert list(heads) in page.rows
    assert len([row for row in rows if row in page.rows]) == len(rows) >= 6
    table = usage_table(run.placement)
    assert all(cell in table for row in rows for cell in row)


def test_the_floor_plan_has_every_core_and_link(result: tuple[Program, Result]) -> None:
    page, run = reported(*result)
    hot = [float(core["fill-opacity"] or 0) for core in page.of_class("hot") if "pointer-events" not in core]
    most = max(run.busy.values())
    shares = [
        max(run.busy.get(f"{unit} unit {k}", 0.0) for unit in ("neuron", "synapse")) / most for k in range(6)
    ]
    assert hot[:6] == pytest.approx(shares, abs=1e-3)
    assert len(page.of_class("critical")) == 1
    arrows = [attrs for tag, attrs in page.tags if tag == "polygon"]
    carrying = [name for name in run.loads if not name.startswith(("inject", "eject"))]
    assert len(arrows) == len(carrying)
    dotted = [attrs for attrs in page.of_class("soft") if "stroke-dasharray" in attrs]
    assert len(arrows) + len(dotted) == 2 * (2 * 2 + 3 * 1)
    for name in carrying:
        assert f"{name}: {number(run.loads[name])} messages" in page.text


def test_bars_of_busy_cores_are_as_high_as_their_shares(result: tuple[Program, Result]) -> None:
    _, run = reported(*result)
    text = html_report(*result)
    top = ceiling(max(run.busy.values()))
    assert f">{100 * top:.3g} %</text>" in text
    bars = re.findall(r'height="([\d.]+)"><title>((?:neuron|synapse) unit \d+): ([\d.]+)%</title>', text)
    assert len(bars) == 12
    for height, name, share in bars:
        assert float(share) == pytest.approx(100 * run.busy.get(name, 0.0), abs=0.06)
        assert float(height) == pytest.approx(150 * run.busy.get(name, 0.0) / top, abs=0.06)


def test_arrows_are_as_strong_as_their_loads(result: tuple[Program, Result]) -> None:
    _, run = reported(*result)
    found = re.findall(r'fill-opacity="([\d.]+)"><title>(\w+ \d+): ', html_report(*result))
    most = max(run.loads[name] for _, name in found)
    assert len(found) > 2
    for opacity, name in found:
        assert float(opacity) == pytest.approx(0.35 + 0.65 * run.loads[name] / most, abs=1e-3)


def test_nothing_is_loaded_from_outside(result: tuple[Program, Result]) -> None:
    page, _ = reported(*result)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "use", "image"}
    assert not {name for _, attrs in page.tags for name in attrs} & {"src", "href", "xlink:href", "onload"}
    assert "http" not in html_report(*result)
    assert "url(" not in html_report(*result)
    assert "@import" not in html_report(*result)


def test_notes_are_on_the_page(result: tuple[Program, Result]) -> None:
    program, run = result
    page = Page(html_report(program, replace(run, notes=("3 values < 0 were clipped", "one more"))))
    assert "Note: 3 values < 0 were clipped. Note: one more." in page.text


def test_without_a_timing_there_is_no_chip(result: tuple[Program, Result]) -> None:
    program, _ = result
    text = html_report(program, program.run(images(2)))
    Page(text)
    assert "Floor plan" not in text


def renamed(graph: SpikeGraph, old: str, new: str) -> SpikeGraph:
    """*graph* with another name for a node."""
    nodes = [
        replace(
            node,
            name=new if node.name == old else node.name,
            inputs=tuple(replace(w, source=new) if w.source == old else w for w in node.inputs),
        )
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def test_names_are_escaped() -> None:
    graph = renamed(lif_graph(), "n1", EVIL)
    evil = replace(chip(2, 2), name="<i>chip</i>", title="<u>x</u> & y")
    program, result = ran(graph, evil, 3)
    assert any(isinstance(node, Neuron) and node.name == EVIL for node in program.graph.nodes)
    text = html_report(program, result)
    Page(text)
    for raw in (EVIL, "<s>", "<i>chip", "<u>x", '"n" & '):
        assert raw not in text
    assert escape("<i>chip</i>") in text
    assert escape(EVIL) in text


@pytest.mark.parametrize(
    ("columns", "rows", "each", "topology", "entry"),
    [
        (1, 1, 1, Topology.MESH, Entry.CORES),
        (8, 4, 4, Topology.MESH, Entry.CORES),
        (3, 2, 1, Topology.MESH, Entry.PORT),
        (9, 1, 1, Topology.CROSSBAR, Entry.PORT),
        (128, 1, 1, Topology.CROSSBAR, Entry.CORES),
    ],
)
def test_extremes(columns: int, rows: int, each: int, topology: Topology, entry: Entry) -> None:
    cores = min(12, columns * rows * each)
    page, run = reported(*ran(lif_graph(), chip(columns, rows, each, topology, entry), cores))
    boxes = [kind for kind in ("edge", "soft", "critical") for _ in page.of_class(kind)]
    port = entry is Entry.PORT
    assert len(boxes) >= columns * rows * each + port
    assert f"of {columns * rows * each} cores in use" in page.text
    assert ("inject port" in page.text) == port
    frames = page.of_class("critical")
    assert len(frames) == 1
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            assert "nan" not in (value or ""), (tag, name)
    assert run.energy > 0


def test_a_chip_on_which_nothing_moves() -> None:
    program, result = ran(silent_graph(), chip(2, 2), 3, silent=True)
    page, run = reported(program, result)
    assert not run.loads
    assert not [tag for tag, _ in page.tags if tag == "polygon"]
    assert "Busiest links none" in page.text
    assert "No message was in a queue" in page.text
    still = replace(run, timings=tuple(replace(t, busy=0 * t.busy) for t in run.timings))
    page, _ = reported(program, replace(result, chip=still))
    assert not page.of_class("critical")
    assert "none unit that works most" in page.text
    free = replace(still, energies=tuple(zeroed(energy) for energy in run.energies))
    assert free.energy == 0
    reported(program, replace(result, chip=free))


def zeroed(energy: Energy) -> Energy:
    return replace(
        energy,
        kinds=dict.fromkeys(energy.kinds, 0.0),
        layers=dict.fromkeys(energy.layers, 0.0),
        cores=0 * energy.cores,
    )
