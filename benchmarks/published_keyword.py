"""Keyword spotting, the published sizes on our chip files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.published_figures import PER_SECOND
from snncc.chips import Chip, load_chip
from snncc.ir import (
    Dense,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    SpikeGraph,
    wires,
)
from snncc.mapping import map_network, network_of
from snncc.simulator.machine import Level, MachineProgram, class_counts, energy_of, program_of, run_machine

TIMESTEPS = 10
RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2)
LOIHI = ("loihi1-sanafe2025", "loihi1-davies2018")
SAMPLES = 3
BRANCHES, BRANCH_LAYERS, BRANCH_WIDTH = 4, 10, 256


def keyword_network(branches: int, seed: int = 7) -> SpikeGraph:
    """390-256-256-29, leaky, all to all; each branch is 10 layers of 256 behind the second hidden one."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(name="x", shape=(390,), kind=Kind.SPIKE)]
    sizes = {"x": 390}

    def layer(name: str, source: str, size: int) -> str:
        weight = np.clip(np.rint(rng.normal(0, 20, (size, sizes[source]))), -127, 127).astype(np.int8)
        p = NeuronParameters(
            theta=np.array(300),
            rho=np.array(300),
            leak=np.array(15),
            leak_shift=4,
            leak_rounding=LeakRounding.FLOOR,
            v_bits=24,
        )
        nodes.append(Dense(name=f"{name} synapses", inputs=wires(source), weight=weight))
        nodes.append(Neuron(name=name, inputs=wires(f"{name} synapses"), parameters=p))
        sizes[name] = size
        return name

    second = layer("hidden 2", layer("hidden 1", "x", 256), 256)
    ends = [layer("classes", second, 29)]
    for branch in range(branches):
        end = second
        for depth in range(BRANCH_LAYERS):
            end = layer(f"branch {branch + 1}.{depth + 1}", end, BRANCH_WIDTH)
        ends.append(end)
    nodes += [Output(name=f"out {end}", inputs=wires(end), over=Over.SUM) for end in ends]
    graph = SpikeGraph(tuple(nodes), Numbers.INTEGER, "keyword spotting")
    graph.verify()
    return graph


@dataclass(frozen=True, slots=True)
class Inference:
    """Means of one inference on a chip: events in joules by kind, synaptic operations, time."""

    kinds: Mapping[str, float]
    synapses: float
    seconds: float
    cores: int

    @property
    def joules(self) -> float:
        """All events."""
        return float(sum(self.kinds.values()))


@cache
def placed(chip: str, branches: int) -> MachineProgram:
    """The network with *branches* on *chip*."""
    return program_of(map_network(network_of(keyword_network(branches)), load_chip(chip)))


@cache
def inference(chip: str, branches: int, rate: float) -> Inference:
    """An inference of T = 10 in which every neuron and input fires at *rate*, a mean over samples."""
    program, found = placed(chip, branches), []
    populations = program.placement.network.populations
    for sample in range(SAMPLES):
        rng = np.random.default_rng([sample, round(rate * 1e9)])
        trains: dict[str, NDArray[np.int64]] = {
            name: (rng.random((TIMESTEPS, 1, populations[name].size)) < rate).astype(np.int64)
            for name in program.placement.network.senders
        }
        timing, _ = run_machine(program, trains, Level.CYCLE)
        fired = {name: train.sum(axis=(0, 1)) for name, train in trains.items()}
        energy = energy_of(program, timing, class_counts(program, fired))
        found.append((energy.kinds, timing.events["dense"].sum(), timing.total))
    kinds = {name: float(np.mean([one[0][name] for one in found])) for name in found[0][0]}
    unit = program.placement.chip.time_unit
    synapses, ticks = (float(np.mean([one[k] for one in found])) for k in (1, 2))
    cores = len({part.core for part in program.placement.parts})
    return Inference(kinds, synapses, ticks * unit, cores)


def branch_watts(chip: str, rate: float) -> float:
    """What a branch adds to the power at 296 inferences a second."""
    added = inference(chip, BRANCHES, rate).joules - inference(chip, 0, rate).joules
    return added / BRANCHES * PER_SECOND


def line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Offset and slope of the line of least squares.

    >>> [round(number, 6) for number in line([0, 1, 2], [1, 3, 5])]
    [1.0, 2.0]
    """
    slope, offset = np.polyfit(xs, ys, 1)
    return float(offset), float(slope)


def rate_at(watts: float, rates: Sequence[float], found: Sequence[float]) -> float:
    """The rate at which the line through *found* has *watts*."""
    offset, slope = line(rates, found)
    return (watts - offset) / slope


def static_watts(chip: Chip) -> tuple[float, float]:
    """Static power of *chip*, low and high."""
    low, high = (chip.static.per_chip[k] + chip.static.per_core[k] * chip.fabric.cores for k in (0, 1))
    return low, high
