"""Random quantized ONNX networks: compiled counts are onnxruntime's integer activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.ir import Array, Neuron
from tests.frontends.onnx_networks import Net, net_of_codes, random_net, saved, session


def images(net: Net, count: int = 4) -> Array:
    """Images of 8 bits on the grid of the input's quantizer."""
    levels = np.random.default_rng(1).integers(0, 256, (count, *net.shapes["x"]))
    return levels.astype(np.float32) * np.float32(2.0**-8)


def counts_of(program: snncc.Program, x: Array) -> dict[str, Array]:
    names = [node.name for node in program.graph.nodes if isinstance(node, Neuron)]
    result = program.run(x, record=names)
    return {name: result.records[name].train[0].sum(axis=1) for name in names}


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("how", ["float", "integer"])
def test_counts_are_the_runtimes_codes(seed: int, how: str, tmp_path: Path) -> None:
    model, net = random_net(seed, most_bits=4 if seed % 3 == 0 else 8)
    x = images(net)
    logits, *codes = session(model).run(None, {"x": x})
    alone = net.model([model.graph.output[0].name], net.shapes["x"])
    graph = snncc.load(saved(alone, tmp_path / "net.onnx"))
    program = snncc.compile(graph, precision=how, calibration=x, encoding="spikes" if seed % 4 == 0 else None)
    counts = counts_of(program, x)
    compared, levels = 0, set()
    for (name, zero), code in zip(net.codes.values(), codes, strict=True):
        if name not in counts:  # codes of what was quantized the same way already
            continue
        n = code.astype(np.int64) - zero
        assert np.array_equal(counts[name], n)
        compared += 1
        levels |= set(np.unique(n))
    assert compared == len(counts)
    assert len(levels) > 3
    assert np.array_equal(program.run(x).outputs["output"].astype(np.float32), logits)


def differing(seed: int, folder: Path, *, has_sums: bool) -> int:
    """Counts of a network of any scales, compiled by default, that are not the runtime's.

    None differs from the float graph's; from the runtime's only where its own sums in float32 pass a step
    that the exact ones do not, or the other way round, as `snncc.verify` finds layer by layer.
    """
    model, net = random_net(seed, is_power=False, has_sums=has_sums)
    scale = np.float32(next(iter(net.scales.values())))
    x = np.random.default_rng(1).integers(0, 256, (4, *net.shapes["x"])).astype(np.float32) * scale
    _, *codes = session(model).run(None, {"x": x})
    alone = net.model([model.graph.output[0].name], net.shapes["x"])
    path = saved(alone, folder / "net.onnx")
    program = snncc.compile(snncc.load(path), calibration=x)
    counts = counts_of(program, x)
    proof = snncc.verify(program, path, x)
    proof.check()
    stages = {stage.name: stage for stage in proof.stages}
    assert stages["quantize"].differing == 0
    assert all(note.endswith("exact") for note in program.graph.notes)
    found, compared, levels = 0, 0, set()
    for (name, zero), code in zip(net.codes.values(), codes, strict=True):
        if name in counts:
            need = code.astype(np.int64) - zero
            found += int(np.sum(counts[name] != need))
            compared += code.size
            levels |= set(np.unique(need))
    assert compared > 1000
    assert len(levels) > 3
    assert (found == 0) == (stages["model -> trace"].differing == 0)
    return found


