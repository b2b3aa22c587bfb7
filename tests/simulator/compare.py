"""Two runs must be equal in everything, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from snncc.reference import Run
from snncc.simulator.event_run import EventRun
from snncc.simulator.timing import Timing

ARRAYS = ("steps", "busy", "stalled", "messages", "deepest", "depths")


def assert_equal_runs(one: Run, other: Run, *, state: bool = False) -> None:
    """Assert that two runs are equal: outputs, spikes, costs, saturations, records, and perhaps the state."""
    for what in ("outputs", "spikes", "active", "operations", "saturations", "records"):
        assert_equal(getattr(one, what), getattr(other, what), what)
    if state:
        assert_equal(one.state, other.state, "state")


def assert_equal_events(one: EventRun, other: EventRun) -> None:
    """Assert that two runs by events are equal; spikes may be counted in different widths."""
    one, other = (
        replace(run, spikes={name: np.asarray(train, np.int64) for name, train in run.spikes.items()})
        for run in (one, other)
    )
    assert_equal(one, other, "run")


def assert_equal(one: Any, other: Any, where: str) -> None:
    """Assert that two values, or what they hold, are equal in value, shape and type."""
    match one:
        case Mapping():
            assert sorted(one) == sorted(other), where
            for key in one:
                assert_equal(one[key], other[key], f"{where}.{key}")
        case list() | tuple():
            assert len(one) == len(other), where
            for k, (left, right) in enumerate(zip(one, other, strict=True)):
                assert_equal(left, right, f"{where}[{k}]")
        case np.ndarray():
            assert one.shape == other.shape, where
            assert one.dtype == other.dtype, where
            different = np.argwhere(one != other)
            assert not len(different), f"{where} differs first at {different[0]}"
        case _ if hasattr(one, "__dataclass_fields__"):
            for field in fields(one):
                assert_equal(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
        case _:
            assert one == other, where


def differences(fast: Timing, slow: Timing) -> list[str]:
    """The fields in which two results differ."""
    found = [name for name in ARRAYS if not np.array_equal(getattr(fast, name), getattr(slow, name))]
    found += [name for name in slow.events if not np.array_equal(fast.events[name], slow.events[name])]
    if fast.barrier != slow.barrier or fast.stations != slow.stations:
        found.append("barrier or stations")
    return found
