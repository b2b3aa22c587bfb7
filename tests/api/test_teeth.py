"""Verification has teeth: planted errors are each caught, with the layer, the timestep and the neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.api import Proof
from snncc.api.program import Program
from snncc.api.proof import Claim
from snncc.backends.sim.target import Simulator
from snncc.errors import NotEqual
from snncc.frontends import from_torch, torch_observe, torch_session
from snncc.frontends.torch_session import Recording
from snncc.ir import Add, Affine, Array, Neuron, NeuronParameters, Node, Order, SpikeGraph, Transpose, wires
from snncc.nn import LIF, SFA
from snncc.passes import Preserves, Stage
from snncc.reference import Run
from snncc.reference import run as run_reference
from snncc.simulator import plan
from snncc.simulator.sheet import Sheet

T, B = 4, 6


class Net(nn.Module):
    """A residual SFA part on maps, then leaky neurons on a flattened signal; takes [T, B, 2, 6, 6].

    Weights and data are multiples of 1/16, so that potentials meet thresholds exactly.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.neuron = SFA(4)
        self.left = nn.Conv2d(6, 6, 3, padding=1)
        self.skip = nn.Conv2d(6, 6, 1)
        self.second = SFA(4)
        self.flat = nn.Linear(6 * 6 * 6, 20)
        self.leaky = LIF(0.5, 1.0, reset="subtract", step_mode="m")
        self.head = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps, samples = x.shape[:2]
        x = self.neuron(self.norm(self.stem(x.flatten(0, 1))))
        x = self.second(self.left(x) - self.skip(x))
        x = self.leaky(self.flat(x.flatten(1)).unflatten(0, (steps, samples)))
        return self.head(x).mean(0)


def on_grid(tensor: Tensor, step: float) -> Tensor:
    return torch.round(tensor / step) * step


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(3)
    net = Net().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(on_grid(parameter * 2, 1 / 16))
        net.norm.weight.copy_(torch.tensor([1.0, -1.0, 0.5, 1.0, -0.5, 1.0]))
        net.norm.bias.fill_(0.5)
        net.norm.eps = 0.0
        net.flat.bias.add_(0.75)
    return net


@pytest.fixture(scope="module")
def x() -> Array:
    return np.random.default_rng(5).integers(0, 17, (T, B, 2, 6, 6)) / 8


@pytest.fixture(scope="module")
def program(model: nn.Module, x: Array) -> Program:
    return snncc.compile(snncc.trace(model, x, layout="TB"), calibration=x)


def test_without_a_planted_error_the_proof_holds(program: Program, model: nn.Module, x: Array) -> None:
    result = program.run(x)
    rates = {layer.name: layer.rate for layer in result.counts.layers if layer.neurons}
    assert all(0.05 < rate < 3 for rate in rates.values()), rates
    proof = snncc.verify(program, model, x)
    proof.check()
    assert proof.holds
    assert all(stage.differing == 0 for stage in proof.stages if stage.claim != "approximate"), str(proof)


def node_of(graph: SpikeGraph, name: str) -> Any:
    return graph[name]


def changed(graph: SpikeGraph, name: str, **changes: Any) -> SpikeGraph:
    """*graph* with other fields of one node; of a neuron, other parameters."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name == name and isinstance(node, Neuron):
            node = replace(node, parameters=replace(node.parameters, **changes))
        elif node.name == name:
            node = replace(node, **changes)
        nodes.append(node)
    return graph.with_nodes(nodes)


def parameters(graph: SpikeGraph, name: str) -> NeuronParameters:
    found: NeuronParameters = node_of(graph, name).parameters
    return found


def dropped_bias(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "left", bias=None)


def strict_comparison(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "second", strict=True)


def reset_amount(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "leaky", rho=np.array(0.75))


def padding(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "left", padding=(2, 0, 1, 1))


def swapped_skip(graph: SpikeGraph) -> SpikeGraph:
    """The difference of the branches the other way round."""
    (add,) = (node for node in graph if isinstance(node, Add))
    names = [wire.source for wire in add.inputs]
    negated = next(name for name in names if isinstance(graph[name], Affine))
    other = next(name for name in names if name != negated)
    source = graph[negated].inputs[0].source
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name == add.name:
            node = replace(add, inputs=wires(source, negated))
        elif node.name == negated:
            node = replace(node, inputs=wires(other))
        nodes.append(node)
    order = [n for n in nodes if n.name not in (negated, add.name)]
    at = nodes.index(next(n for n in nodes if n.name == add.name))
    moved = [next(n for n in nodes if n.name == negated), next(n for n in nodes if n.name == add.name)]
    position = sum(1 for n in nodes[:at] if n.name not in (negated, add.name))
    return graph.with_nodes([*order[:position], *moved, *order[position:]])


def leak_order(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "leaky", order=Order.INTEGRATE_FIRST)


def transposed_flatten(graph: SpikeGraph) -> SpikeGraph:
    """The flattened signal in the order (H, W, C)."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if type(node).__name__ == "Reshape" and node.inputs[0].source == "second":
            nodes.append(Transpose(name="turned", inputs=node.inputs, axes=(1, 2, 0)))
            node = replace(node, inputs=wires("turned"))
        nodes.append(node)
    assert len(nodes) > len(graph.nodes)
    return graph.with_nodes(nodes)


