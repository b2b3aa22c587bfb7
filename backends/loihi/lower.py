"""A compiled graph as a Lava program: its processes, its synapses, and when each of them works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snncc.backends.loihi.limits import DECAY_BITS, STATE_MOST, STEP_SHIFT, UNIT, UNIT_SHIFT
from snncc.backends.loihi.passes import bias_exponent, is_stock
from snncc.backends.loihi.registers import largest_sum, misfits, read_by
from snncc.backends.loihi.timing import NoTiming, Timing, timing_of
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import (
    Array,
    Conv,
    Input,
    Neuron,
    NeuronParameters,
    Output,
    Presence,
    Reset,
    SpikeGraph,
)
from snncc.mapping.building import network_of
from snncc.mapping.express import path
from snncc.mapping.network import Connection, Network, Population, Role
from snncc.reference import run

WEIGHT_LOW, WEIGHT_HIGH = -256, 254
"""Weights of mixed sign, in weight units: even numbers."""
DENSE_FROM = 0.25
"""A matrix with a larger share of synapses is written out in full."""
FORMAT, VERSION = "snncc lava program", 1


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What is written: *structure* (JSON) and *arrays*."""

    structure: dict[str, Any]
    arrays: dict[str, Array]


def lower(graph: SpikeGraph, stretch: int = 1) -> Program:
    """The program of a compiled integer *graph*. Raises `DoesNotFit` with every limit that is broken."""
    network = network_of(graph)
    found = tuple(misfits(graph, network))
    try:
        timing = timing_of(network, stretch)
    except NoTiming as error:
        raise DoesNotFit("loihi", (*error.problems, *found)) from None
    if found:
        raise DoesNotFit("loihi", found)
    return Lowering(graph, network, timing).program()


