"""The one neuron of the reference equals its text, written once more for single neurons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snncc.errors import StateOverflow
from snncc.ir import Encoding, LeakRounding, NeuronParameters, Overflow, Reset, ResetAt
from snncc.ir.verify import neuron_problems
from snncc.reference.neuron import initial_state, step
from tests.reference.scalar import ScalarNeuron, TooWide
from tests.reference.strategies import NEURONS, parameters, scalars

BATCH, T = 2, 6


def drive(data: st.DataObject, ticks: int, integer: bool) -> Any:
    """Inputs [T, B, ticks, neurons] that make most neurons fire."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    x = np.random.default_rng(seed).integers(-6, 14, (T, BATCH, ticks, NEURONS))
    return x if integer else x / 4


def compare(p: NeuronParameters, x: Any, *, integer: bool) -> int:
    """Run both, compare everything, and return how many spikes there were."""
    ones = [[ScalarNeuron(scalars(p, k, integer=integer)) for k in range(NEURONS)] for _ in range(BATCH)]
    state = initial_state(p, BATCH, (NEURONS,), x.dtype)
    sent = 0
    for t in range(T):
        try:
            need = [[ones[b][k].step(x[t, b, :, k].tolist()) for k in range(NEURONS)] for b in range(BATCH)]
        except TooWide:
            with pytest.raises(StateOverflow):
                step(p, x[t], state)
            return sent
        have = step(p, x[t], state)
        state = have.state
        for b in range(BATCH):
            for k in range(NEURONS):
                train, u_pre, v = need[b][k]
                where = (t, b, k)
                assert have.train[b, :, k].tolist() == train, where
                assert have.u_pre[b, k] == u_pre, where
                assert have.u_post[b, k] == v, where
        sent += int((have.train != 0).sum())
    return sent


@settings(max_examples=300)
@given(st.data())
@pytest.mark.parametrize("integer", [False, True])
def test_equals_the_text(integer: bool, data: st.DataObject) -> None:
    p = data.draw(parameters(integer=integer))
    compare(p, drive(data, data.draw(st.integers(1, 2)), integer), integer=integer)


def test_most_of_these_neurons_fire() -> None:
    rng = np.random.default_rng(0)
    alive = []

    @settings(max_examples=100, database=None)
    @given(parameters(integer=True))
    def count(p: NeuronParameters) -> None:
        p = replace(p, overflow=Overflow.SATURATE)
        alive.append(compare(p, rng.integers(-6, 14, (T, BATCH, 1, NEURONS)), integer=True))

    count()
    assert np.mean([a > 5 for a in alive]) > 0.6
    assert np.mean([a < T * BATCH * NEURONS for a in alive]) > 0.5


@pytest.mark.parametrize("encoding", [Encoding.SPIKES, Encoding.STREAM])
def test_trains(encoding: Encoding) -> None:
    seen = set()

    @given(parameters(integer=True, encodings=(encoding,)), st.integers(0, 2**32 - 1))
    def check(p: NeuronParameters, seed: int) -> None:
        p = replace(p, v_bits=None, i_bits=None)
        x = np.random.default_rng(seed).integers(-6, 14, (BATCH, 2, NEURONS))
        train = step(p, x, initial_state(p, BATCH, (NEURONS,), x.dtype)).train
        assert set(np.unique(train)) <= {0, 1}
        assert np.all(train.sum(axis=1) <= p.max_count)
        assert train.shape[1] == p.fire_ticks
        seen.add(bool(np.all(np.diff(train, axis=1) <= 0)))

    check()
    # Phased trains are ones and then zeros; streams are not.
    assert seen == ({True} if encoding is Encoding.SPIKES else {True, False})


