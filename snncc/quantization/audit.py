"""What a quantization claims: every number is the float one, rounded to its grid; nothing else changed.

`beyond_rounding` checks the claim node by node without running anything, by other means than the quantizer:
it multiplies the integers by their scales and compares. It says nothing about accuracy, which is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from snncc.ir import (
    Affine,
    Array,
    Conv,
    Dense,
    Edge,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Pad,
    SideOperation,
    Sparse,
    SpikeGraph,
    place,
)
from snncc.ir.arrays import behind_first, same
from snncc.passes.rounding import rounds_half_to_even
from snncc.quantization.neurons import LEAK_BITS
from snncc.quantization.quantize import STATE_BITS, row_scale
from snncc.quantization.skips import with_weighted_skips

SLACK = 1e-6
"""Of a step: what rounding in float64 may add."""
SINGLE = 2.0**-22
"""Of a number: what a quantizer may add that computes in float32, as Sinabs does."""
CHOSEN = {
    Input: {"scale", "low", "high"},
    Dense: {"weight", "bias", "weight_scale", "shift"},
    Conv: {"weight", "bias", "weight_scale", "shift"},
    Sparse: {"weight", "bias", "weight_scale", "shift"},
    Affine: {"gain", "offset", "gain_scale"},
    Pad: {"value"},
    Neuron: {"parameters"},
    SideOperation: {"scale"},
}
"""Fields that a quantization chooses; every other one stays."""
CHOSEN_PARAMETERS = {
    *("theta", "rho", "steps", "leak", "leak_i", "leak_shift", "leak_i_shift"),
    *("bias", "v_reset", "v_init", "i_init", "clamp_low", "clamp_high", "v_bits", "i_bits", "overflow"),
}
INPUT_RANGES = {
    limits for b in range(2, 17) for limits in ((0, 2**b - 1), (-(2 ** (b - 1)), 2 ** (b - 1) - 1))
}
STEPPED = ("rho", "bias", "v_reset", "v_init", "i_init", "clamp_low", "clamp_high")


@dataclass(frozen=True, slots=True)
class Rounded:
    """A number of a layer beside what it was: *allowed* is how far rounding can have moved it."""

    what: str
    before: Array
    after: Array
    allowed: Array

    def first_beyond(self) -> str | None:
        """The first entry that no rounding explains."""
        try:
            need, have, allowed = np.broadcast_arrays(self.before, self.after, self.allowed)
        except ValueError:
            return f"{self.what} has the shape {self.after.shape}, had {self.before.shape}"
        beyond = ~(np.abs(have - need) <= allowed * (1 + SLACK) + SINGLE * np.abs(need))
        if not beyond.any():
            return None
        index = tuple(int(k) for k in np.argwhere(beyond)[0])
        at = f"{list(index)}" if index else ""
        return (
            f"{self.what}{at} was {need[index]:.6g} and became {have[index]:.6g}; "
            f"rounding to the grid moves it by {allowed[index]:.3g} at most"
        )


def beyond_rounding(before: SpikeGraph, after: SpikeGraph) -> Iterator[str]:
    """What differs between a float graph and its quantized form *after* but by rounding, layer by layer."""
    expected = with_weighted_skips(before)
    names, have = [n.name for n in expected.nodes], [n.name for n in after.nodes]
    if names != have:
        odd = next((a for a, b in zip(names, have, strict=False) if a != b), "one at the end")
        yield f"the nodes are not those of the float graph, the first difference at {odd}"
        return
    for old, new in zip(expected.nodes, after.nodes, strict=True):
        found = (*misfits(old, new, after.edges), *first_values(old, new, expected.edges, after.edges))
        yield from (f"{place(new)}: {problem}" for problem in found)
    ways = {node.parameters.overflow for node in after.neurons}
    if len(ways) > 1:
        yield f"its neurons do different things beyond their width: {', '.join(sorted(ways))}"


def first_values(
    old: Node, new: Node, before: Mapping[str, Edge], after: Mapping[str, Edge]
) -> Iterator[str]:
    """Wires that carry something else before the first timestep."""
    for one, other in zip(old.inputs, new.inputs, strict=False):
        if one.source != other.source:
            return
        if (one.initial is None) != (other.initial is None):
            yield f"what its wire from {one.source} carries at first came or went"
        elif one.initial is not None and other.initial is not None:
            scale = after[one.source].scale
            number = Rounded(
                f"what its wire from {one.source} carries at first",
                one.initial * before[one.source].scale,
                other.initial * scale,
                np.zeros(()) if after[one.source].is_events else scale / 2,
            )
            problem = number.first_beyond()
            if problem is not None:
                yield problem


def misfits(old: Node, new: Node, edges: Mapping[str, Edge]) -> Iterator[str]:
    """What is wrong with *new*."""
    if type(old) is not type(new):
        yield f"was {type(old).__name__}, became {type(new).__name__}"
        return
    if isinstance(new, Input) and new.kind is Kind.ANALOG and (new.low, new.high) not in INPUT_RANGES:
        yield f"its range {new.low}..{new.high} is none of 2 to 16 bits, with or without sign"
    if isinstance(new, Neuron):
        for what in ("v_bits", "i_bits"):
            if (bits := getattr(new.parameters, what)) not in STATE_BITS:
                yield f"{what} is {bits}, none of {', '.join(map(str, STATE_BITS))}"
    chosen = CHOSEN.get(type(new), set()) | {"inputs"}
    yield from unlike(old, new, chosen)
    if [(w.source, w.delay) for w in old.inputs] != [(w.source, w.delay) for w in new.inputs]:
        yield "reads other nodes"
        return
    for number in rounded(old, new, edges):
        problem = number.first_beyond()
        if problem is not None:
            yield problem


def unlike(old: Node | NeuronParameters, new: Node | NeuronParameters, chosen: set[str]) -> Iterator[str]:
    """Fields beside those *chosen* that are not the same."""
    for one in fields(old):
        left, right = getattr(old, one.name), getattr(new, one.name)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            odd = [k for k in {*left, *right} if not same(left.get(k), right.get(k))]
            if odd:
                yield f"{one.name} {', '.join(sorted(odd))} changed"
        elif one.name not in chosen and not (
            same(left, right)
            if isinstance(left, np.ndarray) or isinstance(right, np.ndarray)
            else left == right
        ):
            yield f"{one.name} was {left}, became {right}"


def rounded(old: Node, new: Node, edges: Mapping[str, Edge]) -> Iterator[Rounded]:
    """The numbers of *new* in real units, beside those of *old*."""
    grid = edges[new.name].scale
    if isinstance(old, Dense | Conv | Sparse) and isinstance(new, Dense | Conv | Sparse):
        rows = row_scale(new, new.weight_scale, edges[new.name].shape)
        yield Rounded("weight", old.weight, new.weight * rows, rows / 2)
        yield from optional("bias", old.bias, new.bias, grid)
    elif isinstance(old, Affine) and isinstance(new, Affine):
        yield Rounded("gain", old.gain, new.gain * new.gain_scale, new.gain_scale / 2)
        yield Rounded("offset", old.offset, new.offset * grid, grid / 2)
    elif isinstance(old, Pad) and isinstance(new, Pad):
        yield Rounded("value", old.value, new.value * grid, grid / 2)
    elif isinstance(old, Neuron) and isinstance(new, Neuron):
        yield from rounded_parameters(old.parameters, new.parameters, edges[new.inputs[0].source].scale)


def optional(what: str, old: Array | None, new: Array | None, grid: Array) -> Iterator[Rounded]:
    """A number that need not be there; without it, it is 0."""
    if old is not None or new is not None:
        zero = np.zeros(())
        yield Rounded(what, zero if old is None else old, zero if new is None else new * grid, grid / 2)


def rounded_parameters(old: NeuronParameters, new: NeuronParameters, grid: Array) -> Iterator[Rounded]:
    """The numbers of a neuron; thresholds may rise to the next step, a reset amount is at least one.

    Of a staircase behind a sum of two grids, also that sum may be off by a step.
    """
    yield Rounded("threshold", old.theta, new.theta * grid, grid)
    if new.steps is not None and old.max_count is not None:
        steps = old.steps_over(grid) if old.steps is not None else old.step_values() / grid
        most = 1.5 + old.max_count if rounds_half_to_even(old) and old.max_count else 2.0
        need = np.asarray(steps)
        have = behind_first(new.steps, need.ndim - 1)
        yield Rounded("steps, in steps of the grid,", need, have, np.asarray(most))
    for name in STEPPED:
        allowed = np.maximum(grid / 2, np.where(old.rho < grid, grid, 0)) if name == "rho" else grid / 2
        for number in optional(name, getattr(old, name), getattr(new, name), grid):
            yield Rounded(number.what, number.before, number.after, allowed)
    for name in ("leak", "leak_i"):
        value = getattr(new, name) / 2.0 ** getattr(new, f"{name}_shift")
        yield Rounded(name, getattr(old, name), value, np.asarray(2.0 ** -(LEAK_BITS + 1)))
    for problem in unlike(old, new, CHOSEN_PARAMETERS):
        yield Rounded(f"a neuron whose {problem}", np.zeros(()), np.ones(()), np.zeros(()))