def twice_scaled(graph: SpikeGraph) -> SpikeGraph:
    return changed(graph, "neuron", scale=parameters(graph, "neuron").scale / 4)


PLANTED_IN_GRAPH: list[tuple[Callable[[SpikeGraph], SpikeGraph], str]] = [
    (dropped_bias, "left"),
    (strict_comparison, "second"),
    (reset_amount, "leaky"),
    (padding, "left"),
    (leak_order, "leaky"),
    (transposed_flatten, "flat"),
    (twice_scaled, "neuron"),
]


def caught(proof: Proof, layers: tuple[str, ...]) -> None:
    """The proof fails, and its first difference has a place and differs."""
    assert not proof.holds
    first = proof.first
    assert first is not None
    assert first.layer in layers, str(proof)
    assert 0 <= first.timestep < T
    assert 0 <= first.sample < B
    assert first.need != first.have
    assert len(first.neuron) in (1, 3)
    with pytest.raises(
        NotEqual, match=rf"{first.layer}.* at timestep {first.timestep}, sample {first.sample}"
    ):
        proof.check()


@pytest.fixture
def plant_in_front_end(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[SpikeGraph], SpikeGraph]], None]:
    """Let the front end make the error whenever it builds a graph: in tracing and in verifying."""

    def plant(error: Callable[[SpikeGraph], SpikeGraph]) -> None:
        real = torch_session.record

        def wrong(*arguments: Any, **options: Any) -> Recording:
            recording = real(*arguments, **options)
            graph = error(recording.graph)
            graph.verify()
            return replace(recording, graph=graph)

        for module in (torch_observe, from_torch):
            monkeypatch.setattr(module, "record", wrong)

    return plant


Plant = Callable[[Callable[[SpikeGraph], SpikeGraph]], None]


@pytest.mark.parametrize(("error", "layer"), PLANTED_IN_GRAPH, ids=lambda v: getattr(v, "__name__", v))
def test_errors_of_a_front_end(
    error: Callable[[SpikeGraph], SpikeGraph],
    layer: str,
    plant_in_front_end: Plant,
    program: Program,
    model: nn.Module,
    x: Array,
) -> None:
    planted = snncc.compile(error(program.stages[0].graph), calibration=x)
    plant_in_front_end(error)
    proof = snncc.verify(planted, model, x)
    assert proof.stages[0].claim is Claim.EQUAL_IN_FLOAT64
    assert not proof.stages[0].holds
    caught(proof, (layer, f"{layer}.reshape"))


def test_a_swapped_skip(plant_in_front_end: Plant, program: Program, model: nn.Module, x: Array) -> None:
    graph = swapped_skip(program.stages[0].graph)
    names = tuple(node.name for node in graph if isinstance(node, Add | Affine | Neuron))
    planted = snncc.compile(graph, calibration=x)
    plant_in_front_end(swapped_skip)
    caught(snncc.verify(planted, model, x), names)


@dataclass(frozen=True, slots=True)
class ForgetSign:
    """A fold that forgets what a negative gain does to a comparison."""

    name: ClassVar[str] = "fold-batch-norm"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        gains = {n.name: n for n in graph if isinstance(n, Affine) and n.name == "norm"}
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, Neuron) and node.inputs[0].source in gains:
                affine = gains[node.inputs[0].source]
                gain, p = np.abs(affine.gain), node.parameters
                moved = replace(
                    p, theta=p.theta / gain, rho=p.rho / gain, bias=(p.bias + affine.offset) / gain
                )
                node = replace(node, inputs=affine.inputs, parameters=moved)
            nodes.append(node)
        return graph.with_nodes(node for node in nodes if node.name not in gains)


