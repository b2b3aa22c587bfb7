"""How wide the numbers are that populations send, and which neurons change when nothing comes."""

from __future__ import annotations

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import Edge, Emit, Encoding, Input, Kind, Neuron, NeuronParameters, place

MOST = 2**16 - 1
"""The largest count that a message carries where none is bounded."""


def is_driven(p: NeuronParameters) -> bool:
    """Whether a neuron changes in a timestep in which nothing comes: by a bias or a leak."""
    return bool(np.any(p.bias)) or bool(np.any(p.leak != 1 << p.leak_shift)) or p.has_current


def neuron_bits(node: Neuron) -> int:
    """Bits of the numbers that a neuron sends; 0: bare spikes. Raises `CannotLower`."""
    p = node.parameters
    if p.encoding is Encoding.STREAM:
        hint = "compile with encoding='spikes' or 'graded'"
        raise CannotLower(f"{place(node)}: streaming has no place in chip steps", hint=hint)
    if p.emit is not Emit.COUNT:
        raise CannotLower(f"{place(node)}: sends real numbers, a chip's neurons send spikes")
    if p.max_count is None and p.encoding is not Encoding.GRADED:
        raise CannotLower(
            f"{place(node)}: any number of spikes may leave in a timestep, a bound is needed",
            hint="give the neuron a max_count, or compile without a chip",
        )
    is_graded = p.encoding is Encoding.GRADED and p.max_count != 1
    return (p.max_count or MOST).bit_length() if is_graded else 0


def input_bits(node: Input, edge: Edge) -> int:
    """Bits of the numbers that an input sends; 0: bare spikes."""
    if node.kind is Kind.COUNT:
        return (edge.max_count or MOST).bit_length()
    low, high = node.low or 0, node.high or 0
    return max((-low - 1).bit_length() + 1 if low < 0 else 0, high.bit_length() + (low < 0), 1)
