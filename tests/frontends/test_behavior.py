"""Neurons recognized by what they do: hand-written classes of many styles, and strangers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from snncc.errors import CannotTrace
from snncc.frontends.behavior import Recognized, Unrecognized, recognize
from snncc.frontends.behavior_member import said
from snncc.frontends.behavior_probe import Unfit
from snncc.frontends.behavior_search import LARGE, double, ordered, smallest
from snncc.frontends.behavior_verify import Member
from snncc.frontends.torch_parameters import ENUMS
from snncc.ir import Array, Emit, NeuronParameters, Reset
from snncc.reference.neuron import initial_state, step
from tests.frontends import behavior_members as members
from tests.frontends import behavior_trains as trains
from tests.frontends.behavior_activations import ACTIVATIONS, Integers
from tests.frontends.behavior_members import MEMBERS
from tests.frontends.behavior_strangers import STRANGERS
from tests.frontends.behavior_trains import TRAINS

Make = Callable[[np.random.Generator], nn.Module]
ALL: tuple[Make, ...] = (*MEMBERS, *TRAINS, *ACTIVATIONS, *STRANGERS)
QUICK, SEEDS = 10_000, range(1, 5)
TIE = 1e-9


def made(make: Make, seed: int) -> nn.Module:
    """A module with random parameters."""
    return make(np.random.default_rng(seed))


def tried(module: nn.Module, inputs: int) -> Recognized | CannotTrace:
    """What came of it."""
    try:
        return recognize(
            module,
            getattr(module, "shape", (2,)),
            time_axis=getattr(module, "time_axis", None),
            inputs=inputs,
        )
    except CannotTrace as refused:
        return refused


def plainly(module: nn.Module, x: Array) -> Array:
    """What *module* makes of *x* [T, B, ...] in float64, without anything of the compiler's.

    Modules that turn their spikes into float32 would round what they multiply them with: `float` is `double`.
    """
    twin = copy.deepcopy(module).double()
    given = torch.from_numpy(x)
    axis = getattr(module, "time_axis", None)
    with torch.no_grad(), mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        if axis is None:
            out = torch.stack([twin(one) for one in given])
        else:
            out = twin(given.transpose(0, axis)).transpose(0, axis)
    return out.double().numpy()


def differing(module: nn.Module, found: Recognized, x: Array) -> tuple[int, int, int]:
    """Outputs that differ on *x* [T, B, *shape] beyond near ties, near ties, and outputs above 0."""
    need = plainly(module, x)
    shape = x.shape[2:]
    told = {k: v for k, v in found.description.items() if k != "input_gain"}
    p = parameters(told, shape)
    gain = np.broadcast_to(found.description.get("input_gain", 1.0), shape)
    state = initial_state(p, x.shape[1], shape, np.dtype(np.float64))
    wrong = ties = 0
    alive = np.ones(x.shape[1:], bool)
    for t, now in enumerate(need):
        forced = np.rint(now / p.scale).astype(np.int64) if p.emit is Emit.COUNT else None
        fired = step(p, (gain * x[t])[:, None], state, forced=forced)
        own = fired.own[:, 0] * (p.scale if p.emit is Emit.COUNT else 1)
        differs = ~(np.abs(own - now) <= TIE * np.maximum(1, np.abs(now))) & alive
        near = near_step(p, fired.u_pre)
        if p.emit is not Emit.COUNT and p.reset is not Reset.NONE:
            alive &= ~near
        ties += int((differs & near).sum())
        wrong += int((differs & ~near).sum())
        state = fired.state
    return wrong, ties, int((need > 0).sum())


def near_step(p: Any, u: Array) -> Array:
    """Where *u* is within rounding of a step of the staircase."""
    if p.max_count is None:
        steps = [p.theta + np.maximum(np.rint((u - p.theta) / p.rho), 0) * p.rho]
    else:
        steps = list(p.step_values())
    near = [np.abs(u - one) <= TIE * np.maximum(1, np.abs(one)) for one in steps]
    return np.asarray(np.any(near, axis=0))


def parameters(told: dict[str, Any], shape: tuple[int, ...]) -> NeuronParameters:
    """A description as the registry takes it, as parameters."""
    fields: dict[str, Any] = {k: ENUMS[k](v) if k in ENUMS else v for k, v in told.items()}
    if "steps" in fields:
        fields["steps"] = np.stack([np.broadcast_to(one, shape) for one in fields["steps"]])
    fields = {k: np.asarray(v) if isinstance(v, float) else v for k, v in fields.items()}
    return NeuronParameters(**fields)


def fresh(found: Recognized, module: nn.Module, inputs: int) -> list[Array]:
    """Random trains [T, B, *shape] of other kinds than those that the member was accepted on."""
    rng = np.random.default_rng(99)
    shape = getattr(module, "shape", (2,))
    unit = np.broadcast_to(unit_of(found), shape)
    steps = 20
    batch = max(2, inputs // (4 * steps * int(np.prod(shape))))

    def size() -> tuple[int, ...]:
        return (steps, batch, *shape)

    return [
        unit * rng.gamma(1.0, 0.6, size()),
        unit * rng.standard_cauchy(size()).clip(-1e4, 1e4),
        unit * rng.choice([0.0, 1.0, -0.5, 0.25], size()),
        unit * np.abs(rng.normal(0.4, 0.5, (1, batch, *shape))) + 0.1 * unit * rng.normal(size=size()),
    ]


def unit_of(found: Recognized) -> Array:
    """A size of inputs that matters."""
    theta = np.abs(np.asarray(found.description.get("theta", 1.0)))
    return np.where(theta > 0, theta, 1.0) / found.description.get("input_gain", 1.0)


def check(make: Make, seed: int, inputs: int) -> bool:
    """A right member, or a true counterexample; whether it was a member."""
    module = made(make, seed)
    found = tried(module, inputs)
    if isinstance(found, Recognized):
        spikes = total = 0
        for x in fresh(found, module, inputs):
            wrong, _ties, above = differing(module, found, x)
            assert wrong == 0, str(found)
            spikes, total = spikes + above, total + x.size
        assert spikes > 0, str(found)
        assert found.verdict.inputs >= inputs
        assert total >= inputs * 0.9
        return True
    if isinstance(found, Unrecognized) and found.difference is not None:
        check_counterexample(module, found)
    return False


def check_counterexample(module: nn.Module, found: Unrecognized) -> None:
    """Both outputs are what the refusal says, and they differ."""
    difference, member = found.difference, found.member
    assert difference is not None
    assert member is not None
    shape = getattr(module, "shape", (2,))
    x = np.broadcast_to(
        difference.inputs.reshape(-1, 1, *[1] * len(shape)), (len(difference.inputs), 2, *shape)
    )
    out = plainly(module, x.copy())[-1, 0].ravel()
    assert np.isclose(out, difference.module, rtol=1e-12, atol=0).any()
    assert alone(member, difference.inputs, difference.site) == pytest.approx(difference.member, rel=1e-12)
    assert difference.module != difference.member


def alone(member: Member, inputs: Array, site: int) -> float:
    """What *member* sends last, left to itself."""
    p = member.parameters
    state = member.start(1)
    out = np.zeros(())
    for x in inputs:
        fired = step(p, (member.gain * x)[None, None], state)
        out = fired.own[0, 0] * (p.scale if p.emit is Emit.COUNT else 1)
        state = fired.state
    return float(np.broadcast_to(out, member.gain.shape)[site])


@pytest.mark.parametrize("make", [*MEMBERS, *TRAINS, *ACTIVATIONS], ids=lambda make: make.__name__)
def test_members(make: Make) -> None:
    assert check(make, 0, QUICK)


@pytest.mark.parametrize("make", STRANGERS[::3], ids=lambda make: make.__name__)
def test_strangers(make: Make) -> None:
    assert not check(make, 1, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_all_classes_on_a_million_inputs(make: Make, seed: int) -> None:
    """64 classes with four draws each."""
    is_member = check(make, seed, 1_000_000)
    assert is_member or make in STRANGERS


def test_enough_classes() -> None:
    assert len(ALL) * len(SEEDS) >= 200


def test_the_numbers_are_the_module_s_own() -> None:
    """Not near them: the same doubles."""
    module = members.Buffers(np.random.default_rng(0))
    told = recognize(module, (2,), inputs=QUICK).description
    assert told == {
        "theta": float(module.threshold.double()),
        "leak": float(module.leak.double()),
        "v_reset": float(module.rest.double()),
        "reset": "value",
        "strict": True,
    }


def test_a_number_for_each_channel() -> None:
    module = trains.PerChannel(np.random.default_rng(0))
    told = recognize(module, (3, 2, 2), inputs=QUICK).description
    np.testing.assert_array_equal(told["theta"], module.theta.detach().double()[0])
    np.testing.assert_array_equal(told["leak"], module.leak.detach().double())
    assert said(told).startswith("theta 0.4")


def test_ties_to_the_last_bit() -> None:
    """Half to even and half up differ on exact ties only."""
    even = Integers(np.random.default_rng(0))
    even.most, even.shift, even.norm = 4, -1.0, 1.0
    told = recognize(even, (2,), inputs=QUICK).description
    assert told["steps"] == [np.nextafter(0.5, 1), 1.5, np.nextafter(2.5, 3), 3.5]
    even.shift = 0.5
    assert recognize(even, (2,), inputs=QUICK).description == {
        "theta": 0.5,
        "stateless": True,
        "max_count": 4,
    }


@pytest.mark.parametrize("strict", [False, True])
def test_the_comparison(strict: bool) -> None:
    class Compares(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return ((x > 0.7) if strict else (x >= 0.7)).to(x.dtype)

    assert recognize(Compares(), (2,), inputs=QUICK).description.get("strict", False) is strict


def test_the_module_stays_as_it_is() -> None:
    module = members.MemTimesBeta(np.random.default_rng(0))
    module.mem = torch.full((3, 2), 0.25)
    module.train()
    recognize(module, (2,), inputs=QUICK)
    assert module.training
    assert torch.equal(module.mem, torch.full((3, 2), 0.25))


def test_what_a_recognition_says() -> None:
    module = trains.WholeTrain(np.random.default_rng(0))
    found = recognize(module, (2,), time_axis=0, where="net.1", inputs=QUICK)
    assert str(found).startswith("net.1: WholeTrain recognized by its behavior: theta 0.68885")
    assert "leak 0.645873" in str(found)
    assert f"{found.verdict.inputs} inputs in {found.verdict.sequences} sequences" in str(found)


def test_a_module_that_fails() -> None:
    with pytest.raises(Unfit, match=r"layer: fails on its own: RuntimeError: .*size"):
        recognize(trains.PerNeuron(np.random.default_rng(0)), (7,), where="layer")


def test_a_fixed_number_of_samples() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.v = torch.zeros(3, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.v = 0.5 * self.v + x
            s = (self.v >= 1).to(x.dtype)
            self.v = self.v - s
            return s

    assert recognize(Fixed(), (64,), samples=3, inputs=QUICK).description == {
        "leak": 0.5,
        "reset": "subtract",
    }


def test_search_finds_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500)
    np.testing.assert_array_equal(double(ordered(values)), values)
    np.testing.assert_array_equal(np.argsort(values), np.argsort(ordered(values)))
    edge = np.array([0.0, 0.1, -3e5, 1e-200, 1.0, LARGE, -LARGE / 3])
    ends = np.full(edge.shape, LARGE)
    np.testing.assert_array_equal(smallest(lambda y: y >= edge, -ends, ends), edge)
    np.testing.assert_array_equal(
        smallest(lambda y: y > edge[:-2], -ends[:-2], ends[:-2]), np.nextafter(edge, np.inf)[:-2]
    )
    np.testing.assert_array_equal(smallest(lambda y: y > 2 * LARGE, -ends, ends), np.full(edge.shape, np.inf))
    np.testing.assert_array_equal(smallest(lambda y: y > -np.inf, -ends, ends), np.full(edge.shape, -np.inf))
