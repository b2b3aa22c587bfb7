"""From floats to integers: what fits, what is exact, what gets better with bits, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.errors import BadInput, CannotLower
from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Emit,
    Input,
    Kind,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Order,
    Output,
    Pad,
    Pool,
    Reset,
    Sparse,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.passes import ExpandCounts, FoldBatchNorm, run_passes
from snncc.quantization import Quantize
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.passes.compare import compare

T, B = 4, 3
rng = np.random.default_rng(0)
X = Input(name="x", shape=(2, 6, 6))
CONV = Conv(
    name="conv",
    inputs=wires("x"),
    weight=rng.normal(0.2, 1, (4, 2, 3, 3)),
    bias=rng.normal(0, 0.3, (4, 1, 1)),
    padding=(1, 1, 1, 1),
)
N = Neuron(
    name="n", inputs=wires("conv"), parameters=NeuronParameters(theta=np.array(1.3), rho=np.array(1.3))
)
FC = Conv(name="fc", inputs=wires("n"), weight=rng.normal(0, 1, (3, 4, 6, 6)))


def net(*nodes: Node, timesteps: int = T) -> SpikeGraph:
    graph = SpikeGraph((*nodes, Output(name="y", inputs=wires(nodes[-1].name))), timesteps=timesteps)
    graph.verify()
    return graph


DATA = np.random.default_rng(1).normal(0.3, 1.0, (T, B, 2, 6, 6))


def quantized(graph: SpikeGraph, x: Any = DATA, **options: Any) -> SpikeGraph:
    options = {"calibration": x, "timesteps": T} | options
    return run_passes(graph, [Quantize(**options)])[-1].graph


def agreement(a: SpikeGraph, b: SpikeGraph, x: Any = DATA, timesteps: int = T) -> float:
    """The share of equal counts, each neuron fed with what it would get if all others agreed."""
    difference = compare(a, b, x, timesteps)
    assert 0 < difference.alive < difference.counts
    return 1 - difference.differ / difference.counts


def weights(graph: SpikeGraph) -> list[Dense | Conv | Sparse]:
    return [node for node in graph if isinstance(node, Dense | Conv | Sparse)]


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
def test_random_networks(bits: int, per_channel: bool) -> None:
    alive = []

    @settings(max_examples=12, database=None)
    @given(float_graphs())
    def check(case: FloatCase) -> None:
        graph = run_passes(case.graph, [FoldBatchNorm(), ExpandCounts()])[-1].graph
        integer = quantized(
            graph, case.x, timesteps=case.timesteps, weight_bits=bits, per_channel=per_channel
        )
        assert integer.is_integer
        top = 2 ** (bits - 1) - 1
        for node in weights(integer):
            assert node.weight.dtype == (np.int8 if bits <= 8 else np.int16)
            assert np.abs(node.weight).max() <= top
            assert node.shift >= 0
            assert node.bias is None or node.bias.dtype.kind == "i"
        seen = run(integer, case.x, timesteps=case.timesteps, record=[n.name for n in integer.neurons])
        assert sum(seen.saturations.values()) == 0
        for node in integer.neurons:
            record, p = seen.records[node.name], node.parameters
            assert p.v_bits in (16, 24, 32)
            assert record.u_pre is not None
            assert np.abs(record.u_pre).max() < 2 ** (p.v_bits - 1)
            alive.append(bool(record.train.any()))

    check()
    assert np.mean(alive) > (0.8 if bits >= 4 else 0.5)


def test_error_falls_with_bits() -> None:
    share: dict[int, list[float]] = {4: [], 8: [], 12: [], 16: []}

    @settings(max_examples=15, database=None)
    @given(float_graphs())
    def check(case: FloatCase) -> None:
        graph = run_passes(case.graph, [FoldBatchNorm()])[-1].graph
        for bits, shares in share.items():
            integer = quantized(graph, case.x, timesteps=case.timesteps, weight_bits=bits, input_bits=16)
            difference = compare(graph, integer, case.x, case.timesteps)
            shares.append(1 - difference.differ / difference.counts)

    check()
    mean = {bits: float(np.mean(shares)) for bits, shares in share.items()}
    assert mean[4] < mean[8] < mean[12] < mean[16]
    assert mean[8] > 0.95
    assert mean[16] > 0.998


def test_channels_of_unlike_size_need_a_scale_each() -> None:
    size = np.array([1.0, 0.02, 0.005, 3.0]).reshape(4, 1, 1)
    conv = replace(CONV, weight=CONV.weight * size[..., None], bias=CONV.bias * size)  # type: ignore[operator]
    neuron = replace(N, parameters=NeuronParameters(theta=1.3 * size, rho=1.3 * size))
    graph = net(X, conv, neuron, FC)
    one, many = (agreement(graph, quantized(graph, per_channel=p)) for p in (False, True))
    assert many > 0.98
    assert many > one + 0.05
    scale = quantized(graph).edges["conv"].scale
    assert scale.shape == (4, 1, 1)
    assert quantized(graph, per_channel=False).edges["conv"].scale.ndim == 0


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_an_input_on_a_grid_is_carried_exactly(levels: int) -> None:
    x = np.random.default_rng(0).integers(0, levels, (T, B, 2, 6, 6)) / (levels - 1)
    integer = quantized(net(X, CONV, N), x)
    carried = run(integer, x, timesteps=T, record=["x"]).records["x"].train[:, :, 0]
    entry = integer["x"]
    assert isinstance(entry, Input)
    assert (entry.low, entry.high) == (0, 255)
    assert np.allclose(carried * entry.scale, x, rtol=0, atol=1e-12)
    assert np.array_equal(carried, np.rint(x * (levels - 1)))


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-1.0, 3.0), (-3.0, -1.0), (0.0, 0.0)])
def test_other_inputs_are_carried_to_half_a_step(low: float, high: float) -> None:
    x = np.random.default_rng(0).uniform(low, high, (T, B, 2, 6, 6))
    integer = quantized(net(X, CONV, N), x)
    entry = integer["x"]
    assert isinstance(entry, Input)
    assert (entry.low, entry.high) == ((0, 255) if low >= 0 else (-128, 127))
    carried = run(integer, x, timesteps=T, record=["x"]).records["x"].train[:, :, 0]
    assert np.abs(carried * entry.scale - x).max() <= entry.scale / 2 * (1 + 1e-9)


def test_reset_amounts_are_whole_numbers_of_steps() -> None:
    for D in (1, 4, 8):
        p = NeuronParameters(theta=np.array(0.35), rho=np.array(0.7), max_count=D)
        integer = quantized(net(X, CONV, replace(N, parameters=p)))
        node = integer["n"]
        assert isinstance(node, Neuron)
        rho = np.broadcast_to(node.parameters.rho, (4, 1, 1))
        theta = np.broadcast_to(node.parameters.theta, (4, 1, 1))
        assert np.allclose(rho * integer.edges["conv"].scale, 0.7, rtol=1e-12)
        assert np.array_equal(theta, -(-rho // 2))
        assert rho.min() >= 16


@pytest.mark.parametrize("strict", [False, True])
def test_thresholds_are_the_first_step_that_passes(strict: bool) -> None:
    p = NeuronParameters(theta=np.array(1.1), rho=np.array(0.7), strict=strict)
    integer = quantized(net(X, CONV, replace(N, parameters=p)))
    node = integer["n"]
    assert isinstance(node, Neuron)
    scale = np.broadcast_to(integer.edges["conv"].scale, (4, 1, 1)).reshape(-1)
    for theta, step in zip(np.broadcast_to(node.parameters.theta, (4, 1, 1)).reshape(-1), scale, strict=True):
        u = np.arange(theta - 3, theta + 4)
        need = u * step > 1.1 if strict else u * step >= 1.1
        assert np.array_equal(u > theta if strict else u >= theta, need)


def test_steps_of_every_channel() -> None:
    # Found in review: the axis of the steps met that of the channels.
    p = NeuronParameters(max_count=3, steps=np.array([0.3, 0.9, 2.2]), rho=np.array(0.8))
    graph = net(X, CONV, replace(N, parameters=p))
    integer = quantized(graph, weight_bits=12, input_bits=16)
    assert integer["n"].parameters.steps.shape[0] == 3  # type: ignore[union-attr]
    assert agreement(graph, integer) > 0.98


@pytest.mark.parametrize("leak", [0.0, 0.25, 0.5, 0.9, 1.0, 1 / 3])
def test_leaks(leak: float) -> None:
    p = NeuronParameters(
        leak=np.array(leak), leak_i=np.array(leak / 2), theta=np.array(1.3), rho=np.array(1.3)
    )
    graph = net(X, CONV, replace(N, parameters=p))
    integer = quantized(graph, weight_bits=12, input_bits=16)
    q = integer["n"].parameters  # type: ignore[union-attr]
    assert q.leak / 2**q.leak_shift == pytest.approx(leak, abs=2**-13)
    assert q.leak_i / 2**q.leak_i_shift == pytest.approx(leak / 2, abs=2**-13)
    assert agreement(graph, integer) > 0.97


@pytest.mark.parametrize(
    "p",
    [
        NeuronParameters(theta=np.array(1.3), reset=Reset.VALUE, v_reset=np.array(-0.5), leak=np.array(0.5)),
        NeuronParameters(
            theta=np.array(1.3), leak_i=np.array(0.75), order=Order.INTEGRATE_FIRST, leak=np.array(0.0625)
        ),
        NeuronParameters(theta=np.array(1.3), leak_i=np.array(0.9), refractory=3),
        NeuronParameters(
            theta=np.array(1.3), v_init=np.array(0.7), clamp_low=np.array(-1.0), bias=np.array(0.2)
        ),
    ],
    ids=["hard", "small potential, large current", "current while resting", "clamped"],
)
def test_widths_hold_what_was_measured(p: NeuronParameters) -> None:
    # Found in review: the width came from the potential, and the current of the second and third left it.
    graph = net(X, replace(CONV, weight=CONV.weight * 40), replace(N, parameters=p))
    for x in (DATA, DATA * 8):
        integer = quantized(graph, x)
        assert sum(run(integer, x, timesteps=T).saturations.values()) == 0


def test_room_for_other_data() -> None:
    """States hold twice what was measured."""
    graph = net(X, CONV, replace(N, parameters=NeuronParameters(theta=np.array(1e6))))
    integer = quantized(graph, DATA / 2)
    integer = integer.with_nodes(
        replace(n, low=-256, high=255) if isinstance(n, Input) else n for n in integer
    )
    assert run(integer, DATA, timesteps=T).saturations == {"n": 0}


def test_a_given_width_is_kept_and_the_grid_gets_coarser() -> None:
    graph = net(X, CONV, replace(N, parameters=NeuronParameters(theta=np.array(500.0), rho=np.array(1.0))))
    for bits in (16, 24, 32):
        integer = quantized(graph, DATA * 100, state_bits=bits, weight_bits=16)
        assert integer["n"].parameters.v_bits == bits  # type: ignore[union-attr]
        assert run(integer, DATA * 100, timesteps=T).saturations == {"n": 0}
    scales = [
        quantized(graph, DATA * 100, state_bits=b, weight_bits=16).edges["conv"].scale.max() for b in (16, 32)
    ]
    assert scales[0] > scales[1]


def residual(*, pooled: bool = False, size: float = 1.0) -> SpikeGraph:
    """A stream into which two branches flow; the second one's weights are *size* times as large."""
    fire = {"parameters": NeuronParameters(theta=np.array(0.5), max_count=4)}
    nodes: list[Node] = [X, CONV]
    stream = "conv"
    if pooled:
        nodes.append(Pool(name="pool", inputs=wires("conv"), kernel=(2, 2), stride=(2, 2), is_average=True))
        stream = "pool"
    for k, factor in enumerate((0.3, 0.3 * size)):
        weight = np.random.default_rng(k).normal(size=(4, 4, 3, 3)) * factor
        nodes += [
            Neuron(name=f"n{k}", inputs=wires(stream), **fire),
            Conv(name=f"b{k}", inputs=wires(f"n{k}"), weight=weight, padding=(1, 1, 1, 1)),
            Add(name=f"s{k}", inputs=wires(stream, f"b{k}")),
        ]
        stream = f"s{k}"
    return net(*nodes, Neuron(name="n", inputs=wires(stream), **fire))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("size", [1.0, 50.0, 0.01])
