"""Fake quantization, as torch.ao.quantization puts it behind activations: one counting neuron each.

The codes are torch's own, of the exact sum in float64: `snncc.frontends.staircase`. What limits a signal in
front of a quantizer (ReLU, clamp) limits its codes; elsewhere it is refused, as no neuron.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.staircase import (
    NoStaircase,
    Quantizer,
    changes_nothing,
    counting,
    shift_of,
    staircase,
)
from snncc.frontends.torch_arithmetic import result
from snncc.frontends.torch_build import Builder
from snncc.frontends.torch_codes import Mixed, Signal
from snncc.frontends.torch_record import Call
from snncc.frontends.torch_refusals import CONVERTED, refusal
from snncc.frontends.torch_units import multiples_of, twin, without_offset
from snncc.ir import Affine, Array, Emit, MaxPool, Neuron, NeuronParameters, Over, Reshape, Transpose, wires

OBSERVES_HINT = "model.eval().apply(torch.ao.quantization.disable_observer), after calibration or training"
CONVERTED_MODULES = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
BY_CHANNEL = "quantize activations by tensor; by channel is for weights"


@dataclass(frozen=True, slots=True)
class FakeQuantizer:
    """A fake quantizer by tensor: ``(clip(round(x / scale) + zero, low, high) - zero) * scale``."""

    scale: float
    zero: int
    low: int
    high: int

    def codes(self, limits: tuple[float, float], x: Array) -> Array:
        """What torch makes of numbers limited to *limits*, as codes."""
        limited = torch.from_numpy(np.array(np.clip(x, *limits), np.float64))
        out = torch.fake_quantize_per_tensor_affine(limited, self.scale, self.zero, self.low, self.high)
        return np.asarray(np.rint(out.numpy() / self.scale)) + self.zero


def number(value: Any) -> float:
    """A parameter of a fake quantizer, which acts in float32."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise Mixed(f"quantizes a signal by channel, with {value.numel()} scales", BY_CHANNEL)
        value = value.reshape(()).item()
    return float(np.float32(value))


def by_tensor(call: Call) -> None:
    """``fake_quantize_per_tensor_affine`` with numbers."""
    scale, zero, low, high = call.args[1:5]
    quantized(call, FakeQuantizer(number(scale), int(number(zero)), int(low), int(high)))


def by_tensors(call: Call) -> None:
    """The same with tensors, and a switch."""
    scale, zero, is_on, low, high = call.args[1:6]
    if int(is_on):
        quantized(call, FakeQuantizer(number(scale), int(number(zero)), int(low), int(high)))
    else:
        passed(call)


def learned(call: Call) -> None:
    """With a learned scale; torch rounds the learned zero."""
    scale, zero, low, high = call.args[1:5]
    rounded = int(min(max(number(zero) + 0.5, low), high))
    quantized(call, FakeQuantizer(number(scale), rounded, int(low), int(high)))


def observing(call: Call) -> None:
    """Fused with an observer."""
    observes, is_on, _, _, scale, zero, _, low, high = call.args[1:10]
    if int(observes):
        raise Mixed("still observes what it quantizes", OBSERVES_HINT)
    if int(is_on):
        quantized(call, FakeQuantizer(number(scale), int(number(zero)), int(low), int(high)))
    else:
        passed(call)


def by_channel(call: Call) -> None:
    raise Mixed("quantizes a signal by channel", BY_CHANNEL)


def traced(call: Call) -> Signal:
    """The signal that the operation changes."""
    signal = call.recorder.signal(call.args[0])
    if signal is None:
        raise Mixed("quantizes or limits a constant by a signal")
    if signal.over not in (None, Over.LAST):
        raise Mixed(
            "works on a signal that was reduced over time", "reduce over time after the last of these"
        )
    return signal


def passed(call: Call) -> None:
    signal = traced(call)
    call.recorder.set(result(call), Signal(signal.codes.clone(), signal.over), call.place)


