"""The neurons of NIR, discretized, as parameters of the one neuron.

NIR states differential equations. They are integrated by forward Euler with step *dt*, as norse, snnTorch,
SpikingJelly and Lava do; the state begins at 0. For the input x of timestep t::

    I        v <- v + dt*r*x                                              out = v
    IF       u = v + dt*r*x                                               out = u > v_threshold
    LI       v <- v + dt/tau*(v_leak - v + r*x)                           out = v
    LIF      u = v + dt/tau*(v_leak - v + r*x)                            out = u > v_threshold
    CubaLI   i <- i + dt/tau_syn*(w_in*x - i)
             v <- v + dt/tau_mem*(v_leak - v + r*i)      (the new i)      out = v
    CubaLIF  the same with u for v                                        out = u > v_threshold
    Threshold                                                             out = x > threshold

    where a neuron fires: v <- v_reset, or u - v_threshold, or u; elsewhere v <- u

So ``leak = 1 - dt/tau``, and what a neuron reads is multiplied by a *gain*, ``dt*r``, ``dt*r/tau`` or
``(dt*w_in/tau_syn)*(dt*r/tau_mem)``, which becomes an affine node before it. A gain that is 1 up to the
rounding of its own division is 1.

The reset of IF, LIF and CubaLIF was ``v - v_threshold`` up to NIR 1.0.5 and is ``v_reset`` since 1.0.6. Not
all that wrote files of the older versions meant what these say (norse and Lava reset to zero), so a file
without ``v_reset`` needs to be told; one that has it is believed.
"""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum, StrEnum
from typing import Any

import numpy as np

from snncc.errors import BadFile, BadInput, UnknownName
from snncc.frontends.nir_file import Unit, numbers, version_of
from snncc.frontends.nir_values import Value
from snncc.ir import Array, Emit, NeuronParameters, Order, Reset
from snncc.ir.arrays import one, sealed, zero

FIRES = ("IF", "LIF", "CubaLIF")
SENDS = ("I", "LI", "CubaLI")
NEURONS = (*FIRES, *SENDS, "Threshold")
EXPLICIT = (1, 0, 6)
"""The first version whose files say the reset."""
EPSILON = 8 * float(np.finfo(np.float64).eps)


class ResetMode(StrEnum):
    """What ``reset=`` and ``--reset`` take."""

    SUBTRACT = "subtract"
    """v - v_threshold: the definition up to NIR 1.0.5; sinabs."""
    ZERO = "zero"
    """0: norse, Lava, Loihi."""
    VALUE = "value"
    """v_reset of the file."""
    NONE = "none"
    """A spike does not change v."""


def reset_named(name: str | None) -> ResetMode | None:
    """The mode called *name*. Raises `UnknownName`."""
    if name is None:
        return None
    try:
        return ResetMode(name)
    except ValueError:
        raise UnknownName("reset", name, [mode.value for mode in ResetMode]) from None


def neuron_of(
    unit: Unit, dt: float | None, version: str, asked: ResetMode | None
) -> tuple[NeuronParameters, Array]:
    """The parameters of *unit*, and the gain of what it reads. Raises `BadFile`, `BadInput`."""
    with np.errstate(all="ignore"):  # what is not finite is refused
        p, gain = plain(unit, dt)
    if unit.kind in FIRES:
        p = with_reset(unit, p, version, asked)
    p = with_notes(p, unit)
    if p.order is Order.INTEGRATE_FIRST:
        if np.any(p.leak == 0):
            raise BadFile(f"{unit.place}: has no leak left that its input could have come through")
        gain = gain / p.leak
    gain = np.where(np.abs(gain - 1) <= EPSILON, 1.0, gain)
    return p, compact(gain)


def plain(unit: Unit, dt: float | None) -> tuple[NeuronParameters, Array]:
    """Everything but the reset, as the equations above say it."""
    check_shapes(unit)
    if unit.kind == "Threshold":
        theta = finite(unit, "threshold")
        return NeuronParameters(theta=theta, strict=True, reset=Reset.NONE, stateless=True), one()
    if dt is None:
        raise BadInput(
            f"{unit.place}: is a differential equation; it needs a step, in seconds",
            hint="give dt=1e-4, or --dt 1e-4: the step with which the network was trained",
        )
    r, leak, bias, leak_i, i_init = finite(unit, "r"), one(), zero(), zero(), zero()
    gain = dt * r
    if unit.kind in ("LI", "LIF"):
        share = share_of(unit, "tau", dt)
        leak, bias, gain = 1 - share, share * finite(unit, "v_leak"), gain / numbers(unit, "tau")
    if unit.kind in ("CubaLI", "CubaLIF"):
        share, share_i = share_of(unit, "tau_mem", dt), share_of(unit, "tau_syn", dt)
        w_in = finite(unit, "w_in") if "w_in" in unit.fields else one()
        gain = (gain / numbers(unit, "tau_mem")) * (dt * w_in / numbers(unit, "tau_syn"))
        leak, constant = 1 - share, share * finite(unit, "v_leak")
        # v_leak acts on v, a bias on i: a current that begins at `constant` and is kept there is the same
        bias = share_i * constant
        leak_i, i_init = compact(1 - share_i), compact(constant)
    if not np.isfinite(gain).all():
        raise BadFile(f"{unit.place}: r and its time constant give no finite gain")
    p = NeuronParameters(
        leak=compact(leak), bias=compact(bias), leak_i=leak_i, i_init=i_init, reset=Reset.NONE
    )
    if unit.kind in SENDS:
        return replace(p, emit=Emit.POTENTIAL), gain
    return replace(p, theta=finite(unit, "v_threshold"), strict=True), gain