@pytest.mark.parametrize("has_sums", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_networks_of_any_scale(seed: int, tmp_path: Path, *, has_sums: bool) -> None:
    """Branches of a sum that share no unit are weighted so that whole sums lie in the order of the real ones.

    Of 150 such networks no count differed; a runtime that adds in another order may differ at ties.
    """
    assert differing(seed, tmp_path, has_sums=has_sums) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("has_sums", [False, True])
def test_many_networks_of_any_scale(tmp_path: Path, *, has_sums: bool) -> None:
    assert sum(differing(seed, tmp_path, has_sums=has_sums) for seed in range(100, 150)) <= 10


def codes_added(seed: int) -> tuple[Any, Net]:
    """A network that adds two quantized signals, signed or not, and quantizes the sum."""
    rng = np.random.default_rng(seed)
    net = Net(rng, is_power=False)
    net.shapes["x"] = (2, 8, 8)
    now = net.quantized("x", 8, 255 / 256)
    skip = net.quantized(net.relu(net.conv(now, 6)), 8, 2.0, clip="real")
    kinds: list[dict[str, Any]] = [{}, {"zero": 100}, {"zero": 0, "kind": np.int8}]
    branch = net.quantized(net.conv(skip, 6, bits=4), int(rng.integers(2, 9)), 2.0, **kinds[seed % 3])
    total = net.add(branch, skip)
    now = net.quantized(net.relu(total) if seed % 2 else total, 8, 4.0, zero=60 * (1 - seed % 2))
    now = net.pool(now, "MaxPool") if seed % 4 == 0 else now
    return net.model([net.dense(net.flatten(now), 5), *net.codes], net.shapes["x"]), net


@pytest.mark.parametrize("how", ["float", "integer"])
@pytest.mark.parametrize("seed", range(6))
def test_sums_of_two_codes(seed: int, how: str, tmp_path: Path) -> None:
    """Both are looked at pair by pair in the runtime's own float32: no order of adding is left open."""
    model, net = codes_added(seed)
    scale = np.float32(next(iter(net.scales.values())))
    x = np.random.default_rng(1).integers(0, 256, (8, *net.shapes["x"])).astype(np.float32) * scale
    _, *codes = session(model).run(None, {"x": x})
    graph = snncc.load(saved(model, tmp_path / "net.onnx"))
    program = snncc.compile(graph, precision=how, calibration=x)
    counts = counts_of(program, x)
    notes = program.graph.notes if how == "integer" else ()
    assert [note for note in notes if "without a common unit" in note and note.endswith("exact")] == [*notes]
    assert len(notes) == (how == "integer")
    for (name, _), code in zip(net.codes.values(), codes, strict=True):
        first = code.astype(np.int64) - counts[name]
        assert np.all(first == first.flat[0])
        assert len(np.unique(code)) > 2


def added_alone(scales: tuple[float, float, float]) -> Any:
    """Two inputs of 8 bits in one of two channels, added, and quantized to 8 bits."""
    net = Net(np.random.default_rng(0))
    net.shapes["x"] = (2, 1, 1)
    sent = []
    for k in range(2):
        given = net.tensor(np.eye(2, dtype=np.float32)[k].reshape(1, 2, 1, 1))
        channel = net.node("Conv", ["x", given], (1, 1, 1))
        parameters = [net.tensor(np.float32(scales[k])), net.tensor(np.uint8(0))]
        code = net.node("QuantizeLinear", [channel, *parameters], (1, 1, 1))
        sent.append(net.node("DequantizeLinear", [code, *parameters], (1, 1, 1)))
    parameters = [net.tensor(np.float32(scales[2])), net.tensor(np.uint8(0))]
    code = net.node("QuantizeLinear", [net.add(*sent), *parameters], (1, 1, 1))
    out = net.node("DequantizeLinear", [code, *parameters], (1, 1, 1))
    return net.model([out], net.shapes["x"])


@pytest.mark.parametrize("seed", range(4))
def test_every_pair_of_two_codes(seed: int, tmp_path: Path) -> None:
    """All 65,536 sums that there are, against the runtime."""
    rng = np.random.default_rng(seed)
    one, other, last = (float(np.float32(v)) for v in rng.uniform([0.005, 0.005, 0.01], [0.02, 0.02, 0.03]))
    if seed == 3:  # odd sums are ties, at which the runtime rounds one way or the other
        one = other = last / 2
    model = added_alone((one, other, last))
    n = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).reshape(-1, 2, 1, 1)
    x = (n * np.array([one, other]).reshape(2, 1, 1)).astype(np.float32)
    (out,) = session(model).run(None, {"x": x})
    graph = snncc.load(saved(model, tmp_path / "net.onnx"))
    wrong = 0
    for how in ("float", "integer"):
        have = snncc.compile(graph, precision=how, calibration=x, input_bits=16).run(x).output
        wrong = int(np.sum(np.rint(have / last) != np.rint(out / np.float32(last))))
        assert wrong == sum(int(note.split(" of 65536 pairs")[0].split()[-1]) for note in graph.notes)
    assert (wrong > 0) == (seed == 3)
    assert len(np.unique(out)) > 100


