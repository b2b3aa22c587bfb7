"""The published figures of Loihi 1 and Speck, and what follows from them without a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IDLE_W, RUNNING_W, PER_SECOND, INFERENCE_J = 0.029, 0.110, 296, 0.27e-3
"""Keyword spotting on Loihi 1 (Applied Brain Research)."""
BRANCH_W = 1.85e-3
"""Power of each added branch in the same measurement (slope, R2 0.9998)."""
X86_W = 0.065
"""The x86 cores of a chip (Frady et al. 2020)."""


@dataclass(frozen=True, slots=True)
class Task:
    """One network of Ceolini et al. 2020: mean power, time and energy of an inference."""

    name: str
    watts: float
    seconds: float
    joules: float


CEOLINI = (
    Task("EMG", 29.4e-3, 5.89e-3, 173.2e-6),
    Task("DVS", 109.0e-3, 7.48e-3, 815.3e-6),
    Task("fusion", 137.2e-3, 8.05e-3, 1104.5e-6),
)


@dataclass(frozen=True, slots=True)
class Window:
    """One column of Table 1 of Yao et al. 2024: a window of 540 ms on Speck."""

    name: str
    watts: float
    spikes: float


YAO = (
    Window("Gesture, vanilla", 9.5e-3, 1.0e6),
    Window("Gesture, dynamic", 3.8e-3, 0.4e6),
    Window("Gait-day, vanilla", 16.1e-3, 2.9e6),
    Window("Gait-day, dynamic", 7.3e-3, 1.2e6),
    Window("Gait-night, vanilla", 46.8e-3, 3.3e6),
    Window("Gait-night, dynamic", 12.3e-3, 1.5e6),
)
REST_W, WINDOW_S = 0.42e-3, 0.54
SYNAPSES = (72, 288)
"""The fewest and most synaptic operations of a spike in that network, as the chip file takes them."""


def consistency(task: Task) -> float:
    """Power x time over the energy that is published beside them."""
    return task.watts * task.seconds / task.joules


def joules_per_spike(window: Window) -> float:
    """Dynamic energy of a window over its spikes."""
    return (window.watts - REST_W) * WINDOW_S / window.spikes


def joules_per_synapse(windows: Sequence[Window] = YAO) -> tuple[float, float]:
    """The least and most that a synaptic operation can have taken, if a spike causes 72 to 288 of them."""
    each = [joules_per_spike(window) for window in windows]
    return min(each) / max(SYNAPSES), max(each) / min(SYNAPSES)
