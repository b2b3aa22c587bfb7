"""The file for NetX: what is in it, and that it is the program, here and in lava-dl's own importer."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.loihi.emit import emit
from snncc.backends.loihi.lower import Program, lower
from snncc.backends.loihi.netx import NET, imported
from snncc.ir import Array, Conv, Dense, Neuron, Reshape, Wire
from tests.backends.loihi import plain_net
from tests.backends.loihi.chains import SAMPLES, TIMESTEPS, chain, compiled
from tests.backends.loihi.graphs import case
from tests.backends.loihi.live import lava_python
from tests.backends.loihi.test_compiled import compiled as compiled_case

VARIABLE = "SNNCC_NETX"
HERE = Path(__file__).parent
RECORDS, RECORDED = HERE / "nets", (100, 101, 102)


def emitted(program: snncc.Program, folder: Path) -> Program:
    lowered = lower(program.graph)
    folder.mkdir(exist_ok=True)
    emit(lowered, folder)
    return lowered


def names(program: snncc.Program) -> list[str]:
    return [node.name for node in program.graph.neurons]


def sent(program: Program, x: Array) -> Array:
    """What the input sends for *x*, [T, B, *shape]."""
    entry = program.structure["inputs"][0]
    if entry["kind"] != "analog":
        return x.astype(np.int64)
    return np.clip(np.rint(x / program.arrays[entry["scale"]]), entry["low"], entry["high"]).astype(np.int64)


def sums_of(program: Program, outputs: Array) -> Array:
    """What the synapses of the output summed, in weight units."""
    entry = program.structure["readouts"][0]
    sums = np.rint(outputs / program.arrays[entry["scale"]]).astype(np.int64)
    bias = program.arrays[entry["bias"]].reshape(entry["shape"])
    assert not ((sums - bias) % 64).any()
    return (sums - bias) // 64


@pytest.mark.parametrize("number", range(12))
def test_file_gives_our_spikes(number: int, tmp_path: Path) -> None:
    program, x = compiled(number)
    lowered = emitted(program, tmp_path)
    run = program.run(x, record=names(program)).run
    layers = plain_net.read(tmp_path / NET)
    for sample, one in enumerate(np.moveaxis(sent(lowered, x), 1, 0)):
        *found, (silent, sums) = plain_net.run(layers, one)
        assert len(found) == len(names(program))
        for name, (train, potential) in zip(names(program), found, strict=True):
            record = run.records[name]
            assert record.u_post is not None
            assert train.mean() > 0.01
            assert np.array_equal(train, record.train[:, sample, 0])
            assert np.array_equal(potential, record.u_post[:, sample])
        assert not silent.any()
        assert np.array_equal(sums // 64, sums_of(lowered, run.outputs["y"])[:, sample])


@pytest.mark.parametrize("number", range(6))
def test_file_holds_the_numbers_of_the_program(number: int, tmp_path: Path) -> None:
    program, _ = compiled(number)
    lowered = emitted(program, tmp_path)
    first, *layers = plain_net.read(tmp_path / NET)
    assert first["type"] == "input"
    assert tuple(first["shape"]) == program.graph.inputs[0].shape
    layers = [layer for layer in layers if layer["type"] != "flatten"]
    s = lowered.structure
    for layer, connection, neurons in zip(
        layers, s["connections"], [*s["populations"], s["readouts"][0]], strict=True
    ):
        assert layer["type"] == connection["kind"]
        weight = lowered.arrays[f"{connection['name']}.weight"].astype(int) << connection["weight_exp"]
        assert np.array_equal(layer["weight"], weight)
        shape = neurons["shape"] if layer["type"] == "conv" else [int(np.prod(neurons["shape"]))]
        assert layer["shape"].tolist() == shape
        parameters = layer["neuron"]
        if "process" not in neurons:
            assert (parameters["iDecay"], parameters["vDecay"]) == (4096, 4096)
            continue
        assert parameters["iDecay"] == neurons["du"] + 1
        assert parameters["vDecay"] == neurons["dv"]
        assert parameters["vThMant"] == neurons["vth"]


def test_same_program_same_file(tmp_path: Path) -> None:
    program, _ = compiled(0)
    emitted(program, tmp_path / "a")
    emitted(program, tmp_path / "b")
    assert (tmp_path / "a" / NET).read_bytes() == (tmp_path / "b" / NET).read_bytes()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (2, "n1: is recurrent, for which lava-dl has a layer, but no model that runs"),
        (3, "n1: has 2 connections, in NetX one from the layer before it"),
        (0, "n2: is no LIF of Lava's own, which resets to zero"),
        (1, "n1: its bias flows into a current with memory, in NetX into the potential"),
        (5, "x: is read by n1 and n3, in NetX by the layer behind it alone"),
        (26, "n1: its bias has parts of a weight unit, in NetX it has none"),
        (8, "n1: takes 4 chip steps for a timestep, in NetX one"),
        (14, "stretched14: takes 2 chip steps for a timestep, in NetX one"),
        (56, "n1: begins at an initial state, in NetX at zero"),
    ],
)
def test_why_there_is_none(number: int, reason: str, tmp_path: Path) -> None:
    one = case(number)
    program = compiled_case(one)
    emit(lower(program.graph, one.stretch), tmp_path)
    assert f"No `{NET}` for lava-dl's NetX: {reason}." in (tmp_path / "README.md").read_text()
    assert not (tmp_path / NET).exists()


def test_delay_of_a_timestep_is_no_chain(tmp_path: Path) -> None:
    """On the chip it takes no delay at all: the layer begins a step earlier."""
    graph, x = chain(1)
    late = {"wb": (Wire("na", delay=1),)}
    nodes = tuple(replace(n, inputs=late[n.name]) if n.name in late else n for n in graph.nodes)
    program = snncc.compile(replace(graph, nodes=nodes), target="loihi", calibration=x)
    lowered = emitted(program, tmp_path)
    assert not any(connection["delay"] for connection in lowered.structure["connections"])
    assert (
        "nb: its connection has a delay, in NetX each takes its one" in (tmp_path / "README.md").read_text()
    )
    assert not (tmp_path / NET).exists()


def test_without_h5py_the_program_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    emitted(compiled(1)[0], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "network.json", "run.py", "weights.npz",
    ]  # fmt: skip
    text = "NetX: h5py is not installed (`pip install 'snncc[netx]'`, then compile again)."
    assert text in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        ([3, -5, 7, 1], [3, -5, 7, 1]),
        ([254, -256, 2], [254, -256, 2]),
        ([101, -129, 2], [101, -129, 2]),
        ([256, -2, 2], [254, -2, 2]),
        ([0, 255, 3], [0, 255, 3]),
        ([-254, -2, 0], [-254, -2, 0]),
        ([-128, -2, -6], [-126, -2, -6]),
        ([0, 0], None),
        ([256, 0], None),
    ],
)
def test_what_the_importer_keeps(weights: list[int], kept: list[int] | None) -> None:
    found = imported(np.array([weights]))
    assert found is None if kept is None else found is not None and found.tolist() == [kept]


def netx_copy(folder: Path) -> Path:
    """A folder with the files of NetX that need no torch."""
    source = os.environ.get(VARIABLE)
    if not source:
        pytest.skip(f"{VARIABLE} names no folder lava/lib/dl/netx of lava-dl 0.6.0")
    for name in ("hdf5.py", "utils.py", "blocks/__init__.py", "blocks/process.py", "blocks/models.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(source) / name, folder / name)
    return folder


def in_lava(folder: Path, **job: Any) -> dict[str, Array]:
    """The result of import_net.py, run alone in a folder."""
    python = lava_python()
    if subprocess.run([python, "-c", "import h5py"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no h5py")
    job["netx"] = str(netx_copy(folder / "netx"))
    (folder / "script").mkdir()
    script = shutil.copy(HERE / "import_net.py", folder / "script")
    (folder / "job.json").write_text(json.dumps(job))
    call = [python, str(script), str(folder / "job.json"), str(folder / "result.npz")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "result.npz") as file:
        return {name: file[name] for name in file.files}


def on_netx(number: int, folder: Path) -> list[tuple[Array, Array]]:
    """Spikes and potentials of each layer, [T, B, *shape]: samples in a row, as the folder's README says."""
    program, x = compiled(number)
    lowered = emitted(program, folder / "program")
    s = lowered.structure
    depth, per_sample = s["depth"], TIMESTEPS + s["depth"]
    settings = {"reset_interval": per_sample, "reset_offset": 1}
    bits = s["connections"][0]["message_bits"]
    if bits:
        settings["input_message_bits"] = bits
    readme = (folder / "program" / "README.md").read_text()
    assert ", ".join(f"{key}={value}" for key, value in settings.items()) in readme
    is_flat = s["connections"][0]["kind"] != "conv"
    steps = [
        value.reshape(-1) if is_flat else value.transpose(2, 1, 0)
        for sample in np.moveaxis(sent(lowered, x), 1, 0)
        for value in (*sample, *np.zeros_like(sample[:depth]))
    ]
    np.save(folder / "x.npy", np.stack(steps))
    net = folder / "program" / NET
    found = in_lava(folder, net=str(net), x=str(folder / "x.npy"), settings=settings)
    layers = []
    for index in range(len(names(program)) + 1):
        starts = [sample * per_sample + index + 1 for sample in range(SAMPLES)]
        spikes, v = (
            np.stack([found[f"{kind}{index}"][start:][:TIMESTEPS] for start in starts], axis=1)
            for kind in "sv"
        )
        if spikes.ndim == 5:
            spikes, v = (value.transpose(0, 1, 4, 3, 2) for value in (spikes, v))
        layers.append((spikes.astype(bool), v))
    return layers


