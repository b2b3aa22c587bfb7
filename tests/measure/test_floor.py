"""Floor plans: everything is in its place, and shows the numbers of the run."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.text import Text

import snncc
from snncc.chips import Entry, Topology
from snncc.errors import BadFile, MissingDependency, UnknownName
from snncc.measure import floor_plan
from snncc.measure.floor import TILE, Floor, Heat, Spot, fitted, floor_of, told_apart
from snncc.measure.floor_drawing import HEATS, LOADS, brightness
from snncc.measure.style import ceiling
from snncc.simulator.machine import ChipRun
from tests.api.chips import chip, ran, sfa_on, silent_graph
from tests.api.networks import attended_graph, lif_graph


def run_on(columns: int, rows: int, each: int = 1, cores: int | None = None, ring: bool = False) -> ChipRun:
    run = sfa_on(columns, rows, each, cores, ring).chip
    assert run is not None
    return run


def silent() -> ChipRun:
    run = ran(silent_graph(), chip(2, 2), 3, silent=True)[1].chip
    assert run is not None
    return run


def named(figure: Figure, kind: str) -> dict[str, Patch]:
    """The patches of the plan whose names begin with *kind*."""
    return {str(p.get_gid()): p for p in figure.axes[0].patches if str(p.get_gid()).startswith(kind)}


def arrows(figure: Figure) -> dict[str, Polygon]:
    return {str(p.get_gid()): p for p in figure.axes[0].patches if isinstance(p, Polygon)}


def writing(figure: Figure) -> dict[str, list[str]]:
    """The lines that stand in each core."""
    found = [text for text in figure.axes[0].texts if str(text.get_gid()).startswith("label ")]
    return {str(text.get_gid()).removeprefix("label "): text.get_text().split("\n") for text in found}


def bars(figure: Figure) -> list[tuple[str, list[str]]]:
    """Title and tick labels of each color bar."""
    figure.draw_without_rendering()
    return [
        (
            axes.get_title("left"),
            [text.get_text().replace("\N{MICRO SIGN}", "µ") for text in axes.get_xticklabels()],
        )
        for axes in figure.axes[1:]
    ]


SIZES = [(1, 1, 1, None), (8, 8, 1, 4), (3, 2, 1, 6), (2, 2, 4, 9), (8, 4, 4, 20)]


@pytest.mark.parametrize(("columns", "rows", "each", "cores"), SIZES)
def test_a_mesh_has_all_tiles_cores_and_links(columns: int, rows: int, each: int, cores: int | None) -> None:
    run = run_on(columns, rows, each, cores)
    figure = floor_plan(run)
    count = columns * rows * each
    assert set(named(figure, "core ")) == {f"core {k}" for k in range(count)}
    assert len(named(figure, "tile ")) == (columns * rows if each > 1 else 0)
    quiet = {str(line.get_gid()) for line in figure.axes[0].lines}
    carrying = set(arrows(figure))
    assert not quiet & carrying
    assert len(quiet) + len(carrying) == 2 * ((columns - 1) * rows + columns * (rows - 1))
    assert carrying == {name for name in run.loads if not name.startswith(("inject", "eject"))}
    corners = [tuple(np.round(spot.center, 6)) for spot in floor_of(run).spots]
    assert len(set(corners)) == count
    for k in range(count):
        box = named(figure, f"core {k}")[f"core {k}"]
        assert isinstance(box, Rectangle)
        row, column = divmod(k // each, columns)
        x, y = box.get_xy()
        assert column <= x <= x + box.get_width() <= column + TILE + 1e-9
        assert row <= y <= y + box.get_height() <= row + TILE + 1e-9


@pytest.mark.parametrize("heat", ["busy", "energy", "messages"])
def test_cores_are_as_hot_as_the_run_says(heat: str) -> None:
    run = run_on(3, 2, 1, 6)
    messages = np.mean([t.messages for t in run.timings], axis=0)
    of = dict(zip(run.timings[0].stations, messages, strict=True))
    values = {
        "busy": [
            max(run.busy.get(f"{unit} unit {k}", 0.0) for unit in ("neuron", "synapse")) for k in range(6)
        ],
        "energy": list(run.cores[:6]),
        "messages": [float(of[f"neuron unit {k}"] + of[f"synapse unit {k}"]) for k in range(6)],
    }[heat]
    floor = floor_of(run, heat)
    assert [spot.value for spot in floor.spots[:6]] == pytest.approx(values)
    figure = floor_plan(run, heat=heat)
    top = ceiling(max(values))
    colors = LinearSegmentedColormap.from_list("heat", HEATS)
    for k, value in enumerate(values):
        assert named(figure, "core ")[f"core {k}"].get_facecolor() == pytest.approx(colors(value / top))
    (title, ticks), (other, loads) = bars(figure)
    assert (
        title
        == {
            "busy": "busy share of the busier unit of a core",
            "energy": "energy of a core in one inference, without links",
            "messages": "messages that a core sends and takes in one inference",
        }[heat]
    )
    assert other == "messages on a link in one inference"
    assert len(ticks) == len(loads) == 3
    unit = {"busy": "%", "energy": "nJ", "messages": ""}[heat]
    scale = {"busy": 100.0, "energy": 1e9, "messages": 1.0}[heat]
    assert ticks[-1] == f"{top * scale:.6g} {unit}".strip()
    assert float(loads[-1]) == ceiling(floor.busiest)


def test_links_are_as_wide_as_their_loads() -> None:
    run = run_on(3, 2, 1, 6)
    figure = floor_plan(run)
    found = arrows(figure)
    assert len(found) > 2
    widths = {}
    for name, arrow in found.items():
        corners = np.asarray(arrow.get_xy())
        widths[name] = float(np.hypot(*(corners[0] - corners[6])))
    top = ceiling(floor_of(run).busiest)
    for name, width in widths.items():
        assert width == pytest.approx(0.11 * (0.1 + 0.9 * run.loads[name] / top))
    order = sorted(found, key=lambda name: run.loads[name])
    shades = [brightness(to_rgb(found[name].get_facecolor())) for name in order]
    assert shades == sorted(shades, reverse=True)


def test_arrows_point_where_messages_go() -> None:
    run = run_on(3, 2, 1, 6)
    floor = floor_of(run)
    steps = {"east": (1, 0), "west": (-1, 0), "south": (0, 1), "north": (0, -1)}
    for link in floor.links:
        way, tile = link.name.split()
        row, column = divmod(int(tile), 3)
        dx, dy = steps[way]
        assert np.sign(np.round(np.subtract(link.end, link.start), 9)).tolist() == [dx, dy]
        middle = np.add(link.start, link.end) / 2 - TILE / 2
        assert np.abs(middle - (column + dx / 2, row + dy / 2)).max() < 0.2
        assert link.load == run.loads.get(link.name, 0.0)
    middles = [tuple(np.round(np.add(link.start, link.end) / 2, 6)) for link in floor.links]
    assert len(set(middles)) == len(middles), "no link lies on another"


def test_labels_name_the_layers_of_each_core() -> None:
    run = run_on(3, 2, 1, 6)
    held: dict[str, list[str]] = {str(k): [] for k in range(6)}
    for part in run.placement.parts:
        held[str(part.core)].append(part.population)
    assert writing(floor_plan(run)) == {core: [core, *dict.fromkeys(names)] for core, names in held.items()}


def test_the_critical_core_alone_has_a_thick_frame() -> None:
    run = run_on(3, 2, 1, 6)
    figure = floor_plan(run)
    thick = [name for name, box in named(figure, "core ").items() if box.get_linewidth() > 1]
    assert thick == [f"core {run.critical.split()[-1]}"]
    said = "\n".join(text.get_text() for text in figure.texts)
    assert f"thick frame: {run.critical} works most, {run.busy[run.critical]:.1%} of the time" in said


def test_the_title_has_chip_time_and_energy() -> None:
    run = run_on(8, 8, 1, 4)
    title, note = (text.get_text() for text in floor_plan(run).texts)
    assert title == "mesh: 4 of 64 cores in use"
    found = re.match(
        r"one inference: ([\d.]+) .s, ([\d.]+) .J of events \(accounting mesh; timing cycle\)", note
    )
    assert found
    assert float(found[1]) == pytest.approx(1e6 * run.seconds.mean(), rel=1e-3)
    assert float(found[2]) == pytest.approx(1e6 * run.energy, rel=1e-3)


def test_a_crossbar_is_a_ring_of_cores() -> None:
    run = run_on(9, 1, 1, 7, ring=True)
    figure = floor_plan(run)
    boxes = [box for box in named(figure, "core ").values() if isinstance(box, Rectangle)]
    assert len(boxes) == 9
    centers = np.array([np.add(box.get_xy(), box.get_width() / 2) for box in boxes])
    far = np.hypot(*(centers - centers.mean(axis=0)).T)
    assert far == pytest.approx(np.full(9, far[0]))
    apart = np.abs(centers[:, None] - centers[None]).max(axis=2) + 9 * np.eye(9)
    assert apart.min() > TILE, "no core lies on another"
    assert set(arrows(figure)) == {name for name in run.loads if name.startswith("cross")}
    assert not figure.axes[0].lines


@pytest.mark.parametrize("topology", list(Topology))
def test_a_port_is_drawn_beside_the_cores(topology: Topology) -> None:
    run = ran(lif_graph(), chip(3, 2, 1, topology, Entry.PORT), 3)[1].chip
    assert run is not None
    figure = floor_plan(run, heat="energy")
    assert set(named(figure, "core ")) == {*(f"core {k}" for k in range(6)), "core port"}
    assert writing(figure)["port"] == ["port", "x"]
    link = "inject port" if topology is Topology.MESH else "cross port 0"
    assert link in arrows(figure)
    floor = floor_of(run, "energy")
    assert floor.spots[6].value == run.cores[6]
    assert figure.texts[0].get_text() == "mesh: 3 of 6 cores in use"


@pytest.mark.parametrize("topology", list(Topology))
def test_a_host_is_drawn_with_what_it_hears_and_sends(topology: Topology) -> None:
    graph, x = attended_graph()
    program = snncc.compile(graph, calibration=x, chip=chip(3, 2, 1, topology), cores=4)
    run = program.run(x, timing="cycle").chip
    assert run is not None
    for heat in Heat:
        spot = floor_of(run, heat).spots[6]
        busy = max(run.busy.get("port", 0.0), run.busy["host"])
        of = dict(
            zip(run.timings[0].stations, np.mean([t.messages for t in run.timings], axis=0), strict=True)
        )
        value = {"busy": busy, "energy": run.cores[6], "messages": of["port"] + of["host"]}[heat]
        assert spot.name == "host"
        assert spot.value == pytest.approx(value)
        assert value > 0
    assert floor_of(run).spots[6].layers == tuple(run.placement.network.tasks)
    figure = floor_plan(run)
    assert writing(figure)["host"][0] == "host"
    drawn, loads = (
        arrows(figure),
        {name: n for name, n in run.loads.items() if "host" in name or "port" in name},
    )
    shown = {name for name in loads if topology is Topology.CROSSBAR or name in ("inject port", "eject host")}
    shown -= {"inject port", "eject host"} if topology is Topology.CROSSBAR else set()
    assert len(shown) >= 2
    assert shown <= drawn.keys()
    middles = [tuple(np.round(np.add(link.start, link.end) / 2, 6)) for link in floor_of(run).links]
    assert len(set(middles)) == len(middles)


def test_one_core_and_no_traffic() -> None:
    for run in (run_on(1, 1), silent()):
        figure = floor_plan(run)
        assert not arrows(figure)
        assert len(figure.axes) == 2, "there is no scale for loads that are not there"
    quiet = replace(silent(), timings=tuple(replace(t, busy=0 * t.busy) for t in silent().timings))
    figure = floor_plan(quiet)
    assert "no unit worked" in figure.texts[1].get_text()
    assert not [box for box in named(figure, "core ").values() if box.get_linewidth() > 1]
    floor_plan(silent(), heat="messages")


def crowded(run: ChipRun) -> ChipRun:
    """*run*, as if its cores held many layers with long names."""
    names = [f"encoder.stages.{k}.blocks.11.attention.WIDE_MEMORY.lif" for k in range(12)]
    parts = tuple(replace(part, population=name) for part in run.placement.parts for name in names)
    return replace(run, placement=replace(run.placement, parts=parts))


@pytest.mark.parametrize("which", [*SIZES, "ring 9", "ring 64", "ring 128"])
@pytest.mark.parametrize("is_crowded", [False, True])
def test_no_text_is_cut_or_leaves_its_core(
    which: tuple[int, int, int, int | None] | str, is_crowded: bool
) -> None:
    run = run_on(int(which.split()[1]), 1, 1, 7, ring=True) if isinstance(which, str) else run_on(*which)
    figure = floor_plan(crowded(run) if is_crowded else run)
    figure.draw_without_rendering()
    whole = figure.bbox
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            extent = text.get_window_extent()
            assert whole.x0 <= extent.x0 <= extent.x1 <= whole.x1, text.get_text()
            assert whole.y0 <= extent.y0 <= extent.y1 <= whole.y1, text.get_text()
    boxes = named(figure, "core ")
    for label in figure.axes[0].texts:
        extent = label.get_window_extent()
        box = boxes[f"core {str(label.get_gid()).removeprefix('label ')}"].get_window_extent()
        assert box.x0 <= extent.x0 <= extent.x1 <= box.x1, label.get_text()
        assert box.y0 <= extent.y0 <= extent.y1 <= box.y1, label.get_text()
    texts = {axes.get_title("left") for axes in figure.axes[1:]}
    titles = sorted(
        (text.get_window_extent() for text in figure.findobj(Text) if text.get_text() in texts),
        key=lambda extent: extent.x0,
    )
    for one, other in pairwise(titles):
        assert one.x1 < other.x0


def test_colors_can_be_told_apart_in_grey() -> None:
    for colors in (HEATS, LOADS):
        ramp = LinearSegmentedColormap.from_list("ramp", colors)
        greys = [brightness(ramp(share)) for share in np.linspace(0, 1, 64)]
        assert np.diff(greys).max() < -0.004


def test_labels_fit_their_room() -> None:
    spot = Spot(12, "12", 0, 0, 1, ("conv1.lif", "conv2.lif", "head"), 0)
    assert fitted(spot, {}, 9, 4) == ["12", "conv1.lif", "conv2.lif", "head"]
    assert fitted(spot, {}, 6, 4) == ["12", "con…if", "con…if", "head"]
    assert fitted(spot, {}, 9, 3) == ["12", "conv1.lif", "+2"]
    assert fitted(spot, {}, 9, 2) == ["12", "3 lay."]
    assert fitted(spot, {}, 4, 2) == fitted(spot, {}, 3, 5) == ["12"]
    assert fitted(spot, {"conv1.lif": "conv1"}, 6, 4) == ["12", "conv1", "con…if", "head"]
    assert fitted(spot, {}, 1, 5) == fitted(spot, {}, 9, 0) == []


def test_files_and_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, before = run_on(3, 2, 1, 6), dict(matplotlib.rcParams)
    for kind, head in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        for copy in (1, 2):
            floor_plan(run, tmp_path / f"{copy}{kind}")
        first, second = ((tmp_path / f"{copy}{kind}").read_bytes() for copy in (1, 2))
        assert first.startswith(head)
        assert first == second
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(BadFile, match="cannot be written"):
        floor_plan(run, tmp_path / "none" / "f.png")
    with pytest.raises(BadFile, match=r"unknown kind of picture '.gif'; known: .png, .svg, .pdf"):
        floor_plan(run, tmp_path / "f.gif")
    with pytest.raises(UnknownName, match="unknown heat 'bussy'; known: busy, energy, messages"):
        floor_plan(run, heat="bussy")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match="matplotlib is not installed"):
        floor_plan(run)
    assert isinstance(floor_of(run), Floor), "the numbers need no matplotlib"


def test_short_names_are_not_mistaken_for_each_other() -> None:
    names = [f"encoder.stages.{k}.attention.lif" for k in range(12)]
    assert list(told_apart([*names, "x"]).values()) == [*(f"stages.{k}" for k in range(12)), "x"]
    assert told_apart(["a.b", "a.c", "b"]) == {"a.b": "a.b", "a.c": "a.c", "b": "b"}
    assert told_apart(["a.lif", "a.b.lif"]) == {"a.lif": "lif", "a.b.lif": "b.lif"}
    assert told_apart(["net.lif"]) == {"net.lif": "net.lif"}
    assert told_apart([]) == {}