def check_shapes(unit: Unit) -> None:
    """All fields of a neuron have one shape, or are single numbers."""
    shapes = {np.shape(numbers(unit, name)) for name in unit.fields} - {()}
    if len(shapes) > 1:
        raise BadFile(
            f"{unit.place}: its fields have different shapes: {', '.join(map(str, sorted(shapes)))}"
        )


def finite(unit: Unit, name: str) -> Array:
    """The field *name*, which must be finite."""
    value = numbers(unit, name)
    if not np.isfinite(value).all():
        raise BadFile(f"{unit.place}: its {name} holds values that are not finite")
    return compact(value)


def share_of(unit: Unit, name: str, dt: float) -> Array:
    """dt/tau, 0 to 1."""
    tau = numbers(unit, name)
    if np.any(tau <= 0):
        raise BadFile(f"{unit.place}: its {name} must be positive")
    if np.any(tau < dt * (1 - 1e-6)):
        raise BadInput(
            f"{unit.place}: dt = {dt:g} s is longer than its {name} = {tau.min():g} s, so Euler is unstable",
            hint="give a smaller dt",
        )
    return np.minimum(dt / tau, 1.0)


def with_reset(unit: Unit, p: NeuronParameters, version: str, asked: ResetMode | None) -> NeuronParameters:
    """*p* with the reset of *unit*: said by the file, or asked for; never guessed."""
    said = stated(unit, version)
    if "reset" in unit.notes:
        if asked is not None:
            raise BadInput(
                f"{unit.place}: the file says its reset, {unit.notes['reset']}", hint="leave out the reset"
            )
        return replace(p, v_reset=said if said is not None else zero())
    if asked is None and said is None:
        raise BadInput(
            f"{unit.place}: the file, of NIR version {version}, does not say how the potential is reset",
            hint="give reset='subtract' (--reset subtract): v - v_threshold, the definition up to NIR 1.0.5, "
            "sinabs; or 'zero': norse, Lava; or 'none'",
        )
    if asked is None or asked is ResetMode.VALUE:
        if said is None:
            raise BadInput(f"{unit.place}: has no v_reset", hint="give reset='subtract', 'zero' or 'none'")
        return replace(p, reset=Reset.VALUE, v_reset=said)
    if said is not None and np.any(said):
        raise BadInput(
            f"{unit.place}: the file has v_reset = {said.flat[0]:g}, which contradicts {asked.value!r}",
            hint="leave out the reset",
        )
    if asked is ResetMode.SUBTRACT:
        if np.any(p.theta <= 0):
            raise BadInput(f"{unit.place}: v_threshold is not positive, so it cannot be subtracted")
        return replace(p, reset=Reset.SUBTRACT, rho=p.theta)
    return replace(p, reset=Reset.VALUE if asked is ResetMode.ZERO else Reset.NONE, v_reset=zero())


def stated(unit: Unit, version: str) -> Array | None:
    """v_reset, where the file has it; 0 where its version defines that; None where it says nothing."""
    if "v_reset" in unit.fields:
        return finite(unit, "v_reset")
    number = version_of(version)
    return zero() if number is not None and number >= EXPLICIT else None


def compact(value: Array) -> Array:
    """*value* with one entry along every axis on which it does not change; a single number as a scalar.

    >>> compact(np.array([[1, 1], [2, 2]])).shape, compact(np.ones((4, 3))).shape
    ((2, 1), ())
    """
    value = np.asarray(value)
    for axis in range(value.ndim):
        first = value.take([0], axis) if value.shape[axis] else value
        if np.all(value == first):
            value = first
    return sealed(value.reshape(()) if value.size == 1 else value)


def with_notes(p: NeuronParameters, unit: Unit) -> NeuronParameters:
    """*p* with the parameters that the notes of *unit* give. Raises `BadFile`."""
    known = {field.name for field in fields(NeuronParameters)}
    changes: dict[str, Any] = {}
    for name, value in unit.notes.items():
        if name not in known:
            raise BadFile(f"{unit.place}: has the entry snncc.{name}, which this snncc does not know")
        changes[name] = parameter(name, value, getattr(DEFAULT, name), unit)
    return replace(p, **changes)


DEFAULT = NeuronParameters(
    steps=np.ones(1), clamp_low=np.zeros(()), clamp_high=np.zeros(()), v_bits=1, i_bits=1
)
"""A value of the right type for each parameter."""
UNBOUNDED = 0
"""What stands for max_count None."""


def parameter(name: str, value: Value, like: object, unit: Unit) -> object:
    """The note *name* as the type of *like*."""
    try:
        if isinstance(like, Enum):
            return type(like)(value)
        if not isinstance(value, np.ndarray):
            raise ValueError("a text where a number belongs")
        if isinstance(like, np.ndarray):
            return value.astype(np.float64)
        number = int(value.item())
        if isinstance(like, bool):
            return bool(number)
        return None if name == "max_count" and number == UNBOUNDED else number
    except ValueError as problem:
        raise BadFile(f"{unit.place}: its entry snncc.{name} is damaged ({problem})") from None


def note_of(value: object) -> object:
    """A parameter as it is written into a note."""
    if isinstance(value, Enum):
        return value.value
    if value is None:
        return UNBOUNDED
    return int(value) if isinstance(value, bool | int) else value
