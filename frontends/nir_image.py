"""One neuron as a NIR node: what NIR says of it, what stands in notes, and what others will therefore miss.

The equations are those of `snncc.frontends.nir_neurons`, read backwards. A neuron that fires at ``>=`` gets
the threshold one floating point number below, at which NIR's ``>`` is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from snncc.frontends.nir_file import Unit
from snncc.frontends.nir_neurons import EXPLICIT, FIRES, SENDS, compact, neuron_of, note_of
from snncc.frontends.nir_values import Value
from snncc.ir import Array, Emit, Encoding, NeuronParameters, Order, Rectifier, Reset, ResetAt, Shape

FOREVER = 2.0**60
"""A time constant, in timesteps, whose leak is 1 in float64."""


@dataclass(frozen=True, slots=True)
class Image:
    """A NIR node: *losses* are what its fields do not say, though its notes do."""

    kind: str
    fields: Mapping[str, Value]
    notes: Mapping[str, Value]
    losses: tuple[str, ...]


class NoImage(Exception):
    """NIR has no node for a neuron."""


def image_of(p: NeuronParameters, shape: Shape, dt: float, version: tuple[int, ...]) -> Image:
    """The image of *p* for *shape* in a file of NIR *version*. Raises `NoImage`."""
    kind = kind_of(p)
    check_kind(p, kind, version)
    values = {name: full(value, shape) for name, value in fields_of(p, kind, dt).items()}
    if version < EXPLICIT:
        values.pop("v_reset", None)
    written = ".".join(map(str, version))
    # the text of reset is a note of its own where a version has no field for it
    notes: dict[str, Value] = {"reset": p.reset.value} if kind in FIRES and version < EXPLICIT else {}
    read, gain = neuron_of(Unit("neuron", kind, values, notes), dt, written, None)
    notes |= notes_of(p, read, shape)
    read, gain = neuron_of(Unit("neuron", kind, values, notes), dt, written, None)
    if np.any(gain != 1) or notes_of(p, read, shape):
        raise NoImage("has parameters that do not come back from NIR")
    return Image(kind, values, notes, tuple(losses_of(p, kind, values, version)))


def kind_of(p: NeuronParameters) -> str:
    """The type of NIR node whose equation *p* has."""
    if p.emit is Emit.COUNT and p.stateless:
        return "Threshold"
    fires = p.emit is Emit.COUNT
    if p.has_current:
        return "CubaLIF" if fires else "CubaLI"
    if np.all(p.leak == 1) and not (np.any(p.bias) and not fires):
        return "IF" if fires else "I"
    return "LIF" if fires else "LI"


def check_kind(p: NeuronParameters, kind: str, version: tuple[int, ...]) -> None:
    """Raise `NoImage` where no node of NIR comes near."""
    if p.encoding is Encoding.STREAM:
        raise NoImage("streams its spikes within a timestep")
    if p.emit is Emit.RELU:
        raise NoImage("sends its rectified potential; the integrators of NIR send it as it is")
    if kind in SENDS and (p.reset is not Reset.NONE or p.stateless):
        raise NoImage("sends its potential, and resets it; the integrators of NIR never do")
    if kind == "CubaLI" and version < EXPLICIT:
        raise NoImage(f"sends the potential of a leaky current, which NIR {version} cannot")
    if np.any((p.leak < 0) | (p.leak > 1) | (p.leak_i < 0) | (p.leak_i > 1)):
        raise NoImage("has a leak outside 0..1")
    if p.order is Order.INTEGRATE_FIRST and np.any(p.leak == 0):
        raise NoImage("forgets everything, its input too")


def fields_of(p: NeuronParameters, kind: str, dt: float) -> dict[str, Array]:
    """The fields of a node of *kind*, not yet of its shape."""
    theta = p.theta if p.steps is None else p.steps[0]
    theta = theta if p.strict else np.nextafter(theta, -np.inf)
    if kind == "Threshold":
        return {"threshold": theta - said_bias(p)}
    values: dict[str, Array] = {}
    if kind in FIRES:
        hard = p.reset is Reset.VALUE
        values = {"v_threshold": theta, "v_reset": p.v_reset if hard else np.zeros(())}
    if kind in ("IF", "I"):
        return {**values, "r": np.asarray(1 / dt)}
    tau = time_constant(p.leak, dt)
    late = p.leak if p.order is Order.INTEGRATE_FIRST else 1.0
    values |= {"r": late * tau / dt, "v_leak": late * said_constant(p)}
    if kind in ("LIF", "LI"):
        return {**values, "tau": tau}
    tau_syn = time_constant(p.leak_i, dt)
    return {**values, "tau_mem": tau, "tau_syn": tau_syn, "w_in": tau_syn / dt}


def time_constant(leak: Array, dt: float) -> Array:
    """tau with ``leak = 1 - dt/tau``."""
    kept = leak >= 1
    return dt * np.where(kept, FOREVER, 1 / np.where(kept, 1.0, 1 - leak))


def said_bias(p: NeuronParameters) -> Array:
    """What a neuron without state adds to its input."""
    return p.bias + p.leak * p.v_init


def said_constant(p: NeuronParameters) -> Array:
    """v_leak that has the effect of the bias; 0 where it cannot."""
    share, kept = 1 - p.leak, 1 - p.leak_i
    constant = np.where(kept > 0, p.bias / np.where(kept > 0, kept, 1.0), 0.0) if p.has_current else p.bias
    can = (share > 0) & (np.isclose(p.i_init, constant, rtol=1e-12, atol=0) if p.has_current else True)
    return np.where(can, constant / np.where(share > 0, share, 1.0), 0.0)


def full(value: Array, shape: Shape) -> Array:
    """*value* in every neuron, in float32 where that is the same."""
    wide = np.broadcast_to(np.asarray(value, np.float64), shape)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    return narrow if np.all(narrow == wide) else wide.copy()


def notes_of(p: NeuronParameters, read: NeuronParameters, shape: Shape) -> dict[str, Value]:
    """The parameters of *p* that *read* does not have."""
    found: dict[str, Value] = {}
    for field in fields(p):
        mine, theirs = getattr(p, field.name), getattr(read, field.name)
        if not alike(mine, theirs):
            note = note_of(mine)
            found[field.name] = note if isinstance(note, str) else np.asarray(note)
    return found


def alike(mine: object, theirs: object) -> bool:
    """Whether two parameters are the same number in every neuron."""
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
        a, b = compact(mine), compact(theirs)
        return bool(np.all(a == b)) if a.ndim == b.ndim == 0 or a.shape == b.shape else False
    return type(mine) is type(theirs) and mine == theirs


def losses_of(
    p: NeuronParameters, kind: str, values: Mapping[str, Value], version: tuple[int, ...]
) -> Iterator[str]:
    """What another reader of the node computes differently."""
    if kind in FIRES:
        yield from reset_losses(p, version)
    if kind not in SENDS:
        if p.max_count != 1:
            most = "any number of spikes" if p.max_count is None else f"up to {p.max_count} spikes"
            yield f"spike function: {most} a timestep; a neuron of NIR sends one at most"
        if p.rectifier is not Rectifier.NONE:
            yield f"spike function: a membrane rectifier ({p.rectifier}); NIR compares the potential"
    for name, bound in (("lower", p.clamp_low), ("upper", p.clamp_high)):
        if bound is not None and not p.stateless:
            yield f"{name} clamp: {bound.flat[0]:g}; potentials of NIR have no bounds"
    if p.refractory:
        yield f"refractory time: {p.refractory} timesteps; neurons of NIR have none"
    if np.any(p.scale != 1):
        yield f"size of a spike: {p.scale.flat[0]:g}; a spike of NIR is 1"
    if p.reset_at is not ResetAt.SAME and kind in SENDS:
        return
    yield from state_losses(p, kind)


def reset_losses(p: NeuronParameters, version: tuple[int, ...]) -> Iterator[str]:
    if p.reset_at is not ResetAt.SAME and p.reset is not Reset.NONE:
        yield f"reset: in the {p.reset_at} timestep; that of NIR is immediate"
    if version >= EXPLICIT and p.reset is not Reset.VALUE:
        yield f"reset: {p.reset}; that of NIR since 1.0.6 is to v_reset"
    if version < EXPLICIT:
        theta = p.theta if p.steps is None else p.steps[0]
        if p.reset is not Reset.SUBTRACT or np.any(p.rho != theta):
            what = "another amount" if p.reset is Reset.SUBTRACT else str(p.reset)
            yield f"reset: {what}; that of NIR up to 1.0.5 subtracts the threshold"


def state_losses(p: NeuronParameters, kind: str) -> Iterator[str]:
    """The initial state, and a bias that no v_leak stands for."""
    if kind == "Threshold":
        return
    if np.any(p.v_init):
        yield f"initial state: v = {p.v_init.flat[0]:g}; NIR says nothing of it"
    said = said_constant(p) * (1 - p.leak)
    if kind in ("CubaLI", "CubaLIF"):
        if not np.allclose(p.i_init, said, rtol=1e-9, atol=0):
            yield f"initial state: i = {p.i_init.flat[0]:g}; NIR says nothing of it"
        said = said * (1 - p.leak_i)
    elif kind in ("I", "IF"):
        said = np.zeros(())
    if not np.allclose(p.bias, said, rtol=1e-9, atol=0):
        yield f"bias: {np.abs(p.bias).max():g} at most; put it into the weights before the neuron"
