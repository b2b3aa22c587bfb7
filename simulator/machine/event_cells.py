"""Neurons for the kernels of the discipline `event`, and how a run of them is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from snncc.errors import StateOverflow
from snncc.ir import Overflow, SpikeGraph
from snncc.mapping.network import Role
from snncc.simulator.event_neurons import EventNeurons
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.event_kernel import ERROR, LEAST, NARROW, SATURATE, WRAP, Cells
from snncc.simulator.machine.event_program import EventProgram
from snncc.simulator.timing import Ints, Timing

CODES = {Overflow.ERROR: ERROR, Overflow.SATURATE: SATURATE, Overflow.WRAP: WRAP}
REACH = {16: 1 << 14, 32: 1 << 30, 64: 1 << 61}
"""How far potentials may be from their thresholds, by the bits in which the kernels keep them."""


def cells_of(program: EventProgram, home: Ints, width: int) -> Cells:
    """All neurons before the first timestep; *home* [slots] is the core of each, *width* the bits of d."""
    kind, reach, count = np.dtype(f"i{width // 8}"), REACH[width], program.slots.count
    names = program.slots.names
    v, floor, least, rho, reset = (np.zeros(count, np.int64) for _ in range(5))
    upper, lower = np.full(len(names), reach), np.full(len(names), -reach)
    is_narrow = False
    for p, name in enumerate(names):
        if name not in program.neurons:
            continue
        of, at = program.neurons[name], program.slots.of[name]
        v[at], least[at], rho[at], reset[at] = of.v_init, of.least, of.rho, of.v_reset
        if of.clamp_low is not None:
            lowest = of.clamp_low - of.least
            is_narrow |= bool(np.any(np.abs(lowest) > reach))  # a clipped clamp would act too early
            floor[at] = np.clip(lowest, -reach, reach)
        if of.fires:
            lower[p], upper[p] = quiet_range(of, reach)
    by_name = [program.neurons.get(name) for name in names]
    d = v - least
    population = np.repeat(np.arange(len(names)), np.diff(program.slots.begins))
    own = np.stack([least, rho, reset, population, home, *[v * 0] * 3], axis=1)
    fault = np.zeros(3, np.int64)
    if is_narrow or (count and max(-d.min(), d.max()) > reach):
        fault[0] = NARROW
    return Cells(
        d=np.clip(d, -reach, reach).astype(kind),
        floor=floor.astype(kind),
        own=own,
        fires=whole(by_name, lambda of: of.fires),
        subtracts=whole(by_name, lambda of: of.subtracts),
        clamps=whole(by_name, lambda of: of.clamp_low is not None),
        is_bounded=whole(by_name, lambda of: of.bits is not None),
        overflow=whole(by_name, lambda of: CODES[of.overflow]),
        low=whole(by_name, lambda of: of.range[0] if of.bits else 0),
        high=whole(by_name, lambda of: of.range[1] if of.bits else 0),
        lower=lower,
        upper=upper,
        saturations=np.zeros(len(names), np.int64),
        fault=fault,
        reach=reach,
    )


def whole(of: Sequence[EventNeurons | None], what: Callable[[EventNeurons], int]) -> Ints:
    """*what* of each population; inputs, which have nothing, are 0."""
    return np.array([0 if one is None else what(one) for one in of], np.int64)


def quiet_range(of: EventNeurons, reach: int) -> tuple[int, int]:
    """The distances in which no neuron of the population fires or leaves its width; perhaps none (1, 0)."""
    lower, upper = -reach, -1
    if of.bits is not None:
        low, high = of.range
        lower = max(lower, int((low - of.least).max()))
        upper = min(upper, int((high - of.least).min()))
    if of.clamp_low is not None and bool(np.any(of.clamp_low >= of.least)):
        return 1, 0
    return lower, upper


def overflow_of(program: EventProgram, graph: SpikeGraph, cells: Cells) -> StateOverflow:
    """The error of a potential that has left its width."""
    name, address = program.slots.place(int(cells.fault[1]))
    of = program.neurons[name]
    low, high = of.range if of.bits is not None else (-cells.reach, cells.reach)
    neuron = np.unravel_index(address, graph.edges[name].shape)
    return StateOverflow(name, "potential", 0, tuple(int(k) for k in neuron), int(cells.fault[2]), low, high)


def report(
    program: EventProgram, cells: Cells, spikes: Ints, sums: Ints, dropped: Ints, timing: Timing | None
) -> EventRun:
    """What a run did: *spikes* [T, slots], *sums* [T + 1, slots] before each timestep and at the end."""
    of, potentials, received = program.slots.of, cells.d + cells.own[:, LEAST], np.diff(sums, axis=0)
    roles: Mapping[str, Role] = {name: p.role for name, p in program.network.populations.items()}
    neurons = [name for name, role in roles.items() if role is Role.NEURON]
    return EventRun(
        spikes={name: spikes[:, of[name]] for name in neurons},
        sums={name: received[:, of[name]] for name, role in roles.items() if role is Role.READOUT},
        potentials={name: potentials[of[name]] for name in neurons},
        saturations={name: int(cells.saturations[program.slots.names.index(name)]) for name in neurons},
        dropped=dropped,
        timing=timing,
    )
