"""Driving a module whose inside is unknown: many experiments in one call, each from the initial state.

An element of the tensor that the module takes is an experiment of its own, if the module is elementwise;
that is checked first. Elements that behave alike are *lanes* of one *site*; a site is a place with
parameters of its own (a channel, a neuron). Experiments are arrays [lanes, timesteps, sites].
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snncc.errors import CannotTrace
from snncc.frontends.cells import call_reset
from snncc.frontends.torch_record import Recorder
from snncc.ir import Array, Shape

ELEMENTS = 1 << 21
"""Elements of one tensor at most."""
UNSTEADY = "{}: gives another output for the same input, from the same state"
UNSTEADY_HINT = "what is compiled must be deterministic"
SCALES = (0.3, 1.0, 3.0, 30.0, 1000.0)


class Unfit(CannotTrace):
    """A module that is not elementwise, not deterministic, or does not keep the shape of its input."""


class Fails(Unfit):
    """A module that raises an error of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """*module* (a copy in its initial state), which takes [B, *shape] in one call a timestep.

    With *time_axis* 0 or 1 it takes all timesteps in one call. *varies* says along which axes of *shape*
    the parameters differ.
    """

    module: nn.Module
    shape: Shape
    time_axis: int | None = None
    varies: tuple[bool, ...] = ()
    where: str = "a module"
    batch: int | None = None
    """The only number of samples that the module takes, if there is one."""
    calls: list[int] = field(default_factory=lambda: [0])

    @property
    def sites(self) -> Shape:
        """The shape of the parameters: *shape*, 1 along the axes on which all elements are alike."""
        return tuple(n if v else 1 for n, v in zip(self.shape, self.varies, strict=True))

    def run(self, x: Array) -> Array:
        """What leaves the module [lanes, timesteps, sites] for *x*, given in the same way."""
        lanes, steps, count = x.shape
        alike = math.prod(self.shape) // count
        samples = -(-lanes // alike)
        padded = np.zeros((samples * alike, steps, count))
        padded[:lanes] = x
        most = self.batch or max(1, ELEMENTS // (math.prod(self.shape) * (steps if self.time_axis else 1)))
        whole = self.spread(padded, samples)
        if self.batch:
            extra = -samples % self.batch
            whole = np.concatenate([whole, np.zeros((steps, extra, *self.shape))], axis=1)
        parts = [self.call(whole[:, k : k + most]) for k in range(0, whole.shape[1], most)]
        return self.gather(np.concatenate(parts, axis=1)[:, :samples], count)[:lanes]

    def spread(self, x: Array, samples: int) -> Array:
        """[lanes, timesteps, sites] as [timesteps, samples, *shape]."""
        alike = [n for n, v in zip(self.shape, self.varies, strict=True) if not v]
        own = [n for n, v in zip(self.shape, self.varies, strict=True) if v]
        x = x.reshape(samples, *alike, x.shape[1], *own)
        return np.ascontiguousarray(np.moveaxis(x, range(x.ndim), self.order(len(alike), x.ndim)))

    def order(self, alike: int, rank: int) -> list[int]:
        """Where the axes of [samples, *alike, timesteps, *own] stand in [timesteps, samples, *shape]."""
        places_alike = [2 + k for k, v in enumerate(self.varies) if not v]
        places_own = [2 + k for k, v in enumerate(self.varies) if v]
        return [1, *places_alike, 0, *places_own]

    def gather(self, out: Array, count: int) -> Array:
        """The inverse of `spread`."""
        alike = sum(not v for v in self.varies)
        back = np.moveaxis(out, self.order(alike, out.ndim), range(out.ndim))
        return back.reshape(-1, out.shape[0], count)

    def call(self, x: Array) -> Array:
        """What a fresh copy of the module makes of *x* [timesteps, samples, *shape]."""
        self.calls[0] += 1
        return self.drive(copy.deepcopy(self.module), x)

    def drive(self, twin: nn.Module, x: Array) -> Array:
        """What *twin* makes of *x* [timesteps, samples, *shape]; it keeps the state that it then has."""
        given = torch.from_numpy(np.ascontiguousarray(x))
        with torch.no_grad(), Recorder.silent():
            if self.time_axis is None:
                return np.stack([self.answer(twin, step) for step in given])
            return self.train(twin, given)

    def train(self, twin: nn.Module, given: Tensor) -> Array:
        """What *twin* makes of a whole train [timesteps, samples, *shape]."""
        if self.time_axis == 0:
            return self.answer(twin, given)
        return self.answer(twin, given.transpose(0, 1)).swapaxes(0, 1)

    def repeats(self) -> bool:
        """Whether a second train is answered as the first one was: nothing is left in the module."""
        x = noise(np.random.default_rng(6), (8, self.batch or 8, *self.shape))
        twin = copy.deepcopy(self.module)
        return same(self.drive(twin, x), self.drive(twin, x))

    def answer(self, twin: nn.Module, x: Tensor) -> Array:
        """The output of *twin* for *x* as numbers, if it is one tensor of the shape of *x*."""
        try:
            out = twin(x.clone(memory_format=torch.contiguous_format))
        except CannotTrace:
            raise
        except Exception as problem:
            raise Fails(f"{self.where}: fails on its own: {type(problem).__name__}: {problem}") from problem
        if not isinstance(out, Tensor) or out.shape != x.shape:
            have = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise Unfit(
                f"{self.where}: a neuron returns one tensor of the shape of its input, {tuple(x.shape)}, "
                f"not {have}",
                hint="return the spikes alone; keep the potential as an attribute",
            )
        return np.array(out.detach().to(torch.float64).cpu().numpy())


def prepared(
    module: nn.Module,
    shape: Shape,
    *,
    time_axis: int | None = None,
    where: str = "a module",
    samples: int = 2,
) -> Probe:
    """A probe of a copy of *module*, after the checks that make it one. Raises `Unfit`."""
    twin = copy.deepcopy(module).double().eval()
    for one in twin.modules():
        one._forward_hooks.clear()
        one._forward_pre_hooks.clear()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    call_reset(twin)
    probe = Probe(twin, shape, time_axis, (True,) * len(shape), where)
    try:
        probe = with_batch(probe, samples)
        check_elementwise(probe)
    except Unfit:
        raise
    except CannotTrace as problem:
        raise Unfit(f"{where}: {problem.message}", hint=problem.hint) from problem
    return replace(probe, varies=varying(probe))


def with_batch(probe: Probe, samples: int) -> Probe:
    """*probe*, with a fixed number of samples if the module takes no other than *samples*."""

    for count in (samples + 1, samples):
        try:
            probe.call(np.zeros((2, count, *probe.shape)))
        except Fails:
            if count == samples:
                raise
        else:
            break
    return probe if count != samples else replace(probe, batch=samples)


def noise(rng: np.random.Generator, shape: Shape) -> Array:
    """Inputs of many sizes [timesteps, samples, ...], some of them zero."""
    size = rng.choice(SCALES, (1, *shape[1:]))
    return rng.normal(0.3, 1.0, shape) * size * (rng.random(shape) < 0.8)


def check_elementwise(probe: Probe) -> None:
    """Raise `Unfit` unless the same input gives the same output, and each element goes its own way."""
    rng = np.random.default_rng(1)
    samples = probe.batch or max(2, min(64, ELEMENTS // (16 * math.prod(probe.shape))))
    x = noise(rng, (8, samples, *probe.shape))
    out = probe.call(x)
    if not same(out, probe.call(x)):
        raise Unfit(UNSTEADY.format(probe.where), hint=UNSTEADY_HINT)
    if not np.isfinite(out).all():
        raise Unfit(f"{probe.where}: returns NaN or infinite numbers")
    for share in (0.5, 0.02, 0.98):
        moved = rng.random(x.shape[1:]) < share
        other = probe.call(np.where(moved, noise(rng, x.shape), x))
        changed = ~moved & ~np.all((out == other) | (np.isnan(out) & np.isnan(other)), axis=0)
        if changed.any():
            index = tuple(int(k) for k in np.argwhere(changed)[0])
            raise Unfit(
                f"{probe.where}: is not elementwise: its output at (sample, ...) {index} changes when only "
                "inputs of other elements do",
                hint="a neuron of the IR sees nothing of its neighbors or of other samples",
            )


def varying(probe: Probe) -> tuple[bool, ...]:
    """Along which axes elements answer differently, or hold different parameters."""
    rng = np.random.default_rng(2)
    rank = len(probe.shape)
    x = noise(rng, (8, probe.batch or 64, *(1,) * rank))
    fits = max(1, ELEMENTS // math.prod(probe.shape))
    x = x[:, : max(probe.batch or 1, min(x.shape[1], fits))]
    out = probe.call(np.broadcast_to(x, (*x.shape[:2], *probe.shape)))
    varies = [bool((out != out.take([0], axis)).any()) for axis in range(2, out.ndim)]
    for values in tensors(probe.module):
        spread = placed(values, probe.shape)
        if spread is not None:
            for axis in range(rank):
                varies[axis] |= bool((spread != spread.take([0], axis)).any())
    return tuple(varies)


def placed(values: Array, shape: Shape) -> Array | None:
    """*values* spread over *shape*; None where they do not broadcast (or hold samples as well)."""
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values[0]
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        return None


def tensors(module: nn.Module) -> list[Array]:
    """Every float tensor that *module* holds: parameters, buffers, plain attributes."""
    found: list[Any] = [*module.parameters(), *module.buffers()]
    for one in module.modules():
        found += [v for v in vars(one).values() if isinstance(v, Tensor)]
    return [v.detach().double().cpu().numpy() for v in found if v.is_floating_point() and v.numel()]


def same(left: Array, right: Array) -> bool:
    return left.shape == right.shape and bool(np.array_equal(left, right, equal_nan=True))
