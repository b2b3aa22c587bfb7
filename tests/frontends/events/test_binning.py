"""Frames from events: every event is in its bin, and what is lost is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.errors import BadInput
from snncc.frontends.events import Events, binning
from snncc.ir import Array
from tests.frontends.events.test_round_trips import lists
from tests.frontends.events.writers import Event, columns


def events_of(events: list[Event]) -> Events:
    return Events(**columns(events), width=6, height=5)


def slow(events: list[Event], timesteps: int, width: int = 6, height: int = 5) -> Array:
    """Part k of n has the events from (k / n) of the recording on, up to (k + 1) / n."""
    frames = np.zeros((timesteps, 1, 2, height, width), np.int64)
    start, end = events[0][2], events[-1][2] + 1
    for x, y, t, p in events:
        k = max(k for k in range(timesteps) if (t - start) * timesteps >= k * (end - start))
        frames[k, 0, p, y, x] += 1
    return frames


RECORDINGS = lists(6, 5, 1 << 61, 1 << 55).filter(len) | lists(6, 5, 300, 20).filter(len)


@given(RECORDINGS, st.integers(1, 9))
def test_equal_parts(events: list[Event], timesteps: int) -> None:
    frames, notes = events_of(events).binned(timesteps=timesteps)
    np.testing.assert_array_equal(frames, slow(events, timesteps))
    assert frames.sum() == len(events)
    assert notes == ()


@given(lists(6, 5, 300, 20).filter(len), st.integers(1, 40), st.none() | st.integers(1, 9))
def test_timesteps_of_a_length(events: list[Event], dt: int, timesteps: int | None) -> None:
    frames, notes = events_of(events).binned(timesteps, dt)
    start = events[0][2]
    every = (events[-1][2] - start) // dt + 1
    assert len(frames) == (every if timesteps is None else timesteps)
    for k, frame in enumerate(frames):
        assert frame.sum() == sum((t - start) // dt == k for _, _, t, _ in events)
    lost = len(events) - int(frames.sum())
    assert notes == (
        (f"{lost} of {len(events)} events come after the last timestep and are left out",) if lost else ()
    )


def test_off_is_channel_0_and_on_channel_1() -> None:
    frames, _ = events_of([(1, 2, 0, 0), (3, 4, 0, 1)]).binned(timesteps=1)
    assert np.argwhere(frames).tolist() == [[0, 0, 0, 2, 1], [0, 0, 1, 4, 3]]


@given(RECORDINGS, st.integers(1, 9))
def test_spikes_say_what_they_lose(events: list[Event], timesteps: int) -> None:
    counts, _ = events_of(events).binned(timesteps)
    spikes, notes = events_of(events).binned(timesteps, bins="spikes")
    np.testing.assert_array_equal(spikes, counts > 0)
    lost = int(counts.sum() - spikes.sum())
    assert bool(notes) == bool(lost)
    assert not lost or notes[0].startswith(f"{lost} of {len(events)} events (")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "a number of timesteps or their length is needed"),
        ({"timesteps": 0}, "timesteps must be a whole number, 1..2**62, not 0"),
        ({"timesteps": 2.5}, "not 2.5"),
        ({"dt": True}, "dt, in microseconds, must be a whole number"),
        ({"dt": 1 << 70}, "dt, in microseconds, must be"),
        ({"timesteps": 2, "bins": "spike"}, "did you mean 'spikes'"),
        ({"timesteps": 1 << 40}, "numbers; at most 536870912 are held"),
        ({"dt": 1}, "numbers; at most 536870912 are held"),
    ],
)
def test_wrong_bins(arguments: dict[str, object], words: str) -> None:
    recording = events_of([(0, 0, 0, 0), (0, 0, 1 << 60, 1)])
    with pytest.raises(BadInput) as caught:
        recording.binned(**arguments)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_a_recording_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [(k % 6, k % 5, 3 * k, k % 2) for k in range(40)]
    whole, _ = events_of(events).binned(7)
    monkeypatch.setattr(binning, "PIECE", 3)
    np.testing.assert_array_equal(events_of(events).binned(7)[0], whole)


def test_no_event_is_no_recording() -> None:
    with pytest.raises(BadInput, match="holds no event"):
        events_of([]).binned(4)


def test_events_are_sealed_and_checked() -> None:
    found, one = events_of([(1, 2, 3, 1)]), np.zeros(1, int)
    assert repr(found) == "Events(1 in 0 s, 6 x 5 pixels)"
    with pytest.raises(ValueError, match="read-only"):
        found.x[0] = 2
    with pytest.raises(BadInput, match=r"events: event 1: its x is 6, outside the sensor of 6 x 5"):
        events_of([(5, 2, 3, 1), (6, 2, 3, 1)])
    with pytest.raises(BadInput, match="must be one number an event"):
        Events(one, np.zeros(2, int), one, one, width=6, height=5)
    with pytest.raises(BadInput, match=r"a sensor's width must be 1..65536 pixels, not 0"):
        Events(one, one, one, one, width=0, height=5)