@given(parameters(integer=True, encodings=(Encoding.UNDECIDED, Encoding.SPIKES)), st.integers(0, 2**32 - 1))
def test_forced_counts_are_what_the_neuron_goes_on_with(p: NeuronParameters, seed: int) -> None:
    assume(p.emit == "count")
    p = replace(p, v_bits=None, i_bits=None)
    rng = np.random.default_rng(seed)
    x = rng.integers(-6, 14, (BATCH, 1, NEURONS))
    state = initial_state(p, BATCH, (NEURONS,), x.dtype)
    free = step(p, x, state)
    forced = rng.integers(0, (p.max_count or 5) + 1, (BATCH, NEURONS))
    fired = step(p, x, state, forced=forced)
    assert np.array_equal(fired.own, free.own)
    assert np.array_equal(fired.train.sum(axis=1), forced)
    assert np.array_equal(fired.u_pre, free.u_pre)
    same = step(p, x, state, forced=free.own.sum(axis=1))
    assert all(np.array_equal(same.state[k], free.state[k]) for k in free.state)
    if (
        p.reset_at is ResetAt.SAME
        and p.reset is Reset.SUBTRACT
        and p.clamp_low is None
        and p.clamp_high is None
    ):
        assert np.array_equal(fired.u_post, fired.u_pre - forced * p.rho)


def test_an_unbounded_count_is_exact_for_large_numbers() -> None:
    p = NeuronParameters(theta=np.array(3), rho=np.array(7), max_count=None)
    x = np.array([[[3 + 7 * 10**15 - 1, 3 + 7 * 10**15, 2]]])
    n = step(p, x, initial_state(p, 1, (3,), x.dtype)).train
    assert n.tolist() == [[[10**15, 10**15 + 1, 0]]]


@pytest.mark.parametrize(("rounding", "after"), [(LeakRounding.ZERO, -2), (LeakRounding.FLOOR, -3)])
def test_leaks_round(rounding: LeakRounding, after: int) -> None:
    p = NeuronParameters(
        theta=np.array(99), leak=np.array(1), leak_shift=1, leak_rounding=rounding, v_init=np.array(-5)
    )
    zero = np.zeros((1, 1, 1), np.int64)
    assert step(p, zero, initial_state(p, 1, (1,), zero.dtype)).u_pre.item() == after


@pytest.mark.parametrize(
    ("overflow", "v", "post"),
    [(Overflow.SATURATE, 7, 4), (Overflow.WRAP, -6, -6), (Overflow.ERROR, None, None)],
)
def test_widths(overflow: Overflow, v: int | None, post: int | None) -> None:
    p = NeuronParameters(theta=np.array(3), rho=np.array(3), v_bits=4, overflow=overflow)
    x = np.full((2, 1, 3), 10) * np.array([0, 1]).reshape(2, 1, 1)
    state = initial_state(p, 2, (3,), x.dtype)
    if v is None:
        with pytest.raises(StateOverflow) as error:
            step(p, x, state, "conv1 (Neuron, net.lif)")
        assert str(error.value) == (
            "conv1 (Neuron, net.lif): the potential of neuron (0,) reaches 10 in sample 1; "
            "its width holds -8..7\n"
            "  hint: quantize with a wider state, or with overflow 'saturate'"
        )
        return
    fired = step(p, x, state)
    assert fired.u_pre[1].tolist() == [v] * 3
    assert fired.u_post[1].tolist() == [post] * 3
    assert fired.saturations == 3


def test_refractory_neurons_stand_still() -> None:
    p = NeuronParameters(leak=np.array(0.5), reset=Reset.VALUE, v_reset=np.array(0.25), refractory=2)
    state = initial_state(p, 1, (1,), np.dtype(float))
    seen = []
    for _ in range(7):
        fired = step(p, np.ones((1, 1, 1)), state)
        state = fired.state
        seen.append((int(fired.train.item()), fired.u_pre.item()))
    assert seen == [(1, 1), (0, 0.25), (0, 0.25), (1, 1.125), (0, 0.25), (0, 0.25), (1, 1.125)]


@pytest.mark.parametrize("reset_at", [ResetAt.NEXT, ResetAt.NEXT_BEFORE_INPUT])
def test_a_late_reset_and_a_rest_exclude_each_other(reset_at: ResetAt) -> None:
    p = NeuronParameters(reset=Reset.VALUE, reset_at=reset_at, refractory=1)
    assert "needs the reset of the same timestep" in next(neuron_problems(p, is_integer=False))
