"""One chunk of samples through the parts of a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from snncc.ir import Array
from snncc.simulator.counting import Counts, Tally, plain
from snncc.simulator.layer_run import Workspace
from snncc.simulator.neuron_table import NeuronState
from snncc.simulator.plan import Plan
from snncc.simulator.replay import replay_of, replayed
from snncc.simulator.result import Part
from snncc.simulator.sheet import Sheet


def run_chunk(
    plan: Plan,
    data: Mapping[str, Array],
    start: int,
    stop: int,
    timesteps: int,
    state: Mapping[str, Any] | None,
    keep_state: bool,
    firing: Collection[str],
) -> Part:
    """Execute *plan* on samples *start* to *stop* of [T or 1, B, *shape] of each input."""
    try:
        space = plan.spaces.pop()
    except IndexError:  # other threads have all of them
        space = Workspace()
    sheet = Sheet(plan, timesteps, stop - start, data, start, space)
    if state is not None:
        sheet.elapsed, sheet.past = state["elapsed"], state["past"]
        sheet.states = {name: resumed(plan, name, values) for name, values in state["states"].items()}
    size = stop - start, timesteps
    replay = space.replays.get(size)
    if replay is None or not replayed(replay, sheet):
        if replay is not None:
            sheet = Sheet(plan, timesteps, stop - start, data, start, space)
        for part in plan.parts:
            sheet.run_part(part)
        space.replays[size] = replay_of(sheet)
    outputs = {node.name: sheet.output(node) for node in plan.outputs}
    firings = sheet.firings(firing)
    plan.spaces.append(space)
    return Part(
        batch=stop - start,
        outputs=outputs,
        spikes=Counts(sheet.counted, "spikes"),
        active=Counts(sheet.counted, "active"),
        operations=Tally(sheet.operations),
        saturations=sheet.saturations,
        records=sheet.records,
        state=sheet.state() if keep_state else {},
        firings=firings,
    )


def resumed(plan: Plan, name: str, values: Mapping[str, Array]) -> NeuronState:
    """The state of a layer as kernels take it."""
    size = plan.neurons[name].size
    v, i, fired, resting = (
        plain(np.array(values[part]).reshape(-1, size)) for part in ("v", "i", "fired", "resting")
    )
    return NeuronState(v, i, fired, resting)