class Lowering:
    """Works out one program."""

    def __init__(self, graph: SpikeGraph, network: Network, timing: Timing) -> None:
        self.graph, self.network, self.timing = graph, network, timing
        self.arrays: dict[str, Array] = {}
        self.late = {c.source for c in network.connections if c.delay}
        self.too_large: list[Problem] = []

    def program(self) -> Program:
        """Everything. Raises `DoesNotFit` where paths of one connection add up to weights that are over."""
        by_role = {role: [p for p in self.network.populations.values() if p.role is role] for role in Role}
        structure = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.graph.name,
            "timesteps": self.graph.timesteps,
            "frame": self.timing.frame,
            "depth": self.timing.depth,
            "layout": self.graph.layout.value,
            "inputs": [self.input(p) for p in by_role[Role.INPUT]],
            "populations": [self.neurons(p) for p in by_role[Role.NEURON]],
            "connections": [
                self.connection(k, c, delay)
                for k, (c, delay) in enumerate(zip(self.network.connections, self.timing.delays, strict=True))
            ],
            "readouts": [self.readout(node) for node in self.graph.outputs],
        }
        if self.too_large:
            raise DoesNotFit("loihi", tuple(self.too_large))
        return Program(structure, self.arrays)

    def in_weight_units(self, steps: Array, c: Connection) -> Array:
        """Weights in steps as even numbers of weight units."""
        units = 2 * steps.astype(np.int64)
        low, high = int(units.min(initial=0)), int(units.max(initial=0))
        if low < WEIGHT_LOW or high > WEIGHT_HIGH:
            hint = "paths of one connection add up: put a neuron between them, or use fewer weight bits"
            need, have = f"{low} to {high}", f"{WEIGHT_LOW} to {WEIGHT_HIGH}"
            self.too_large.append(Problem(path(c), "weights", need, have, hint))
        return units

    def keep(self, key: str, value: Array) -> str:
        """Put an array into the program; returns its name."""
        self.arrays[key] = value
        return key

    def input(self, population: Population) -> dict[str, Any]:
        """One input."""
        node = self.graph.by_name[population.name]
        assert isinstance(node, Input)
        return {
            "name": node.name,
            "shape": list(node.shape),
            "presence": node.presence.value,
            "kind": node.kind.value,
            "scale": self.keep(f"{node.name}.scale", np.asarray(node.scale, np.float64)),
            "low": node.low,
            "high": node.high,
            "ticks": population.steps,
            "start": self.timing.windows[node.name].start,
        }

    def neurons(self, population: Population) -> dict[str, Any]:
        """One layer of neurons."""
        node = self.graph.by_name[population.name]
        assert isinstance(node, Neuron)
        p, window = node.parameters, self.timing.windows[node.name]
        exponent = bias_exponent(p)
        begins = bool(np.any(p.v_init) or np.any(p.i_init))
        arrays = {"bias_mant": p.bias >> exponent, "v_init": p.v_init, "u_init": p.i_init}
        for key, value in arrays.items():
            if np.any(value):
                whole = np.broadcast_to(value, population.shape).reshape(-1)
                self.keep(f"{node.name}.{key}", whole.astype(np.int32))
        common = {
            "name": node.name,
            "shape": list(population.shape),
            "start": window.start,
            "fire": window.fire,
            "window": window.length,
            "ticks": window.ticks,
            "du": (1 << DECAY_BITS) - 1 - fraction(p.leak_i, p.leak_i_shift),
            "dv": (1 << DECAY_BITS) - fraction(p.leak, p.leak_shift),
            "bias_exp": exponent,
            "initial": begins,
            "graded": population.payload_bits > 0,
        }
        if self.timing.frame == 1 and is_stock(p):
            theta = int(p.theta.flat[0]) // UNIT
            held = begins or node.name in self.late
            process = {
                "process": "LIFHeld" if held else "LIFReset",
                "vth": theta if p.strict else theta - 1,
            }
            return common | process
        return common | phased(p)

    def connection(self, k: int, c: Connection, delay: int) -> dict[str, Any]:
        """One connection: a convolution where it is nothing else, else a matrix."""
        assert c.node is not None
        name = f"c{k}"
        common = {
            "name": name,
            "layer": c.node.name,
            "source": c.source,
            "target": c.target,
            "delay": delay,
            "message_bits": self.network.populations[c.source].payload_bits,
            "weight_exp": c.node.shift - STEP_SHIFT,
        }
        if isinstance(c.node, Conv) and not delay and is_plain(c) and not self.wraps(c):
            self.keep(f"{name}.weight", self.in_weight_units(c.node.weight, c).astype(np.int16))
            return common | {
                "kind": "conv",
                "shape": list(c.shape),
                "out": list(c.out),
                "stride": list(c.node.stride),
                "padding": list(c.node.padding),
                "dilation": list(c.node.dilation),
                "groups": c.node.groups,
            }
        matrix = matrix_of(c, self.network.populations[c.target].size)
        matrix = replace(matrix, weights=self.in_weight_units(matrix.weights, c))
        if len(matrix.weights) > DENSE_FROM * matrix.shape[0] * matrix.shape[1]:
            self.keep(f"{name}.weight", matrix.whole().astype(np.int16))
            return common | {"kind": "dense"}
        self.keep(f"{name}.data", matrix.weights.astype(np.int16))
        self.keep(f"{name}.indices", matrix.sources.astype(np.int32))
        self.keep(f"{name}.indptr", matrix.offsets.astype(np.int32))
        return common | {"kind": "sparse", "shape": list(matrix.shape)}

    def wraps(self, c: Connection) -> bool:
        """Whether Lava's convolution, which keeps 24 bits, could wrap: into neurons nothing ever does."""
        to_neurons = self.network.populations[c.target].role is Role.NEURON
        return not to_neurons and largest_sum(self.network, c) > STATE_MOST

    def readout(self, node: Output) -> dict[str, Any]:
        """One output: sums that a host reads, or the spikes of a layer."""
        edge = self.graph.edges[node.name]
        common = {
            "name": node.name,
            "shape": list(edge.shape),
            "scale": self.keep(f"{node.name}.scale", np.asarray(edge.scale, np.float64)),
            "over": node.over.value,
        }
        if node.name in self.network.populations:
            window = self.timing.windows[node.name]
            bias = np.broadcast_to(silent_sum(self.graph, node), edge.shape)
            return common | {
                "start": window.start,
                "window": window.length,
                "of": None,
                "shift": UNIT_SHIFT,
                "bias": self.keep(f"{node.name}.bias", bias.astype(np.int64)) if np.any(bias) else None,
            }
        source = read_by(self.graph, node)
        assert source is not None
        window = self.timing.windows[source]
        return common | {"start": window.fire, "window": window.ticks, "of": source, "shift": 0, "bias": None}


