"""Neurons recognized by what they do: nobody registered their class.

A module that is elementwise and keeps the shape of its input is probed (`behavior_probe`): the inputs at
which it just fires are measured to the last bit (`behavior_measure`), a form of the one neuron and its
numbers are found that explain all of them (`behavior_forms`, `behavior_fit`), and the member so found is
compared with the module on random sequences (`behavior_verify`). What is not visible in the outputs is
chosen: the potential starts at 0 where spikes leave, and the input has the weight 1 or that of the module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from snncc.errors import CannotTrace, InvalidGraph
from snncc.frontends.behavior_fit import GOOD, Fit, Form, fit
from snncc.frontends.behavior_forms import Reading, forms, read
from snncc.frontends.behavior_measure import Edges, Staircase, edges, sites_of, staircase
from snncc.frontends.behavior_member import NEVER, described, in_words, member_of, said
from snncc.frontends.behavior_probe import UNSTEADY, UNSTEADY_HINT, Probe, Unfit, prepared
from snncc.frontends.behavior_snap import known
from snncc.frontends.behavior_verify import Difference, Member, Verdict, simplest, verify
from snncc.ir import Array, Emit, NeuronParameters, Reset, ResetAt, Shape

INPUTS = 1_000_000
"""Random inputs that a member must agree on."""
MANY = 4096
"""Sites from which fewer experiments are made with each."""
FEW = 20_000
"""Inputs that tell a member apart which does not explain what was measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognized:
    """A member of the one neuron's family, and on what evidence.

    *description* is what `snncc.register_neuron` takes, *verdict* what was compared.
    """

    where: str
    kind: str
    description: Mapping[str, Any]
    member: Member
    verdict: Verdict
    edges: int

    def __str__(self) -> str:
        v = self.verdict
        return (
            f"{self.where}: {self.kind} recognized by its behavior: {said(self.description)}; "
            f"{self.edges} edges measured, {v.inputs} inputs in {v.sequences} sequences compared, "
            f"{v.spikes} spikes, {v.near_ties} near ties"
        )


class Unrecognized(CannotTrace):
    """No member of the family does what a module does; *difference* tells the closest one apart."""

    difference: Difference | None = None
    member: Member | None = None


def recognize(
    module: nn.Module,
    shape: Shape,
    *,
    time_axis: int | None = None,
    where: str = "a module",
    samples: int = 2,
    inputs: int = INPUTS,
    kind: str = "",
) -> Recognized:
    """The member of the one neuron's family that does what *module* does.

    The module takes [B, *shape] in one call a timestep, or with *time_axis* 0 or 1 whole trains; it stays
    as it is. Raises `Unfit` for a module that is not elementwise, `Unrecognized` where no member fits.
    """
    probe = prepared(module, shape, time_axis=time_axis, where=where, samples=samples)
    with np.errstate(all="ignore"):  # what is no member may overflow or divide by zero
        return identified(probe, kind or type(module).__name__, inputs)


def identified(probe: Probe, kind: str, inputs: int) -> Recognized:
    """The member that does what the module behind *probe* does."""
    where = probe.where
    stairs = staircase(probe)
    if stairs is None:
        raise mute(probe, where, kind)
    reading, found = read(probe, stairs)
    found = found.joined(edges(probe, stairs, *experiments(reading)))
    own = known(probe)
    others: list[tuple[int, Member, Verdict]] = []
    for one in fits(reading, stairs, found):
        is_good = one.error <= GOOD
        try:
            member = member_of(one, stairs, reading.unit, own)
        except InvalidGraph:
            continue
        verdict = verify(probe, member, reading.unit, inputs if is_good else min(inputs, FEW), stops=is_good)
        if verdict.difference is None and not is_good:
            verdict = verify(probe, member, reading.unit, inputs)
        if verdict.difference is None:
            told = described(member, probe.sites)
            return Recognized(where, kind, told, member, verdict, found.least.size)
        if is_good:
            verdict = verify(probe, member, reading.unit, min(inputs, FEW), stops=False).joined(verdict)
        others.append((verdict.differing, member, verdict))
    _, member, verdict = min(others, key=lambda other: other[0])
    raise refusal(where, kind, member, verdict, probe)


