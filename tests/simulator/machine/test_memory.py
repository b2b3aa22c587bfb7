"""Memory of the exact machine: linear in events in flight; a long run adds its list of spikes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snncc.simulator.machine.touch
from snncc.chips import Touch
from snncc.mapping import Network, map_network
from snncc.simulator.firing import Firing, firing_of_train
from snncc.simulator.machine import MachineProgram, program_of
from snncc.simulator.machine.machine import run_firings
from snncc.simulator.machine.touch import Touches, touches_of
from snncc.simulator.machine.traffic import calendar
from tests.mapping.cases import chain, grid_chip
from tests.simulator.machines import Program, programs

SIZE = 400
VISIT = 8 * 4
"""Bytes of a message in a queue: arrival, way, sends, departure."""
SPIKE = 4 * 3
"""Bytes of a spike in the list of what units send."""
STEP = 1200
"""Bytes of a step: a few numbers for each unit."""


def network() -> Network:
    return chain((SIZE, SIZE, SIZE))


def program(*, multicast: bool = True, slots: int | None = None, touch: Touch = Touch.ALL) -> MachineProgram:
    """Three layers on four cores."""
    chip = replace(grid_chip(2, 2, multicast=multicast), touch=touch)
    if slots is not None:
        link = replace(chip.fabric.inject, capacity=slots)
        chip = replace(chip, fabric=replace(chip.fabric, inject=link, east_west=link, eject=link))
    return program_of(map_network(network(), chip, cores=4))


def spikes(per_frame: int, frames: int) -> dict[str, Firing]:
    """So many spikes of each layer that sends, in each frame."""
    address = np.tile(np.arange(per_frame, dtype=np.int32), frames)
    return {name: Firing(per_frame * np.arange(frames + 1), address) for name in network().senders}


def peak(of: MachineProgram, firings: Mapping[str, Firing]) -> int:
    """Bytes that a run allocates at its peak."""
    timing, _ = run_firings(of, firings)  # compiles, and keeps what is kept between runs
    assert timing.total > 0
    tracemalloc.start()
    try:
        run_firings(of, firings)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def visits(of: MachineProgram, firings: Mapping[str, Firing]) -> int:
    """The visits of all messages of one frame to queues, of all layers together."""
    timing, _ = run_firings(of, firings)
    first = sum(not station.startswith("neuron unit") and station != "port" for station in timing.stations)
    frames = next(iter(firings.values())).length
    return int(timing.messages[-first:].sum()) // frames


@pytest.mark.parametrize("slots", [None, 1])
def test_memory_grows_with_events_in_flight(slots: int | None) -> None:
    """As much for the second hundred of spikes in a step as for the first, and no more than they need."""
    of = program(slots=slots)
    few, more, most = (spikes(n, 6) for n in (100, 200, 400))
    low, middle, high = (peak(of, one) for one in (few, more, most))
    flying = [visits(of, one) for one in (few, more, most)]
    assert 0 < flying[0] < flying[1] < flying[2]
    assert (high - middle) / (flying[2] - flying[1]) == pytest.approx(
        (middle - low) / (flying[1] - flying[0]), rel=0.1
    )
    assert VISIT / 2 < (high - low) / (flying[2] - flying[0]) < 3 * VISIT


@pytest.mark.parametrize("touch", list(Touch))
def test_memory_does_not_grow_with_the_length_of_a_run(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the list of spikes, and a few numbers for each step."""
    monkeypatch.setattr(snncc.simulator.machine.touch, "BLOCK", 10 * SIZE)
    of = program(touch=touch)
    short, long = spikes(100, 20), spikes(100, 200)
    each = (peak(of, long) - peak(of, short)) / 180
    listed = SPIKE + (4 if touch is Touch.TOUCHED else 0)
    assert SPIKE < each / (100 * len(network().senders)) < listed + STEP / 300


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(1, 99))
def test_sweeps_in_blocks_are_the_whole(drawn: Program, marks: int) -> None:
    """Touched neurons worked out a few at a time, and all at once."""
    chip = replace(drawn.placement.chip, touch=Touch.TOUCHED)
    compiled = program_of(replace(drawn.placement, chip=chip))
    firings = {name: firing_of_train(train) for name, train in drawn.trains.items()}
    plan = calendar(compiled, firings)
    found = []
    for block in (marks, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snncc.simulator.machine.touch, "BLOCK", block)
            found.append(touches_of(compiled, plan, firings))
    for field in fields(Touches):
        assert np.array_equal(*(getattr(one, field.name) for one in found))


def test_all_at_once_takes_more_than_one_after_another() -> None:
    """The same number of spikes: what differs is how many are in flight together."""
    of = program(multicast=False)
    together, apart = spikes(400, 1), spikes(10, 40)
    saved = peak(of, together) - peak(of, apart)
    more = visits(of, together) - visits(of, apart)
    assert saved + 40 * STEP > VISIT * more / 2 > 40 * STEP
