"""Neurons for the kernels of the discipline `event`, and how a run of them is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.errors import StateOverflow
from snncc.ir import Overflow, SpikeGraph
from snncc.mapping.network import Role
from snncc.simulator.event_neurons import EventNeurons
from snncc.simulator.event_run import EventRun, Taken
from snncc.simulator.layer_table import aligned
from snncc.simulator.machine.event_kernel import (
    ERROR,
    HOME,
    LEAST,
    NARROW,
    NONE,
    POPULATION,
    RESET,
    RHO,
    SATURATE,
    WRAP,
    Cells,
    Fired,
)
from snncc.simulator.machine.event_program import EventProgram
from snncc.simulator.simd import BLOCK
from snncc.simulator.timing import Ints, Timing

Counts = NDArray[np.int32]
CODES = {Overflow.ERROR: ERROR, Overflow.SATURATE: SATURATE, Overflow.WRAP: WRAP}
FAR = {16: 32000, 32: (1 << 30) - 1, 64: 1 << 61}
"""How far *d* may be from zero, by its bits: one more weight still fits, and is not the lowest number."""
REACH = FAR[64]
"""How far potentials may be from their thresholds."""


def cells_of(program: EventProgram, home: Ints | None, width: int) -> Cells:
    """All neurons before the first timestep, in memory of their own where a run changes it.

    *home* [slots] is the core of each, always the same for a program (None: that does not matter); *width*
    the bits of d.
    """
    key = width, home is not None
    if key not in program.cells:
        program.cells[key] = new_cells(program, np.zeros(1, np.int64) if home is None else home, width)
    cells: Cells = program.cells[key]
    beyond = np.zeros(BLOCK, cells.d.dtype)
    sums_up = any(not of.fires for of in program.neurons.values())  # in `own`
    return cells._replace(
        d=aligned(np.concatenate([cells.d, beyond]), cells.d.dtype.str)[: len(cells.d)],
        own=aligned(cells.own, "i8") if sums_up else cells.own,
        deep=cells.deep.copy(),
        is_deep=cells.is_deep.copy(),
        saturations=cells.saturations.copy(),
        fault=cells.fault.copy(),
        masks=cells.masks.copy(),
    )


def new_cells(program: EventProgram, home: Ints, width: int) -> Cells:
    """As `cells_of`, for all runs."""
    kind, far, count = np.dtype(f"i{width // 8}"), FAR[width], program.slots.count
    names = program.slots.names
    v, floor, least, rho, reset = (np.zeros(count, np.int64) for _ in range(5))
    upper, lower, deepest = (
        np.full(len(names), far),
        np.full(len(names), -far),
        np.zeros(len(names), np.int64),
    )
    for p, name in enumerate(names):
        at = program.slots.of[name]
        if name not in program.neurons:
            continue
        of = program.neurons[name]
        v[at], least[at], rho[at], reset[at] = of.v_init, of.least, of.rho, of.v_reset
        if of.clamp_low is not None:
            floor[at] = of.clamp_low - of.least
        if of.fires:
            lower[p], upper[p] = quiet_range(of, far, width)
            deepest[p] = lowest_deep(of, far) if width < 64 else 0
    by_name = [program.neurons.get(name) for name in names]
    population = np.repeat(np.arange(len(names)), np.diff(program.slots.begins))
    d = v - least
    deep = np.where(d < -far, np.minimum(0, np.maximum(d + far // 2, deepest[population])), 0)
    own = aligned(np.zeros((count, 8), np.int64), "i8")
    own[:, LEAST], own[:, RHO], own[:, RESET], own[:, POPULATION], own[:, HOME] = (
        least,
        rho,
        reset,
        population,
        home,
    )
    fault = np.zeros(3, np.int64)
    if count and (max(-(d - deep).min(), (d - deep).max()) > far or d.min() < -REACH):
        fault[0] = NARROW
    if np.abs(floor).max(initial=0) > far:
        fault[0] = NARROW  # a clipped clamp would act too early
    beyond = np.zeros(BLOCK, np.int64)
    return Cells(
        d=aligned(np.append(np.clip(d - deep, -far, far), beyond), kind.str)[:count],
        deep=deep,
        floor=aligned(np.append(np.clip(floor, -far, far), beyond), kind.str)[:count],
        own=own,
        fires=whole(by_name, lambda of: of.fires),
        subtracts=whole(by_name, lambda of: of.subtracts),
        clamps=whole(by_name, lambda of: of.clamp_low is not None),
        is_bounded=whole(by_name, lambda of: of.bits is not None),
        overflow=whole(by_name, lambda of: CODES[of.overflow]),
        low=whole(by_name, lambda of: of.range[0] if of.bits else 0),
        high=whole(by_name, lambda of: of.range[1] if of.bits else 0),
        lower=lower,
        span=upper - lower,
        deepest=deepest,
        is_deep=np.array([deep[slots].any() for slots in map(program.slots.of.get, names)], np.int64),
        drop=np.array([NONE if of is None else drop_of(of, far) for of in by_name], np.int64),
        saturations=np.zeros(len(names), np.int64),
        fault=fault,
        masks=np.zeros(program.blocks, np.int64),
        far=far,
        reach=REACH,
    )


def fired_of(room: int) -> Fired:
    """*room* for what fires."""
    slot, index, weight = (np.empty(room, np.int64) for _ in range(3))
    return Fired(slot, index, weight, np.zeros(1, np.int64))


def whole(of: Sequence[EventNeurons | None], what: Callable[[EventNeurons], int]) -> Ints:
    """*what* of each population; inputs, which have nothing, are 0."""
    return np.array([0 if one is None else what(one) for one in of], np.int64)


def drop_of(of: EventNeurons, far: int) -> int:
    """What all neurons of the population subtract, if nothing else happens when they fire; else NONE."""
    is_plain = of.fires and of.subtracts and of.bits is None and of.clamp_low is None and len(of.rho)
    return int(of.rho[0]) if is_plain and np.ptp(of.rho) == 0 and 0 <= of.rho[0] <= far else NONE


def quiet_range(of: EventNeurons, far: int, width: int) -> tuple[int, int]:
    """The *d* in which no neuron of the population fires or leaves its width.

    Where there are none: the lowest number of *width* bits, which d never is.
    """
    lower, upper = -far, -1
    if of.bits is not None:
        low, high = of.range
        lower = max(lower, int((low - of.least).max()))
        upper = min(upper, int((high - of.least).min()))
    if lower > upper or (of.clamp_low is not None and bool(np.any(of.clamp_low >= of.least))):
        return -(1 << width - 1), -(1 << width - 1)
    return lower, upper


def lowest_deep(of: EventNeurons, far: int) -> int:
    """How low *deep* may be, so that a neuron whose *d* is quiet is in its width; a clamp needs d alone."""
    if of.clamp_low is not None:
        return 0
    if of.bits is None:
        return -2 * REACH
    return min(0, int((of.range[0] - of.least).max()) + far)


def overflow_of(program: EventProgram, graph: SpikeGraph, cells: Cells) -> StateOverflow:
    """The error of a potential that has left its width."""
    name, address = program.slots.place(int(cells.fault[1]))
    of = program.neurons[name]
    low, high = of.range if of.bits is not None else (-cells.reach, cells.reach)
    neuron = np.unravel_index(address, graph.edges[name].shape)
    return StateOverflow(name, "potential", 0, tuple(int(k) for k in neuron), int(cells.fault[2]), low, high)


def report(
    program: EventProgram,
    cells: Cells,
    spikes: Counts | Mapping[str, NDArray[np.signedinteger[Any]]],
    sums: Ints,
    dropped: Ints,
    timing: Timing | None = None,
    taken: Taken | None = None,
) -> EventRun:
    """What a run did.

    *spikes* [T, slots], or by population and address [T, size]; *sums* as in `note_sums`, before each
    timestep and at the end.
    """
    of, least = program.slots.of, {name: neurons.least for name, neurons in program.neurons.items()}
    first = program.slots.count - program.summed
    roles: Mapping[str, Role] = {name: p.role for name, p in program.network.populations.items()}
    neurons = [name for name, role in roles.items() if role is Role.NEURON]
    readouts = [name for name, role in roles.items() if role is Role.READOUT]
    trains = spikes if isinstance(spikes, Mapping) else {name: spikes[:, of[name]] for name in neurons}
    return EventRun(
        spikes={name: trains[name] for name in neurons},
        sums={name: np.diff(sums[:, of[name] - first], axis=0) for name in readouts},
        potentials={name: cells.d[of[name]] + cells.deep[of[name]] + least[name] for name in neurons},
        saturations={name: int(cells.saturations[program.slots.names.index(name)]) for name in neurons},
        dropped=dropped,
        timing=timing,
        taken=taken,
    )
