"""Which forms of the one neuron may explain a module, simplest first, read off a few experiments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from snncc.frontends.behavior_fit import Form, Numbers
from snncc.frontends.behavior_measure import Edges, Staircase, before, edges, silence, sites_of
from snncc.frontends.behavior_probe import Probe
from snncc.frontends.behavior_search import LARGE, smallest
from snncc.ir import Array, Emit, Reset, ResetAt

BELOW = (0.0625, 0.25, *(2.0**k for k in range(-1, 21)))
ABOVE = (0.0, 0.0625, 0.25, *(2.0**k for k in range(-1, 21)))
SMALL = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the first experiments say, arrays [sites] in units of the input.

    *slope*: how much of an input below the threshold is left one timestep later. *product*: leak*leak_i.
    *jump*: how much less is left where the threshold is just reached. *silent*: timesteps after a spike in
    which nothing fires. *late*: the edge after those. *low* and *high*: what is left of very small and very
    large inputs, where that is not what *slope* says.
    """

    edge: Array
    """The smallest first input that makes a spike, also where spikes are not what leaves the module."""
    unit: Array
    theta: Array
    slope: Array
    product: Array
    jump: Array
    silent: int
    late: Array
    low: Array | None
    high: Array | None
    has_memory: bool
    has_reset: bool


def read(probe: Probe, stairs: Staircase) -> tuple[Reading, Edges]:
    """The first experiments, and what they say."""
    edge, fires = hidden_edge(probe, stairs)
    unit = np.where(edge != 0, np.abs(edge), 1.0)
    points = [edge - s * unit for s in BELOW] + [edge + s * unit for s in ABOVE] + [before(edge)]
    prefix = np.stack([np.zeros_like(edge), *points])[:, None]
    length = np.array([0] + [1] * len(points))
    found = edges(probe, stairs, prefix, length)
    rest, below = found.least[0], found.least[1 : 1 + len(BELOW)]
    above, just = found.least[1 + len(BELOW) : -1], found.least[-1]
    slope = finite(below[1], below[0]) / (unit * (BELOW[1] - BELOW[0]))
    drop = finite(above[0], just)
    silent = silence(probe, edge) if stairs.emit is Emit.COUNT else 0
    pair, both = second_order(probe, stairs, found, edge, unit)
    found = found.joined(pair)
    late = above[0]
    if silent:
        x = np.zeros((1, silent + 1, len(edge)))
        x[0, 0] = edge
        last = edges(probe, stairs, x, np.array([silent + 1]))
        found, late = found.joined(last), last.least[0]
    level = np.zeros_like(edge) if stairs.emit is not Emit.COUNT else edge
    theta = edge if stairs.emit is Emit.COUNT else edge - rest
    reading = Reading(
        edge=edge,
        unit=unit,
        theta=theta,
        slope=slope,
        product=both,
        jump=drop,
        silent=silent,
        late=np.where(np.isfinite(late), late, level),
        low=bent(below, slope, unit, BELOW, -1),
        high=bent(above, slope, unit, ABOVE, 1),
        has_memory=bool((found.least != rest).any()),
        has_reset=fires,
    )
    return reading, found


def bent(least: Array, slope: Array, unit: Array, sizes: tuple[float, ...], sign: int) -> Array | None:
    """What a far input leaves where *least* is no longer on its line through the first points; else None."""
    if not np.isfinite(least).all():
        return None
    x = np.array(sizes)[:, None] * unit * sign
    line = least[1] - slope * (x - x[1])
    off = np.abs(least - line) > 1e-6 * np.maximum(np.abs(x), unit)
    if not off.any():
        return None
    first = off.argmax(axis=0)
    return np.where(off.any(axis=0), np.take_along_axis(least, first[None], 0)[0], np.nan)


def second_order(
    probe: Probe, stairs: Staircase, found: Edges, edge: Array, unit: Array
) -> tuple[Edges, Array]:
    """Two experiments with one potential after two timesteps, but different currents."""
    margin = -unit / 4 if stairs.emit is Emit.COUNT else edge / 2
    first = np.stack([edge - s * unit for s in BELOW[:2]])
    second = np.where(np.isfinite(found.least[1:3]), found.least[1:3], 0.0) + margin
    pair = edges(probe, stairs, np.stack([first, second], axis=1), np.array([2, 2]))
    return pair, finite(pair.least[1], pair.least[0]) / (first[1] - first[0])


def finite(one: Array, two: Array) -> Array:
    """The difference of two edges, 0 where one of them is at no finite input."""
    is_finite = np.isfinite(one) & np.isfinite(two)
    return np.where(is_finite, one, 0.0) - np.where(is_finite, two, 0.0)


