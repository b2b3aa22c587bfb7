"""Modules that read whole trains, or compute gains: leaves of the recording, which become side operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.torch_build import Builder, Place
from snncc.frontends.torch_codes import ADDRESS_BITS, ROW, Grid, Mixed, Signal
from snncc.frontends.torch_record import Recorder
from snncc.ir import Array, Gate, Kind, Mul, Shape, SideOperation, wires
from snncc.nn.attention import (
    AdvancedSpatialAttention,
    ChannelAttention,
    SpatialAttention,
    TemporalAttention,
)
from snncc.nn.razor import RazorGate


def plain(tensor: Tensor) -> Array:
    """*tensor* in float64."""
    return np.asarray(tensor.detach().cpu().double().numpy())


class Nodes:
    """Adds the nodes of one module behind *source*."""

    def __init__(self, builder: Builder, place: Place, source: str, shape: Shape) -> None:
        self.builder, self.place, self.source, self.shape = builder, place, source, shape

    def side(
        self,
        what: str,
        operation: str,
        shape: Shape,
        constants: Mapping[str, Any],
        *,
        is_sequence: bool = True,
    ) -> str:
        """A side operation on the source; *what* names its node."""
        node = SideOperation(
            name=self.builder.name(self.place, what, is_main=False),
            inputs=wires(self.source),
            origin=str(self.place),
            operation=operation,
            shape=shape,
            constants={name: np.asarray(value, np.float64) for name, value in constants.items()},
            is_sequence=is_sequence,
            kind=Kind.SPIKE if operation == "razor-frames" else Kind.ANALOG,
        )
        return self.builder.add(node)

    def times(self, gain: str, source: str | None = None) -> str:
        """The product of *source* (by default the module's) with *gain*."""
        name = self.builder.name(self.place, "mul")
        inputs = wires(source or self.source, gain)
        return self.builder.add(Mul(name=name, inputs=inputs, origin=str(self.place)))


def advanced_spatial(module: AdvancedSpatialAttention, nodes: Nodes) -> str:
    constants: dict[str, Any] = {
        "alpha": plain(module.alpha),
        "gamma": plain(module.gamma),
        "lam": module.lam,
        "conv1": plain(module.conv1.weight),
        "conv2": plain(module.conv2.weight),
    }
    constants |= {f"fc{k}": plain(weight) for k, weight in enumerate(module.fc)}
    return nodes.times(nodes.side("gain", "advanced-spatial-attention", nodes.shape, constants))


def spatial(module: SpatialAttention, nodes: Nodes) -> str:
    if module.rectify:
        raise Mixed("ends in a ReLU, which is no spiking neuron", "train with rectify=False")
    over_train = module.over == "train"
    constants = {"conv": plain(module.conv.weight), "over_train": float(over_train)}
    shape = (1, *nodes.shape[1:])
    return nodes.times(nodes.side("gain", "spatial-attention", shape, constants, is_sequence=over_train))


def temporal(module: TemporalAttention, nodes: Nodes) -> str:
    return nodes.times(nodes.side("gain", "temporal-attention", (1, 1, 1), squeeze(module)))


def channel(module: ChannelAttention, nodes: Nodes) -> str:
    return nodes.times(nodes.side("gain", "channel-attention", (nodes.shape[0], 1, 1), squeeze(module)))


def squeeze(module: TemporalAttention | ChannelAttention) -> dict[str, Array]:
    """The two matrices of a squeeze-and-excitation."""
    return {"shrink": plain(module.shrink.weight), "grow": plain(module.grow.weight)}


def razor(module: RazorGate, nodes: Nodes) -> str:
    """The gate drops frames before the gain: what is suppressed sends nothing at all."""
    assert module.conv.bias is not None
    constants: dict[str, Any] = {
        "embeddings": plain(module.embeddings),
        "kernel": plain(module.conv.weight[..., 0]),
        "bias": plain(module.conv.bias),
    }
    is_graded = module.gain == "graded"
    end = nodes.source
    if module.mask:
        shape = (1,) * len(nodes.shape)
        about = {"threshold": module.threshold, "has_gain": float(is_graded)}
        mask = nodes.side("frames", "razor-frames", shape, constants | about)
        name = nodes.builder.name(nodes.place, "gate", is_main=not is_graded)
        end = nodes.builder.add(Gate(name=name, inputs=wires(end, mask), origin=str(nodes.place)))
    if is_graded:
        end = nodes.times(nodes.side("gain", "razor-gain", nodes.shape, constants), end)
    return end


LEAVES: dict[type[nn.Module], Callable[[Any, Nodes], str]] = {
    AdvancedSpatialAttention: advanced_spatial,
    SpatialAttention: spatial,
    TemporalAttention: temporal,
    ChannelAttention: channel,
    RazorGate: razor,
}


def patch_sequences(model: nn.Module, recorder: Recorder) -> None:
    """Make every such module in *model* (a copy) a leaf of *recorder*."""
    for path, module in found(model):
        patch_one(module, path, recorder)


def found(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that become side operations, by their path."""
    for path, module in model.named_modules():
        if type(module) in LEAVES:
            yield path or type(module).__name__.lower(), module


def patch_one(module: nn.Module, path: str, recorder: Recorder) -> None:
    original = module.forward

    def forward(x: Tensor) -> Tensor:
        place = Place(path, True, recorder.place().line)
        with recorder.leaf():
            out: Tensor = original(x)
        if not recorder.inside_leaf:
            with recorder.leaf(), torch.no_grad():
                add(recorder, module, x, out, place)
        return out

    module.forward = forward


def add(recorder: Recorder, module: nn.Module, x: Tensor, out: Tensor, place: Place) -> None:
    """Add the nodes of *module*, which made *out* of *x*."""
    signal = recorder.signal(x)
    if signal is None:
        raise CannotTrace(f"{place}: receives constants only, nothing of the input reaches it")
    try:
        if signal.over is not None:
            raise Mixed("works on a signal that was reduced over time, or has no time axis")
        check_train(signal, recorder.grid)
        _, frame = recorder.layout(signal)
        if recorder.grid.timesteps == 1 and frame.shape == (1, *x.shape[2:]):
            frame = replace(frame, shape=frame.shape[1:])  # an axis of one timestep looks like data
        if frame.shape != tuple(x.shape[2:]):
            raise Mixed("needs samples in its second axis and data in the others")
        source = recorder.source(signal, frame, x.shape, place)
        name = LEAVES[type(module)](module, Nodes(recorder.builder, place, source, frame.shape))
    except Mixed as problem:
        raise problem.at(f"{place}: this {type(module).__name__}") from None
    recorder.emit(out, frame, name, place)


def check_train(signal: Signal, grid: Grid) -> None:
    """Raise `Mixed` unless the first axis of a tensor holds all timesteps, in order."""
    times = ((signal.codes & ROW) >> ADDRESS_BITS) // grid.samples
    wanted = torch.arange(grid.timesteps).reshape(-1, *[1] * (times.ndim - 1))
    if times.shape[0] != grid.timesteps or not torch.equal(times, wanted.expand_as(times)):
        raise Mixed(
            "takes [T, B, ...], but its first axis does not hold the timesteps",
            "check the argument layout, or permute before it",
        )
