"""Plain neurons: every spike of the neuron that leaks or resets in another order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import Input, Neuron, NeuronParameters, Order, Output, Reset, ResetAt, SpikeGraph, wires
from snncc.passes import PlainNeurons
from snncc.reference import run

T, BATCH, SIZE = 30, 3, 5
NEAR = 1e-9


def graph_of(p: NeuronParameters) -> SpikeGraph:
    nodes = (
        Input(name="x", shape=(SIZE,)),
        Neuron(name="n", inputs=wires("x"), parameters=p),
        Output(name="y", inputs=wires("n")),
    )
    return SpikeGraph(nodes, timesteps=T)


@st.composite
def neurons(draw: st.DrawFn) -> NeuronParameters:
    leak = draw(st.sampled_from([0.25, 0.5, 0.9, 1.0]))
    count = draw(st.sampled_from([1, 3]))
    return NeuronParameters(
        theta=np.asarray(draw(st.sampled_from([0.7, 1.0]))),
        rho=np.asarray(draw(st.sampled_from([0.6, 1.0]))),
        leak=np.asarray(leak),
        leak_i=np.asarray(draw(st.sampled_from([0.0, 0.5]))),
        i_init=np.asarray(draw(st.sampled_from([0.0, 0.3]))),
        v_init=np.asarray(draw(st.sampled_from([0.0, 0.2]))),
        v_reset=np.asarray(draw(st.sampled_from([0.0, -0.3]))),
        bias=np.asarray(draw(st.sampled_from([0.0, 0.11]))),
        order=draw(st.sampled_from(list(Order))),
        reset=draw(st.sampled_from(list(Reset))),
        reset_at=draw(st.sampled_from(list(ResetAt))),
        strict=draw(st.booleans()),
        max_count=count,
        clamp_low=np.asarray(-0.5) if draw(st.booleans()) else None,
    )


@given(neurons(), st.integers(0, 1 << 30))
@settings(max_examples=200)
def test_spikes_stay_and_the_form_is_plain(p: NeuronParameters, seed: int) -> None:
    graph = graph_of(p)
    after = PlainNeurons()(graph)
    after.verify()
    plain = after.neurons[0].parameters
    is_late = p.reset_at is not ResetAt.SAME and p.reset is not Reset.NONE
    cannot = is_late and (p.clamp_low is not None or (p.reset, p.reset_at) == (Reset.VALUE, ResetAt.NEXT))
    assert (plain.reset_at is ResetAt.SAME) == (not cannot)
    stays = p.order is Order.INTEGRATE_FIRST and plain.reset_at is ResetAt.NEXT_BEFORE_INPUT
    assert (plain.order is Order.LEAK_FIRST) == (not stays)
    x = np.random.default_rng(seed).normal(2.0, 2.0, (T, BATCH, SIZE))
    need, have = (run(g, x, timesteps=T, record=["n"]).records["n"] for g in (graph, after))
    assert need.train.any()
    assert need.u_pre is not None
    assert have.u_pre is not None
    differs = (need.train != have.train).any(axis=2)
    steps = p.step_values().reshape(-1)
    gap = np.abs(need.u_pre[..., None] - steps).min(axis=-1)
    # A near tie may fall either way, and then everything behind it.
    tied = np.logical_or.accumulate(gap < NEAR, axis=0)
    assert not (differs & ~tied).any()
    assert tied.mean() < 0.5


@pytest.mark.parametrize(
    "changes",
    [{"clamp_low": np.zeros(())}, {"refractory": 2}, {"leak": np.zeros(())}, {"max_count": None}],
)
def test_what_has_no_plain_form_stays(changes: dict[str, object]) -> None:
    p = NeuronParameters(reset_at=ResetAt.NEXT, **changes)  # type: ignore[arg-type]
    assert PlainNeurons()(graph_of(p)).neurons[0].parameters == p


def test_thresholds_are_divided_by_a_leak_that_came_after_the_input() -> None:
    p = NeuronParameters(order=Order.INTEGRATE_FIRST, leak=np.asarray(0.5))
    plain = PlainNeurons()(graph_of(p)).neurons[0].parameters
    assert (plain.order, float(plain.theta), float(plain.rho)) == (Order.LEAK_FIRST, 2.0, 2.0)