@pytest.mark.slow
@pytest.mark.parametrize("number", range(100, 112))
def test_live_import_gives_our_spikes(number: int, tmp_path: Path) -> None:
    program, x = compiled(number)
    run = program.run(x, record=names(program)).run
    *layers, (silent, sums) = on_netx(number, tmp_path)
    for name, (spikes, v) in zip(names(program), layers, strict=True):
        record = run.records[name]
        assert record.u_post is not None
        assert spikes.mean() > 0.005
        assert np.array_equal(spikes, record.train[:, :, 0].astype(bool))
        assert np.array_equal(v, record.u_post)
    assert not silent.any()
    assert np.array_equal(sums // 64, sums_of(lower(program.graph), run.outputs["y"]))


@pytest.mark.parametrize("number", RECORDED)
def test_recorded_import(number: int) -> None:
    """A file, and what lava-dl's NetX made of it on Lava: our reading of the format gives the same."""
    with np.load(RECORDS / f"{number}.npz") as file:
        kept = {name: file[name] for name in file.files}
    layers = plain_net.read(io.BytesIO(kept["net"].tobytes()))
    for sample, one in enumerate(np.moveaxis(kept["x"].astype(np.int64), 1, 0)):
        for index, (spikes, v) in enumerate(plain_net.run(layers, one)):
            want = kept[f"s{index}"][:, sample]
            assert index == len(names(compiled(number)[0])) or want.mean() > 0.005
            assert np.array_equal(spikes, want)
            assert np.array_equal(v, kept[f"v{index}"][:, sample])


def record(number: int, folder: Path) -> None:
    """Keep one run of NetX."""
    layers = on_netx(number, folder)
    program, x = compiled(number)
    net = np.frombuffer((folder / "program" / NET).read_bytes(), np.uint8)
    arrays = {"net": net, "x": sent(lower(program.graph), x).astype(np.int16)}
    for index, (spikes, v) in enumerate(layers):
        arrays |= {f"s{index}": spikes, f"v{index}": v.astype(np.int32)}
    np.savez_compressed(RECORDS / f"{number}.npz", **arrays)  # type: ignore[arg-type]


@pytest.mark.slow
def test_live_importer_keeps_what_we_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrices = []
    for number in range(600):
        low, high = sorted(rng.integers(-300, 300, 2) // 2 ** int(rng.integers(0, 8)))
        low, high = (0, high) if number % 3 == 0 and high > 0 else (low, high)
        low, high = (low, min(high, 0)) if number % 3 == 1 and low < 0 else (low, high)
        scale = 2 ** int(rng.integers(0, 3))
        matrices.append(rng.integers(low // scale, high // scale + 1, (3, 4)) * scale)
    found = in_lava(tmp_path, matrices=np.stack(matrices).tolist())
    broken = 0
    for matrix, kept, fails in zip(matrices, found["kept"], found["fails"], strict=True):
        want = imported(matrix)
        assert (want is None) == bool(fails), matrix
        assert want is None or np.array_equal(want, kept), matrix
        broken += want is None or not np.array_equal(want, matrix)
    assert 100 < broken < 500


def test_chains_are_of_all_kinds() -> None:
    seen: set[object] = set()
    for number in range(100, 112):
        for node in chain(number)[0].nodes:
            seen.add(type(node))
            if isinstance(node, Conv):
                seen |= {("groups", node.groups > 1), ("stride", max(node.stride) > 1)}
                seen |= {("padding", max(node.padding) > 0), ("dilation", max(node.dilation) > 1)}
            if isinstance(node, Neuron):
                seen.add(("bias", node.parameters.bias.ndim))
    wanted = {(key, True) for key in ("groups", "stride", "padding", "dilation")}
    assert seen >= wanted | {("bias", 0), ("bias", 1), ("bias", 3), Conv, Dense, Reshape}


if __name__ == "__main__":
    RECORDS.mkdir(exist_ok=True)
    for one in RECORDED:
        with tempfile.TemporaryDirectory() as scratch:
            record(one, Path(scratch))
