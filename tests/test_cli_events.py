"""Recordings of event cameras on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.cli import main
from snncc.cli_events import duration
from snncc.errors import MissingDependency
from snncc.frontends.events import FORMATS, Events
from snncc.ir import Layout, save_graph
from tests.api.networks import pooled_graph, sfa_graph
from tests.frontends.events import writers
from tests.frontends.events.test_round_trips import as_list
from tests.test_cli import call

ROOT = Path(__file__).parents[1]


def recording(count: int = 240, seed: int = 0) -> list[writers.Event]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 4000, count))
    return [(int(rng.integers(6)), int(rng.integers(6)), int(t), int(rng.integers(2))) for t in times]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    graph, _ = pooled_graph()
    for name, layout in (("tb", Layout.TB), ("bt", Layout.BT)):
        save_graph(replace(graph, layout=layout), folder / f"{name}.snn")
        assert main(["compile", f"{folder}/{name}.snn", "-o", f"{folder}/{name}"]) == 0
    (folder / "r.bin").write_bytes(writers.nmnist(recording()))
    (folder / "cut.bin").write_bytes(writers.nmnist(recording())[:-2])
    (folder / "r.aedat").write_bytes(writers.aedat2(recording()))
    (folder / "big.raw").write_bytes(writers.evt3(recording()))
    np.savez(folder / "r.npz", **writers.columns(recording()))
    frames, _ = events().binned(4, bins="spikes")
    np.savez(folder / "frames.npz", x=frames)
    return folder


def events() -> Events:
    return Events(**writers.columns(recording()), width=6, height=6)


def test_a_recording_gives_what_its_frames_give(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for name in ("frames.npz", "r.bin", "r.npz"):
        save = files / "y.npz"
        bins = () if name == "frames.npz" else ("--event-bins", "spikes")
        arguments = ("simulate", files / "tb", "--input", files / name, "--save-output", save, *bins)
        code, printed, errors = call(capsys, *arguments)
        assert (code, errors) == (0, "")
        assert ("fall on a pixel that already has a spike" in printed) == bool(bins)
        outputs.append(np.load(save)["y"])
    assert outputs[0].any(), "the network fires"
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_timesteps_and_their_length(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("simulate", files / "tb", "--input", files / "r.bin", "--event-bins", "spikes", "--json")
    program = snncc.load_program(files / "tb")
    for flags, steps, dt in (
        (("--timesteps", "7"), 7, None),
        (("--dt", "1ms"), None, 1000),
        (("--dt", "500us", "--timesteps", "4"), 4, 500),
    ):
        code, printed, _ = call(capsys, *arguments, *flags)
        assert code == 0
        frames, notes = events().binned(steps, dt, bins="spikes")
        result = program.run(frames, timesteps=steps)
        found = json.loads(printed)
        assert found["notes"][: len(notes)] == list(notes)
        assert found["counts"]["total"] == json.loads(json.dumps(result.counts.as_dict()))["total"]
    assert len(notes) == 2, "events after the last timestep are counted too"


def test_the_layout_bt(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for name in ("tb", "bt"):
        arguments = ("simulate", files / name, "--input", files / "r.bin", "--event-bins", "spikes", "--json")
        counts.append(json.loads(call(capsys, *arguments)[1])["counts"])
    assert counts[0] == counts[1]


def test_another_step_than_the_networks_is_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, _ = pooled_graph()
    for dt, is_said in ((1e-3, False), (5e-4, True)):
        timed = replace(graph, dt=dt)
        save_graph(timed, files / "timed.snn")
        assert call(capsys, "compile", files / "timed.snn", "-o", files / "timed")[0] == 0
        recorded = ("--input", files / "r.bin", "--event-bins", "spikes", "--dt", "1ms", "--timesteps", 4)
        code, printed, errors = call(capsys, "simulate", files / "timed", *recorded)
        assert code == 0, errors
        note = "a timestep holds 0.001 s of the recording; one of the network is 0.0005 s (--dt)"
        assert (note in printed) == is_said, printed


def test_verify_takes_a_recording(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("verify", files / "tb", "--input", files / "r.bin", "--event-bins", "spikes")
    code, printed, errors = call(capsys, *arguments)
    assert code == 0
    assert "the proof holds on 1 samples" in printed
    assert "already has a spike" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tb", "--input", "{f}/r.bin"], "carries spikes, at most 1 for a pixel in a timestep"),
        (["tb", "--input", "{f}/cut.bin"], "ends inside event 239 (byte 1195): 3 of its 5 bytes are there"),
        (["tb", "--input", "{f}/big.raw"], "needs a sensor of 6 x 6 (width x height), has one of 640 x 480"),
        (["tb", "--input", "{f}/r.aedat"], "(--camera), one of dvs128, davis240, davis346, davis640"),
        (["tb", "--input", "{f}/r.aedat", "--camera", "dvs128"], "needs a sensor of 6 x 6"),
        (["tb", "--input", "{f}/none.bin"], "none.bin: cannot be read"),
        (["tb", "--input", "{f}/frames.npz", "--dt", "1ms"], "is no recording of events"),
        (
            ["tb", "--input", "{f}/r.bin", "--dt", "700us", "--event-bins", "spikes"],
            "the data has 6 timesteps",
        ),
        (["tb", "--input", "{f}/r.bin", "--timesteps", "0"], "timesteps must be a whole number, 1..2**62"),
    ],
)
def test_errors(files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    code, printed, errors = call(
        capsys, "simulate", files / arguments[0], *(a.format(f=files) for a in arguments[1:])
    )
    assert (code, printed) == (1, "")
    assert words in errors


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    for k in range(7):
        data = writers.nmnist(recording(seed=k))
        (tmp_path / (f"deep/{k}.bin" if k % 2 else f"{k}.bin")).write_bytes(data)
    rows = [f"deep/{k}.bin,{k % 5}" if k % 2 else f"{k}.bin,{k % 5}" for k in range(7)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    return tmp_path / "list.csv"


@pytest.mark.parametrize("layout", ["tb", "bt"])
def test_a_labeled_list(files: Path, listed: Path, layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = snncc.load_program(files / layout)
    frames = [
        Events(**writers.columns(recording(seed=k)), width=6, height=6).binned(4, bins="spikes")[0]
        for k in range(7)
    ]
    x = np.concatenate(frames, 1)
    x = x if layout == "tb" else np.swapaxes(x, 0, 1)
    expected = snncc.evaluate(program, x, np.arange(7) % 5)
    arguments = ("evaluate", files / layout, "--input", listed, "--event-bins", "spikes")
    code, printed, errors = call(capsys, *arguments, "--json")
    assert (code, errors) == (0, "")
    found = json.loads(printed)
    assert found.pop("notes")[5] == "... and 2 more such notes"
    assert found == json.loads(json.dumps(expected.as_dict()))
    assert "0.bin: " in call(capsys, *arguments)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y,t,p\n1,2,3,1\n", "its first line must be 'file,label'"),
        ("file,label\n", "names no recording"),
        ("file,label\n../r.bin,1\n", "line 2: must name a file beside the list or below, not '../r.bin'"),
        ("file,label\n/etc/passwd.bin,1\n", "line 2: must name a file beside the list or below"),
        ("file,label\nr.bin,-1\n", "line 2: a label must be an integer, 0 or more, not '-1'"),
        ("file,label\nr.bin,9\n", "labels y must be 0..4"),
        ("file,label\nnone.bin,1\n", "none.bin: cannot be read"),
        ("file,label\nr.txt,1\n", "recordings have names that end in"),
        ("file,label\n" + "r.bin,1\n" * 2_000_000, "recordings make"),
    ],
)
def test_a_wrong_list(files: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "list.csv").write_text(text)
    (files / "r.txt").touch()
    arguments = ("evaluate", files / "tb", "--input", files / "list.csv", "--event-bins", "spikes")
    code, printed, errors = call(capsys, *arguments)
    assert (code, printed) == (1, "")
    assert words in errors


def test_a_single_recording_has_no_label(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("evaluate", files / "tb", "--input", files / "r.bin", "--event-bins", "spikes")
    assert "needs labels 'y'" in call(capsys, *arguments)[2]


def test_an_input_that_is_no_sensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_graph(sfa_graph(), tmp_path / "image.snn")
    assert main(["compile", f"{tmp_path}/image.snn", "--input-range", "0,1", "-o", f"{tmp_path}/out"]) == 0
    (tmp_path / "r.bin").write_bytes(writers.nmnist(recording()))
    code, _, errors = call(capsys, "simulate", tmp_path / "out", "--input", tmp_path / "r.bin")
    assert code == 1
    assert "takes one value for each sample" in errors


def test_times() -> None:
    assert [duration(text) for text in ("1000us", "1ms", "2s")] == [1000, 1000, 2_000_000]
    for text in ("1000", "0us", "-1ms", "1.5ms", "us", "1_0us", "²s"):
        with pytest.raises(SystemExit) as caught:
            main(["simulate", "out/", "--input", "a.bin", "--dt", text])
        assert caught.value.code == 2


def test_the_page_s_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("recording.bin").write_bytes(writers.nmnist(recording()))
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "events.md", "exec"), names)
    assert as_list(snncc.load_events("recording.npz")) == recording()


def test_the_page_s_table_is_the_code_s() -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    for one in FORMATS:
        suffixes = ", ".join(f"`{suffix}`" for suffix in one.suffixes)
        assert f"| {one.name} | {suffixes} | {one.needs} | " in page


def test_loading_events_loads_no_framework() -> None:
    code = (
        "import sys, snncc; snncc.load_events; print(*{'torch', 'numba', 'h5py', 'lz4'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize(
    ("module", "name", "data"),
    [
        ("h5py", "a.h5", writers.h5(recording(8))),
        ("lz4.frame", "a.aedat4", writers.aedat4(recording(8), (6, 6), 1)),
        ("zstandard", "b.aedat4", writers.aedat4(recording(8), (6, 6), 3)),
    ],
)
def test_a_missing_package_is_named(
    module: str, name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MissingDependency) as caught:
        snncc.load_events(tmp_path / name, width=6, height=6)
    assert module.partition(".")[0] in str(caught.value)
    assert "pip install 'snncc[events]'" in str(caught.value)