@pytest.mark.parametrize("seed", range(6))
def test_any_scale(seed: int, tmp_path: Path) -> None:
    """With scales that are no powers of two, only codes at a tie of the runtime's own sums may differ."""
    rng = np.random.default_rng(100 + seed)
    net = Net(rng, is_power=False)
    net.shapes["x"] = (3, 8, 8)
    now = net.quantized("x", 8, 1.0)
    sums = net.conv(now, 8, bits=int(rng.integers(3, 9)))
    net.quantized(net.relu(sums), int(rng.integers(2, 9)), 2.0, clip="real")
    model = net.model([*net.codes, sums], net.shapes["x"])
    x = rng.integers(0, 256, (16, 3, 8, 8)).astype(np.float32) * np.float32(net.scales[now])
    _, code, u = session(model).run(None, {"x": x})
    graph = snncc.load(saved(model, tmp_path / "net.onnx"))
    neuron = graph.neurons[-1]
    program = snncc.compile(graph, calibration=x)
    differs = counts_of(program, x)[neuron.name] != code.astype(np.int64)
    phase = np.abs(u / neuron.parameters.rho % 1 - 0.5)
    assert not np.any(differs & (phase > 1e-4))
    assert differs.sum() <= 2
    assert len(np.unique(code)) > 3


@pytest.mark.parametrize(("zero", "kind"), [(0, np.int8), (3, np.uint8), (128, np.uint8)])
def test_signed_activations(zero: int, kind: type, tmp_path: Path) -> None:
    """Activations whose zero is no lowest code are counts and an offset: exact as well."""
    rng = np.random.default_rng(7)
    net = Net(rng)
    net.shapes["x"] = (2, 6, 6)
    now = net.quantized("x", 8, 255 / 256)
    now = net.quantized(net.conv(now, 4), 8, 2.0, zero=zero, kind=kind)
    now = net.quantized(net.conv(now, 4), 8, 2.0, zero=zero, kind=kind)
    model = net.model([net.dense(net.flatten(now), 5), *net.codes], net.shapes["x"])
    x = images(net)
    logits, *codes = session(model).run(None, {"x": x})
    graph = snncc.load(saved(model, tmp_path / "net.onnx"))
    low = int(np.iinfo(kind).min)
    for how in ("float", "integer"):
        program = snncc.compile(graph, precision=how, calibration=x)
        counts = counts_of(program, x)
        for (name, _), code in list(zip(net.codes.values(), codes, strict=True))[1:]:
            assert np.array_equal(counts[name], code.astype(np.int64) - low)
            assert len(np.unique(code)) > 20
        assert np.array_equal(program.run(x).outputs["output_0"].astype(np.float32), logits)


def test_codes_as_input(tmp_path: Path) -> None:
    """A model that takes codes of 8 bits has a count as its input: nothing has to be calibrated."""
    x = np.random.default_rng(1).integers(0, 256, (4, 2, 6, 6)).astype(np.uint8)
    model = net_of_codes()
    (code,) = session(model).run(None, {"x": x})
    graph = snncc.load(saved(model, tmp_path / "net.onnx"))
    program = snncc.compile(graph)
    assert np.array_equal(program.run(x).outputs["output"], code)
    assert len(np.unique(code)) > 8


def test_wide_counts_are_graded(tmp_path: Path) -> None:
    for bits, encoding in ((4, "spikes"), (5, "graded")):
        net = Net(np.random.default_rng(2))
        net.shapes["x"] = (2, 6, 6)
        now = net.quantized("x", bits, 1.0, clip="codes")
        model = net.model([net.conv(now, 4)], net.shapes["x"])
        graph = snncc.load(saved(model, tmp_path / "net.onnx"))
        program = snncc.compile(graph, input_range=(0, 1))
        assert {str(node.parameters.encoding) for node in program.graph.neurons} == {encoding}
