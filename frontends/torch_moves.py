"""Handlers of operations that only move numbers: what they do to the numbers is done to the codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map

from snncc.frontends.torch_build import Builder
from snncc.frontends.torch_codes import Mixed, Signal, unrolled
from snncc.frontends.torch_record import Call
from snncc.ir import Over

MAXIMUM_CONSTANTS = 16


def move(call: Call) -> None:
    """Apply the operation to the codes."""
    over = common_over(call)

    def code_of(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        signal = call.recorder.signal(value)
        if signal is not None:
            return signal.codes
        return constant_codes(call.recorder.builder, value) if value.is_floating_point() else value

    codes = call.func(*tree_map(code_of, call.args), **tree_map(code_of, call.kwargs))
    for tensor, code in zip(tree_iter(call.out), tree_iter(codes), strict=True):
        call.recorder.set(tensor, Signal(*unrolled(code, over, call.recorder.grid)), call.place)


def common_over(call: Call) -> Over | None:
    """How all traced arguments were reduced over time."""
    signals = [call.recorder.signal(value) for value in [*tree_iter(call.args), *tree_iter(call.kwargs)]]
    overs = {signal.over for signal in signals if signal is not None}
    if len(overs) > 1:
        raise Mixed("joins a signal that was reduced over time with one that was not")
    return overs.pop() if overs else None


def constant_codes(builder: Builder, value: Tensor) -> Tensor:
    """Codes for a tensor of constants. Raises `Mixed` where it holds many different ones."""
    different = torch.unique(value)
    if len(different) > MAXIMUM_CONSTANTS:
        raise Mixed(f"joins the signal with a constant tensor of {len(different)} different values")
    codes = torch.zeros(value.shape, dtype=torch.int64)
    for number in different.tolist():
        codes[value == number] = builder.constant(float(number))
    return codes


def copy(call: Call) -> None:
    """A change of type or device, or a clone that torch may name in other ways."""
    if not call.out.is_floating_point():
        raise Mixed(
            f"converts the signal to {call.out.dtype}",
            "a neuron of one's own must be a module that snncc.register_neuron knows",
        )
    signal = call.recorder.signal(call.args[0])
    assert signal is not None
    call.recorder.set(call.out, Signal(signal.codes.clone(), signal.over), call.place)


def copy_into(call: Call) -> None:
    """``copy_``: the second argument overwrites the first, and all views of it see the change."""
    target, source = call.args[:2]
    signal = call.recorder.signal(source)
    codes = constant_codes(call.recorder.builder, source) if signal is None else signal.codes
    over = signal.over if signal is not None else None
    call.recorder.set(target, Signal(codes.expand(target.shape).clone(), over), call.place)


def fill(call: Call) -> None:
    """``fill_`` and ``zero_``."""
    target = call.args[0]
    value = float(call.args[1]) if len(call.args) > 1 else 0.0
    code = call.recorder.builder.constant(value)
    call.recorder.set(target, Signal(torch.full(target.shape, code, dtype=torch.int64)), call.place)


def pad(call: Call) -> None:
    """``constant_pad_nd``."""
    signal = call.recorder.signal(call.args[0])
    assert signal is not None
    code = call.recorder.builder.constant(float(call.argument(2, "value", 0)))
    codes = torch.constant_pad_nd(signal.codes, call.args[1], code)
    call.recorder.set(call.out, Signal(codes, signal.over), call.place)


def factory(call: Call) -> None:
    """A new tensor like a traced one: its numbers do not depend on the input."""
    call.recorder.constant(call.func._overloadpacket.__name__, call.func, (), {}, call.out)


def upsample_nearest(call: Call) -> None:
    """``upsample_nearest2d``: every number repeated over a window."""
    signal = call.recorder.signal(call.args[0])
    assert signal is not None
    height, width = signal.codes.shape[-2:]
    plane = torch.arange(height * width, dtype=torch.float64).reshape(1, 1, height, width)
    index = call.func(plane, *call.args[1:], **call.kwargs).to(torch.int64).reshape(-1)
    codes = signal.codes.flatten(-2)[..., index].reshape(call.out.shape)
    call.recorder.set(call.out, Signal(codes, signal.over), call.place)


MOVES = (
    *(
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
    ),
    *("expand", "select", "slice", "split", "split_with_sizes", "unsafe_split", "unbind", "unsafe_chunk"),
    *("clone", "detach", "alias", "lift_fresh", "flip", "roll", "repeat", "index_select", "index", "gather"),
    *("cat", "stack", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"),
    *("unfold", "diagonal", "rot90", "take", "as_strided", "contiguous", "movedim", "squeeze_copy"),
    *("reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"),
)
FACTORIES = (
    *("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"),
    "new_empty_strided",
)
