"""From fitted numbers to a member of the family, and to words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snncc.frontends.behavior_fit import POTENTIALS, Fit
from snncc.frontends.behavior_measure import Staircase, before
from snncc.frontends.behavior_snap import CLOSE, Known
from snncc.frontends.behavior_verify import Member
from snncc.ir import Array, Emit, NeuronParameters, Reset, ResetAt, Shape
from snncc.reference.neuron import initial_state, step

DEFAULTS = NeuronParameters()
NUMBERS = ("theta", "rho", "leak", "leak_i", "bias", "v_reset", "v_init", "i_init", "clamp_low", "clamp_high")
TINY = 1e-300
NEVER = np.finfo(np.float64).max
"""The threshold of a neuron that never fires."""


def member_of(fit: Fit, stairs: Staircase, unit: Array, own: Known) -> Member:
    """The member that *fit* found, its numbers those of the module where they are that close.

    What no member may have (a negative leak, a reset amount that is not positive) is cut to what it may.
    """
    form = fit.form
    numbers = {**form.fixed, **fit.numbers}
    if form.emit is Emit.COUNT and not any(np.any(numbers.get(k, 0)) for k in ("bias", "i_init")):
        numbers["theta"] = stairs.first
    numbers |= spacing(stairs, form.reset, numbers)
    snapped = {k: own.snap(v, unit if k in POTENTIALS else np.ones_like(unit)) for k, v in numbers.items()}
    scale = own.snap(np.maximum(stairs.scale, TINY), np.full_like(unit, TINY))
    for name in ("leak", "leak_i"):
        if name in snapped:
            snapped[name] = np.maximum(snapped[name], 0.0)
    gain = gain_of(snapped, own)
    snapped = {
        k: own.snap(v * gain, unit) if k in POTENTIALS and np.any(gain != 1) else v
        for k, v in snapped.items()
    }
    if form.emit is not Emit.COUNT:
        scale = own.snap(scale / gain, np.full_like(unit, TINY))
    if "rho" in snapped:
        snapped["rho"] = np.maximum(snapped["rho"], TINY)
    if "clamp_low" in snapped and "clamp_high" in snapped:
        snapped["clamp_high"] = np.maximum(snapped["clamp_low"], snapped["clamp_high"])
    fields: dict[str, Any] = {**snapped, "scale": scale, "max_count": stairs.max_count, "emit": form.emit}
    fields |= {"reset": form.reset, "reset_at": form.reset_at, "refractory": form.refractory}
    if form.emit is not Emit.COUNT and form.reset is Reset.NONE:
        del fields["theta"]  # nothing depends on it
    fields["stateless"] = forgets(fields)
    if fields["stateless"]:
        fields |= {"reset": Reset.NONE, "leak": np.zeros(())}
    if form.emit is Emit.COUNT and stairs.max_count not in (None, 1):
        fields |= explicit(fields, stairs, gain, unit)
    member = Member(NeuronParameters(**fields), gain)
    return strictness(member, fields, stairs)


def spacing(stairs: Staircase, reset: Reset, numbers: Mapping[str, Array]) -> dict[str, Array]:
    """The height of the steps of a staircase as rho, where it is not the reset amount."""
    if stairs.max_count == 1 or stairs.emit is not Emit.COUNT:
        return {}
    if stairs.max_count is None:
        return {"rho": stairs.rho}
    mean = (stairs.steps[-1] - stairs.first) / (stairs.max_count - 1)
    return {} if reset is Reset.SUBTRACT else {"rho": mean}


def explicit(fields: Mapping[str, Any], stairs: Staircase, gain: Array, unit: Array) -> dict[str, Any]:
    """Explicit steps, where theta and rho do not give them."""
    theta, rho = fields["theta"], fields["rho"]
    number = np.arange(len(stairs.steps))[:, None]
    regular = theta + number * rho
    measured = theta + (stairs.steps - stairs.first) * gain
    limit = CLOSE * np.maximum(np.abs(measured), unit * np.abs(gain))
    if (np.abs(regular - measured) <= limit).all():
        met = stairs.steps == regular
        is_exact = bool((met | (before(stairs.steps) == regular)).all())
        if not fields["stateless"] or not is_exact or met.all() or not met.any() or np.any(gain != 1):
            return {}
        return {"steps": stairs.steps}  # half to even: some steps must be met, others passed
    return {"steps": stairs.steps if fields["stateless"] and np.all(gain == 1) else measured}


def forgets(fields: Mapping[str, Any]) -> bool:
    """Whether nothing of one timestep reaches the next."""
    is_same = fields["reset"] is Reset.NONE or fields["reset_at"] is ResetAt.SAME
    still = not np.any(fields.get("leak", 1.0)) and not np.any(fields.get("leak_i", 0.0))
    return bool(is_same and still and not fields["refractory"])


def gain_of(numbers: Mapping[str, Array], own: Known) -> Array:
    """The factor on the input for which the threshold is a number of the module's; else 1."""
    theta = numbers["theta"]
    one = np.ones_like(theta)
    if own.is_plain(theta):
        return one
    for gain in (1 - numbers.get("leak", one * 0), *own.own, *own.made):
        if np.all(gain > 0) and np.all(np.isfinite(gain)) and own.is_plain(theta * gain):
            return gain
    return one


