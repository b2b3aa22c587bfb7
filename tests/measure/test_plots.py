"""Plots: they show what was measured, need no display, and say what is missing."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle, StepPatch

from snncc.errors import BadInput, MissingDependency
from snncc.ir import Array, NeuronParameters
from snncc.measure import distribution, plots, spiking_layers, tick_rates, timestep_rates
from tests.measure.networks import HAND, driven, measured

ROOT = Path(__file__).parents[2]


def pixels(figure: Figure) -> Array:
    """What *figure* looks like, [H, W, RGBA] in 0..1."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return np.asarray(imread(file))


def stairs(figure: Figure) -> list[list[float]]:
    """The heights of all filled stairs, panel by panel."""
    found = [p for axes in figure.axes for p in axes.patches if isinstance(p, StepPatch) and p.get_fill()]
    return [list(np.asarray(p.get_data()[0])) for p in found]


def test_every_plot_is_drawn_and_leaves_no_trace() -> None:
    before = dict(matplotlib.rcParams)
    for which in ("sfa", "lif"):
        graph, result = measured(which)
        parts = [distribution(graph, result, name) for name in spiking_layers(graph)]
        parts.append(distribution(graph, result, spiking_layers(graph)[0], 1, relative=True))
        for figure in (
            plots.rates(graph, result),
            plots.ticks(graph, result),
            plots.raster(graph, result),
            plots.membranes(parts),
        ):
            assert pixels(figure)[..., :3].std() > 0.02
    assert dict(matplotlib.rcParams) == before


def test_rates_over_time() -> None:
    graph, result = measured("lif")
    figure = plots.rates(graph, result)
    need = [timestep_rates(graph, result, name) for name in ("n1", "n2", None)]
    assert np.allclose(stairs(figure), need)
    assert [axes.get_ylabel() for axes in figure.axes] == ["n1", "n2", "network"]
    assert len(plots.rates(graph, result, ["n2"]).axes) == 1


def test_rates_of_ticks() -> None:
    graph, result = measured("sfa")
    figure = plots.ticks(graph, result)
    for axes, name in zip(figure.axes, spiking_layers(graph), strict=False):
        heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
        assert heights == pytest.approx(list(tick_rates(graph, result, name)[0]))
        assert axes.get_title("left") == name


def test_membranes_show_the_threshold() -> None:
    graph, result = measured("lif")
    one = distribution(graph, result, "n1", 2)
    figure = plots.membranes([one])
    assert np.allclose(stairs(figure)[0], 100 * one.shares)
    firing = np.where(one.centers >= 1, 100 * one.shares, 0)
    assert np.allclose(stairs(figure)[1], firing)
    assert one.thresholds is not None
    (line,) = figure.axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [one.thresholds[0]] * 2
    assert [text.get_text() for text in figure.axes[0].texts] == ["θ = 1"]
    assert figure.axes[0].get_title("left") == "n1, channel 2"


def test_a_raster_has_every_spike_of_its_sample() -> None:
    graph, run = driven(NeuronParameters(max_count=2), HAND)
    figure = plots.raster(graph, run, sample=1)
    spikes = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    places = sorted((float(s[0, 0]), round(float(s.mean(axis=0)[1]), 9)) for s in spikes.get_segments())
    assert places == [(0.0, 1.0), (1.0, 0.0)]
    assert figure.axes[0].get_ylabel() == "n\n2 neurons"
    assert any("darker" in text.get_text() for text in figure.texts)
    assert plots.raster(graph, run, limit=1).axes[0].get_ylabel() == "n\n1 of 2 neurons"


def test_labels_tell_layers_apart() -> None:
    names = [f"encoder.stages.{k}.block.attention.lif" for k in range(12)]
    for length in (18, 24):
        short = plots.labels(names, length)
        assert len(set(short)) == 12
        assert max(map(len, short)) <= length + 1
    assert plots.labels(["a.lif", "a.b.lif"]) == ["a.lif", "a.b.lif"]
    assert plots.labels(["a" * 30] * 2) == ["a" * 11 + "…" + "a" * 12] * 2


def test_what_cannot_be_plotted_is_said() -> None:
    graph, run = driven(NeuronParameters(), HAND)
    with pytest.raises(BadInput, match="has 2 samples, so no sample 2"):
        plots.raster(graph, run, sample=2)
    with pytest.raises(BadInput, match="at least one neuron, not 0"):
        plots.raster(graph, run, limit=0)
    with pytest.raises(BadInput, match="no distribution to plot"):
        plots.membranes([])
    with pytest.raises(BadInput, match="no spiking layer to plot"):
        plots.rates(graph, run, [])


def test_without_matplotlib_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    graph, run = driven(NeuronParameters(), HAND)
    with pytest.raises(MissingDependency) as caught:
        plots.rates(graph, run)
    assert str(caught.value) == "matplotlib is not installed\n  hint: pip install 'snncc[plots]'"


def test_measures_load_nothing_heavy() -> None:
    code = "import sys, snncc; snncc.measure.plots; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"matplotlib", "numba", "torch"} & set(done.stdout.split())