def test_branches_of_a_stream_share_a_scale(size: float, pooled: bool) -> None:
    graph = residual(pooled=pooled, size=size)
    integer = quantized(graph)
    edges = integer.edges
    stream = [edges[name].scale for name in ("pool" if pooled else "conv", "s0", "s1", "b0", "b1")]
    assert stream[0].shape == (4, 1, 1)
    assert all(np.allclose(scale, stream[0], rtol=1e-12) for scale in stream)
    if pooled:
        assert np.allclose(edges["conv"].scale, 4 * edges["pool"].scale)
    shifts = {node.name: node.shift for node in weights(integer)}
    assert np.sign(shifts["b1"] - shifts["b0"]) == np.sign(size - 1)
    largest = "b0" if size < 1 else "b1"
    assert 64 <= np.abs(integer[largest].weight).max() <= 127  # type: ignore[union-attr]
    if size == 1.0:
        assert agreement(graph, quantized(graph, weight_bits=12)) > 0.9


# Open, found in review: the first convolution is a small branch, as its input has small steps, and keeps 3 of 8 bits.
@pytest.mark.xfail(
    reason="shifts between branches are bounded, and what does not fit is taken from the weights"
)
def test_the_first_value_of_a_stream_keeps_its_bits() -> None:
    integer = quantized(residual(), np.random.default_rng(0).integers(0, 256, DATA.shape) / 255)
    assert np.abs(integer["conv"].weight).max() >= 64  # type: ignore[union-attr]