def phased(p: NeuronParameters) -> dict[str, Any]:
    """A layer that needs a program of its own for its cores: numbers in units of the state."""
    return {
        "process": "Phased",
        "theta": int(p.theta.flat[0]),
        "rho": int(p.rho.flat[0]),
        "steps": None if p.steps is None else [int(step) for step in p.steps],
        "strict": p.strict,
        "reset": p.reset.value,
        "v_reset": int(p.v_reset.flat[0]) if p.reset is Reset.VALUE else 0,
        "max_count": p.max_count,
        "clamp_low": None if p.clamp_low is None else int(p.clamp_low.flat[0]),
        "clamp_high": None if p.clamp_high is None else int(p.clamp_high.flat[0]),
        "stateless": p.stateless,
    }


def fraction(leak: Array, shift: int) -> int:
    """A leak in parts of 4096."""
    return int(leak.flat[0]) << (DECAY_BITS - shift)


def is_plain(c: Connection) -> bool:
    """Whether a convolution reads one population as it is, and fills another."""
    assert isinstance(c.node, Conv)
    top, bottom, left, right = c.node.padding
    whole = np.arange(c.sources)
    return (
        (top, left) == (bottom, right)
        and c.reads.shape == (c.sources, 1)
        and np.array_equal(c.reads[:, 0], whole)
        and np.array_equal(c.lands, np.arange(c.lands.size))
    )


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Synapses [targets, sources] by rows: those of target t are ``offsets[t]:offsets[t + 1]``."""

    shape: tuple[int, int]
    offsets: Array
    sources: Array
    weights: Array

    def whole(self) -> Array:
        """With its zeros."""
        full = np.zeros(self.shape, np.int64)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.offsets))
        full[rows, self.sources] = self.weights
        return full


def matrix_of(c: Connection, targets: int) -> Matrix:
    """All synapses of a connection; the weights of several paths between two neurons add up."""
    parts = [c.synapses(source) for source in range(c.sources)]
    counts = [len(lands) for lands, _ in parts]
    lands, weights = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    keys, inverse = np.unique(
        lands * c.sources + np.repeat(np.arange(c.sources), counts), return_inverse=True
    )
    summed = np.zeros(len(keys), np.int64)
    np.add.at(summed, inverse, weights)
    rows = np.bincount(keys // c.sources, minlength=targets)
    offsets = np.concatenate([[0], np.cumsum(rows)])
    return Matrix((targets, c.sources), offsets, keys % c.sources, summed)


def silent_sum(graph: SpikeGraph, node: Output) -> Array:
    """What an output receives in a timestep in which nothing spikes."""
    lead = {one.name: (1, 1) if one.presence is Presence.SEQUENCE else (1,) for one in graph.inputs}
    quiet = {one.name: np.zeros((*lead[one.name], *one.shape)) for one in graph.inputs}
    none = {n.name: np.zeros((1, 1, *graph.edges[n.name].shape), np.int64) for n in graph.neurons}
    source = node.inputs[0].source
    found = run(graph, quiet, timesteps=1, record=[source], count=False, force=none)
    return found.records[source].train.sum(axis=2)[0, 0]