def experiments(reading: Reading) -> tuple[Array, Array]:
    """Random prefixes [lanes, timesteps, sites] and their lengths: spikes and silence, small and large."""
    rng = np.random.default_rng(3)
    steps = 5 + reading.silent
    count = len(reading.edge)
    lanes = 96 if count < MANY else 32
    size = rng.choice([0.3, 1.0, 3.0], (lanes, 1, 1))
    prefix = rng.normal(0.4, 1.0, (lanes, steps, count)) * size * reading.unit
    prefix[: lanes // 2, 0] = reading.edge + np.abs(prefix[: lanes // 2, 0])
    length = rng.integers(1, steps + 1, lanes)
    prefix[np.arange(steps) >= length[:, None]] = 0.0
    return prefix, length


def fits(reading: Reading, stairs: Staircase, found: Edges) -> Iterator[Fit]:
    """Fits that explain every edge, simplest first; then some others, for a refusal."""
    rest = []
    if not reading.has_memory and stairs.emit is Emit.COUNT:
        yield stateless(reading, stairs)
    for form in forms(reading, stairs):
        one = fit(form, found, reading.unit)
        if one.error <= GOOD:
            yield one
        else:
            rest.append(one)
    plain = Form(stairs.emit, Reset.NONE, ResetAt.SAME, 0, {"theta": reading.theta})
    yield from [*sorted(rest, key=lambda one: one.error)[:3], Fit(plain, plain.guess, 1.0)]


def stateless(reading: Reading, stairs: Staircase) -> Fit:
    """The neuron that forgets everything."""
    nothing = {"leak": np.zeros_like(reading.theta)}
    form = Form(stairs.emit, Reset.NONE, ResetAt.SAME, 0, {"theta": reading.theta}, nothing)
    return Fit(form, form.guess, 0.0)


def mute(probe: Probe, where: str, kind: str) -> Unrecognized:
    """The refusal of a module whose first output does not depend on its input."""
    unit = np.ones(sites_of(probe))
    never = NeuronParameters(theta=np.full_like(unit, NEVER), leak=0 * unit, reset=Reset.NONE)
    member = Member(never, unit)
    verdict = verify(probe, member, unit, FEW)
    out = probe.run(np.random.default_rng(4).normal(size=(64, 8, len(unit))))
    if verdict.difference is None:
        return Unrecognized(
            f"{where}: {kind}: nothing ever leaves it", hint="remove it, or check its parameters"
        )
    if (out == out[:1, :1]).all():
        return Unrecognized(
            f"{where}: {kind}: it sends {float(out.flat[0]):.9g} whatever it receives",
            hint="remove it, or check its parameters",
        )
    return refusal(where, kind, member, verdict, probe)


def repeatable(probe: Probe, d: Difference) -> bool:
    """Whether the module sends what it sent, each time that it is asked again."""
    x = np.broadcast_to(d.inputs[:, None], (64, len(d.inputs), sites_of(probe)))
    return all((probe.run(x)[:, -1, d.site] == d.module).all() for _ in range(4))


def refusal(where: str, kind: str, member: Member, verdict: Verdict, probe: Probe) -> Unrecognized:
    """What is said of a module that no member of the family describes."""
    assert verdict.difference is not None
    d = simplest(probe, member, verdict.difference)
    if not repeatable(probe, d):
        raise Unfit(UNSTEADY.format(where), hint=UNSTEADY_HINT)
    site = np.unravel_index(d.site, probe.sites) if probe.sites else ()
    at = f" at {tuple(int(k) for k in site)}" if probe.sites and max(probe.sites) > 1 else ""
    inputs, told = ", ".join(f"{v:.9g}" for v in d.inputs), in_words(member, probe.sites)
    error = Unrecognized(
        f"{where}: {kind} is no member of the one neuron's family; the closest ({told}) "
        f"first differs{at} on the inputs [{inputs}]: it sends {d.member:.9g}, the module {d.module:.9g}",
        hint="adaptive thresholds, noise, other dynamics and neurons that see their neighbors are outside; "
        "snncc.register_neuron names a neuron by hand",
    )
    error.difference, error.member = d, member
    return error