def hidden_edge(probe: Probe, stairs: Staircase) -> tuple[Array, bool]:
    """The smallest first input whose spike changes what comes later, and whether there is one."""
    if stairs.emit is Emit.COUNT:
        return stairs.first, True
    count = sites_of(probe)
    carrier = 2.0**10

    def second(p: Array) -> Array:
        x = np.stack([p, np.full_like(p, carrier)], axis=-2).reshape(-1, 2, count)
        return probe.run(x)[:, 1].reshape(p.shape) / stairs.scale

    low = np.full(count, 2.0**-19)
    one, two = second(low), second(2 * low)
    slope = (two - one) / low
    fixed = np.abs(slope) < 1e-6
    slope = np.where(fixed, 0.0, slope)

    def off(p: Array) -> Array:
        return np.abs(second(p) - one - slope * (p - low)) > 1e-5 * np.maximum(np.abs(p), 1.0)

    edge = smallest(off, low, np.full(count, LARGE))
    if np.isfinite(edge).all():
        return edge, True
    return np.ones(count), False


def leaks(reading: Reading) -> list[tuple[Array, Array]]:
    """(leak, leak_i) whose sum and product were measured."""
    none = np.zeros_like(reading.slope)
    if not reading.has_memory:
        return [(none, none)]
    if np.all(np.abs(reading.product) <= SMALL):
        return [(reading.slope, none)]
    root = np.sqrt(np.maximum(reading.slope**2 / 4 - reading.product, 0))
    one, two = reading.slope / 2 + root, reading.slope / 2 - root
    # Equal roots cannot be improved from where they are equal: both are moved apart.
    apart = np.where(root < 1e-5, 1e-3, 0.0)
    return [(reading.slope, none), (one + apart, two - apart), (two - apart, one + apart)]


def resets(reading: Reading, leak: Array) -> Iterator[tuple[Reset, ResetAt, int, dict[str, Array]]]:
    """Resets with first guesses of their numbers."""
    factor = np.where(np.abs(leak) > SMALL, leak, 1.0)
    if reading.silent == 0 and (not reading.has_reset or bool(np.all(np.abs(reading.jump) <= SMALL))):
        yield Reset.NONE, ResetAt.SAME, 0, {}
        return
    left = (reading.theta - reading.late) / factor
    if reading.silent == 0:
        amount, value = reading.jump / factor, reading.theta - reading.jump / factor
        where: tuple[ResetAt, ...] = (ResetAt.SAME,)
    else:
        amount, value = reading.theta - left, left
        where = (ResetAt.NEXT, ResetAt.SAME) if reading.silent == 1 else (ResetAt.SAME,)
    for at in where:
        rest = 0 if at is ResetAt.NEXT else reading.silent
        yield Reset.VALUE, at, rest, {"v_reset": value}
        if at is ResetAt.SAME:
            yield Reset.SUBTRACT, at, rest, {"rho": amount}
    if reading.silent:
        yield Reset.NONE, ResetAt.SAME, reading.silent, {}
    elif reading.low is not None or reading.high is not None:
        for at in (ResetAt.NEXT, ResetAt.NEXT_BEFORE_INPUT):
            yield Reset.SUBTRACT, at, 0, {"rho": reading.jump}
        yield Reset.VALUE, ResetAt.NEXT_BEFORE_INPUT, 0, {"v_reset": value * factor}
    elif bool(np.any(np.abs(leak) <= SMALL)):
        yield Reset.VALUE, ResetAt.NEXT_BEFORE_INPUT, 0, {"v_reset": reading.jump * -1.0}


def clamps(reading: Reading, leak: Array) -> list[dict[str, Array]]:
    """None, and where an end of the ladder is bent, with clamps there."""
    factor = np.where(np.abs(leak) > SMALL, leak, 1.0)
    low = [None] if reading.low is None else [None, (reading.theta - reading.low) / factor]
    high = [None] if reading.high is None else [None, (reading.theta - reading.high) / factor]
    found = []
    for a, b in product(low, high):
        own = {}
        if a is not None:
            own["clamp_low"] = np.where(np.isfinite(a), a, reading.theta - 2**22 * reading.unit)
        if b is not None:
            own["clamp_high"] = np.where(np.isfinite(b), b, reading.theta + 2**22 * reading.unit)
        found.append(own)
    return found


def forms(reading: Reading, stairs: Staircase) -> list[Form]:
    """Every form that the readings allow, the fewest numbers first."""
    nothing = np.zeros_like(reading.edge)
    is_count = stairs.emit is Emit.COUNT
    fixed: Numbers = {} if is_count else {"theta": reading.theta}
    extras = (
        [(), ("bias",), ("i_init", "bias")] if is_count else [(), ("bias",), ("v_init",), ("v_init", "bias")]
    )
    found = []
    for leak, leak_i in leaks(reading):
        for reset, at, rest, own in resets(reading, leak):
            for clamp, extra in product(clamps(reading, leak), extras):
                if "i_init" in extra and not leak_i.any():
                    continue
                guess: dict[str, Array] = {"theta": reading.theta} if is_count else {}
                guess |= {"leak": leak} | ({"leak_i": leak_i} if leak_i.any() else {})
                guess |= own | clamp | dict.fromkeys(extra, nothing)
                found.append(Form(stairs.emit, reset, at, rest, guess, fixed))
    return sorted(found, key=lambda form: len(form.guess))