def quantized(call: Call, fake: FakeQuantizer) -> None:
    """The neuron whose count is the code above the least, and what its zero adds."""
    recorder, builder, place, signal = call.recorder, call.recorder.builder, call.place, traced(call)
    frame = recorder.frame(signal)
    source, limits = unlimited(builder, recorder.source(signal, frame, result(call).shape, place))
    scale, zero = np.asarray(fake.scale), np.asarray(fake.zero)
    quantizer, code = Quantizer(scale, zero, fake.low, fake.high), partial(fake.codes, limits)
    with recorder.leaf():
        is_same = changes_nothing(builder.edges[source], code, quantizer, scale, zero)
    if is_same:
        recorder.emit(result(call), frame, source, place)
        return
    grid = multiples_of(builder, source)
    try:
        with recorder.leaf():
            least, steps = staircase(code, quantizer, grid.unit, grid.offset)
    except NoStaircase as problem:
        raise Mixed(problem.reason, problem.hint) from None
    source = without_offset(builder, source)
    offset = shift_of(least, scale, zero)
    name = builder.name(place, "quantize", is_main=not np.any(offset))
    p = counting(steps, quantizer, scale)
    name = builder.add(Neuron(name=name, inputs=wires(source), origin=str(place), parameters=p))
    name = shifted(builder, name, offset, str(place))
    recorder.emit(result(call), frame, name, place)


def rectified(call: Call) -> None:
    """``relu``."""
    limited(call, 0.0, math.inf)


def clamped(call: Call) -> None:
    """``clamp``."""
    low, high = call.argument(1, "min"), call.argument(2, "max")
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise Mixed("limits a signal by tensors", "limit it by numbers")
    limited(call, -math.inf if low is None else float(low), math.inf if high is None else float(high))


def clamped_above(call: Call) -> None:
    """``clamp_max``."""
    limited(call, -math.inf, float(call.args[1]))


def hard(call: Call) -> None:
    """``hardtanh``."""
    limited(call, float(call.argument(1, "min_val", -1.0)), float(call.argument(2, "max_val", 1.0)))


def limited(call: Call, low: float, high: float) -> None:
    """A node that must not remain: a quantizer behind it reads what it limits."""
    recorder, builder, place, signal = call.recorder, call.recorder.builder, call.place, traced(call)
    frame = recorder.frame(signal)
    source = recorder.source(signal, frame, result(call).shape, place)
    if (cut := with_fewer_codes(builder, source, low, high)) is not None:
        recorder.emit(result(call), frame, cut, place)
        return
    p = NeuronParameters(
        stateless=True,
        emit=Emit.RELU,
        max_count=None,
        clamp_low=None if math.isinf(low) else np.asarray(low),
        clamp_high=None if math.isinf(high) else np.asarray(high),
    )
    name = builder.name(place, "limit")
    name = builder.add(Neuron(name=name, inputs=wires(source), origin=str(place), parameters=p))
    builder.refusals.setdefault(name, refusal(call))
    recorder.emit(result(call), frame, name, place)


def with_fewer_codes(builder: Builder, name: str, low: float, high: float) -> str | None:
    """A node that sends what quantized node *name* does, limited; None where a limit is between two codes."""
    node, offset = builder.node(name), 0.0
    if isinstance(node, Affine):
        if node.per_timestep or node.gain.ndim or node.gain != 1 or node.offset.ndim:
            return None
        offset = float(node.offset)
        node = builder.node(node.inputs[0].source)
    if not isinstance(node, Neuron) or not node.parameters.stateless or node.parameters.scale.ndim:
        return None
    steps = node.parameters.steps
    if steps is None:
        return None
    values = np.arange(len(steps) + 1) * float(node.parameters.scale) + offset
    inside = np.flatnonzero((values >= low) & (values <= high))
    if len(inside) in (0, len(values)):
        return name if len(inside) else None
    first, last = int(inside[0]), int(inside[-1])
    if (first and values[first] != low) or (last < len(steps) and values[last] != high) or first == last:
        return None
    p = replace(node.parameters, steps=steps[first:last], max_count=last - first)
    after = twin(builder, replace(node, parameters=p))
    return shifted(builder, after, np.asarray(values[first]), node.origin)


