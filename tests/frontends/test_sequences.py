"""Attention over whole trains and frame gates: traced as side operations, compiled, verified, frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc import reference, simulator
from snncc.errors import BadInput, CannotTrace, InvalidGraph, NotEqual
from snncc.ir import Gate, Input, Kind, Mul, Neuron, Output, SideOperation, SpikeGraph, wires
from snncc.ir.nodes import OPERATIONS
from snncc.ir.sides import RULES
from snncc.nn import LIF, TCSA, AdvancedSpatialAttention, RazorGate, SpatialAttention
from snncc.reference.execute import stages_of
from snncc.reference.side import SIDES

T, B = 6, 3
ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "SA": lambda c: SpatialAttention(3),
    "SA over the train": lambda c: SpatialAttention(3, over="train"),
    "ASA-1": lambda c: AdvancedSpatialAttention(T),
    "ASA-1, reduced": lambda c: AdvancedSpatialAttention(T, reduction=2),
    "ASA-2": lambda c: AdvancedSpatialAttention(None, fc=False),
    "TCSA": lambda c: TCSA(T, c, t_ratio=2, c_ratio=2, kernel_size=3),
}


def neuron() -> LIF:
    return LIF(0.3, 0.3, reset="value", step_mode="m")


class Attended(nn.Module):
    """Two convolutions, each with attention on the input of its neurons; [T, B, 2, 8, 8]."""

    def __init__(self, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.attention1, self.attention2 = attention(6), attention(8)
        self.pool, self.head = nn.AvgPool2d(2), nn.Linear(128, 5)
        self.neuron1, self.neuron2, self.neuron3 = neuron(), neuron(), neuron()

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:2]
        x = self.norm1(self.conv1(x.flatten(0, 1))).unflatten(0, lead)
        x = self.neuron1(self.attention1(x))
        x = self.pool(self.norm2(self.conv2(x.flatten(0, 1)))).unflatten(0, lead)
        x = self.neuron2(self.attention2(x))
        out: Tensor = self.neuron3(self.head(x.flatten(2))).mean(0)
        return out


class Gated(nn.Module):
    """Frames are weighed and dropped behind both neuron layers: a map and a vector; [T, B, 2, 8, 8]."""

    def __init__(self, gain: str, mask: bool = True) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.gate1 = RazorGate(T, gain=gain, mask=mask)  # type: ignore[arg-type]
        self.gate2 = RazorGate(T, gain=gain, mask=mask)  # type: ignore[arg-type]
        self.neuron1, self.neuron2, self.head = neuron(), neuron(), nn.Linear(512, 5)
        with torch.no_grad():
            for gate in (self.gate1, self.gate2):  # planted: late events are of no interest
                gate.embeddings.copy_(torch.tensor([[0.5] * (T // 2) + [-30.0] * (T // 2)] * 4))

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:2]
        x = self.gate1(self.neuron1(self.conv1(x.flatten(0, 1)).unflatten(0, lead)))
        x = self.neuron2(self.conv2(x.flatten(0, 1)).unflatten(0, lead))
        out: Tensor = self.head(self.gate2(x.flatten(2))).mean(0)
        return out


def events(seed: int = 0) -> Tensor:
    """Frames of events that become rarer: the last ones hold next to nothing."""
    torch.manual_seed(seed)
    density = torch.linspace(0.4, 0.02, T).reshape(T, 1, 1, 1, 1)
    return (torch.rand(T, B, 2, 8, 8) < density).float()


def livened(model: nn.Module, x: Tensor) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.9, 1.5)
            nn.init.uniform_(module.bias, 0.2, 1.2)
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(x)
    return model.eval()


def traced(model: nn.Module, x: Tensor) -> SpikeGraph:
    return snncc.trace(model, x, layout="TB", input_kind="spike")


def verified(model: nn.Module, x: Tensor, precision: str) -> snncc.api.program.Program:
    program = snncc.compile(traced(model, x), calibration=x.numpy(), precision=precision)
    layers = [layer for layer in program.run(x).counts.layers if layer.neurons]
    assert all(layer.spikes for layer in layers), [(layer.name, layer.rate) for layer in layers]
    proof = snncc.verify(program, model, x)
    proof.check()
    exact = [stage for stage in proof.stages if stage.claim != "approximate"]
    assert [stage.differing for stage in exact] == [0] * len(exact), str(proof)
    return program


@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_is_exact(kind: str, precision: str) -> None:
    x = events()
    model = livened(Attended(ATTENTION[kind]), x)
    program = verified(model, x, precision)
    sides = [node for node in program.graph.nodes if isinstance(node, SideOperation)]
    assert len(sides) == (6 if kind == "TCSA" else 2)
    assert any(isinstance(node, Mul) for node in program.graph.nodes)
    costs = {layer.name: layer for layer in program.run(x).counts.layers}
    assert all(costs[node.name].mac > 0 for node in sides)


def test_a_sample_does_not_depend_on_its_batch_mates() -> None:
    """The published code merges the selections of all samples; here a batch gives what its samples give."""
    x = events()
    model = livened(Attended(ATTENTION["ASA-1"]), x)
    program = snncc.compile(traced(model, x), calibration=x.numpy())
    together = program.run(x).output
    alone = np.concatenate([program.run(x[:, b : b + 1]).output for b in range(B)])
    assert np.array_equal(together, alone)


def test_counted_multiplications_are_those_of_the_module() -> None:
    x = events()
    model = livened(Attended(ATTENTION["ASA-1"]), x)
    program = snncc.compile(traced(model, x), calibration=x.numpy())
    costs = {layer.name: layer for layer in program.run(x).counts.layers}
    for name, shape in (("attention1", (T, 6, 8, 8)), ("attention2", (T, 8, 4, 4))):
        module = model.get_submodule(name)
        assert isinstance(module, AdvancedSpatialAttention)
        assert costs[f"{name}.gain"].formula_mac == module.macs(shape, "paper")
        assert costs[f"{name}.gain"].mac + costs[name].mac_dense == module.macs(shape, "full")


def test_each_whole_train_is_waited_for() -> None:
    x = events()
    for kind, stages in (("SA", 1), ("ASA-1", 3), ("TCSA", 5)):
        model = livened(Attended(ATTENTION[kind]), x)
        program = snncc.compile(traced(model, x), precision="float")
        assert 1 + max(stages_of(program.graph).values()) == stages
        assert program.run(x).latency.timesteps == stages * T


@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("gain", ["graded", "none"])
def test_a_gate_drops_frames_and_says_how_events_are_weighed(gain: str, precision: str) -> None:
    x = events(1)
    model = livened(Gated(gain), x)
    program = verified(model, x, precision)
    kinds = [type(node) for node in program.graph.nodes]
    assert kinds.count(Gate) == 2
    assert kinds.count(Mul) == (2 if gain == "graded" else 0)
    frames = [node.name for node in program.graph.nodes if node.name.endswith("frames")]
    record = program.run(x, record=frames).records
    kept = [record[name].train.mean() for name in frames]
    assert all(0 < share < 1 for share in kept), kept
    costs = {layer.name: layer for layer in program.run(x).counts.layers}
    assert (costs["conv2"].ac > 0) == (gain == "none")  # a spike with a payload costs multiplications
    assert (costs["conv2"].mac > 0) == (gain == "graded")


def test_a_dropped_frame_is_no_skipped_timestep() -> None:
    """Without events the neurons behind a gate still leak and still receive their bias."""
    x = events(1)
    model = livened(Gated("none"), x)
    program = snncc.compile(traced(model, x), precision="float")
    record = program.run(x, record=["gate1", "neuron2"]).records
    fired = np.asarray(record["gate1"].train.reshape(T, B, -1).any(axis=2))
    silent = np.logical_not(fired)
    assert silent[1:].any()
    before, after = record["neuron2"].u_post, record["neuron2"].u_pre
    assert before is not None
    assert after is not None
    kept = np.isclose(after[1:], before[:-1]).reshape(T - 1, B, -1)
    moved = np.logical_not(np.asarray(kept.all(axis=2)))
    assert moved[silent[1:]].all()


@pytest.mark.parametrize("kind", ["ASA-1", "TCSA", "razor"])
def test_the_static_variant_needs_no_host_and_says_what_it_costs(kind: str) -> None:
    x = events()
    model = livened(Gated("graded") if kind == "razor" else Attended(ATTENTION[kind]), x)
    program = snncc.compile(traced(model, x), calibration=x.numpy(), attention="static")
    assert not any(isinstance(node, SideOperation | Gate | Mul) for node in program.graph.nodes)
    proof = snncc.verify(program, model, x)
    proof.check()
    (stage,) = (stage for stage in proof.stages if stage.name == "freeze-side-operations")
    assert stage.claim == "approximate"
    assert stage.differing > 0
    assert program.run(x).latency.timesteps == T


def test_on_one_sample_the_static_variant_is_exact() -> None:
    x = events()[:, :1]
    model = livened(Attended(ATTENTION["ASA-1"]), events())
    program = snncc.compile(traced(model, x), calibration=x.numpy(), attention="static", precision="float")
    dynamic = snncc.compile(traced(model, x), precision="float")
    assert np.allclose(program.run(x).output, dynamic.run(x).output, rtol=0, atol=1e-12)


def test_a_gain_that_is_read_elsewhere_is_not_frozen() -> None:
    x = events()
    graph = traced(livened(Attended(ATTENTION["ASA-1"]), x), x)
    seen = Output(name="seen", inputs=wires("attention1.gain"))
    with pytest.raises(snncc.SnnccError, match=r"seen \(Output\): reads attention1.gain"):
        snncc.compile(graph.with_nodes([*graph.nodes, seen]), calibration=x.numpy(), attention="static")


def test_the_tables_of_side_operations_agree() -> None:
    assert set(SIDES) == set(OPERATIONS) == set(RULES)


def test_what_freezing_needs() -> None:
    x = events()
    graph = traced(livened(Attended(ATTENTION["ASA-1"]), x), x)
    with pytest.raises(snncc.SnnccError, match="needs calibration data"):
        snncc.compile(graph, attention="static", precision="float")
    with pytest.raises(snncc.SnnccError, match="unknown attention 'frozen'; known: dynamic, static"):
        snncc.compile(graph, attention="frozen")


@pytest.mark.parametrize("precision", ["float", "integer"])
def test_trains_of_another_length_are_refused(precision: str) -> None:
    x = events()
    for model in (Attended(ATTENTION["ASA-1"]), Attended(ATTENTION["TCSA"]), Gated("graded")):
        program = snncc.compile(traced(livened(model, x), x), calibration=x.numpy(), precision=precision)
        with pytest.raises(snncc.SnnccError, match="needs trains of 6 timesteps, has 4"):
            program.run(x, timesteps=4)
    program = snncc.compile(traced(livened(Attended(ATTENTION["ASA-2"]), x), x), calibration=x.numpy())
    assert program.run(x, timesteps=4).output.shape == (B, 5)


def test_a_run_over_whole_trains_has_no_state_to_go_on_from() -> None:
    x = events()
    program = snncc.compile(traced(livened(Attended(ATTENTION["ASA-1"]), x), x), calibration=x.numpy())
    for execute in (reference.run, simulator.run):
        state = execute(program.graph, x.numpy(), timesteps=T).state
        with pytest.raises(BadInput, match="reads whole trains, so a run cannot go on from a state"):
            execute(program.graph, x.numpy(), timesteps=T, state=state)


def test_a_single_timestep_is_a_train() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.attention, self.neuron = nn.Conv2d(2, 4, 3), AdvancedSpatialAttention(1), neuron()

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            out: Tensor = self.neuron(self.attention(y))
            return out

    torch.manual_seed(0)
    x = events()[:1] + 1
    model = One().eval()
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="TB"), precision="float")
    need = model(x).detach().numpy()
    assert need.any()
    assert np.array_equal(program.run(x).output.reshape(need.shape), need)


def planted(program: snncc.api.program.Program, change: Callable[[Any], Any]) -> snncc.api.program.Program:
    """*program* with other nodes in its last stage."""
    last = program.stages[-1]
    graph = last.graph.with_nodes(change(node) for node in last.graph.nodes)
    return replace(program, stages=(*program.stages[:-1], replace(last, graph=graph)))


def other_constants(node: Any) -> Any:
    if not isinstance(node, SideOperation):
        return node
    return replace(node, constants={**node.constants, "conv": node.constants["conv"] + 1})


def narrow(node: Any) -> Any:
    return replace(node, parameters=replace(node.parameters, v_bits=12)) if isinstance(node, Neuron) else node


@pytest.mark.parametrize(
    ("change", "message"), [(other_constants, "constants conv changed"), (narrow, "v_bits is 12")]
)
def test_a_quantization_leaves_attention_and_widths_alone(change: Callable[[Any], Any], message: str) -> None:
    x = events()
    model = livened(Attended(ATTENTION["SA"]), x)
    program = snncc.compile(traced(model, x), calibration=x.numpy())
    with pytest.raises(NotEqual, match=message):
        snncc.verify(planted(program, change), model, x).check()


KERNEL, ZERO = np.ones((1, 2, 3, 3)), np.zeros(())
SPATIAL: dict[str, Any] = {
    "operation": "spatial-attention",
    "shape": (1, 8, 8),
    "constants": {"conv": KERNEL, "over_train": ZERO},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"constants": {"conv": KERNEL * np.nan, "over_train": ZERO}}, "finite numbers"),
        ({"constants": {"conv": KERNEL[0, 0], "over_train": ZERO}}, "a kernel"),
        ({"constants": {"conv": KERNEL[..., 1:, 1:], "over_train": ZERO}}, "odd k"),
        ({"constants": {"conv": KERNEL, "over_train": np.zeros(3)}}, "is one number"),
        ({"constants": {"conv": KERNEL}}, "lacks its constants over_train"),
        ({"shape": (3, 8, 8)}, r"yields \(1, 8, 8\), not \(3, 8, 8\)"),
        ({"is_sequence": True}, "say different things"),
        ({"kind": Kind.SPIKE}, "yields gains"),
    ],
)
def test_bad_side_operations(changes: dict[str, Any], message: str) -> None:
    def graph(**fields: Any) -> SpikeGraph:
        side = SideOperation(name="s", inputs=wires("x"), **fields)
        nodes = (Input(name="x", shape=(4, 8, 8)), side, Output(name="y", inputs=wires("s")))
        return SpikeGraph(nodes)

    graph(**SPATIAL).verify()
    with pytest.raises(InvalidGraph, match=message):
        graph(**(SPATIAL | changes)).verify()


def test_a_rectified_attention_is_refused() -> None:
    model = Attended(lambda c: SpatialAttention(3, rectify=True)).eval()
    with pytest.raises(CannotTrace, match=r"attention1.*ends in a ReLU") as caught:
        traced(model, events())
    assert caught.value.hint == "train with rectify=False"


def test_a_train_in_the_wrong_axis_is_refused() -> None:
    class Swapped(Attended):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.attention2(x.transpose(0, 1)).transpose(0, 1).mean(0)
            return y

    model = Swapped(lambda c: AdvancedSpatialAttention(None, fc=False)).eval()
    with pytest.raises(CannotTrace, match=r"attention2.*first axis does not hold the timesteps"):
        traced(model, events())
