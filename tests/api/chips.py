"""Chips of any size, and runs on them, for the tests of reports and floor plans."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

import snncc
from snncc import Program, Result
from snncc.chips import Chip, Entry, Topology, load_chip
from snncc.ir import Dense, SpikeGraph
from tests.api.networks import images, lif_graph, sequences, sfa_graph


def chip(
    columns: int, rows: int, each: int = 1, topology: Topology = Topology.MESH, entry: Entry = Entry.CORES
) -> Chip:
    """The chip mesh with so many tiles of *each* cores."""
    base = load_chip("mesh")
    fabric = replace(base.fabric, columns=columns, rows=rows, cores_per_tile=each, topology=topology)
    return replace(base, fabric=fabric, cores=(base.cores[0],) * fabric.cores, entry=entry)


@cache
def sfa_on(columns: int, rows: int, each: int = 1, cores: int | None = None, ring: bool = False) -> Result:
    """The SFA network on such a chip, with the cycle timing."""
    topology = Topology.CROSSBAR if ring else Topology.MESH
    program = snncc.compile(
        sfa_graph(), calibration=images(), chip=chip(columns, rows, each, topology), cores=cores
    )
    return program.run(images(4), timing="cycle")


def ran(
    graph: SpikeGraph, chip: Chip, cores: int | None = None, silent: bool = False
) -> tuple[Program, Result]:
    """The LIF network, or another *graph* on its data, on *chip*; *silent*: on zeros."""
    x = sequences()
    program = snncc.compile(graph, calibration=x, chip=chip, cores=cores)
    return program, program.run(np.zeros_like(x[:, :3]) if silent else x[:, :3], timing="cycle")


def silent_graph() -> SpikeGraph:
    """The LIF network without biases: zeros in, no spike at all."""
    graph = lif_graph()
    nodes = [
        replace(node, bias=None) if isinstance(node, Dense) and node.bias is not None else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))
