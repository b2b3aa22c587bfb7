"""Remove membrane rectifiers that provably leave every spike as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.errors import CannotLower
from snncc.ir import Array, Neuron, NeuronParameters, Node, Rectifier, SpikeGraph, place
from snncc.passes.pipeline import Preserves
from snncc.reference.neuron import passed, rectified

REACH = 4.0
"""The grid is even within this distance of a threshold, and logarithmic beyond."""
EVEN, DECADES, PER_DECADE = 100_001, 12, 100
NEIGHBORS = 64
"""Numbers right below and right above a threshold that are looked at one by one."""


@dataclass(frozen=True, slots=True)
class ElideRectifier:
    """Drop the rectifier phi of each neuron whose thresholds are fixed points of phi.

    Whether they are is computed, with the very function that the reference executor uses: phi must be
    monotone, and [phi(u) >= theta] must equal [u >= theta] ([>] where the neuron is strict), on a dense grid
    and on the numbers next to each threshold. A monotone function that keeps the order of theta and its two
    neighbors keeps it for every number. The thresholds are those of the network's own units, so this comes
    before batch normalization is folded into them. Raises `CannotLower` where a spike would change.
    ("InfLoR-SNN: reducing information loss for spiking neural networks": there theta = 0.5 = phi(0.5).)
    """

    name: ClassVar[str] = "elide-rectifier"
    preserves: ClassVar[Preserves] = Preserves.EXACT

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        nodes: list[Node] = []
        for node in graph.nodes:
            if isinstance(node, Neuron) and node.parameters.rectifier is not Rectifier.NONE:
                check(node)
                node = replace(node, parameters=replace(node.parameters, rectifier=Rectifier.NONE))
            nodes.append(node)
        return graph.with_nodes(nodes)


def check(node: Neuron) -> None:
    """Raise `CannotLower` unless the rectifier of *node* changes no spike."""
    p = node.parameters
    for theta in thresholds(p):
        u = grid(theta)
        phi = rectified(p, u)
        falls = np.diff(phi) < 0
        if falls.any():
            raise CannotLower(
                f"{place(node)}: its membrane rectifier {p.rectifier} falls at u_pre = {u[falls.argmax()]!s}"
            )
        differs = passed(p, phi, theta) != passed(p, u, theta)
        if differs.any():
            raise refusal(node, theta, float(u[differs.argmax()]))


def refusal(node: Neuron, theta: Array, u: float) -> CannotLower:
    """The error for a threshold *theta* that the rectifier moves, seen first at the potential *u*."""
    p = node.parameters
    phi, sign = rectified(p, np.asarray(u)), ">" if p.strict else ">="
    one, other = (str(bool(passed(p, value, theta))).lower() for value in (phi, np.asarray(u)))
    hint = "train with theta = 0.5, which the rectifier leaves where it is"
    if p.max_count == 1:
        hint += f"; or theta = {inverse(p, theta):.17g} without the rectifier, which fires alike"
    return CannotLower(
        f"{place(node)}: its membrane rectifier changes spikes at the threshold {theta:g}: at "
        f"u_pre = {u:.9g} phi(u_pre) = {phi:.9g} {sign} {theta:g} is {one}, "
        f"u_pre {sign} {theta:g} is {other}",
        hint=hint,
    )


def thresholds(p: NeuronParameters) -> Array:
    """The different steps of the staircase; of one without end the first two, as phi fixes but one."""
    steps = np.stack([p.theta, p.theta + p.rho]) if p.max_count is None else p.step_values()
    return np.unique(steps.astype(np.float64))


def grid(theta: Array) -> Array:
    """Potentials all over, ascending: dense near *theta* and the joints of phi, and every number beside."""
    ways = np.logspace(-DECADES, DECADES, 2 * DECADES * PER_DECADE + 1)
    around = [c + s * ways for c in (0.0, 1.0, float(theta)) for s in (-1, 1)]
    even = theta + np.linspace(-REACH, REACH, EVEN)
    return np.unique(np.concatenate([*around, even, *(neighbors(c) for c in (0.0, 1.0, float(theta)))]))


def neighbors(center: float) -> Array:
    """*center* and the numbers next to it on both sides."""
    found = [center]
    for goal in (-np.inf, np.inf):
        number = center
        for _ in range(NEIGHBORS):
            number = float(np.nextafter(number, goal))
            found.append(number)
    return np.asarray(found)


def inverse(p: NeuronParameters, theta: Array) -> float:
    """The threshold without the rectifier that is passed by the same potentials: by bisection."""
    low, high = -1.0, 1.0
    while passed(p, rectified(p, np.asarray(low)), theta):
        low *= 2
    while not passed(p, rectified(p, np.asarray(high)), theta):
        high *= 2
    while low < (middle := low + (high - low) / 2) < high:
        if passed(p, rectified(p, np.asarray(middle)), theta):
            high = middle
        else:
            low = middle
    return low if p.strict else high
