"""Layers, sums, nested graphs, delays and loops of NIR, against PyTorch and against plain arithmetic."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from snncc.errors import BadFile, BadInput, CannotTrace, SnnccError
from snncc.ir import Array
from tests.frontends.nir_files import DT, chain, ends_of, load, outputs, unit, write

RNG = np.random.default_rng(0)
X1, X2 = RNG.normal(size=(3, 2, 4, 11)), RNG.normal(size=(3, 2, 4, 7, 9))
W1, W2, B6 = RNG.normal(size=(6, 4, 3)), RNG.normal(size=(6, 4, 3, 2)), RNG.normal(size=6)
PLAIN = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def torch_conv(x: Array, weight: Array, bias: Array, **how: Any) -> Array:
    function = F.conv1d if weight.ndim == 3 else F.conv2d
    flat = torch.from_numpy(x.reshape(-1, *x.shape[2:]))
    y = function(flat, torch.from_numpy(weight), torch.from_numpy(bias), **how).numpy()
    return y.reshape(*x.shape[:2], *y.shape[1:])


def as_field(value: Any) -> Any:
    return value if isinstance(value, str) else np.array(value)


CONVS: list[dict[str, Any]] = [
    {},
    {"padding": 2},
    {"padding": "same"},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 2},
    {"stride": 3, "padding": 1, "dilation": 2},
    {"groups": 2},
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("how", CONVS)
@pytest.mark.parametrize("axes", [1, 2])
def test_convolutions(axes: int, how: dict[str, Any], tmp_path: Path) -> None:
    x, weight = ((X1, W1), (X2, W2))[axes - 1]
    groups = how.get("groups", 1)
    weight = weight[:, : 4 // groups]
    expected = torch_conv(x, weight, B6, **how)
    fields = {k: as_field(v) for k, v in {**PLAIN, **how}.items()}
    node = unit(f"Conv{axes}d", weight=weight, bias=B6, **fields)
    graph = load(chain(tmp_path / "c.nir", x.shape[2:], node, out=expected.shape[2:]))
    np.testing.assert_allclose(outputs(graph, x), expected, rtol=1e-12, atol=1e-12)


def test_pairs_and_input_shape(tmp_path: Path) -> None:
    how = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    fields = {**PLAIN, **{k: np.array(v) for k, v in how.items()}, "input_shape": np.array([7, 9])}
    expected = torch_conv(X2, W2, B6, **how)
    path = chain(
        tmp_path / "c.nir", (4, 7, 9), unit("Conv2d", weight=W2, bias=B6, **fields), out=expected.shape[2:]
    )
    np.testing.assert_allclose(outputs(load(path), X2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", [((2, 3), (2, 3), (0, 0)), ((3, 3), (2, 1), (1, 1))])
@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
def test_pools(kind: str, how: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    kernel, stride, padding = how
    expected = F.avg_pool2d(torch.from_numpy(X2.reshape(-1, 4, 7, 9)), kernel, stride, padding).numpy()
    expected = expected.reshape(*X2.shape[:2], *expected.shape[1:]) * (
        kernel[0] * kernel[1] if kind[0] == "S" else 1
    )
    node = unit(kind, kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))
    graph = load(chain(tmp_path / "p.nir", (4, 7, 9), node, out=expected.shape[2:]))
    np.testing.assert_allclose(outputs(graph, X2), expected, rtol=1e-12, atol=1e-12)


def test_linear_affine_scale_flatten_threshold(tmp_path: Path) -> None:
    weight, bias, scale = RNG.normal(size=(5, 252)), RNG.normal(size=5), RNG.normal(size=5)
    units = (
        unit("Flatten", start_dim=0, end_dim=-1, input_type=np.array([4, 7, 9])),
        unit("Affine", weight=weight, bias=bias),
        unit("Scale", scale=scale),
        unit("Linear", weight=weight[:, :5]),
        unit("Threshold", threshold=np.zeros(5)),
    )
    path = chain(tmp_path / "l.nir", (4, 7, 9), *units, out=[5])
    flat = X2.reshape(3, 2, 252)
    currents = (flat @ weight.T + bias) * scale @ weight[:, :5].T
    np.testing.assert_array_equal(outputs(load(path, dt=None), X2), currents > 0)
    part = unit("Flatten", start_dim=1, end_dim=2)
    graph = load(chain(tmp_path / "f.nir", (4, 7, 9), part, out=[4, 63]), dt=None)
    np.testing.assert_array_equal(outputs(graph, X2), X2.reshape(3, 2, 4, 63))


def fires(n: int) -> dict[str, Any]:
    """Leak 0.5, gain 1, threshold 1, reset to 0."""
    full = np.full(n, 2 * DT)
    return unit(
        "LIF", tau=full, r=np.full(n, 2.0), v_leak=np.zeros(n), v_threshold=np.ones(n), v_reset=np.zeros(n)
    )


def lif(drive: Array, v: Array) -> tuple[Array, Array]:
    v = 0.5 * v + drive
    z = (v > 1).astype(float)
    return z, v * (1 - z)


N = 4
DRIVE = RNG.normal(0.6, 0.8, (20, 3, N))
REC = RNG.normal(0, 1, (N, N))


def recurrent(edges: list[tuple[str, str]], path: Path, **more: Any) -> Path:
    nodes = {**ends_of(N), "lif": fires(N), "rec": unit("Linear", weight=REC), **more}
    return write(path, nodes, edges)


def run_recurrent(steps: int) -> Array:
    """What a neuron layer does that reads its own spikes of *steps* timesteps ago."""
    v, spikes = np.zeros((3, N)), [np.zeros((3, N))] * steps
    for drive in DRIVE:
        z, v = lif(drive + spikes[-steps] @ REC.T, v)
        spikes.append(z)
    return np.array(spikes[steps:])


LOOP = [("input", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]


def test_a_loop_is_late_by_one_timestep(tmp_path: Path) -> None:
    expected = run_recurrent(1)
    assert 0.1 < expected.mean() < 0.9
    assert not np.array_equal(expected, run_recurrent(2))
    np.testing.assert_array_equal(outputs(load(recurrent(LOOP, tmp_path / "r.nir")), DRIVE), expected)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("before", [True, False])
def test_a_delay_in_a_loop_is_all_of_its_delay(before: bool, steps: int, tmp_path: Path) -> None:
    delay = unit("Delay", delay=np.full(N, steps * DT, np.float32))
    way = ["lif", "d", "rec", "lif"] if before else ["lif", "rec", "d", "lif"]
    edges = [("input", "lif"), *itertools.pairwise(way), ("lif", "output")]
    graph = load(recurrent(edges, tmp_path / "r.nir", d=delay))
    np.testing.assert_array_equal(outputs(graph, DRIVE), run_recurrent(steps))


def test_a_loop_with_a_gain(tmp_path: Path) -> None:
    half = {**fires(N), "r": np.full(N, 1.0)}  # gain 0.5: of the drive and of what comes back
    nodes = {
        **ends_of(N),
        "lif": half,
        "rec": unit("Linear", weight=2 * REC),
        "up": unit("Scale", scale=np.full(N, 2.0)),
    }
    edges = [("input", "up"), ("up", "lif"), *LOOP[1:]]
    np.testing.assert_array_equal(
        outputs(load(write(tmp_path / "r.nir", nodes, edges)), DRIVE), run_recurrent(1)
    )


def test_feedback_into_a_layer(tmp_path: Path) -> None:
    """Weights that read the input plus the spikes of the timestep before."""
    edges = [("input", "rec"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    graph = load(recurrent(edges, tmp_path / "r.nir"), input_kind="spike")
    x = (DRIVE > 0.3).astype(float)
    z, v, spikes = np.zeros((3, N)), np.zeros((3, N)), []
    for drive in x:
        z, v = lif((drive + z) @ REC.T, v)
        spikes.append(z)
    assert np.sum(spikes) > 0
    np.testing.assert_array_equal(outputs(graph, x), spikes)


def test_a_loop_with_two_entries_is_refused(tmp_path: Path) -> None:
    nodes = {**ends_of(N), "a": fires(N), "b": fires(N)}
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "a"), ("b", "output")]
    with pytest.raises(
        CannotTrace, match=r"the loop of a, b is entered at several nodes.*\n.*put a NIR Delay"
    ):
        load(write(tmp_path / "r.nir", nodes, edges))
    delayed = {**nodes, "d": unit("Delay", delay=np.full(N, DT))}
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "d"), ("d", "a"), ("b", "output")]
    za, zb, va, vb = (np.zeros((3, N)) for _ in range(4))
    spikes = []
    for drive in DRIVE:
        za, va = lif(drive + zb, va)
        zb, vb = lif(drive + za, vb)
        spikes.append(zb)
    np.testing.assert_array_equal(outputs(load(write(tmp_path / "d.nir", delayed, edges)), DRIVE), spikes)


def test_two_neurons_in_one_loop_are_late_once(tmp_path: Path) -> None:
    nodes = {**ends_of(N), "a": fires(N), "b": fires(N)}
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]
    za, zb, va, vb = (np.zeros((3, N)) for _ in range(4))
    spikes = []
    for drive in DRIVE:
        za, va = lif(drive + zb, va)
        zb, vb = lif(za, vb)
        spikes.append(zb)
    np.testing.assert_array_equal(outputs(load(write(tmp_path / "d.nir", nodes, edges)), DRIVE), spikes)


def test_skip_edges_are_sums(tmp_path: Path) -> None:
    """input + w1 input, then + w2 of that: into a layer, and into the output."""
    nodes = {**ends_of(N), "w1": unit("Linear", weight=REC), "w2": unit("Linear", weight=REC.T.copy())}
    edges = [("input", "w1"), ("input", "w2"), ("w1", "w2"), ("w2", "output"), ("w1", "output")]
    y = DRIVE @ REC.T
    expected = (DRIVE + y) @ REC + y
    np.testing.assert_allclose(
        outputs(load(write(tmp_path / "s.nir", nodes, edges), dt=None), DRIVE),
        expected,
        rtol=1e-12,
        atol=1e-12,
    )


def test_nested_graphs_and_identities(tmp_path: Path) -> None:
    inner = {
        "type": "NIRGraph",
        "nodes": {**ends_of(N), "lif": fires(N), "rec": unit("Linear", weight=REC)},
        "edges": LOOP,
    }
    outer = {
        "type": "NIRGraph",
        "nodes": {**ends_of(N), "deep": inner},
        "edges": [("input", "deep"), ("deep", "output")],
    }
    nodes = {**ends_of(N), "block": outer, "same": unit("Identity", shape=np.array([N]))}
    edges = [("input", "block"), ("block", "same"), ("same", "output")]
    graph = load(write(tmp_path / "n.nir", nodes, edges))
    assert [node.name for node in graph.neurons] == ["block.deep.lif"]
    np.testing.assert_array_equal(outputs(graph, DRIVE), run_recurrent(1))


def test_a_delay_shifts(tmp_path: Path) -> None:
    path = chain(tmp_path / "d.nir", [N], unit("Delay", delay=np.full(N, 3 * DT)), out=[N])
    expected = np.concatenate([np.zeros((3, 3, N)), DRIVE[:-3]])
    np.testing.assert_array_equal(outputs(load(path), DRIVE), expected)
    with pytest.raises(BadInput, match=r"0\.0003 s are 1\.5 timesteps of 0\.0002 s, not a whole number"):
        load(path, dt=2e-4)
    with pytest.raises(BadInput, match="is in seconds; its timesteps need dt"):
        load(path, dt=None)


def test_more_loading_options(tmp_path: Path) -> None:
    path = chain(tmp_path / "d.nir", [N], fires(N), out=[N])
    graph = load(path, layout="BT", input_kind="spike", presence="constant", over="mean", timesteps=7)
    assert (str(graph.layout), graph.timesteps) == ("BT", 7)
    assert (str(graph.inputs[0].kind), str(graph.inputs[0].presence)) == ("spike", "constant")
    assert str(graph.outputs[0].over) == "mean"


IN, OUT = ends_of(2).values()
WEIGHT = unit("Linear", weight=np.ones((2, 2)))
BROKEN: list[tuple[dict[str, Any], list[tuple[str, str]], str]] = [
    ({"i": IN, "o": OUT}, [("i", "o"), ("i", "o")], "has the edge i -> o twice"),
    ({"i": IN, "o": OUT}, [("i", "q")], "has an edge i -> q, but no node 'q'"),
    ({"i": IN, "o": OUT}, [], "is a graph without edges"),
    ({"i": IN, "w": WEIGHT}, [("i", "w")], "has no output node"),
    ({"w": WEIGHT, "o": OUT}, [("w", "o")], "has no input node"),
    ({"i": IN, "w": WEIGHT, "o": OUT}, [("i", "o")], r"w \(NIR Linear\): no input reaches it"),
    (
        {"i": IN, "w": WEIGHT, "o": OUT},
        [("i", "w"), ("w", "i"), ("w", "o")],
        r"an edge leads from w \(NIR Linear\) to i",
    ),
    (
        {"i": IN, "o": unit("Output", shape=np.array([3]))},
        [("i", "o")],
        r"made for the shape \(3,\), and receives \(2,\)",
    ),
    ({"i": unit("Input", shape=np.array([0])), "o": OUT}, [("i", "o")], "must have positive sizes"),
    (
        {"i": unit("Input", shape=np.array([1 << 20, 1 << 20])), "o": OUT},
        [("i", "o")],
        "snncc takes 268435456 signals",
    ),
    (
        {"i": IN, "w": unit("Linear", weight=np.ones((2, 3))), "o": OUT},
        [("i", "w"), ("w", "o")],
        r"shape \(3,\)",
    ),
    (
        {"i": IN, "w": unit("Linear", weight=np.ones((2, 2, 2))), "o": OUT},
        [("i", "w"), ("w", "o")],
        "takes matrices",
    ),
    (
        {"i": IN, "w": unit("Linear", weight=np.full((2, 2), np.inf)), "o": OUT},
        [("i", "w"), ("w", "o")],
        "not finite",
    ),
    (
        {"i": IN, "w": unit("MaxPool"), "o": OUT},
        [("i", "w"), ("w", "o")],
        "unknown type 'MaxPool'; known: Affine",
    ),
    (
        {"i": IN, "w": unit("Flatten", start_dim=0, end_dim=3), "o": OUT},
        [("i", "w"), ("w", "o")],
        "cannot flatten",
    ),
    (
        {"i": IN, "w": unit("Delay", delay=np.array([0.1, 0.2])), "o": OUT},
        [("i", "w"), ("w", "o")],
        "delays differ",
    ),
    (
        {"i": IN, "w": unit("Delay", delay=np.array([-0.1])), "o": OUT},
        [("i", "w"), ("w", "o")],
        "at least 0 seconds",
    ),
    (
        {"i": IN, "w": unit("Delay", delay=np.array([1e9])), "o": OUT},
        [("i", "w"), ("w", "o")],
        "1e.13 timesteps long",
    ),
]


@pytest.mark.parametrize(("nodes", "edges", "message"), BROKEN)
def test_refused(nodes: dict[str, Any], edges: list[tuple[str, str]], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "b.nir", nodes, edges)
    with pytest.raises(SnnccError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_nested_graph_with_two_inputs_is_refused(tmp_path: Path) -> None:
    inner = {
        "type": "NIRGraph",
        "nodes": {**ends_of(2), "more": IN},
        "edges": [("input", "output"), ("more", "output")],
    }
    with pytest.raises(BadFile, match="sub: is a nested graph with 2 inputs; an edge cannot say which"):
        load(write(tmp_path / "b.nir", {**ends_of(2), "sub": inner}, [("input", "sub"), ("sub", "output")]))
