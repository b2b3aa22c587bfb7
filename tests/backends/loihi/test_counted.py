"""What a refused network needs of the chip is counted beside what it is refused for, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.backends.loihi.counted import counted
from snncc.backends.loihi.remnant import remnant
from snncc.backends.loihi.target import Loihi, as_assumed
from snncc.backends.target import DoesNotFit, Options
from snncc.chips import Chip, load_chip
from snncc.errors import CannotLower
from snncc.ir import (
    Affine,
    Conv,
    Dense,
    DynamicSynapse,
    Emit,
    Gate,
    Input,
    Kind,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pad,
    Pool,
    Product,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.mapping import DoesNotFitChip
from snncc.passes import run_passes
from tests.backends.loihi.graphs import case

T = 4
FIRES = NeuronParameters(theta=np.array(0.5), rho=np.array(0.5))
COUNTS = replace(FIRES, max_count=4)
WAITS = replace(FIRES, refractory=2)
Found = tuple[str, str, str, str]


def chip_with(cores: int = 2, **limits: int) -> Chip:
    chip = load_chip("loihi2")
    fabric = replace(chip.fabric, columns=cores, rows=1, cores_per_tile=1)
    return replace(chip, fabric=fabric, cores=(replace(chip.cores[0], **limits),) * cores)


def dense(name: str, source: str, shape: tuple[int, int]) -> Dense:
    weight = np.random.default_rng(shape[1]).normal(0.2, 0.5, shape)
    return Dense(name=name, inputs=wires(source), weight=weight)


def conv(name: str, source: str, out: int, channels: int) -> Conv:
    weight = np.random.default_rng(out).normal(0.2, 0.5, (out, channels, 3, 3))
    return Conv(name=name, inputs=wires(source), weight=weight, padding=(1, 1, 1, 1))


def fires(name: str, source: str, parameters: NeuronParameters = FIRES) -> Neuron:
    return Neuron(name=name, inputs=wires(source), parameters=parameters)


def network(*nodes: Node, shape: tuple[int, ...] = (100,)) -> SpikeGraph:
    entry = Input(name="x", shape=shape, kind=Kind.SPIKE)
    end = Output(name="y", inputs=wires(nodes[-1].name), over=Over.SUM)
    graph = SpikeGraph((entry, *nodes, end), timesteps=T)
    graph.verify()
    return graph


def refusal(graph: SpikeGraph, chip: Chip, stretch: int = 1) -> list[Found]:
    """What `compile` says; `check` says the same."""
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(graph, target="loihi", chip=chip, stretch=stretch)
    found = list(caught.value.problems)
    assert snncc.check(graph, "loihi", chip=chip, stretch=stretch) == found
    assert all(one.hint for one in found)
    return [(one.where, one.what, one.need, one.have) for one in found]


@pytest.mark.parametrize("number", [n for n in range(10) if n != 1])
def test_what_is_counted_without_compiling_is_what_compiling_counts(number: int) -> None:
    """Of networks without obstacles; number 1 has an analog input, for which weights get narrower."""
    one = case(number)
    target, seen = Loihi(one.stretch), 0
    for chip in (chip_with(neurons=9), chip_with(in_axons=8, synapse_bits=700)):
        options = Options(chip=chip, timesteps=one.graph.timesteps, encoding=one.encoding)
        graph = run_passes(one.graph, target.first_passes(options))[-1].graph
        passes = target.passes(as_assumed(graph, options))
        found = counted(remnant(graph, (), bare=False), chip, passes, one.stretch)
        have = {(p.where, p.what, p.need, p.have) for p in found}
        need = set()
        try:
            snncc.compile(
                one.graph, target="loihi", chip=chip, stretch=one.stretch, encoding=one.encoding.value
            )
        except DoesNotFitChip as error:
            need = {(u.where, u.resource.replace("_", " "), str(u.need), str(u.have)) for u in error.usages}
        assert have == need
        seen += len(need)
    assert seen


def test_memory_and_axons_beside_a_misfit_by_hand() -> None:
    """One neuron of ``n``: 100 axons of one weight, 8 + 10 bits in a word of 64. Inputs are on cores."""
    layers = dense("w", "x", (5, 100)), fires("n", "w", WAITS), dense("v", "n", (40, 5)), fires("m", "v")
    assert refusal(network(*layers), chip_with(in_axons=64, synapse_bits=6000, neurons=60)) == [
        ("n (Neuron)", "refractory time", "2", "0"),
        ("n, one neuron", "synapse bits", "6400", "6000"),
        ("n, one neuron", "in axons", "100", "64"),
        ("the network", "cores", "3", "2"),
        ("the network", "neurons", "145", "120"),
    ]
    # w: 100 axons of 5 weights, 50 bits: one word each; v: 5 axons of 40 weights, 330 bits: 6 words each
    assert refusal(network(*layers), chip_with(synapse_bits=4000))[1:] == [
        ("n, one neuron", "synapse bits", "6400", "4000"),
        ("the network", "cores", "3", "2"),
        ("the network", "synapse bits", str((100 + 5 * 6) * 64), "8000"),
    ]
    assert refusal(network(*layers), load_chip("loihi2")) == [("n (Neuron)", "refractory time", "2", "0")]


W, K = dense("w", "x", (6, 100)), dense("k", "x", (6, 100))
SPIKES = W, fires("a", "w"), K, fires("b", "k")
PRODUCT = (
    *(W, fires("a", "w", COUNTS), K, fires("b", "k", COUNTS)),
    Reshape(name="ra", inputs=wires("a"), shape=(2, 3)),
    Reshape(name="rb", inputs=wires("b"), shape=(3, 2)),
    DynamicSynapse(name="m", inputs=wires("ra", "rb"), product=Product.MATMUL, first=1),
    Reshape(name="flat", inputs=wires("m"), shape=(4,)),
)
GAINS = np.arange(1.0, 1 + T).reshape(T, 1)


@pytest.mark.parametrize(
    ("nodes", "refused", "layers", "neurons"),
    [
        # sums that are multiplied, compared or read as they are count as neurons, as those they would need
        ((W, K, Mul(name="m", inputs=wires("w", "k")), fires("n", "m")), "m", "wk", 6 * 3),
        ((W, K, Maximum(name="m", inputs=wires("w", "k")), fires("n", "m")), "m", "wk", 6 * 3),
        ((W, dense("m", "w", (9, 6)), fires("n", "m")), "m", "nw", 6 + 9),
        # gains and masks are passed by
        (
            (W, Affine(name="m", inputs=wires("w"), gain=GAINS, per_timestep=True), fires("n", "m")),
            "m",
            "n",
            6,
        ),
        (
            (*SPIKES, Gate(name="m", inputs=wires("a", "b")), dense("v", "m", (7, 6)), fires("n", "v")),
            *("m", "abn", 6 + 6 + 7),
        ),
        # operands are layers like others, and what reads the result reads events
        (
            (*PRODUCT, dense("v", "flat", (7, 4)), fires("n", "v")),
            *("m", "abn", 6 + 6 + 7),
        ),
        ((W, fires("m", "w", replace(FIRES, emit=Emit.RELU))), "m", "m", 6),
        (
            (W, fires("m", "w", replace(FIRES, max_count=None)), dense("v", "m", (7, 6)), fires("n", "v")),
            "m",
            "mn",
            13,
        ),
        ((replace(W, name="m", delay=np.ones((6, 100), np.int64)), fires("n", "m")), "m", "n", 6),
    ],
)
def test_layers_beside_what_is_left_out_are_counted(
    nodes: tuple[Node, ...], refused: str, layers: str, neurons: int
) -> None:
    chip = chip_with(in_axons=3, neurons=100)
    found = refusal(network(*nodes), chip)
    assert {where.partition(" ")[0] for where, what, *_ in found if "axons" not in what} == {refused}
    assert {where.partition(",")[0] for where, what, *_ in found if what == "in axons"} == set(layers)
    small = chip_with(cores=100, neurons=1)
    assert ("the network", "neurons", str(100 + neurons), "100") in refusal(network(*nodes), small)


def test_pooled_sums_and_counts() -> None:
    """``p``: 3 x 6 x 6 neurons before a pool, as the hint says, and 3 x 4 x 4 behind it."""
    pool = Pool(
        name="p", inputs=wires("w"), kernel=(2, 2), stride=(2, 2), is_average=True, padding=(1, 1, 1, 1)
    )
    rest = conv("u", "a", 4, 3), fires("b", "u")
    found = refusal(
        network(conv("w", "x", 3, 2), pool, fires("a", "p"), *rest, shape=(2, 6, 6)), chip_with(neurons=10)
    )
    assert ("the network", "neurons", str(72 + 108 + 48 + 64), "20") in found
    largest = MaxPool(name="p", inputs=wires("a"), kernel=(2, 2), stride=(2, 2))
    rest = conv("u", "p", 4, 3), fires("b", "u")
    found = refusal(
        network(conv("w", "x", 3, 2), fires("a", "w", COUNTS), largest, *rest, shape=(2, 6, 6)),
        chip_with(neurons=10, in_axons=5),
    )
    assert {("a, one neuron", "in axons", "18", "5"), ("b, one neuron", "in axons", "27", "5")} < set(found)
    assert ("the network", "neurons", str(72 + 108 + 36), "20") in found


def test_loops_and_registers_are_listed_beside_nodes() -> None:
    late = replace(FIRES, theta=np.array(1e7), rho=np.array(1e7))
    graph = network(
        *(
            dense("w", "x", (6, 100)),
            Neuron(name="a", inputs=(Wire("w"), Wire("r", delay=1)), parameters=FIRES),
        ),
        *(dense("v", "a", (6, 6)), fires("b", "v"), dense("r", "b", (6, 6))),
        *(dense("u", "b", (6, 6)), fires("c", "u", late)),
        *(dense("t", "c", (6, 6)), fires("d", "t", WAITS)),
    )
    found = [(where, what) for where, what, *_ in refusal(graph, load_chip("loihi2"))]
    assert found == [
        ("d (Neuron)", "refractory time"),
        ("a -> b -> a", "delays of the loop in chip steps"),
        ("c (Neuron)", "threshold"),
    ]
    assert ("a -> b -> a", "delays of the loop in chip steps") not in [
        (where, what) for where, what, *_ in refusal(graph, load_chip("loihi2"), stretch=2)
    ]


def test_what_is_left_out_is_said() -> None:
    graph = network(W, K, Mul(name="m", inputs=wires("w", "k")), fires("n", "m"))
    (problem,) = snncc.check(graph, "loihi")
    assert problem.hint.endswith("limits of the chip are counted without it")


def test_padded_sums() -> None:
    pad = Pad(name="p", inputs=wires("w"), padding=(1, 1, 1, 1))
    graph = network(conv("w", "x", 3, 2), pad, fires("n", "p"), shape=(2, 6, 6))
    found = refusal(graph, chip_with(cores=100, neurons=1))
    assert found[0] == ("p (Pad)", "padding of currents", "sums before the neuron", "sums of spikes")
    assert ("the network", "neurons", str(72 + 3 * 36 + 3 * 64), "100") in found


def test_a_rest_that_cannot_be_counted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(graph: SpikeGraph) -> None:
        raise CannotLower("v (Dense): is strange", hint="leave it out")

    monkeypatch.setattr("snncc.backends.loihi.counted.network_of", stops)
    graph = network(W, fires("n", "w", WAITS))
    (_, problem) = snncc.check(graph, "loihi")
    assert (problem.where, problem.what, problem.need) == (graph.name, "limits of the chip", "all layers")
    assert "none counted" in problem.have
    assert "v (Dense): is strange" in problem.have
    assert problem.hint == "leave it out"


def test_integer_graphs_are_counted_as_they_are() -> None:
    graph = snncc.compile(network(W, fires("n", "w", COUNTS)), target="loihi").graph
    late = graph.with_nodes(
        replace(node, parameters=replace(node.parameters, refractory=2)) if isinstance(node, Neuron) else node
        for node in graph
    )
    found = [(p.where, p.what, p.need) for p in snncc.check(late, "loihi", chip=chip_with(synapse_bits=6000))]
    assert found == [("n (Neuron)", "refractory time", "2"), ("n, one neuron", "synapse bits", "6400")]
