"""The networks of the five papers, small, and all that stands between each of them and a chip.

A remedy changes the graph such that some obstacles are gone, and no others come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn

import snncc
from examples.seeds import asa, hsd, razor
from examples.seeds.common import ResidualNet
from snncc.ir import Conv, Input, Kind, Neuron, NeuronParameters, Node, Output, SpikeGraph, wires
from snncc.nn import QCFS, SFA, SRIF
from snncc.nn.models.espikeformer import Downsample, TransformerBlock
from snncc.passes.rewrite import without
from tests.nn.test_espikeformer import livened

Obstacle = tuple[str, str]
"""The layer, and what is wrong with it."""
Edit = Callable[[SpikeGraph], SpikeGraph]
IF = NeuronParameters(theta=np.array(0.5), rho=np.array(0.5), max_count=1)


@dataclass(frozen=True)
class Remedy:
    """What takes the obstacles *against* away, by target."""

    edit: Edit
    against: Mapping[str, frozenset[Obstacle]]


def remedy(edit: Edit, *, loihi: str = "", speck: str = "") -> Remedy:
    """Obstacles as ``layer: what``, apart by semicolons."""

    def parsed(text: str) -> frozenset[Obstacle]:
        pairs = (one.strip().partition(": ") for one in text.split(";") if one.strip())
        return frozenset((layer, what) for layer, _, what in pairs)

    return Remedy(edit, {"loihi": parsed(loihi), "speck": parsed(speck)})


@dataclass(frozen=True)
class Case:
    """A network, the shape of its data, and all that keeps it from the chips."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    remedies: tuple[Remedy, ...] = ()


@cache
def traced(name: str) -> tuple[nn.Module, Tensor, SpikeGraph]:
    """The model, with statistics under which all layers spike; its data; its graph."""
    case = CASES[name]
    torch.manual_seed(3)
    if len(case.shape) == 4:
        x = torch.randn(*case.shape)
        model = livened(case.make(), x)
        return model, x, snncc.trace(model, x, layout="B")
    x = (torch.rand(*case.shape) < 0.35).float()
    model = livened(case.make(), x)
    return model, x, snncc.trace(model, x, layout="TB", input_kind="spike")


def changed(name: str, change: Callable[[Node], Node]) -> Edit:
    """Another node in place of *name*."""

    def edit(graph: SpikeGraph) -> SpikeGraph:
        return graph.with_nodes(change(node) if node.name == name else node for node in graph)

    return edit


def neuron(name: str, change: Callable[[NeuronParameters], NeuronParameters]) -> Edit:
    """Other parameters for the neuron *name*."""

    def new(node: Node) -> Node:
        assert isinstance(node, Neuron)
        return replace(node, parameters=change(node.parameters))

    return changed(name, new)


def left_out(bypass: Mapping[str, str]) -> Edit:
    """Without the keys: who read them reads the values. What nobody reads any more goes, too."""

    def edit(graph: SpikeGraph) -> SpikeGraph:
        nodes = without(graph.nodes, bypass)
        while True:
            read = {wire.source for node in nodes for wire in node.inputs}
            kept = tuple(node for node in nodes if node.name in read or isinstance(node, Output))
            if len(kept) == len(nodes):
                return graph.with_nodes(kept)
            nodes = kept

    return edit


def all_of(*edits: Edit) -> Edit:
    def edit(graph: SpikeGraph) -> SpikeGraph:
        for one in edits:
            graph = one(graph)
        return graph

    return edit


def spiking_output(graph: SpikeGraph) -> SpikeGraph:
    """A neuron before the output."""
    (end,) = graph.outputs
    last = Neuron(
        name="last", inputs=end.inputs, parameters=replace(IF, theta=np.array(0.1), rho=np.array(0.1))
    )
    return graph.with_nodes([*(n for n in graph if n is not end), last, replace(end, inputs=wires("last"))])


SPIKING_OUTPUT = remedy(spiking_output, speck="output: an output of potentials")


