"""The NumPy definition gives what Lava gave: recorded traces, and live where there is a Lava."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.loihi.definition import run_definition
from tests.backends.loihi.live import run_live
from tests.backends.loihi.networks import FAMILIES, Draft, draw
from tests.backends.loihi.traces import FOLDER, restore

TRACES = sorted(FOLDER.glob("*.npz"))
UNMATCHED = """
import sys
sys.path.insert(0, {folder!r})
import run
run.check = lambda network: None
run.__file__ = {folder!r} + "/run.py"
sys.exit(run.main())
"""


def differences(got: Mapping[str, Any], want: Mapping[str, Any]) -> dict[str, int]:
    """Number of unequal values by name, where there are any."""
    assert set(got) == set(want)
    assert all(got[name].shape == want[name].shape for name in want)
    counts = {name: int(np.count_nonzero(got[name] != want[name])) for name in want}
    return {name: count for name, count in counts.items() if count}


def assert_lively(data: Mapping[str, Any], results: Mapping[str, Any], of: tuple[float, float]) -> None:
    """Each population spikes, and not always."""
    for population in data["populations"]:
        neurons, updates = int(np.prod(population["shape"])), results[f"spikes.{population['name']}"].size
        rate = results[f"spikes.{population['name']}"].sum() / neurons / updates
        most = population["max_count"] or 100
        assert of[0] < rate < of[1] * most, (population["name"], rate)


def test_there_are_traces() -> None:
    assert len(TRACES) >= 8


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)
def test_definition_gives_recorded_traces(trace: Path, tmp_path: Path) -> None:
    x, recorded = restore(trace, tmp_path)
    defined = run_definition(tmp_path, x)
    assert differences(defined.results, recorded) == {}
    assert_lively(json.loads((tmp_path / "network.json").read_text()), recorded, (0.01, 0.95))
    assert defined.largest_input < 2**17  # nothing wraps


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4 * len(FAMILIES)), ids=lambda number: draw(number, 1).name)
def test_live_lava_gives_definition(number: int, tmp_path: Path) -> None:
    draft = draw(number, timesteps=200 if "fresh" in draw(number, 1).name else 68)
    folder = draft.write(tmp_path / "program")
    data = json.loads((folder / "network.json").read_text())
    names = [population["name"] for population in draft.populations]
    results = run_live(folder, record=names)
    samples, timesteps = results[f"spikes.{names[0]}"].shape
    assert samples * (timesteps * data["frame"] + data["depth"]) >= 200
    defined = run_definition(folder, draft.x)
    assert differences(results, defined.results) == {}
    assert_lively(data, results, (0.003, 0.98))
    assert defined.largest_input < 2**17


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(FAMILIES)), ids=lambda number: FAMILIES[number].__name__)
def test_fast_models_give_what_those_of_lava_give(number: int, tmp_path: Path) -> None:
    draft = draw(number)
    folder = draft.write(tmp_path / "program")
    names = [population["name"] for population in draft.populations]
    assert differences(run_live(folder, record=names), run_live(folder, "--stock", record=names)) == {}


def skipping() -> Draft:
    """A residual block of two layers."""
    draft = Draft("skipping", np.random.default_rng(5), timesteps=50)
    x = draft.input([10])
    first, second, third = (draft.population([12], du=4095, dv=0) for _ in range(3))
    draft.connect(x, first)
    draft.connect(first, second)
    draft.connect(second, third)
    draft.connect(first, third)
    draft.connect(third, draft.readout([4], "sequence"))
    return draft


def with_delay(folder: Path, wrong: Path, delay: int) -> Path:
    """A copy of the program in *folder* with another *delay* of the skip."""
    shutil.copytree(folder, wrong)
    data = json.loads((wrong / "network.json").read_text())
    assert [connection["delay"] for connection in data["connections"]] == [0, 0, 0, 1, 0]
    data["connections"][3]["delay"] = delay
    (wrong / "network.json").write_text(json.dumps(data))
    return wrong


@pytest.mark.parametrize("delay", [1, 2])
def test_skip_needs_the_delay_that_matches(delay: int, tmp_path: Path) -> None:
    """By the definition, which knows no way to be early: that is shown live, below."""
    draft = skipping()
    folder = draft.write(tmp_path / "program")
    other = with_delay(folder, tmp_path / "other", delay)
    found = differences(run_definition(other, draft.x).results, run_definition(folder, draft.x).results)
    assert bool(found) == (delay != 1)
    assert "spikes.n1" not in found


@pytest.mark.slow
def test_skip_without_delay_is_wrong_and_with_it_right(tmp_path: Path) -> None:
    draft = skipping()
    folder = draft.write(tmp_path / "program")
    wrong = with_delay(folder, tmp_path / "wrong", 0)
    names = ["n0", "n1", "n2"]
    defined = run_definition(folder, draft.x).results
    assert differences(run_live(folder, record=names), defined) == {}
    found = differences(run_live(wrong, record=names, code=UNMATCHED.format(folder=str(wrong))), defined)
    assert found["train.n2"] > 100
    assert "train.n1" not in found


@pytest.mark.slow
def test_loop_through_lif_reset_mixes_samples(tmp_path: Path) -> None:
    """Why there is LIFHeld: the last spikes of a sample reach the first timestep of the next."""
    draft = Draft("loop", np.random.default_rng(8), timesteps=30)
    x = draft.input([10])
    first = draft.population([12], "LIFHeld", bias=True, dv=0)
    draft.connect(x, first)
    draft.connect(first, first, lag=1)
    draft.connect(first, draft.readout([4]))
    folder = draft.write(tmp_path / "program")
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    text = (wrong / "network.json").read_text()
    (wrong / "network.json").write_text(text.replace("LIFHeld", "LIFReset"))
    defined = run_definition(folder, draft.x).results
    assert differences(run_live(folder, record=["n0"]), defined) == {}
    got = run_live(wrong, record=["n0"], code=UNMATCHED.format(folder=str(wrong)))
    assert np.array_equal(got["train.n0"][:, 0], defined["train.n0"][:, 0])
    assert not np.array_equal(got["train.n0"][:, 1], defined["train.n0"][:, 1])