def test_spikes_that_enter_a_sum_of_reals_get_a_synapse_of_weight_one() -> None:
    first = replace(N, name="s", parameters=NeuronParameters(theta=np.array(0.4), scale=np.array(0.7)))
    graph = net(X, CONV, first, Add(name="add", inputs=wires("conv", "s")), replace(N, inputs=wires("add")))
    integer = quantized(graph, weight_bits=12, input_bits=16)
    skip = integer["add.skip1"]
    assert isinstance(skip, Conv)
    assert skip.groups == 4
    scale = np.broadcast_to(integer.edges["add.skip1"].scale, (4, 1, 1))
    assert np.allclose(
        skip.weight.reshape(4, 1, 1) * 2.0**skip.shift * scale, 0.7, atol=float(scale.max()) * 2**skip.shift
    )
    assert agreement(graph, integer) > 0.98
    direct = net(
        replace(X, kind=Kind.SPIKE),
        replace(N, inputs=wires("x"), parameters=NeuronParameters(leak=np.array(0.5))),
    )
    spikes = (DATA > 0).astype(int)
    integer = quantized(direct, spikes)
    assert isinstance(integer["n.skip"], Conv)
    assert agreement(direct, integer, spikes) == 1.0


def test_a_loop() -> None:
    # Found in review: a recurrent synapse got a scale of its own, and the graph could not be built.
    start = np.random.default_rng(0).normal(0, 0.3, (4, 6, 6))
    back = Conv(name="back", inputs=wires("n"), weight=rng.normal(0, 0.5, (4, 4, 3, 3)), padding=(1, 1, 1, 1))
    loop = replace(N, inputs=(*wires("conv"), Wire("back", 1, start)))
    graph = SpikeGraph((X, CONV, loop, back, Output(name="y", inputs=wires("n"))), timesteps=T)
    integer = quantized(graph, weight_bits=12)
    assert np.allclose(integer.edges["back"].scale, integer.edges["conv"].scale)
    assert agreement(graph, integer) > 0.95


