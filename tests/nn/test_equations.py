"""Every neuron equals the NumPy transcription of its equation, in float64, number for number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.nn import IF, LIAF, LIF, PLIF, QCFS, SFA, SRIF, CubaLIF, Neuron
from tests.nn import definition
from tests.nn.strategies import Array, alive, as_numpy, defined, drive, firing, numbers, seeds

few = settings(max_examples=40, deadline=None)


def outputs(module: Neuron, x: Array) -> Array:
    module.step_mode = "m"
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(x)).numpy())


@few
@given(firing(), st.sampled_from([1.0, 0.3]), seeds)
def test_if(options: dict[str, Any], scale: float, seed: int) -> None:
    x = drive(seed, -2, 2)
    spikes, _ = definition.run(lambda v, x_t: v + x_t, x, **defined(options))
    assert alive(spikes)
    assert np.array_equal(outputs(IF(scale=scale, **options), x), scale * spikes)


@few
@given(firing(), numbers(0, 1), seeds)
def test_lif(options: dict[str, Any], leak: Any, seed: int) -> None:
    x, factor = drive(seed, -2, 2), as_numpy(leak)
    spikes, _ = definition.run(lambda v, x_t: factor * v + x_t, x, **defined(options))
    assert alive(spikes)
    assert np.array_equal(outputs(LIF(leak, **options), x), spikes)


@few
@given(firing(integrates_v_reset=True), numbers(0, 0.8), seeds)
def test_lif_with_decayed_input(options: dict[str, Any], leak: Any, seed: int) -> None:
    x, factor, rest = drive(seed, -2, 8), as_numpy(leak), as_numpy(options["v_reset"])
    spikes, last = definition.run(lambda v, x_t: v + (x_t - (v - rest)) * (1 - factor), x, **defined(options))
    module = LIF(leak, decay_input=True, **options)
    assert alive(spikes)
    assert np.array_equal(outputs(module, x), spikes)
    module.step_mode = "s"
    for x_t in torch.from_numpy(x):
        module(x_t)
    assert np.array_equal(module.get_buffer("v").numpy(), last)


@few
@given(firing(), numbers(0, 1), seeds)
def test_liaf_sends_the_rectified_potential(options: dict[str, Any], leak: Any, seed: int) -> None:
    x, factor = drive(seed, -2, 2), as_numpy(leak)
    potentials: list[Array] = []

    def charge(v: Array, x_t: Array) -> Array:
        potentials.append(np.asarray(factor * v + x_t))
        return potentials[-1]

    spikes, _ = definition.run(charge, x, **defined(options))
    assert alive(spikes)
    assert np.array_equal(outputs(LIAF(leak, **options), x), np.maximum(np.stack(potentials), 0))


@few
@given(firing(integrates_v_reset=True), st.floats(0.01, 0.8), seeds)
def test_plif(options: dict[str, Any], leak: float, seed: int) -> None:
    x, rest = drive(seed, -2, 8), as_numpy(options["v_reset"])
    module = PLIF(leak, **options).double()
    # torch and NumPy may round the exponential differently: the factor is torch's, and nearly NumPy's
    gain = float(torch.sigmoid(module.w.detach()))
    assert gain == pytest.approx(1 / (1 + np.exp(-float(module.w.detach()))), rel=1e-15)
    assert gain == pytest.approx(1 - leak, rel=1e-6)
    spikes, _ = definition.run(lambda v, x_t: v + (x_t - (v - rest)) * gain, x, **defined(options))
    assert alive(spikes)
    assert np.array_equal(outputs(module, x), spikes)


@few
@given(firing(), numbers(0, 1), numbers(0, 1), seeds)
def test_cuba_lif(options: dict[str, Any], leak_i: Any, leak: Any, seed: int) -> None:
    x = drive(seed, -2, 2)
    spikes = definition.run_cuba(x, as_numpy(leak_i), as_numpy(leak), **defined(options))
    assert alive(spikes)
    assert np.array_equal(outputs(CubaLIF(leak_i, leak, **options), x), spikes)


@few
@given(
    st.integers(1, 8),
    st.sampled_from([None, 1.0, 3.0]),
    st.sampled_from(["floor", "even"]),
    st.booleans(),
    numbers(0, 1),
    seeds,
)
def test_sfa(D: int, norm: float | None, rounding: Any, carry: bool, decay: Any, seed: int) -> None:
    x = np.round(drive(seed, -D, 2 * D) * 4) / 4  # a quarter of all inputs is a tie
    memory = {"carry": True, "decay": decay} if carry else {}
    module = SFA(D, norm=norm, rounding=rounding, **memory)
    expected = definition.run_sfa(x, D, norm or D, rounding, carry, as_numpy(decay))
    assert alive(expected)
    assert np.array_equal(outputs(module, x), expected)


def test_sfa_rounding_rules_differ_on_ties_only() -> None:
    ties = torch.arange(-1, 6, dtype=torch.float64) + 0.5
    assert SFA(4, norm=1)(ties).tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert SFA(4, norm=1, rounding="even")(ties).tolist() == [0, 0, 2, 2, 4, 4, 4]
    others = torch.from_numpy(drive(0, -2, 6, (10_000,)))
    assert torch.equal(SFA()(others), SFA(rounding="even")(others))


@few
@given(st.integers(1, 16), numbers(0.5, 9), seeds)
def test_qcfs(L: int, lam: Any, seed: int) -> None:
    x = drive(seed, -5, 12)
    module = QCFS(L, lam).double()
    expected = definition.qcfs(x, L, module.lam.detach().numpy())
    assert alive(expected)
    assert np.array_equal(outputs(module, x), expected)


def test_qcfs_leaves_its_own_levels_alone() -> None:
    module = QCFS(8, 4.0)
    levels = torch.arange(9) * 4.0 / 8
    assert torch.equal(module(levels), levels)
    assert module(torch.tensor([-3.0, 0.25, 0.2499, 99.0])).tolist() == [0.0, 0.5, 0.0, 4.0]


def test_srif_example_of_the_paper() -> None:
    x = torch.tensor([1.5, 1.2, 1.5, 0.9, 1.4], dtype=torch.float64).reshape(5, 1) * 0.5
    assert SRIF(step_mode="m")(x).flatten().tolist() == [1, 0, 1, 1, 0]
    assert IF(0.5, reset="zero", step_mode="m")(x).flatten().tolist() == [1, 1, 1, 0, 1]


@few
@given(numbers(0.3, 0.7), numbers(0.8, 1.2), st.booleans(), seeds)
def test_srif(theta: Any, amount: Any, strict: bool, seed: int) -> None:
    x = drive(seed, -1, 1.5)
    firing = defined({"theta": theta, "reset_amount": amount, "strict": strict, "reset": "subtract"})
    spikes, _ = definition.run(lambda v, x_t: v + x_t, x, v_init=0.0, **firing)
    assert alive(spikes)
    assert np.array_equal(outputs(SRIF(theta, amount, strict=strict), x), spikes)


def test_equality_with_the_threshold() -> None:
    x = torch.tensor([1.0])
    assert IF(1.0)(x).item() == 1
    assert IF(1.0, strict=True)(x).item() == 0


def test_the_threshold_is_compared_and_not_subtracted() -> None:
    # u is the float32 below theta, and (u - theta) underflows to 0 where subnormals are flushed
    theta = torch.finfo(torch.float32).tiny * 1.5
    u = torch.nextafter(torch.tensor([theta]), torch.tensor([0.0]))
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        assert (u - theta >= 0).item()
        assert IF(torch.tensor(theta))(u).item() == 0
    finally:
        torch.set_flush_denormal(False)
