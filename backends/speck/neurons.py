"""Which neurons Speck has: integrate-and-fire, one threshold and one lower bound for a layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snncc.backends.target import Problem
from snncc.ir import Emit, Encoding, Neuron, NeuronParameters, Rectifier, Reset, ResetAt, Shape, place
from snncc.ir.arrays import simplest

COUNTS = "spikes of a timestep"
LEAK = (
    "train integrate-and-fire neurons; a constant leak is a negative bias, which the chip adds once in each "
    "tick of its slow clock"
)


def neuron_obstacles(node: Neuron, shape: Shape) -> Iterator[Problem]:
    """What of the neurons *node* no core computes, after the exact passes."""
    where, p = place(node), node.parameters
    bounded = list(counts(where, p))
    if bounded:  # an SFA or QCFS neuron is another machine in all else too
        yield from bounded
        return
    if np.any(p.leak != 1):
        yield Problem(where, "leak", f"a factor of {float(np.min(p.leak)):.6g} a timestep", "none", LEAK)
    if p.has_current:
        yield Problem(where, "memory of its current", "a second state", "none", "train plain IF neurons")
    if p.refractory:
        yield Problem(where, "refractory time", f"{p.refractory} timesteps", "none", "train without")
    if p.stateless:
        hint = "train IF neurons, which keep their potential"
        yield Problem(where, "a potential forgotten in each timestep", "timesteps", "none", hint)
    if p.rectifier is not Rectifier.NONE:
        yield Problem(where, "rectifier", str(p.rectifier), "none", "train without")
    if p.clamp_high is not None:
        yield Problem(where, "upper clamp", "one", "none", "leave it out; a lower one there is")
    if p.emit is not Emit.COUNT:
        yield Problem(where, "what it sends", "real numbers", "spikes", "train a neuron that spikes")
        return
    yield from resets(where, p)
    yield from one_number(where, p, shape)


def counts(where: str, p: NeuronParameters) -> Iterator[Problem]:
    """Bounded counts of a timestep, as SFA and QCFS neurons send them."""
    if p.steps is not None or (p.max_count or 1) > 1 or p.encoding is not Encoding.UNDECIDED:
        hint = (
            "the chip has no timesteps in which a count could be complete: train IF neurons, or ask for "
            "streams, which are approximate and measured: encoding='stream', --encoding stream"
        )
        bound = "any number of" if p.max_count is None else f"0 to {p.max_count}"
        yield Problem(where, COUNTS, f"{bound}, as one count", "events", hint)


def resets(where: str, p: NeuronParameters) -> Iterator[Problem]:
    """By the threshold, or to zero, at once."""
    have = "by its threshold, or to 0"
    if p.reset is Reset.NONE:
        yield Problem(where, "reset", "none", have, "train with a reset")
    elif p.reset is Reset.SUBTRACT and np.any(p.rho != p.theta):
        yield Problem(where, "reset", "by another amount than its threshold", have, "reset by the threshold")
    elif p.reset is Reset.VALUE and np.any(p.v_reset != 0):
        yield Problem(where, "reset", f"to {float(np.max(np.abs(p.v_reset))):.6g}", have, "reset to 0")
    if p.reset is not Reset.NONE and p.reset_at is not ResetAt.SAME:
        hint = "reset by subtraction (then this makes no difference), or at once"
        yield Problem(where, "reset", "in the next timestep", "with the spike", hint)


def one_number(where: str, p: NeuronParameters, shape: Shape) -> Iterator[Problem]:
    """A core has one threshold and one lower bound."""
    theta = simplest(p.theta)
    if theta.ndim:
        hint = "thresholds that differ by channel are folded into the weights; these differ inside a map"
        yield Problem(where, "thresholds", "one a neuron", "one a layer", hint)
    elif theta <= 0:
        yield Problem(where, "threshold", f"{float(theta):.6g}", "above 0", "train with a positive one")
    if np.any(p.bias):
        yield Problem(where, "bias", "one a neuron", "one a channel", "put it into the convolution")
    if simplest(p.scale).ndim:
        hint = "let each spike of a layer mean the same"
        yield Problem(where, "a spike's worth", "one a channel", "one a layer", hint)
    if p.clamp_low is not None:
        low = simplest(p.clamp_low)
        if low.ndim:
            yield Problem(where, "lower clamp", "one a neuron", "one a layer", "use one number")
        elif low > 0:
            yield Problem(
                where, "lower clamp", f"{float(low):.6g}", "0 or below", "use one below the threshold"
            )
