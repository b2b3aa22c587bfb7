"""`chips()`: small random chips on which messages often wait for each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc.chips import Chip, CoreLimits, Cost, Fabric, LinkKind, Topology, Touch
from snncc.chips.model import Operations, Port
from tests.simulator.tiny import KINDS, chip

SINGLE = ("access", "update", "spike", "message_out", "message_in")
LINKS = ("inject", "east_west", "north_south", "eject")
SMALL = st.sampled_from([0, 1, 1, 2, 3, 5])


def link_kinds(*, bounded: bool) -> st.SearchStrategy[LinkKind]:
    """Links of some interval and latency, both zero at times, and if *bounded* with few slots."""
    slots = st.sampled_from([1, 1, 1, 2, 2, 3, 5, None]) if bounded else st.none()
    return st.builds(LinkKind, interval=SMALL, latency=SMALL, capacity=slots)


@st.composite
def fabrics(draw: st.DrawFn, *, bounded: bool) -> Fabric:
    """Meshes of up to 3 x 3 tiles with one or two cores each, and small crossbars."""
    topology = draw(st.sampled_from([Topology.MESH, Topology.MESH, Topology.CROSSBAR]))
    most = 2 if topology is Topology.CROSSBAR else 3
    kinds = link_kinds(bounded=bounded)
    return Fabric(
        topology=topology,
        columns=draw(st.sampled_from([2, 1, most])),
        rows=draw(st.sampled_from([1, 2, most])),
        cores_per_tile=draw(st.integers(1, 2)),
        multicast=draw(st.sampled_from([True, True, False])),
        credit=draw(st.sampled_from([1, 1, 2, 4] if bounded else [0, 1, 3])),
        inject=draw(kinds),
        east_west=draw(kinds),
        north_south=draw(kinds),
        eject=draw(kinds),
    )


@st.composite
def operations(draw: st.DrawFn) -> Operations:
    """Times of all operations, each kind of synapse with its own."""
    times = st.sampled_from([0, 1, 1, 2, 4])
    return Operations(
        access=Cost(draw(times)),
        update=Cost(draw(times)),
        spike=Cost(draw(times)),
        message_out=Cost(draw(times)),
        message_in=Cost(draw(times)),
        synapse={kind: Cost(draw(times)) for kind in KINDS},
        lanes=draw(st.sampled_from([1, 1, 2, 4])),
    )


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Whole chips; every sixth has no bounds at all."""
    bounded = draw(st.sampled_from([True] * 5 + [False]))
    fabric = draw(fabrics(bounded=bounded))
    slots = st.sampled_from([1, 1, 1, 2, 3, None]) if bounded else st.none()
    tiles = draw(st.lists(st.integers(1, fabric.columns * fabric.rows), max_size=3, unique=True))
    drawn = chip(
        fabric,
        draw(operations()),
        port=draw(st.sampled_from([None, None, 0, 1, 3])),
        cores=tuple(
            CoreLimits(in_queue=draw(slots), slowdown=draw(st.sampled_from([1, 1, 2, 3])))
            for _ in range(fabric.cores)
        ),
        touch=draw(st.sampled_from(Touch)),
        barrier=tuple((least, draw(SMALL)) for least in sorted(tiles)),
    )
    return priced(drawn, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def priced(chip: Chip, rng: np.random.Generator) -> Chip:
    """*chip* where every event takes an energy of its own, of 0.1 to 10 pJ."""

    def one(cost: Cost) -> Cost:
        return replace(cost, energy=float(rng.uniform(0.1, 10)))

    work, fabric = chip.operations, chip.fabric
    single: dict[str, Any] = {name: one(getattr(work, name)) for name in SINGLE}
    links = {kind: replace(getattr(fabric, kind), energy=float(rng.uniform(0.1, 10))) for kind in LINKS}
    return replace(
        chip,
        operations=replace(work, **single, synapse={kind: one(cost) for kind, cost in work.synapse.items()}),
        port=Port(one(chip.port.event)),
        fabric=replace(fabric, **links),
    )
