"""What is emitted: the script that loads the chip, the map of the cores, and clear words when it fails."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.speck import limits
from snncc.backends.speck.config import configuration
from snncc.backends.speck.emit import core_table
from snncc.backends.speck.mapped import mapped
from snncc.cli import main
from snncc.errors import BadInput, CannotLower, EngineFailed, UnknownName
from snncc.ir import Dense, Input, Kind, Neuron, NeuronParameters, Output, Pool, Reshape, SpikeGraph, wires
from snncc.ir.file import save_graph
from snncc.passes import MultiSpike, Pass
from snncc.quantization import Quantize
from tests.backends.speck.limits import conv, network, neuron
from tests.backends.speck.networks import chain, data, drawn
from tests.backends.speck.standin import SpeckConfiguration, has_driver


def script(folder: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"emitted_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    snncc.compile(chain(), target="speck").save(tmp_path / "out")
    return tmp_path / "out" / "speck"


def test_deploying_assigns_every_field(folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())
    config = script(folder, "deploy").configure(SpeckConfiguration(), document)
    assert len(document["cnn_layers"]) == 2
    for core, fields in document["cnn_layers"].items():
        chip = config.cnn_layers[int(core)]
        for name in fields.keys() - {"layer", "destinations"}:
            assert getattr(chip, name) == fields[name], name
        for one, mine in zip(fields["destinations"], chip.destinations, strict=False):
            assert (mine.layer, mine.enable, mine.pooling) == (one["layer"], True, one["pooling"])
        used = len(fields["destinations"])
        assert not any(one.enable for one in chip.destinations[used:])
    assert not config.dvs_layer.pass_sensor_events
    assert not config.readout.enable


def test_the_sensor_is_used_when_asked_for(folder: Path) -> None:
    """The input is 2 x 8 x 8: the upper left corner of the sensor, to the first layer's core."""
    document = json.loads((folder / "config.json").read_text())
    config = script(folder, "deploy").configure(SpeckConfiguration(), document, sensor=True)
    sensor = config.dvs_layer
    assert sensor.pass_sensor_events
    assert (sensor.cut.x, sensor.cut.y, sensor.origin.x, sensor.merge) == (7, 7, 0, False)
    assert [(one.layer, one.enable) for one in sensor.destinations] == [(0, True), (0, False)]