def test_a_value_before_the_first_timestep_is_quantized() -> None:
    # Found in review: it stayed a real number, and was cut to an integer in the run.
    start = np.random.default_rng(0).normal(2, 0.3, (4, 6, 6))
    graph = net(X, CONV, replace(N, inputs=(Wire("conv", 1, start),)))
    integer = quantized(graph, weight_bits=12, input_bits=16)
    initial = integer["n"].inputs[0].initial
    assert initial is not None
    assert np.allclose(initial * integer.edges["conv"].scale, start, atol=integer.edges["conv"].scale.max())
    assert agreement(graph, integer) > 0.98


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_a_pad_behind_a_convolution(value: float) -> None:
    pad = Pad(name="pad", inputs=wires("conv"), padding=(1, 0, 0, 1), value=np.full((4, 1, 1), value))
    graph = net(X, CONV, pad, replace(N, inputs=wires("pad")))
    integer = quantized(graph, weight_bits=12, input_bits=16)
    assert agreement(graph, integer) > 0.98


def test_a_product_of_signals() -> None:
    # Found in review: a KeyError.
    gate = Input(name="gate", shape=(4, 1, 1))
    graph = net(X, gate, CONV, Mul(name="mul", inputs=wires("conv", "gate")), replace(N, inputs=wires("mul")))
    x = {"x": DATA, "gate": np.random.default_rng(0).uniform(0, 2, (T, B, 4, 1, 1))}
    integer = quantized(graph, x)
    assert agreement(graph, integer, x) > 0.93