def no_leak(name: str) -> Remedy:
    edit = neuron(name, lambda p: replace(p, leak=np.ones(())))
    return remedy(edit, speck=f"{name}: leak")


def plain_if(name: str, what: str) -> Remedy:
    """An integrate-and-fire neuron in place of one of another kind."""
    return remedy(neuron(name, lambda _: IF), speck=f"{name}: {what}")


# ResidualNet: the network of the experiments on SFA, SRIF and HSD.

NEURONS = (
    "block1.neuron1",
    "block1.neuron2",
    "down_neuron",
    "block2.neuron1",
    "block2.neuron2",
    "head_neuron",
)
NO_SKIPS = tuple(
    remedy(
        left_out({f"{block}.add": f"{block}.conv2.1"}),
        speck=f"{block}.add: currents added before a neuron; {source}: readers of its currents",
    )
    for block, source in (("block1", "stem.0"), ("block2", "down.0"))
)


def residual(make: Callable[[], nn.Module], what: str) -> Case:
    """*what* is wrong with each of the neurons on Speck, if anything."""
    others = tuple(plain_if(name, what) for name in NEURONS if what)
    return Case(make, (4, 3, 1, 8, 8), (*NO_SKIPS, *others, SPIKING_OUTPUT))


def qcfs() -> ResidualNet:
    return ResidualNet(partial(QCFS, 4, 2.0, step_mode="m"), width=4)


# Attention over whole trains, and gates of frames.


def attended(stage: int) -> Remedy:
    name = f"stages.{stage}.attention"
    return remedy(
        left_out({name: f"stages.{stage}.synapses.1"}),
        loihi=f"{name}.gain: computation on whole trains; {name}: product of two signals",
        speck=f"{name}.gain: operation; {name}: operation; "
        f"stages.{stage}.synapses.0: readers of its currents",
    )


def gated(stage: int, behind: str) -> Remedy:
    """Without the gate of a stage; *behind* are the obstacles of the layers that read its real numbers."""
    name = f"stages.{stage}.gate"
    return remedy(
        left_out({name: f"{name}.gate", f"{name}.gate": f"stages.{stage - 1}.neuron"}),
        loihi=f"{name}.frames: computation on whole trains; {name}.gain: computation on whole trains; "
        f"{name}.gate: gate over time; {name}: product of two signals",
        speck=f"{name}.frames: operation; {name}.gain: operation; {name}.gate: operation; {name}: operation; "
        + behind,
    )


LEAKY = (no_leak("stages.0.neuron"), no_leak("stages.1.neuron"), SPIKING_OUTPUT)


# One transformer block of the E-SpikeFormer.


class Former(nn.Module):
    """Images [B, 3, 8, 8] to five logits."""

    def __init__(self) -> None:
        super().__init__()
        self.down = Downsample(3, 8, max_count=4, rounding="floor", first=True, stride=2)
        self.block = TransformerBlock(8, max_count=4, rounding="floor")
        self.neuron = SFA(4, norm=1.0)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.neuron(self.block(self.down(x)).mean((2, 3))))
        return y


def without_attention(graph: SpikeGraph) -> SpikeGraph:
    """A convolution in place of the attention."""
    name, source = "block.attention.out.1", "block.attention.neuron"
    weight = np.random.default_rng(0).normal(0.01, 0.02, (8, 8, 1, 1))
    conv = Conv(name=name, inputs=wires(source), weight=weight)
    inner = [n.name for n in graph if n.name.startswith("block.attention.")]
    inner = inner[1 : inner.index(name)]
    return graph.with_nodes(conv if n.name == name else n for n in graph if n.name not in inner)


def pooled_spikes(graph: SpikeGraph) -> SpikeGraph:
    """The mean over the map of what the last neuron sends, not of what it receives."""
    table: dict[str, Node] = {
        "mean": replace(graph["neuron"], inputs=graph["mean"].inputs),
        "reshape": replace(graph["mean"], inputs=wires("neuron")),
        "neuron": graph["reshape"],
        "head": replace(graph["head"], inputs=wires("reshape")),
    }
    return graph.with_nodes(table.get(node.name, node) for node in graph)


