"""Rasters of records and of runs on chips: every spike in its place, and what is left out is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import snncc
from snncc import Program
from snncc.errors import BadFile, BadInput
from snncc.measure import plots, raster, spiking_layers
from tests.api.networks import images, lif_graph, sequences, sfa_graph


def places(figure: Figure, panel: int) -> set[tuple[float, float]]:
    """(x, row) of each spike."""
    lines = next(c for c in figure.axes[panel].collections if isinstance(c, LineCollection))
    return {
        (round(float(s[0, 0]), 9), round(float(s.mean(axis=0)[1]), 9))
        for s in map(np.asarray, lines.get_segments())
    }


def marks(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].get_yticklabels()]


@pytest.fixture(scope="module")
def program() -> Program:
    return snncc.compile(sfa_graph(), calibration=images(), chip="mesh", cores=4)


def test_a_run_on_a_chip_shows_what_records_show(program: Program) -> None:
    names = list(spiking_layers(program.graph))
    recorded = program.run(images(3), record=names)
    timed = program.run(images(3), timing="analytic")
    assert not timed.records
    first, second = (raster(program.graph, run, sample=2, limit=30) for run in (recorded, timed))
    assert [axes.get_ylabel() for axes in first.axes] == [axes.get_ylabel() for axes in second.axes]
    assert len(first.axes) == len(names)
    for panel, name in enumerate(names):
        assert places(first, panel) == places(second, panel)
        train = recorded.records[name].train[:, 2].reshape(program.graph.edges[name].ticks, -1)
        picked = np.unique(np.linspace(0, train.shape[1] - 1, 30).astype(int))
        ticks, rows = np.nonzero(train[:, picked])
        x = np.round((ticks + 0.5) / len(train) - 0.5, 9)
        assert places(first, panel) == set(zip(x.tolist(), rows.astype(float).tolist(), strict=True))


def test_what_is_left_out_is_said(program: Program) -> None:
    run = program.run(images(1), timing="analytic")
    figure = raster(program.graph, run, ["n0"], limit=30)
    assert figure.axes[0].get_ylabel() == "n0\n30 of 216 neurons"
    assert marks(figure, 0) == ["0", "111", "215"]
    assert "neurons evenly picked" in figure.texts[1].get_text()
    figure = raster(program.graph, run, ["n0"], limit=300)
    assert figure.axes[0].get_ylabel() == "n0\n216 neurons"
    assert marks(figure, 0) == ["0", "108", "215"]
    assert "picked" not in figure.texts[1].get_text()


def test_timesteps_are_one_wide() -> None:
    program = snncc.compile(lif_graph(), calibration=sequences(), chip="mesh")
    run = program.run(sequences(), timing="analytic")
    figure = raster(program.graph, run, ["n1"])
    firing = run.run.firings["n1"][0]  # type: ignore[attr-defined]
    assert places(figure, 0) == set(
        zip(firing.frames.astype(float).tolist(), firing.address.astype(float).tolist(), strict=True)
    )
    assert figure.axes[0].get_xlabel() == "timestep"


def test_files_and_errors(program: Program, tmp_path: Path) -> None:
    run = program.run(images(2), timing="analytic")
    for kind, head in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        raster(program.graph, run, ["n0"], tmp_path / f"r{kind}")
        assert (tmp_path / f"r{kind}").read_bytes().startswith(head)
    with pytest.raises(BadFile, match="cannot be written"):
        raster(program.graph, run, ["n0"], tmp_path / "none" / "r.png")
    with pytest.raises(BadInput, match="has 2 samples, so no sample 2"):
        raster(program.graph, run, ["n0"], sample=2)
    with pytest.raises(BadInput, match="was not recorded"):
        raster(program.graph, program.run(images(2)), ["n0"])
    assert plots.raster is raster
