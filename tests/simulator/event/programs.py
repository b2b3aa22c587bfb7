"""`event_programs()`: random networks of integrate-and-fire neurons on random chips that run by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc.chips import Chip, Discipline, Entry
from snncc.chips.model import Overflow as Full
from snncc.chips.model import Port
from snncc.ir import (
    Array,
    Input,
    Kind,
    NeuronParameters,
    Overflow,
    Reset,
    Shape,
    SpikeGraph,
    Wire,
)
from snncc.mapping.building import network_of
from snncc.mapping.network import Network
from snncc.mapping.placement import Placement, Schedule
from snncc.simulator.timing import Ints
from tests.simulator.drawn_chips import chips
from tests.simulator.drawn_networks import Drawn, Growing
from tests.simulator.machines import placed_parts


@dataclass(frozen=True, slots=True, eq=False)
class EventProgram:
    """A placed graph, its input [T, 1, size] of one sample, and the period of its timesteps."""

    graph: SpikeGraph
    placement: Placement
    inputs: Mapping[str, Ints]
    period: int

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        chip = self.placement.chip
        parts = [f"{p.population} {p.addresses.tolist()} on {p.core}" for p in self.placement.parts]
        inputs = [f"{name}: {np.argwhere(train).tolist()}" for name, train in self.inputs.items()]
        told = (chip.fabric, chip.operations, chip.port, chip.cores, chip.overflow, self.period)
        printer.text("\n  ".join([str(self.graph), *map(str, told), *parts, *inputs]))


@st.composite
def event_programs(draw: st.DrawFn) -> EventProgram:
    """Random networks on random chips; some have loops without a delay, which no graph can say."""
    drawn = draw(event_graphs())
    network = undelayed(network_of(drawn.graph))
    chip = draw(event_chips())
    placement = Placement(chip, network, draw(placed_parts(network, chip)), Schedule.LAYERED)
    return EventProgram(drawn.graph, placement, flat(drawn), draw(st.sampled_from([0, 0, 1, 7, 40, 300])))


def undelayed(network: Network) -> Network:
    """*network* without delays: loops of the graph have one, and events none."""
    return replace(network, connections=tuple(replace(c, delay=0) for c in network.connections))


def flat(drawn: Drawn) -> dict[str, Ints]:
    """The data of *drawn* as inputs of a run."""
    return {
        name: np.asarray(x).reshape(drawn.timesteps, 1, -1).astype(np.int64) for name, x in drawn.x.items()
    }


@st.composite
def event_chips(draw: st.DrawFn) -> Chip:
    """The chips of `chips()`, by events."""
    drawn = draw(chips())
    taken = replace(drawn.operations.message_in, time=draw(st.sampled_from([1, 1, 2, 4])))
    work = replace(drawn.operations, message_in=taken)
    return replace(
        drawn,
        discipline=Discipline.EVENT,
        operations=work,
        entry=Entry.PORT,
        port=Port(replace(drawn.port.event, time=draw(st.sampled_from([0, 1, 1, 3])))),
        overflow=draw(st.sampled_from([Full.STALL, Full.STALL, Full.DROP])),
    )


@st.composite
def event_graphs(draw: st.DrawFn) -> Drawn:
    """As `drawn_graphs`, of what events can compute."""
    return EventGrowing(draw).grown()


class EventGrowing(Growing):
    """Only spikes enter, nothing is delayed but loops, neurons integrate and fire."""

    ways = ("plain", "plain", "pool", "add")
    pools = False

    def enter(self, shape: Shape) -> None:
        name = self.name("x")
        present = self.rng.random((self.timesteps, 1, *shape)) < self.pick(0.2, 0.4, 0.8)
        self.x[name] = present.astype(np.int64)
        self.add(Input(name=name, shape=shape, kind=Kind.SPIKE))

    def wire(self, source: str) -> Wire:
        return Wire(source)

    def weights(self, *shape: int) -> Array:
        """At times larger, so that potentials leave their widths."""
        return self.rng.integers(-2, 4, shape) * self.pick(1, 1, 1, 1, 3, 200)

    def parameters(self, shape: Shape) -> NeuronParameters:
        theta = self.rng.integers(1, self.pick(3, 6, 12), shape)
        p = NeuronParameters(
            theta=theta,
            rho=self.pick(theta, theta, self.rng.integers(1, 9, shape)),
            strict=self.pick(False, False, True),
            reset=self.pick(Reset.SUBTRACT, Reset.SUBTRACT, Reset.VALUE),
            v_reset=np.array(self.pick(0, -2)),
            v_init=self.pick(np.array(0), self.rng.integers(-4, 3, shape)),
            clamp_low=self.pick(None, None, np.array(-3), np.minimum(theta, 0) - 5),
            v_bits=self.pick(None, 24, 5, 5, 40),
            overflow=self.pick(*[Overflow.SATURATE, Overflow.WRAP] * 4, Overflow.ERROR),
        )
        if self.pick(True, False, False):
            p = replace(p, bias=self.rng.integers(-1, 3, shape))
        return p