def shifted(builder: Builder, name: str, offset: Array, origin: str) -> str:
    """A node that sends what *name* does and *offset*."""
    if not np.any(offset):
        return name
    shift = Affine(name=builder.unused(f"{name}.shift"), inputs=wires(name), origin=origin, offset=offset)
    return builder.add(shift)


def unlimited(builder: Builder, name: str) -> tuple[str, tuple[float, float]]:
    """A node that sends what *name* does before it was limited, and the limits."""
    node = builder.node(name)
    if name in builder.refusals and isinstance(node, Neuron):
        source, inner = unlimited(builder, node.inputs[0].source)
        low, high = node.parameters.clamp_low, node.parameters.clamp_high
        outer = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
        return source, (float(np.clip(inner[0], *outer)), float(np.clip(inner[1], *outer)))
    if isinstance(node, Reshape | Transpose) or (isinstance(node, MaxPool) and not any(node.padding)):
        source, limits = unlimited(builder, node.inputs[0].source)
        if source != node.inputs[0].source:
            return twin(builder, replace(node, inputs=wires(source))), limits
    return name, (-math.inf, math.inf)


def check_quantizers(model: nn.Module) -> None:
    """Raise `CannotTrace` for modules of torch.ao.quantization that are not ready to be traced."""
    tools: Any = sys.modules.get("torch.ao.quantization")
    if tools is None:
        return
    fakes = [module for module in model.modules() if isinstance(module, tools.FakeQuantizeBase)]
    inside = {part for fake in fakes for part in fake.children()}
    for path, module in model.named_modules():
        name, where = type(module).__name__, path or "the model"
        is_integer = type(module).__module__.startswith(CONVERTED_MODULES)
        if is_integer and not name.endswith("FloatFunctional"):
            raise CannotTrace(f"{where}: {name} is converted to integers", hint=CONVERTED)
        if isinstance(module, tools.FakeQuantizeBase) and observes(module):
            raise CannotTrace(f"{where}: {name} still observes what it quantizes", hint=OBSERVES_HINT)
        if isinstance(module, tools.ObserverBase) and module not in inside:
            raise CannotTrace(
                f"{where}: {name} only observes: the model is prepared, but nothing is quantized",
                hint="prepare it with prepare_qat, which quantizes, or convert it and export it to ONNX",
            )


def of_observers(model: nn.Module) -> set[int]:
    """The identities of what observers hold: before their first call that is infinite."""
    tools: Any = sys.modules.get("torch.ao.quantization")
    if tools is None:
        return set()
    observers = [module for module in model.modules() if isinstance(module, tools.ObserverBase)]
    return {id(tensor) for observer in observers for tensor in observer.buffers()}


def observes(module: Any) -> bool:
    """Whether a fake quantizer sets its scale by what it is given."""
    return bool(int(getattr(module, "static_enabled", module.observer_enabled)))


Handler = Callable[[Call], None]
LIMITS: dict[str, Handler] = {
    "relu": rectified,
    "relu6": rectified,
    "clamp": clamped,
    "clamp_min": clamped,
    "clamp_max": clamped_above,
    "hardtanh": hard,
}
QUANTIZERS: dict[str, Handler] = {
    "fake_quantize_per_tensor_affine_cachemask": by_tensor,
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": by_tensors,
    "_fake_quantize_learnable_per_tensor_affine": learned,
    "_fused_moving_avg_obs_fq_helper": observing,
    "fake_quantize_per_channel_affine_cachemask": by_channel,
    "_fake_quantize_learnable_per_channel_affine": by_channel,
}
