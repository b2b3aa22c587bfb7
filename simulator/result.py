"""What a run of the simulator yields, and how the results of chunks of samples are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from snncc.ir import Array, Over
from snncc.reference import Operations
from snncc.reference import Run as ReferenceRun
from snncc.reference.execute import Record
from snncc.simulator.firing import Firing
from snncc.simulator.plan import Plan

Ints = NDArray[np.int64]
Counted = TypeVar("Counted")


@dataclass(frozen=True, slots=True)
class Run(ReferenceRun):
    """The result of the reference executor, and the updates that each neuron layer made for one sample.

    An update is one neuron in one timestep (in one tick where the layer streams). *firings* has what the
    nodes that were asked for send, sample by sample.
    """

    neuron_updates: Mapping[str, int] = field(default_factory=dict)
    firings: Mapping[str, tuple[Firing, ...]] = field(default_factory=dict)


class Part(NamedTuple):
    """What one chunk of samples yields: carried numbers of outputs, reduced over time, counts, records."""

    batch: int
    outputs: Mapping[str, Array]
    spikes: Mapping[str, Ints]
    active: Mapping[str, Ints]
    operations: Mapping[str, Operations]
    saturations: Mapping[str, int]
    records: Mapping[str, Record]
    state: Mapping[str, Any]
    firings: Mapping[str, tuple[Firing, ...]]


def run_of(plan: Plan, timesteps: int, parts: Sequence[Part]) -> Run:
    """The run that consists of *parts*, in this order."""
    whole = parts[0] if len(parts) == 1 else joined(plan, parts)
    return Run(
        timesteps=timesteps,
        batch=whole.batch,
        outputs={name: real(numbers, plan.edges[name].scale) for name, numbers in whole.outputs.items()},
        spikes=whole.spikes,
        active=whole.active,
        operations=whole.operations,
        saturations=whole.saturations,
        records=whole.records,
        state=whole.state,
        neuron_updates={name: timesteps * n for name, n in plan.updates.items()},
        firings=whole.firings,
    )


def real(numbers: Array, scale: Array) -> Array:
    """What carried *numbers* stand for (in two steps: NumPy takes longer for both at once)."""
    result: Array = numbers.astype(np.float64) * scale
    return result


@dataclass(slots=True, eq=False)
class Joined(Mapping[str, Counted]):
    """What parts counted of each node, joined when it is first looked at: a run ends when its threads do."""

    parts: Sequence[Mapping[str, Counted]]
    join: Callable[[Sequence[Counted]], Counted]
    known: dict[str, Counted] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Counted:
        found = self.known.get(name)
        if found is None:
            found = self.known[name] = self.join([part[name] for part in self.parts])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts[0])

    def __len__(self) -> int:
        return len(self.parts[0])


def joined(plan: Plan, parts: Sequence[Part]) -> Part:
    """All samples of *parts* as one."""
    first = parts[0]
    axes = {node.name: 1 if node.over is Over.SEQUENCE else 0 for node in plan.outputs}
    return Part(
        batch=sum(part.batch for part in parts),
        outputs={k: np.concatenate([part.outputs[k] for part in parts], axis) for k, axis in axes.items()},
        spikes=Joined([part.spikes for part in parts], np.concatenate),
        active=Joined([part.active for part in parts], np.concatenate),
        operations=Joined([part.operations for part in parts], costs),
        saturations={k: sum(part.saturations[k] for part in parts) for k in first.saturations},
        records={k: record_of([part.records[k] for part in parts]) for k in first.records},
        state=state_of([part.state for part in parts]),
        firings={k: tuple(f for part in parts for f in part.firings[k]) for k in first.firings},
    )


def costs(parts: Sequence[Operations]) -> Operations:
    """The operations of all samples."""
    names = [f.name for f in fields(Operations) if f.name != "synapses"]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Operations(synapses=parts[0].synapses, **arrays)


def record_of(parts: Sequence[Record]) -> Record:
    """The record of all samples."""

    def whole(arrays: Sequence[Array | None]) -> Array | None:
        present = [a for a in arrays if a is not None]
        return np.concatenate(present, axis=1) if present else None

    return Record(
        np.concatenate([part.train for part in parts], axis=1),
        whole([part.u_pre for part in parts]),
        whole([part.u_post for part in parts]),
    )


def state_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of all samples."""
    if not parts[0]:
        return {}
    first = parts[0]
    past = {
        name: [np.concatenate([part["past"][name][k] for part in parts]) for k in range(len(values))]
        for name, values in first["past"].items()
    }
    states = {
        name: {what: np.concatenate([part["states"][name][what] for part in parts]) for what in values}
        for name, values in first["states"].items()
    }
    return {"past": past, "states": states, "elapsed": first["elapsed"]}


def state_part(state: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """The state of some of the samples."""
    return {
        "past": {name: [v[start:stop] for v in values] for name, values in state["past"].items()},
        "states": {
            name: {what: v[start:stop] for what, v in values.items()}
            for name, values in state["states"].items()
        },
        "elapsed": state["elapsed"],
    }
