"""The four networks of the demo on Loihi and Speck, and what the demo says of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import snncc
from examples.digits import chips
from examples.digits.chips import agrees, on_speck, proof_lines
from examples.digits.data import load
from examples.digits.demo import show
from examples.digits.networks import Network, event_stream, lif, sfa, spiking
from snncc.backends.loihi import engine as lava
from snncc.backends.speck.events import run_by_events
from snncc.backends.target import DoesNotFit
from snncc.ir import Array, SpikeGraph
from tests.backends.loihi.live import lava_python

ROOT = Path(__file__).parents[2]
MADE_FOR_EVENTS = ("IF", "events")
NETWORKS = ("SFA", "LIF", *MADE_FOR_EVENTS)
READERS = "readers of its currents"
SUM = "currents added before a neuron"
COUNTS = "spikes of a timestep"
OBSTACLES = {
    "SFA": [
        ("input", "input"),
        ("stem", READERS),
        ("block1.neuron1", COUNTS),
        ("block1.neuron2", COUNTS),
        ("block1.add", SUM),
        ("down_neuron", COUNTS),
        ("down", READERS),
        ("block2.neuron1", COUNTS),
        ("block2.neuron2", COUNTS),
        ("block2.add", SUM),
        ("head_neuron", COUNTS),
        ("output", "an output of potentials"),
    ],
    "LIF": [
        ("input", "input"),
        ("stem.0", READERS),
        ("block.neuron1", "leak"),
        ("block.neuron2", "leak"),
        ("block.add", SUM),
        ("down_neuron", "leak"),
        ("head_neuron", "leak"),
        ("output", "an output of potentials"),
    ],
}


@cache
def network(name: str) -> Network:
    if name == "events":
        return event_stream()
    return {"SFA": sfa, "LIF": lif, "IF": spiking}[name](load())


@cache
def graph(name: str) -> SpikeGraph:
    one = network(name)
    return snncc.trace(one.model, one.first(2), layout=one.layout, input_kind=one.kind)


@cache
def program(name: str, target: str) -> snncc.Program:
    return snncc.compile(graph(name), target=target, calibration=network(name).calibration)


def small(name: str, samples: int = 48) -> Network:
    one = network(name)
    return replace(one, x=one.first(samples), y=one.y[:samples])


def right(name: str, output: Array) -> float:
    return float((output.argmax(axis=1) == network(name).y).mean())


@pytest.mark.parametrize(
    ("name", "least"), [("SFA", 0.985), ("LIF", 0.985), ("IF", 0.985), ("events", 0.975)]
)
def test_accuracy_survives_loihi(name: str, least: float) -> None:
    result = program(name, "loihi").run(network(name).x)
    assert right(name, result.output) >= least
    assert result.counts.total("spikes") > 500


@pytest.mark.parametrize(("name", "step", "event"), [("IF", 0.985, 0.97), ("events", 0.97, 0.93)])
def test_accuracy_survives_speck(name: str, step: float, event: float) -> None:
    one = program(name, "speck")
    assert right(name, one.run(network(name).x).output) >= step
    spikes, _ = run_by_events(one.graph, network(name).x, timesteps=one.timesteps)
    head = spikes["head_neuron"].sum(axis=0)
    assert right(name, head) >= event


@pytest.mark.parametrize("name", MADE_FOR_EVENTS)
@pytest.mark.parametrize("target", ["loihi", "speck"])
def test_what_is_exact_is(name: str, target: str) -> None:
    one = network(name)
    proof = snncc.verify(program(name, target), one.model, one.x, samples=8)
    proof.check()
    assert proof_lines(proof).endswith("verify: the proof holds on 8 samples")


@pytest.mark.parametrize("name", MADE_FOR_EVENTS)
def test_the_emitted_sinabs_module_gives_the_same_spikes(name: str) -> None:
    pytest.importorskip("sinabs")
    one, x = program(name, "speck"), network(name).first(24)
    layers = [node.name for node in one.graph.neurons]
    ours, theirs = (
        run.records for run in (one.run(x, record=layers), one.run_engine("sinabs", x, record=layers))
    )
    assert len(layers) == 4
    for layer in layers:
        assert ours[layer].train.sum() > 100
        np.testing.assert_array_equal(theirs[layer].train, ours[layer].train)
        np.testing.assert_array_equal(theirs[layer].u_post, ours[layer].u_post)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_emitted_lava_program_gives_the_same_spikes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lava_python()
    assert agrees(program(name, "loihi"), "lava", network(name))
    assert "0 of them and 0 membrane potentials differ" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_answer_on_lava_is_ours(name: str) -> None:
    """All held-out images: outputs, and so predictions, and the spikes of each layer and timestep."""
    lava_python()
    one, data = program(name, "loihi"), network(name)
    ours, theirs = one.run(data.x), one.run_engine("lava", data.x)
    (output,) = theirs.outputs.values()
    assert len(output) == len(data.y)
    np.testing.assert_array_equal(output, ours.output)
    for layer, spikes in theirs.spikes.items():
        assert spikes.sum() > 500
        np.testing.assert_array_equal(spikes[:, :, 0], ours.run.spikes[layer].sum(axis=2))
    assert right(name, output) == right(name, ours.output) >= 0.975


@pytest.mark.parametrize("name", sorted(OBSTACLES))
def test_speck_refuses_with_every_obstacle(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(DoesNotFit) as refusal:
        snncc.compile(graph(name), target="speck")
    problems = refusal.value.problems
    assert [(p.where.partition(" (")[0], p.what) for p in problems] == OBSTACLES[name]
    assert all(p.hint for p in problems)
    one = small(name)
    assert on_speck(one, graph(name), chips.before(one), 2, tmp_path / "out")
    printed = capsys.readouterr().out
    assert f"refused, {len(problems)} obstacles" in printed
    for where, what in OBSTACLES[name]:
        assert any(line.split()[:1] == [where] and what in line for line in printed.splitlines()), where
    words = " ".join(printed.split())
    assert all(" ".join(p.hint.split()) in words for p in problems)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "simulated"), [("LIF", True), ("IF", False), ("events", False)])
def test_the_demo_shows_a_network(
    name: str,
    simulated: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lava, "can_run", lambda: False)
    assert show(small(name), 2, tmp_path, simulated=simulated)
    printed, folder = capsys.readouterr().out, tmp_path / name.lower()
    assert "not run on Lava" in printed
    assert "python3.10 -m venv" in printed
    assert (folder / "for-loihi" / "loihi" / "run.py").exists()
    assert (folder / "for-speck" / "speck" / "network.py").exists() == (name in MADE_FOR_EVENTS)
    assert (folder / "report.html").exists() == simulated
    assert printed.count("verify: the proof holds on 2 samples") == 2
    assert printed.count("accuracy") == 5
    assert [line for line in printed.splitlines() if len(line) >= 180 and str(folder) not in line] == []


def test_a_difference_is_said_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    one = program("IF", "loihi")

    def wrong(engine: str, x: Array, record: list[str]) -> SimpleNamespace:
        records: Mapping[str, Any] = one.run(x, record=record).records
        train = records["neuron2"].train.copy()
        train.flat[0] = 1 - train.flat[0]
        return SimpleNamespace(records={**records, "neuron2": replace(records["neuron2"], train=train)})

    fake = SimpleNamespace(graph=one.graph, run=one.run, run_engine=wrong)
    assert not agrees(cast(snncc.Program, fake), "lava", network("IF"))
    assert "1 of them and 0 membrane potentials differ" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_demo_runs(tmp_path: Path) -> None:
    script = ROOT / "examples" / "digits" / "demo.py"
    done = subprocess.run(
        [sys.executable, script, "-o", tmp_path / "out", "--samples", "8"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("verify: the proof holds on 8 samples") == 8
    assert done.stdout.count("obstacles") == 2
    assert (tmp_path / "out" / "sfa" / "report.html").read_text().startswith("<!doctype html>")
    assert snncc.load_program(tmp_path / "out" / "lif" / "for-sim").timesteps == 8