def test_a_forgotten_sign_of_a_negative_gamma(program: Program, model: nn.Module, x: Array) -> None:
    traced = program.stages[0].graph
    broken = snncc.compile(traced, passes=[ForgetSign()])
    caught(snncc.verify(broken, model, x), ("neuron",))


@pytest.mark.parametrize("error", ["tick order", "batch mixing"])
def test_errors_of_a_simulator(
    error: str, monkeypatch: pytest.MonkeyPatch, program: Program, model: nn.Module, x: Array
) -> None:
    """The simulator itself computes wrongly: later layers run on what went wrong in the second."""
    right = Sheet.fire

    def fire(sheet: Sheet, node: Neuron, start: int, stop: int) -> Any:
        train = right(sheet, node, start, stop)
        if node.name != "second":
            return train
        return train[:, :, ::-1] if error == "tick order" else train[:, ::-1]

    monkeypatch.setattr(Sheet, "fire", fire)
    monkeypatch.setattr(plan, "find_layers", lambda *_: {})  # all layers in the general executor
    fresh = replace(program, stages=(*program.stages[:-1], copied(program.stages[-1])))
    caught(snncc.verify(fresh, model, x), ("second",))


def copied(stage: Stage) -> Stage:
    """A stage whose graph the simulator has not seen."""
    return replace(stage, graph=stage.graph.with_nodes(stage.graph.nodes))


QUANTIZED_WRONG: dict[str, Callable[[SpikeGraph], SpikeGraph]] = {
    "left.*bias": dropped_bias,
    "second.*strict": strict_comparison,
    "left.*padding": padding,
    "leaky.*order": leak_order,
    "leaky.*threshold": lambda graph: changed(graph, "leaky", theta=parameters(graph, "leaky").theta + 2),
    "flat.*weight": lambda graph: changed(graph, "flat", weight=node_of(graph, "flat").weight[:, ::-1]),
    "head.*bias": lambda graph: changed(graph, "head", bias=node_of(graph, "head").bias + 1),
    "second.*max_count": lambda graph: changed(graph, "second", max_count=3),
}


@pytest.mark.parametrize("message", QUANTIZED_WRONG)
def test_errors_of_a_quantization(message: str, program: Program, model: nn.Module, x: Array) -> None:
    last = program.stages[-1]
    graph = QUANTIZED_WRONG[message](last.graph)
    graph.verify()
    proof = snncc.verify(
        replace(program, stages=(*program.stages[:-1], replace(last, graph=graph))), model, x
    )
    assert not proof.holds
    with pytest.raises(NotEqual, match=f"quantize goes further than it says: .*{message}"):
        proof.check()


def test_a_target_that_computes_otherwise_when_nothing_is_recorded(
    program: Program, model: nn.Module, x: Array
) -> None:
    class Shifted(Simulator):
        def run(self, graph: SpikeGraph, x: Any, **options: Any) -> Run:
            run = super().run(graph, x, **options)
            if options.get("record"):
                return run
            return replace(run, outputs={name: value + 1 for name, value in run.outputs.items()})

    class Miscounting(Simulator):
        def run(self, graph: SpikeGraph, x: Any, **options: Any) -> Run:
            run = super().run(graph, x, **options)
            return replace(run, spikes={**run.spikes, "second": run.spikes["second"] * 3})

    assert not snncc.verify(replace(program, target=Shifted()), model, x).holds
    caught(snncc.verify(replace(program, target=Miscounting()), model, x), ("second",))


def test_stale_state(program: Program, model: nn.Module, x: Array) -> None:
    class Stale(Simulator):
        def run(self, graph: SpikeGraph, x: Any, **options: Any) -> Run:
            left_behind = super().run(graph, x, timesteps=options["timesteps"], state=None)
            return run_reference(graph, x, **options, state=state_after(graph, x, left_behind))

    caught(snncc.verify(replace(program, target=Stale()), model, x), ("leaky",))


def state_after(graph: SpikeGraph, data: Any, run: Run) -> Any:
    """The state that a run leaves behind."""
    return run_reference(graph, data, timesteps=run.timesteps).state


def test_a_strict_comparison_in_the_target(program: Program, model: nn.Module, x: Array) -> None:
    class Strict(Simulator):
        def run(self, graph: SpikeGraph, x: Any, **options: Any) -> Run:
            return super().run(changed(graph, "second", strict=True), x, **options)

    caught(snncc.verify(replace(program, target=Strict()), model, x), ("second",))


def test_another_model_is_not_the_one_that_was_compiled(program: Program, x: Array) -> None:
    torch.manual_seed(4)
    with pytest.raises(NotEqual, match="not the one"):
        snncc.verify(program, Net().eval(), x)