def test_a_pooled_sensor(tmp_path: Path) -> None:
    """Averages of 2 x 2 over the input are sums of the sensor; both models and sinabs take them so."""
    graph = network(
        Pool(name="p", inputs=wires("x"), kernel=(2, 2), stride=(2, 2), is_average=True),
        conv("c", "p", 4, 2),
        neuron("n", "c"),
        shape=(2, 12, 10),
    )
    program = snncc.compile(graph, target="speck")
    x = data(graph, 0)
    mine, theirs = program.run(x), program.run_engine("sinabs", x)
    assert mine.output.any()
    np.testing.assert_array_equal(theirs.output, mine.output)
    program.target.emit(program.graph, tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    sensor = script(tmp_path, "deploy").configure(SpeckConfiguration(), document, sensor=True).dvs_layer
    assert (sensor.cut.x, sensor.cut.y, sensor.pooling.x, sensor.pooling.y) == (4, 5, 2, 2)


def test_graphs_of_other_passes_are_not_emitted(tmp_path: Path) -> None:
    """Sinabs would compute something else from them."""
    pipelines: list[list[Pass]] = [[Quantize(timesteps=5)], [MultiSpike()], []]
    for passes in pipelines:
        graph = network(conv("c", "x", 4, 2), neuron("n", "c", max_count=1))
        program = snncc.compile(graph, target="speck", passes=passes)
        with pytest.raises(CannotLower, match="is not in Sinabs's integers"):
            program.save(tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_input_that_is_no_sensor(tmp_path: Path) -> None:
    program = snncc.compile(chain(shape=(3, 8, 8)), target="speck")
    program.target.emit(program.graph, tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(SystemExit, match="not that of the sensor"):
        script(tmp_path, "deploy").configure(SpeckConfiguration(), document, sensor=True)


def test_the_readout_takes_class_k_from_channel_4_k(folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())
    config = script(folder, "deploy").configure(SpeckConfiguration(), document, readout=True)
    (output,) = document["outputs"]
    before, after = document["cnn_layers"][str(output["core"])], config.cnn_layers[output["core"]]
    assert output["readout"]
    assert config.readout.enable
    assert after.dimensions["output_shape"]["feature_count"] == 9  # (3 - 1) * 4 + 1
    assert (after.destinations[0].layer, after.destinations[0].enable) == (12, True)
    for name in ("weights", "biases", "neurons_initial_value"):
        assert getattr(after, name)[::4] == before[name]
        rest = [one for k, one in enumerate(getattr(after, name)) if k % 4]
        assert len(rest) == 6
        assert not np.any(np.array(rest))


def test_a_readout_of_sixteen_classes_is_none(tmp_path: Path) -> None:
    graph = dense(16)
    program = snncc.compile(graph, target="speck")
    (output,) = configuration(mapped(program.graph))["outputs"]
    assert not output["readout"]
    (output,) = configuration(mapped(snncc.compile(dense(15), target="speck").graph))["outputs"]
    assert output["readout"]
    program.target.emit(program.graph, tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(SystemExit, match="readout cannot take"):
        script(tmp_path, "deploy").configure(SpeckConfiguration(), document, readout=True)
    assert "cannot count them" in (tmp_path / "README.md").read_text()


def dense(classes: int) -> SpikeGraph:
    weight = np.random.default_rng(0).normal(size=(classes, 9))
    return SpikeGraph(
        name="dense",
        timesteps=3,
        nodes=(
            Input(name="x", shape=(9,), kind=Kind.COUNT, max_count=4),
            Dense(name="d", inputs=wires("x"), weight=weight),
            Neuron(name="n", inputs=wires("d"), parameters=NeuronParameters(max_count=None)),
            Reshape(name="r", inputs=wires("n"), shape=(1, classes)),
            Output(name="y", inputs=wires("r")),
        ),
    )


def test_vectors_and_reshaped_outputs_run_on_sinabs() -> None:
    graph = dense(5)
    program = snncc.compile(graph, target="speck")
    x = data(graph, 0)
    mine, theirs = program.run(x), program.run_engine("sinabs", x)
    assert mine.output.any()
    np.testing.assert_array_equal(theirs.output, mine.output)


def test_deploying_without_the_driver_says_so(folder: Path) -> None:
    if has_driver():
        pytest.skip("samna is installed")
    done = subprocess.run(
        [sys.executable, "deploy.py", "--check"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "error: samna, the vendor's driver, is not installed (pip install samna)"


def test_the_table_of_cores() -> None:
    program = snncc.compile(drawn(4), target="speck")
    m = mapped(program.graph)
    lines = core_table(m).splitlines()[1:]
    assert len(lines) == len(limits.cores())
    for layer, core in m.core_of.items():
        assert lines[core].split()[:2] == [str(core), f"{layer}:"]
        for one in m.destinations[layer]:
            assert f"core {m.core_of[one.layer]}" in lines[core]
    assert sum("free" in line for line in lines) == 9 - len(m.layers)


def test_the_emitted_module_refuses_wrong_data(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.zeros((3, 1, 2, 8, 9)))
    command = [sys.executable, "network.py", str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: x must be [T, B, *(2, 8, 8)], not (3, 1, 2, 8, 9)")
    assert not (tmp_path / "out.npz").exists()


def engine(**options: Any) -> None:
    graph = chain()
    snncc.compile(graph, target="speck").run_engine("sinabs", data(graph, 0), **options)


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(EngineFailed, match="cannot be run") as caught:
        engine(python="/no/such/python")
    assert "pip install sinabs" in caught.value.hint


def fake_python(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_an_interpreter_without_sinabs(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "echo \"ModuleNotFoundError: No module named 'sinabs'\" >&2; exit 1")
    with pytest.raises(EngineFailed, match="No module named 'sinabs'") as caught:
        engine(python=python)
    assert "pip install sinabs" in caught.value.hint


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 0", "sinabs ended without a result"),
        ("exit 3", "sinabs failed \\(exit code 3\\): it said nothing"),
        ("kill -9 $$", "sinabs was killed \\(SIGKILL\\): was there enough memory"),
        ('echo junk > "$3"', "what sinabs wrote cannot be read"),
    ],
)
def test_a_run_that_leaves_nothing(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with pytest.raises(EngineFailed, match=said):
        engine(python=fake_python(tmp_path, text))
    assert not list((tmp_path / "tmp").iterdir())


def test_a_run_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.backends.child.PATIENCE", 0.5)
    with pytest.raises(EngineFailed, match="sinabs hangs"):
        engine(python=fake_python(tmp_path, "sleep 60"))


def test_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(EngineFailed, match="no temporary folder"):
        engine()


def test_sinabs_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineFailed, match="not installed beside snncc"):
        engine()


def test_unknown_engines_and_layers() -> None:
    graph = chain()
    program = snncc.compile(graph, target="speck")
    with pytest.raises(UnknownName, match="known: sinabs"):
        program.run_engine("lava", data(graph, 0))
    with pytest.raises(BadInput, match="n1, n2, not of 'conv'"):
        program.run_engine("sinabs", data(graph, 0), record=["conv"])
    with pytest.raises(BadInput, match="needs data"):
        program.run_engine("sinabs", np.zeros((5, 2, 2, 9, 9)))


def test_a_folder_of_another_program_is_noticed(tmp_path: Path) -> None:
    one, other = (snncc.compile(graph, target="speck") for graph in (chain(), dense(3)))
    other.save(tmp_path / "out")
    (tmp_path / "out" / "speck").rename(tmp_path / "kept")
    one.save(tmp_path / "mine")
    for path in (tmp_path / "kept").iterdir():
        path.replace(tmp_path / "mine" / "speck" / path.name)
    with pytest.raises(EngineFailed):
        snncc.load_program(tmp_path / "mine").run_engine("sinabs", data(chain(), 0))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_graph(chain(), tmp_path / "net.snn")
    save_graph(chain(leak=np.array(0.5)), tmp_path / "leaky.snn")
    assert main(["compile", str(tmp_path / "net.snn"), "--target", "speck", "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "pass multi-spike: approximate" in printed
    assert "pass discretize: approximate" in printed
    assert (tmp_path / "out" / "speck" / "network.py").exists()
    assert main(["check", str(tmp_path / "net.snn"), "--target", "speck"]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "leaky.snn"), "--target", "speck"]) == 1
    assert "constant leak is a negative bias" in " ".join(capsys.readouterr().out.split())
    assert (
        main(["compile", str(tmp_path / "leaky.snn"), "--target", "speck", "-o", str(tmp_path / "no")]) == 1
    )
    assert "does not fit speck: 1 problem" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
