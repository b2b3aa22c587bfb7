"""What a batch took on a chip: time, energy, and where both went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.mapping.placement import Placement
from snncc.simulator.machine.energy import Energy
from snncc.simulator.machine.machine import Level
from snncc.simulator.timing import Timing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Differing:
    """On a self-timed chip: *spikes* of a layer, and by how many they differ, neuron by neuron.

    *order*: from the canonical order of events; *timesteps*: from the graph's timesteps. *saturations*: how
    often a potential of the layer left its width.
    """

    spikes: int
    order: int
    timesteps: int
    saturations: int = 0


@dataclass(frozen=True, eq=False)
class ChipRun:
    """A batch on a chip, at one level of timing; every sample by itself.

    Times are counts of the chip's time unit, energies joules. What is said of a station is a sum or maximum
    over the batch; *busy* shares are of the whole time. On a self-timed chip *differing* says of each sample
    and layer how its spikes differ, and *dropped* events were lost in all.
    """

    placement: Placement
    level: Level
    timings: tuple[Timing, ...]
    energies: tuple[Energy, ...]
    timesteps: int
    differing: tuple[Mapping[str, Differing], ...] = ()
    dropped: int = 0

    @cached_property
    def times(self) -> Ints:
        """From the first step to the last synchronization, [B]."""
        return np.array([timing.total for timing in self.timings])

    @property
    def seconds(self) -> Floats:
        """`times` in seconds, [B]."""
        return np.asarray(self.times * self.placement.chip.time_unit, np.float64)

    @property
    def time_per_timestep(self) -> float:
        """Seconds for one timestep, on the mean."""
        return float(self.seconds.mean()) / self.timesteps

    @property
    def steps(self) -> int:
        """Chip steps of one inference."""
        return len(self.timings[0].steps)

    @cached_property
    def kinds(self) -> Mapping[str, float]:
        """Joules of one inference by kind of event, on the mean."""
        names = self.energies[0].kinds
        return {name: float(np.mean([energy.kinds[name] for energy in self.energies])) for name in names}

    @cached_property
    def layers(self) -> Mapping[str, float]:
        """Joules of one inference by layer, on the mean."""
        names = self.energies[0].layers
        return {name: float(np.mean([energy.layers[name] for energy in self.energies])) for name in names}

    @property
    def cores(self) -> Floats:
        """Joules of one inference by core, without links, on the mean, [cores + 1]: the port is the last."""
        return np.asarray(np.mean([energy.cores for energy in self.energies], axis=0), np.float64)

    @property
    def energy(self) -> float:
        """Joules of all events of one inference, on the mean."""
        return float(sum(self.kinds.values()))

    @property
    def static(self) -> tuple[float, float]:
        """Joules of static power during one inference, low and high, on the mean."""
        low, high = np.mean([energy.static for energy in self.energies], axis=0)
        return float(low), float(high)

    @cached_property
    def busy(self) -> Mapping[str, float]:
        """The share of the time in which each neuron and synapse unit that did anything worked."""
        shares = np.sum([timing.busy for timing in self.timings], axis=0) / max(1, self.times.sum())
        return {
            name: float(share)
            for name, share in zip(self.timings[0].stations, shares, strict=True)
            if share > 0
        }

    @property
    def critical(self) -> str:
        """The unit that works most."""
        return max(self.busy, key=lambda name: self.busy[name], default="none")

    @cached_property
    def loads(self) -> Mapping[str, float]:
        """Messages of one inference on each link that carried any, on the mean."""
        return self._links([timing.messages for timing in self.timings], np.mean)

    @cached_property
    def deepest(self) -> Mapping[str, int]:
        """The most slots in use at once of each queue that was used (cycle level only)."""
        units = self.placement.chip.fabric.cores + 1
        most = np.max([timing.deepest for timing in self.timings], axis=0)
        names = self.timings[0].stations
        return {name: int(n) for name, n in zip(names[units:], most[units:], strict=True) if n}

    @property
    def depths(self) -> Ints:
        """How often a message found a queue so deep: bin k for depths of k + 1 binary digits, all queues."""
        whole = np.sum([timing.depths for timing in self.timings], axis=(0, 1))
        return np.trim_zeros(whole, "b")

    @property
    def stalled(self) -> float:
        """The time that neuron units of one inference waited for a slot, summed over them, on the mean."""
        return float(np.mean([timing.stalled.sum() for timing in self.timings]))

    @property
    def saturations(self) -> dict[str, int]:
        """On a self-timed chip: how often potentials of each layer left their width, in all samples."""
        names = self.differing[0] if self.differing else ()
        return {name: sum(sample[name].saturations for sample in self.differing) for name in names}

    @property
    def notes(self) -> list[str]:
        """What a user of a self-timed chip must know."""
        layers = [layer for sample in self.differing for layer in sample.values()]
        if not layers:
            return []
        spikes, order, steps = (
            sum(getattr(one, f) for one in layers) for f in ("spikes", "order", "timesteps")
        )
        text = [
            f"{self.placement.chip.name} is self-timed: of its {spikes} spikes {steps} differ from those of "
            f"the graph's timesteps, {order} from the canonical order of events; outputs are the graph's"
        ]
        text += [
            f"{name}: potentials left their width {n} times" for name, n in self.saturations.items() if n
        ]
        return text + ([f"{self.dropped} events were dropped at full queues"] if self.dropped else [])

    def count(self, event: str) -> float:
        """Events of one inference by their name in `snncc.simulator.timing.EVENTS`, on the mean."""
        return float(np.mean([timing.events[event].sum() for timing in self.timings]))

    def _links(self, counts: list[Ints], mean: Any) -> dict[str, float]:
        cores, names = self.placement.chip.fabric.cores, self.timings[0].stations
        links = slice(cores + 1, len(names) - cores - self.placement.network.has_host)
        names, of = names[links], mean(counts, axis=0)[links]
        return {name: float(n) for name, n in zip(names, of, strict=True) if n}

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        chip = self.placement.chip
        return {
            "chip": chip.name,
            "timing": self.level.value,
            "schedule": self.placement.schedule.value,
            "steps": self.steps,
            "time_unit_seconds": chip.time_unit,
            "time": {
                "mean": float(self.times.mean()),
                "least": int(self.times.min()),
                "most": int(self.times.max()),
                "seconds": float(self.seconds.mean()),
                "seconds_per_timestep": self.time_per_timestep,
                "barrier": self.timings[0].barrier,
            },
            "energy": {
                "events": self.energy,
                "static": list(self.static),
                "kinds": dict(self.kinds),
                "layers": dict(self.layers),
                "cores": self.cores.tolist(),
            },
            "busy": dict(self.busy),
            "critical": self.critical,
            "stalled": self.stalled,
            "link_messages": dict(self.loads),
            "deepest_queues": dict(self.deepest),
            "queue_depths": self.depths.tolist(),
            "differing": [
                {name: [one.spikes, one.order, one.timesteps] for name, one in sample.items()}
                for sample in self.differing
            ],
            "saturations": self.saturations,
            "dropped": self.dropped,
        }
