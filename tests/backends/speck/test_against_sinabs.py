"""Integers, memory and cores against sinabs's own code, and the configuration that it would write."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.speck import limits
from snncc.backends.speck.config import core_fields
from snncc.backends.speck.cores import contests, feasible, matching
from snncc.backends.speck.limits import Words, words_of
from snncc.backends.speck.mapped import mapped, words_of_layer
from snncc.backends.speck.scale import Reals, discretized, lowest, scale_of
from snncc.ir import Array, Neuron, Reset, SpikeGraph
from tests.backends.speck.networks import drawn
from tests.backends.speck.standin import sinabs_backend

LARGEST = 15.5
"""Of log2 of the words that a layer needs."""


@pytest.fixture(scope="module")
def backend() -> Any:
    return sinabs_backend()


def drawn_layer(seed: int) -> Reals:
    """The reals of a layer, of very different sizes, some of them with ties."""
    rng = np.random.default_rng(seed)
    features, channels, size = rng.integers(1, 7), rng.integers(1, 7), rng.integers(1, 4)
    shape = (features, channels, size, size)
    weight = rng.normal(0, 10.0 ** rng.uniform(-3, 2), shape)
    if rng.random() < 0.3:
        weight = np.rint(rng.normal(0, 40, shape)) / 2  # on a grid: many ties
    if rng.random() < 0.1:
        weight = -np.abs(weight)
    theta = float(np.abs(weight).max() * 10.0 ** rng.uniform(-0.5, 2.8))
    bias = rng.normal(0, 10.0 ** rng.uniform(-1, 1), features) * weight.std()
    x = Reals(
        weight=weight,
        bias=bias if rng.random() < 0.6 else None,
        theta=theta,
        low=-theta * float(rng.uniform(0, 2)) if rng.random() < 0.5 else None,
        state=rng.uniform(-1, 1, (features, 3, 3)) * theta if rng.random() < 0.3 else None,
    )
    return x if x.low is not None else Reals(x.weight, x.bias, theta, lowest(x), x.state)


def by_sinabs(backend: Any, x: Reals) -> tuple[Any, Any]:
    """Convolution and neuron that sinabs makes of *x*."""
    import sinabs.layers as sl
    import torch

    features, channels, size, _ = x.weight.shape
    conv = torch.nn.Conv2d(channels, features, size, bias=x.bias is not None)
    conv.weight.data = torch.tensor(x.weight, dtype=torch.float32)
    if x.bias is not None:
        assert conv.bias is not None
        conv.bias.data = torch.tensor(x.bias, dtype=torch.float32)
    neuron = sl.IAFSqueeze(batch_size=1, spike_threshold=torch.tensor(x.theta), min_v_mem=x.low)
    if x.state is not None:
        neuron.v_mem = torch.tensor(x.state, dtype=torch.float32)[None]
    return backend.discretize.discretize_conv_spike(conv, neuron)


def test_integers_of_400_layers(backend: Any) -> None:
    rounded = 0
    for seed in range(400):
        x = drawn_layer(seed)
        mine, (conv, neuron) = discretized(x), by_sinabs(backend, x)
        np.testing.assert_array_equal(conv.weight.detach().numpy(), mine.weight, err_msg=str(seed))
        if mine.bias is not None:
            np.testing.assert_array_equal(conv.bias.detach().numpy(), mine.bias, err_msg=str(seed))
        assert (int(neuron.spike_threshold), int(neuron.min_v_mem)) == (mine.theta, mine.low), seed
        if mine.state is not None:
            np.testing.assert_array_equal(neuron.v_mem[0].numpy(), mine.state, err_msg=str(seed))
        assert -128 <= mine.weight.min() <= mine.weight.max() <= 127
        assert mine.theta < 2**15
        rounded += int(np.unique(mine.weight).size > 3)
    assert rounded > 250


def test_the_lowest_bound_costs_no_precision() -> None:
    """Its integer is -32768, and the scale is what it is without any bound."""
    for seed in range(200):
        x = drawn_layer(seed)
        free = Reals(x.weight, x.bias, x.theta, None, x.state)
        bounded = Reals(x.weight, x.bias, x.theta, lowest(free), x.state)
        assert scale_of(bounded) == scale_of(free)
        assert discretized(bounded).low == -(2**15)


def test_memory_of_400_layers(backend: Any) -> None:
    import sinabs.layers as sl
    import torch

    rng = np.random.default_rng(0)
    for _ in range(400):
        channels, features = (int(n) for n in rng.integers(1, 70, 2))
        size, pad = int(rng.integers(1, 9)), int(rng.integers(0, 4))
        side = (int(rng.integers(size, 60)), int(rng.integers(size, 60)))
        stride = (int(rng.choice([1, 2, 4])), int(rng.choice([1, 2, 4])))
        has_bias = bool(rng.random() < 0.5)
        conv = torch.nn.Conv2d(channels, features, size, stride=stride, padding=pad, bias=has_bias)
        layer = backend.dynapcnn_layer.DynapcnnLayer(
            *(conv, sl.IAFSqueeze(batch_size=1), (channels, *side)), pool=[(1, 1)], discretize=False
        )
        neurons = tuple((n + 2 * pad - size) // s + 1 for n, s in zip(side, stride, strict=True))
        mine = words_of((features, channels, size, size), (features, *neurons), has_bias=has_bias)
        theirs = {name: int(words) for name, words in layer.memory_summary().items()}
        assert theirs == {"kernel": mine.kernel, "neuron": mine.neuron, "bias": mine.bias}


def test_the_cores_are_those_of_sinabs(backend: Any) -> None:
    theirs = backend.chips.speck2f.Speck2FConfigBuilder.get_constraints()
    mine = [(one.kernel, one.neuron, one.bias) for one in limits.cores()]
    assert mine == [(one.kernel_memory, one.neuron_memory, one.bias_memory) for one in theirs]


def drawn_needs(rng: np.random.Generator) -> list[Words]:
    """Layers of which most fit somewhere: about half of the instances have a mapping."""
    return [
        Words(int(2 ** rng.uniform(11, LARGEST)), int(2 ** rng.uniform(11, LARGEST)), 8)
        for _ in range(int(rng.integers(3, 11)))
    ]


@pytest.mark.parametrize("instances", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_mappings(backend: Any, instances: int) -> None:
    """The same cores where sinabs finds a mapping; where not, sets of layers with too few cores."""
    rng = np.random.default_rng(instances)
    constraints = backend.chips.speck2f.Speck2FConfigBuilder.get_constraints()
    found = 0
    for _ in range(instances):
        needs = drawn_needs(rng)
        options = feasible(needs, limits.cores())
        theirs = [
            backend.mapping.find_chip_layers(
                SimpleNamespace(
                    memory_summary=lambda need=need: {
                        "kernel": need.kernel,
                        "neuron": need.neuron,
                        "bias": need.bias,
                    }
                ),
                constraints,
            )
            for need in needs
        ]
        assert options == theirs
        graph = backend.mapping.make_flow_graph(theirs, len(constraints))
        flow = backend.mapping.edmonds(graph, 0, len(graph) - 1)
        mine, against = matching(options), contests(options)
        try:
            expected = backend.mapping.recover_mapping(flow, len(needs))
        except ValueError:
            assert len(mine) < len(needs)
            assert against
            for one in against:
                assert len(one.layers) > len(one.cores)
                assert {core for layer in one.layers for core in options[layer]} == set(one.cores)
            missing = sum(len(one.layers) - len(one.cores) for one in against)
            assert missing == len(needs) - len(mine)  # every layer too many is in one of the sets
            assert sum(len(one.cores) for one in against) == len({c for one in against for c in one.cores})
        else:
            found += 1
            assert [mine[k] for k in range(len(needs))] == expected
            assert not against
    assert instances // 4 < found < instances * 3 // 4


@pytest.mark.parametrize("seed", range(30))
def test_the_configuration_is_what_sinabs_writes(backend: Any, seed: int) -> None:
    """Each core of a drawn network, by sinabs from the float layer: integers, shapes, cores, destinations."""
    import sinabs.activation as sa
    import sinabs.layers as sl
    import torch

    program = snncc.compile(drawn(seed), target="speck")
    m = mapped(program.graph)
    floats = mapped_floats(program)
    builder = backend.chips.speck2f.Speck2FConfigBuilder
    layers = {}
    for k, layer in enumerate(m.layers):
        weight, bias, state = floats[layer.name]
        features, channels, size, _ = weight.shape
        conv = torch.nn.Conv2d(channels, features, size, layer.stride, layer.padding, bias=bias is not None)
        conv.weight.data = torch.tensor(weight, dtype=torch.float32)
        if bias is not None:
            assert conv.bias is not None
            conv.bias.data = torch.tensor(bias, dtype=torch.float32)
        p = program.stages[-2].graph[layer.name].parameters  # type: ignore[union-attr]
        assert p.clamp_low is not None
        reset = sa.MembraneReset() if p.reset is Reset.VALUE else sa.MembraneSubtract()
        neuron = sl.IAFSqueeze(
            batch_size=1,
            spike_threshold=torch.tensor(float(p.theta)),
            min_v_mem=float(p.clamp_low),
            reset_fn=reset,
        )
        if state is not None:
            neuron.v_mem = torch.tensor(state, dtype=torch.float32)[None]
        pools = [(one.pool, one.pool) for one in m.destinations[layer.name]] or [(1, 1)]
        layers[k] = backend.dynapcnn_layer.DynapcnnLayer(conv, neuron, layer.in_shape, pools)
    cores = backend.mapping.get_valid_mapping(layers, builder.get_constraints())
    names = [layer.name for layer in m.layers]
    assert cores == {k: m.core_of[name] for k, name in enumerate(names)}
    for k, layer in enumerate(m.layers):
        targets = [names.index(one.layer) for one in m.destinations[layer.name]] or [-1]
        theirs = builder.get_dynapcnn_layer_config_dict(layers[k], cores, targets)
        mine = core_fields(m, layer)
        assert {int(w) for f in mine["weights"] for c in f for x in c for w in x} != {0}
        assert mine.pop("layer") == layer.name
        assert mine.pop("monitor_enable") == (layer.name in read_by_output(program.graph))
        theirs.pop("monitor_enable")
        assert theirs.pop("leak_enable") == mine.pop("leak_enable")
        assert mine == theirs
        need = {name: int(words) for name, words in layers[k].memory_summary().items()}
        assert words_of_layer(layer) == Words(**need)


def read_by_output(graph: SpikeGraph) -> set[str]:
    """The neurons whose spikes reach the output with no neuron between."""
    front, found = [graph.outputs[0].inputs[0].source], set()
    while front:
        node = graph.by_name[front.pop()]
        if isinstance(node, Neuron):
            found.add(node.name)
        else:
            front += [wire.source for wire in node.inputs]
    return found


def mapped_floats(program: Any) -> dict[str, tuple[Array, Array | None, Array | None]]:
    """Weights (times what a spike is worth), biases and initial potentials before the last pass."""
    from snncc.backends.speck.layers import layers_of
    from snncc.backends.speck.legalize import reals_of

    graph, found = program.stages[-2].graph, {}
    for layer in layers_of(graph):
        x = reals_of(graph, layer)
        state = None
        if x.state is not None:
            state = np.broadcast_to(x.state, graph.edges[layer.name].shape).reshape(layer.out_shape)
        found[layer.name] = (x.weight, x.bias, state)
    return found
