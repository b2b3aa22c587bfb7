"""A module against a member of the one neuron's family, on many sequences of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snncc.frontends.behavior_probe import Probe
from snncc.ir import Array, Emit, NeuronParameters
from snncc.reference.neuron import State, initial_state, step

TOLERANCE = 1e-9
"""|u - theta| <= TOLERANCE * max(1, |theta|) is a near tie; reals are compared relative to their size."""
STEPS = 200
"""Timesteps of a lane over all kinds of sequences, or a few more."""
MOST = 2**40
"""Counts beyond are no counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """Parameters of the one neuron [sites], and a factor on the input."""

    parameters: NeuronParameters
    gain: Array

    def start(self, lanes: int) -> State:
        """The state before the first timestep."""
        return initial_state(self.parameters, lanes, self.gain.shape, np.dtype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The first output that differs: the inputs of one element up to it, and both outputs."""

    inputs: Array
    site: int
    module: float
    member: float


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a comparison saw; *difference* is None where every output agreed but near ties."""

    sequences: int
    inputs: int
    spikes: int
    near_ties: int
    differing: int
    difference: Difference | None

    def joined(self, other: Verdict) -> Verdict:
        """Both together."""
        return Verdict(
            self.sequences + other.sequences,
            self.inputs + other.inputs,
            self.spikes + other.spikes,
            self.near_ties + other.near_ties,
            self.differing + other.differing,
            shorter(self.difference, other.difference),
        )


NOTHING = Verdict(0, 0, 0, 0, 0, None)


def shorter(one: Difference | None, two: Difference | None) -> Difference | None:
    if one is None or two is None:
        return one or two
    return two if len(two.inputs) < len(one.inputs) else one


def step_distance(p: NeuronParameters, u: Array) -> Array:
    """How far potentials are from the nearest step, in units of what counts as a near tie."""
    if p.max_count is None:
        near = p.theta + np.maximum(np.rint((u - p.theta) / p.rho), 0) * p.rho
        return np.asarray(np.abs(u - near) / (TOLERANCE * np.maximum(1, np.abs(near))))
    distance = np.full(u.shape, np.inf)
    for one in p.step_values():
        distance = np.minimum(distance, np.abs(u - one) / (TOLERANCE * np.maximum(1, np.abs(one))))
    return distance


def compare(probe: Probe, member: Member, x: Array) -> Verdict:
    """Both on *x* [lanes, timesteps, sites].

    A member that counts goes on as if it had fired what the module fired, so that a near tie does not
    spread; one that sends reals is not compared beyond a near tie of its hidden spikes.
    """
    p = member.parameters
    out = probe.run(x)
    state = member.start(len(x))
    differs = np.zeros(out.shape, bool)
    alive = np.ones(out[:, 0].shape, bool)
    have = np.zeros(out.shape)
    ties = spikes = 0
    for t in range(x.shape[1]):
        need = out[:, t]
        if p.emit is Emit.COUNT:
            forced = np.clip(np.rint(need / p.scale), 0, MOST).astype(np.int64)
            fired = step(p, (member.gain * x[:, t])[:, None], state, forced=forced)
            have[:, t] = fired.own[:, 0] * p.scale
        else:
            fired = step(p, (member.gain * x[:, t])[:, None], state)
            have[:, t] = fired.own[:, 0]
        wrong = ~(np.abs(have[:, t] - need) <= TOLERANCE * np.maximum(1, np.abs(need))) & alive
        if p.emit is Emit.COUNT:
            near = wrong & (step_distance(p, fired.u_pre) <= 1)
            wrong &= ~near
        else:
            near = alive & (step_distance(p, fired.u_pre) <= 1) & (p.reset != "none")
            alive &= ~near
        ties += int(near.sum())
        spikes += int((need > 0).sum())
        differs[:, t] = wrong
        alive &= ~wrong
        state = fired.state
    found = first_difference(x, out, have, differs)
    return Verdict(x.shape[0] * x.shape[2], x.size, spikes, ties, int(differs.any(axis=1).sum()), found)


def first_difference(x: Array, out: Array, have: Array, differs: Array) -> Difference | None:
    """The earliest of all differences."""
    if not differs.any():
        return None
    t = int(differs.any(axis=(0, 2)).argmax())
    lane, site = (int(k) for k in np.argwhere(differs[:, t])[0])
    return Difference(
        x[lane, : t + 1, site].copy(), site, float(out[lane, t, site]), float(have[lane, t, site])
    )


def sequences(member: Member, unit: Array, lanes: int, seed: int) -> Iterator[Array]:
    """Sequences [lanes, timesteps, sites] of every kind; *unit* is the size of an input that matters."""
    rng = np.random.default_rng(seed)
    count = len(unit)

    def normal(steps: int, share: int = 1) -> Array:
        return rng.normal(size=(max(1, lanes // share), steps, count))

    def uniform(steps: int, share: int = 1) -> Array:
        return rng.random((max(1, lanes // share), steps, count))

    yield unit * (3 * uniform(16) - 1)
    yield unit * uniform(24)
    yield unit * 0.3 * (normal(24) + 0.5)
    yield unit * 4 * uniform(24) * (uniform(24) < 0.2)
    yield unit * np.exp(normal(12) * 4) * np.sign(normal(12) + 0.3)
    yield unit * (8 * uniform(16) - 6)
    yield unit * 1e3 * normal(12)
    yield unit * 1e5 * normal(8, 2) * (uniform(8, 2) < 0.5)
    yield np.broadcast_to(unit * 2 * uniform(1, 2), (max(1, lanes // 2), 24, count))
    yield unit * 0.5 * (normal(96, 8) + 0.6)
    yield np.rint(normal(16) * 2) / 2
    for swing in (0.0, 1.0):
        yield guided(member, unit, rng, lanes, 16, swing)


def guided(
    member: Member, unit: Array, rng: np.random.Generator, lanes: int, steps: int, swing: float
) -> Array:
    """Inputs that bring the member close to one of its steps in every timestep, on either side."""
    p = member.parameters
    state = member.start(lanes)
    x = np.zeros((lanes, steps, len(unit)))
    far = np.where(member.gain != 0, member.gain, 1.0)
    for t in range(steps):
        u = step(p, np.zeros((lanes, 1, len(unit))), state).u_pre
        near = 10.0 ** rng.uniform(-7, 0, u.shape) * rng.choice([-1.0, 1.0], u.shape) * unit
        level = p.theta if p.max_count == 1 or p.max_count is None else rng.choice(p.step_values())
        x[:, t] = (level - u) / far + near
        x[:, t] += swing * unit * rng.normal(size=u.shape) * (rng.random(u.shape) < 0.5)
        state = step(p, (member.gain * x[:, t])[:, None], state).state
    return x


def verify(
    probe: Probe, member: Member, unit: Array, inputs: int, seed: int = 0, *, stops: bool = True
) -> Verdict:
    """Compare on about *inputs* inputs, or more, of every kind of sequence; *stops* at a difference."""
    lanes = max(2, -(-inputs // (len(unit) * STEPS)))
    found = NOTHING
    for x in sequences(member, unit, lanes, seed):
        found = found.joined(compare(probe, member, x))
        if stops and found.difference is not None:
            return found
    return found


def simplest(probe: Probe, member: Member, difference: Difference) -> Difference:
    """*difference*, or a shorter and rounder one of the same kind."""
    sites = len(member.gain)
    x = difference.inputs
    tries = [x[k:] for k in range(len(x))]
    tries += [np.round(one, digits) for digits in (3, 2, 1, 0) for one in tries]
    wide = np.zeros((len(tries), len(x), sites))
    for lane, one in enumerate(tries):
        wide[lane, : len(one)] = one[:, None]
    for lane in sorted(range(len(tries)), key=lambda k: (len(tries[k]), -k)):
        found = compare(probe, member, wide[lane : lane + 1, : len(tries[lane])]).difference
        if found is not None:
            return found
    return difference