def one_kernel(node: Node) -> Node:
    """A depthwise convolution as a dense one."""
    assert isinstance(node, Conv)
    weight = np.zeros((len(node.weight), len(node.weight), *node.weight.shape[2:]))
    weight[range(len(weight)), range(len(weight))] = node.weight[:, 0]
    return replace(node, weight=weight, groups=1)


def events_in(node: Node) -> Node:
    assert isinstance(node, Input)
    return replace(node, kind=Kind.SPIKE)


RESHAPED = ("reshape", "reshape_1", "reshape_2", "reshape_3", "reshape_4", "out.1.reshape")
ATTENTION = "; ".join(
    [
        *(f"block.attention.{name}: reshaping" for name in RESHAPED),
        *(f"block.attention.{name}: operation" for name in ("transpose", "matmul", "matmul_1")),
        *(f"block.attention.{name}: spikes of a timestep" for name in ("q.2", "k.2", "v.2", "out.0")),
        "block.attention.out.0: a neuron without synapses",
        "block.attention.neuron: destinations",
        "down.conv: cores",  # eleven layers, of which eight stay
    ]
)
FORMER = (
    remedy(
        without_attention,
        loihi="; ".join(f"block.attention.{name}: product of two trains" for name in ("matmul", "matmul_1")),
        speck=ATTENTION,
    ),
    remedy(
        all_of(
            pooled_spikes,
            left_out(
                {
                    "block.add": "block.separable.2.2",
                    "block.add_1": "block.attention.out.2",
                    "block.add_2": "block.mlp.1.2",
                }
            ),
        ),
        loihi="mean: pooling of currents",
        speck="mean: pooling of currents; reshape: reshaping of currents; "
        "down.conv: readers of its currents; "
        + "; ".join(
            f"{name}: currents added before a neuron" for name in ("block.add", "block.add_1", "block.add_2")
        ),
    ),
    remedy(changed("block.separable.1.1", one_kernel), speck="block.separable.1.1: groups"),
    remedy(changed("input", events_in), speck="input: input"),
    *(
        plain_if(name, "spikes of a timestep")
        for name in (
            *("block.separable.0.0", "block.separable.1.0", "block.separable.2.0", "block.attention.neuron"),
            *("block.mlp.0.0", "block.mlp.1.0", "neuron"),
        )
    ),
    SPIKING_OUTPUT,
)

CASES = {
    "SFA": residual(lambda: ResidualNet(partial(SFA, 4, step_mode="m"), width=4), "spikes of a timestep"),
    "InfLoR-SNN": residual(lambda: ResidualNet(partial(SRIF, step_mode="m"), width=4), "reset"),
    "HSD, QCFS": residual(qcfs, "spikes of a timestep"),
    "HSD, converted": residual(lambda: hsd.student_of(qcfs()), ""),
    "ASA-SNN, no attention": Case(
        lambda: asa.EventNet(asa.KINDS[asa.PLAIN], width=2), (10, 3, 2, 16, 16), LEAKY
    ),
    **{
        f"ASA-SNN, {kind}": Case(
            partial(asa.EventNet, asa.KINDS[kind], width=2),
            (10, 3, 2, 16, 16),
            (attended(0), attended(1), *LEAKY),
        )
        for kind in (asa.SA, asa.ASA)
    },
    "Razor SNN": Case(
        lambda: razor.GatedNet(width=2, gated=True),
        (10, 3, 2, 16, 16),
        (
            gated(1, "stages.1.synapses.0: what it reads"),
            gated(
                2, "stages.2.synapses.1: what it reads; stages.2.synapses.1.reshape: reshaping of currents"
            ),
            *LEAKY,
        ),
    ),
    "E-SpikeFormer": Case(Former, (3, 3, 8, 8), FORMER),
}
