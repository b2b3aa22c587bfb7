"""From floats to integers: what fits, what is exact, what gets better with bits, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.ir import (
    Input,
    Neuron,
    NeuronParameters,
    Numbers,
    Order,
    Reset,
)
from snncc.passes import ExpandCounts, FoldBatchNorm, run_passes
from snncc.quantization import beyond_rounding
from snncc.reference import run
from tests.float_graphs import FloatCase, float_graphs
from tests.passes.compare import compare
from tests.quantization.small import CONV, DATA, FC, B, N, T, X, agreement, net, quantized, weights


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
        assert list(beyond_rounding(graph, integer)) == []
        top = 2 ** (bits - 1) - 1
        for node in weights(integer):
            assert node.weight.dtype == (np.int8 if bits <= 8 else np.int16)
            assert np.abs(node.weight).max() <= top
            assert node.shift >= 0
            assert node.bias is None or node.bias.dtype.kind == "i"
        seen = run(integer, case.x, timesteps=case.timesteps, record=[n.name for n in integer.neurons])
        assert sum(seen.saturations.values()) == 0
        for neuron in integer.neurons:
            record, p = seen.records[neuron.name], neuron.parameters
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
    conv = replace(CONV, weight=CONV.weight * size[..., None], bias=CONV.bias * size)
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


def test_silent_weights() -> None:
    graph = net(X, replace(CONV, weight=np.zeros((4, 2, 3, 3)), bias=np.full((4, 1, 1), 0.5)), N)
    integer = quantized(graph)
    assert not integer["conv"].weight.any()  # type: ignore[union-attr]
    assert agreement(graph, integer) == 1.0
    assert integer.numbers is Numbers.INTEGER
