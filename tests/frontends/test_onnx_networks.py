"""Random quantized ONNX networks: compiled counts are onnxruntime's integer activations."""

from __future__ import annotations

from pathlib import Path

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
    """Counts of a network of any scales, in integers, that are not the runtime's."""
    model, net = random_net(seed, is_power=False, has_sums=has_sums)
    scale = np.float32(next(iter(net.scales.values())))
    x = np.random.default_rng(1).integers(0, 256, (4, *net.shapes["x"])).astype(np.float32) * scale
    _, *codes = session(model).run(None, {"x": x})
    alone = net.model([model.graph.output[0].name], net.shapes["x"])
    graph = snncc.load(saved(alone, folder / "net.onnx"))
    counts = counts_of(snncc.compile(graph, calibration=x, weight_bits=16 if has_sums else 8), x)
    found, compared, levels = 0, 0, set()
    for (name, zero), code in zip(net.codes.values(), codes, strict=True):
        if name in counts:
            need = code.astype(np.int64) - zero
            found += int(np.sum(counts[name] != need))
            compared += code.size
            levels |= set(np.unique(need))
    assert compared > 1000
    assert len(levels) > 3
    return found


@pytest.mark.parametrize("has_sums", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_networks_of_any_scale(seed: int, tmp_path: Path, *, has_sums: bool) -> None:
    """Where branches of a sum share no grid, weights of 16 bits bring them near enough.

    Of 200 such networks no count differed; a runtime that adds in another order may differ at ties.
    """
    assert differing(seed, tmp_path, has_sums=has_sums) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("has_sums", [False, True])
def test_many_networks_of_any_scale(tmp_path: Path, *, has_sums: bool) -> None:
    assert sum(differing(seed, tmp_path, has_sums=has_sums) for seed in range(100, 150)) <= 10


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