def test_an_affine_that_stayed() -> None:
    gain = Affine(name="gain", inputs=wires("n"), gain=np.array([1.5, -1, 0.3, 2]).reshape(4, 1, 1))
    last = replace(N, name="m", inputs=wires("gain"), parameters=NeuronParameters(theta=np.array(0.4)))
    graph = net(X, CONV, N, gain, last)
    assert agreement(graph, quantized(graph, weight_bits=12, input_bits=16)) > 0.98


REFUSED: list[tuple[SpikeGraph, dict[str, Any], type[Exception], str]] = [
    (net(X, CONV, N), {"timesteps": None}, BadInput, "calibration needs the number of timesteps"),
    (
        net(X, CONV, replace(N, parameters=NeuronParameters(emit=Emit.RELU))),
        {},
        CannotLower,
        r"n \(Neuron\): a neuron that sends reals is not quantized yet",
    ),
    (
        net(X, CONV, N),
        {"calibration": None},
        BadInput,
        r"x \(Input\): quantization needs the range of this analog input",
    ),
    (
        net(X, CONV, N),
        {"calibration": None, "timesteps": None, "input_ranges": {"x": (0, 1)}},
        BadInput,
        "n .Neuron.: a neuron without leak has no static bound over unknown time",
    ),
    (
        net(X, CONV, replace(N, parameters=NeuronParameters(max_count=None)), FC),
        {"calibration": None, "input_ranges": {"x": (0, 1)}},
        BadInput,
        "a neuron without max_count has no static bound",
    ),
]


@pytest.mark.parametrize(("graph", "options", "error", "message"), REFUSED)
def test_refusals(graph: SpikeGraph, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quantized(graph, **options)


def test_hints() -> None:
    with pytest.raises(BadInput) as error:
        quantized(net(X, CONV, N), calibration=None)
    assert error.value.hint.startswith("give calibration data (calibration=, --calibration x.npz)")
    with pytest.raises(CannotLower, match="graph: is an integer graph already"):
        quantized(quantized(net(X, CONV, N)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bits": 1}, "weights have 2 to 16 bits, not 1"),
        ({"weight_bits": 17}, "weights have 2 to 16 bits, not 17"),
        ({"input_bits": 0}, "inputs have 2 to 16 bits, not 0"),
        ({"state_bits": 20}, "states have 16, 24, 32 bits, not 20"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Quantize(**options)


def test_silent_weights() -> None:
    graph = net(X, replace(CONV, weight=np.zeros((4, 2, 3, 3)), bias=np.full((4, 1, 1), 0.5)), N)
    integer = quantized(graph)
    assert not integer["conv"].weight.any()  # type: ignore[union-attr]
    assert agreement(graph, integer) == 1.0
    assert integer.numbers is Numbers.INTEGER
