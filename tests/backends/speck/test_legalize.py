"""The passes on the way to Speck's integers: what each keeps, and what each changes, said and measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.backends.speck.legalize import BoundPotentials, Discretize
from snncc.backends.speck.target import EXACT, Speck
from snncc.backends.target import DoesNotFit, Options
from snncc.errors import CannotLower
from snncc.ir import (
    Affine,
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Output,
    Pool,
    Reset,
    ResetAt,
    SpikeGraph,
    wires,
)
from snncc.passes import FoldThresholds, MultiSpike, run_passes
from snncc.quantization import beyond_rounding
from tests.backends.speck.limits import conv, network, neuron
from tests.backends.speck.networks import chain, data, drawn

HUGE = np.array(1e6)


def counts(graph: SpikeGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    names = [node.name for node in graph.neurons]
    run = snncc.reference.run(graph, x, timesteps=len(x), record=names)
    return {name: run.records[name].train for name in names}


@pytest.mark.parametrize("seed", range(20))
def test_one_threshold_a_layer_changes_no_spike(seed: int) -> None:
    graph = drawn(seed)
    folded = FoldThresholds()(graph)
    folded.verify()
    before, after = counts(graph, data(graph, seed)), counts(folded, data(graph, seed))
    for node in folded.neurons:
        assert node.parameters.theta.ndim == 0
        assert not np.any(node.parameters.bias)
        np.testing.assert_array_equal(after[node.name], before[node.name])
    assert sum(train.sum() for train in before.values()) > 50


@pytest.mark.parametrize(
    ("reset", "reset_at", "is_moved"),
    [
        (Reset.SUBTRACT, ResetAt.NEXT, True),
        (Reset.SUBTRACT, ResetAt.NEXT_BEFORE_INPUT, True),
        (Reset.VALUE, ResetAt.NEXT_BEFORE_INPUT, True),
        (Reset.VALUE, ResetAt.NEXT, False),
    ],
)
def test_a_late_reset_is_brought_forward_where_that_is_the_same(
    reset: Reset, reset_at: ResetAt, is_moved: bool
) -> None:
    """The one case that is left alone does differ: the input of the next timestep is lost with the reset."""
    graph = chain(max_count=1, reset=reset, reset_at=reset_at)
    x = np.repeat(data(graph, 0), 4, axis=0)
    node = FoldThresholds()(graph)["n1"]
    assert isinstance(node, Neuron)
    assert (node.parameters.reset_at is ResetAt.SAME) == is_moved
    moved = graph.with_nodes(
        replace(one, parameters=replace(one.parameters, reset_at=ResetAt.SAME))
        if isinstance(one, Neuron)
        else one
        for one in graph.nodes
    )
    before, after = counts(graph, x), counts(moved, x)
    assert before["n1"].sum() > 100
    assert np.array_equal(before["n1"], after["n1"]) == is_moved


def test_many_spikes_send_what_single_spikes_keep_for_later() -> None:
    """Driven by 3 thresholds for one timestep of four: 1, 1, 1, 0 becomes 3, 0, 0, 0."""
    graph = SpikeGraph(
        name="one",
        timesteps=4,
        nodes=(
            Input(name="x", shape=(1,), kind=Kind.SPIKE),
            Dense(name="d", inputs=wires("x"), weight=np.array([[3.0]])),
            Neuron(name="n", inputs=wires("d"), parameters=NeuronParameters()),
            Output(name="y", inputs=wires("n")),
        ),
    )
    x = np.array([1, 0, 0, 0]).reshape(4, 1, 1)
    assert counts(graph, x)["n"].reshape(-1).tolist() == [1, 1, 1, 0]
    assert counts(MultiSpike()(graph), x)["n"].reshape(-1).tolist() == [3, 0, 0, 0]
    program = snncc.compile(graph, target="speck")
    stage = next(s for s in snncc.verify(program, None, x).stages if s.name == "multi-spike")
    assert stage.claim.value == "approximate"
    assert stage.differing == 3


def test_bounded_counts_are_left_alone() -> None:
    graph = chain(max_count=4)
    assert MultiSpike()(graph)["n1"].parameters == graph["n1"].parameters  # type: ignore[union-attr]


def test_a_user_without_a_lower_clamp_gets_the_least_that_16_bits_hold() -> None:
    graph = snncc.compile(chain(), target="speck").graph
    for node in graph.neurons:
        assert node.parameters.clamp_low == -(2**15)
    conv = graph["conv"]
    assert isinstance(conv, Conv)
    assert np.abs(conv.weight.astype(int)).max() in (127, 128)  # the trap would have made them all 0


def test_a_clamp_of_zero_becomes_one_step_below() -> None:
    graph = snncc.compile(chain(clamp_low=np.array(0.0)), target="speck").graph
    node = graph["n1"]
    assert isinstance(node, Neuron)
    assert node.parameters.clamp_low == -1


def test_the_audit_finds_nothing_in_the_discretization_and_every_other_change() -> None:
    """Also in a layer of 20,000 weights, some of which lie on a tie in float32 only."""
    rng = np.random.default_rng(5)
    theta = np.array(131.7)
    graph = network(
        replace(conv("c", "x", 64, 32), weight=rng.normal(size=(64, 32, 3, 3))),
        neuron("n", "c", theta=theta, rho=theta, v_init=rng.uniform(-1, 1, (64, 6, 6)) * theta),
        shape=(32, 8, 8),
    )
    stages = run_passes(graph, (*EXACT, MultiSpike(), BoundPotentials(), Discretize()))
    before, after = stages[-2].graph, stages[-1].graph
    assert list(beyond_rounding(before, after)) == []
    layer = after["c"]
    assert isinstance(layer, Conv)
    weight = layer.weight.astype(np.int64)
    weight[3, 2, 1, 0] += 1 if weight[3, 2, 1, 0] <= 0 else -1
    changed = after.with_nodes(replace(n, weight=weight) if n is layer else n for n in after.nodes)
    assert len(list(beyond_rounding(before, changed))) == 1


def test_averages_go_into_the_weights_of_the_layer_behind() -> None:
    """An average of 4 is a sum with weights of a quarter: the same integers, another scale."""

    def head(is_average: bool) -> SpikeGraph:
        theta = np.array(1.0 if is_average else 4.0)
        graph = network(
            conv("a", "x", 3, 2, 1),
            neuron("n", "a"),
            Pool(name="p", inputs=wires("n"), kernel=(2, 2), stride=(2, 2), is_average=is_average),
            conv("b", "p", 2, 3),
            neuron("o", "b", theta=theta, rho=theta),
        )
        return snncc.compile(graph, target="speck").graph

    average, total = head(True), head(False)
    for name in ("b", "o"):
        one, other = average[name], total[name]
        if isinstance(one, Conv) and isinstance(other, Conv):
            np.testing.assert_array_equal(one.weight, other.weight)
            assert one.weight_scale == pytest.approx(other.weight_scale)
        elif isinstance(one, Neuron) and isinstance(other, Neuron):
            assert one.parameters.theta == other.parameters.theta


def test_batch_normalization_keeps_its_epsilon() -> None:
    """An affine of any gain behind the convolution is the convolution with scaled weights."""
    gain = np.array([0.5, 2.0, -1.5, 1.0])[:, None, None]
    first = conv("c", "x", 4, 2)
    folded = network(replace(first, weight=first.weight * gain[..., None]), neuron("n", "c"))
    whole = network(first, Affine(name="bn", inputs=wires("c"), gain=gain), neuron("n", "bn"))
    one, other = (snncc.compile(graph, target="speck").graph["c"] for graph in (folded, whole))
    assert isinstance(one, Conv)
    assert isinstance(other, Conv)
    np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.parametrize(
    ("graph", "left"),
    [
        (network(conv("c", "x", 4, 2), neuron("n", "c", theta=HUGE, rho=HUGE)), "weights"),
        (
            network(replace(conv("c", "x", 4, 2), weight=HUGE * np.ones((4, 2, 3, 3))), neuron("n", "c")),
            "threshold",
        ),
    ],
)
def test_layers_of_which_nothing_is_left_are_refused(graph: SpikeGraph, left: str) -> None:
    (problem,) = snncc.check(graph, "speck")
    assert (problem.where, problem.what) == ("c (Conv)", f"steps of its {left}")
    assert problem.hint
    with pytest.raises(DoesNotFit, match=f"c \\(Conv\\): steps of its {left}: needs more than .* for 1, has"):
        snncc.compile(graph, target="speck")
    with pytest.raises(
        CannotLower, match=f"c \\(Conv\\): steps of its {left}: needs more than .* for 1, has"
    ):
        run_passes(graph, Speck().passes(Options()))


def test_all_such_layers_are_listed_beside_the_rest() -> None:
    """The scale that is asked for is the least: with a little more, something is left."""
    tiny = {"theta": HUGE, "rho": HUGE}
    graph = network(
        *(conv("a", "x", 4, 2), neuron("n", "a", **tiny)),
        *(conv("b", "n", 4, 4), neuron("leaky", "b", leak=np.array(0.5))),
        *(conv("c", "leaky", 4, 4), neuron("m", "c", **tiny)),
    )
    found = [(one.where, one.what) for one in snncc.check(graph, "speck")]
    assert found == [
        ("leaky (Neuron)", "leak"),
        ("a (Conv)", "steps of its weights"),
        ("c (Conv)", "steps of its weights"),
    ]
    (_, first, _) = snncc.check(graph, "speck")
    need, have = float(first.need.split()[2]), float(first.have.split(",")[0])
    assert have < need
    assert np.abs(graph["a"].weight).max() * need == pytest.approx(0.5, rel=1e-5)  # type: ignore[union-attr]


def test_discretizing_twice_is_refused() -> None:
    graph = snncc.compile(chain(), target="speck").graph
    with pytest.raises(CannotLower, match="integer graph already"):
        Discretize()(graph)