def strictness(member: Member, fields: Mapping[str, Any], stairs: Staircase) -> Member:
    """*member* with the comparison, >= or >, that gives the first outputs to the last bit, if one does."""
    if fields["emit"] is not Emit.COUNT or "steps" in fields:
        return member
    strict = Member(NeuronParameters(**{**fields, "strict": True}), member.gain)
    return strict if agreement(strict, stairs) > agreement(member, stairs) else member


def agreement(member: Member, stairs: Staircase) -> int:
    """At how many measured steps *member* counts as the module does, on both sides of the last bit."""
    levels = np.arange(1, len(stairs.steps) + 1)[:, None]
    found = 0
    for y, need in ((stairs.steps, levels), (before(stairs.steps), levels - 1)):
        state = initial_state(member.parameters, len(y), y.shape[1:], np.dtype(np.float64))
        own = step(member.parameters, (member.gain * y)[:, None], state).own[:, 0]
        found += int((own == need).sum()) if member.parameters.max_count == 1 else int((own >= need).sum())
        found -= 0 if member.parameters.max_count == 1 else int((own > need).sum())
    return found


def described(member: Member, sites: Shape) -> dict[str, Any]:
    """The parameters that are not at their default, as `snncc.register_neuron` takes them."""
    p = member.parameters

    def plain(value: Array) -> Any:
        value = np.asarray(value, np.float64)
        if value.ndim == 0 or bool(np.all(value == value.flat[0])):
            return float(value.flat[0])
        return value.reshape(sites)

    told: dict[str, Any] = {}
    if np.any(member.gain != 1):
        told["input_gain"] = plain(member.gain)
    for name in (*NUMBERS, "scale"):
        value, default = getattr(p, name), getattr(DEFAULTS, name)
        if value is not None and (default is None or np.any(value != default)):
            told[name] = plain(value)
    if p.stateless:
        told = {k: v for k, v in told.items() if k in ("input_gain", "theta", "rho", "bias", "scale")}
        told["stateless"] = True
    elif p.emit is Emit.COUNT or p.reset is not DEFAULTS.reset:
        told["reset"] = str(p.reset)
    if p.steps is not None:
        told["steps"] = [plain(one) for one in p.steps]
    for name in ("strict", "max_count", "refractory"):
        if getattr(p, name) != getattr(DEFAULTS, name):
            told[name] = getattr(p, name)
    for name in ("reset_at", "emit"):
        if getattr(p, name) is not getattr(DEFAULTS, name):
            told[name] = str(getattr(p, name))
    return told


def said(told: Mapping[str, Any]) -> str:
    """A description in one line."""
    return ", ".join(name if value is True else f"{name} {shown(value)}" for name, value in told.items())


def in_words(member: Member, sites: Shape) -> str:
    """A member that is not the module, as a refusal names it: with its threshold, also where that is 1."""
    p = member.parameters
    if p.emit is Emit.COUNT and bool((p.theta >= NEVER).all()):
        return "one that never fires"
    told = described(member, sites)
    return said({"theta": 1.0} | told if p.emit is Emit.COUNT else told)


def shown(value: Any) -> str:
    if isinstance(value, list):
        inner = [shown(one) for one in value]
        return f"[{', '.join(inner if len(inner) <= 8 else [*inner[:4], '...', inner[-1]])}]"
    if isinstance(value, np.ndarray):
        return f"{value.min():.6g} to {value.max():.6g} {list(value.shape)}"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
