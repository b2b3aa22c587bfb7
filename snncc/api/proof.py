"""What a verification found: per stage and per layer, equal or the first difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from snncc.errors import NotEqual


class Claim(StrEnum):
    """What a stage claims, and so what a difference means."""

    EQUAL_IN_FLOAT64 = "equal in float64"
    EQUAL_IN_FLOAT32 = "equal but for rounding in float32"
    EXACT = "exact"
    APPROXIMATE = "approximate"
    BIT_FOR_BIT = "bit for bit"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two executions first differ, in time, then sample, then neuron."""

    layer: str
    origin: str
    timestep: int
    sample: int
    neuron: tuple[int, ...]
    need: float
    have: float
    what: str = "count"

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return (
            f"{self.layer}{origin}: {self.what} at timestep {self.timestep}, sample {self.sample}, "
            f"neuron {self.neuron}: needs {self.need:.12g}, has {self.have:.12g}"
        )


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """One layer in one stage: numbers compared, how many differ, and how many of those are near ties.

    A near tie is a potential within 1e-9 x max(1, \\|threshold\\|) of a threshold, beside sums in float32
    within 1e-5 x the largest potential of the layer. *ties* counts the exact ties of a half-to-even neuron,
    differing or not.
    """

    layer: str
    origin: str
    compared: int
    differing: int
    near_ties: int = 0
    ties: int = 0
    mean_error: float = 0.0
    first: Difference | None = None

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs but near ties."""
        return self.differing <= self.near_ties


@dataclass(frozen=True, slots=True)
class StageCheck:
    """One stage. *output_error* is the largest absolute difference of any output value.

    *beyond* lists what an approximate pass changed further than it says it does.
    """

    name: str
    claim: Claim
    layers: tuple[LayerCheck, ...]
    samples: int
    output_error: float
    changed_predictions: int | None
    output_tolerance: float = 0.0
    note: str = ""
    beyond: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether what was claimed is so; an approximation claims no counts."""
        if self.claim is Claim.APPROXIMATE:
            return not self.beyond
        return all(layer.is_equal for layer in self.layers) and (
            self.output_error <= self.output_tolerance or any(layer.near_ties for layer in self.layers)
        )

    @property
    def first(self) -> Difference | None:
        """The first layer's first difference that is no near tie."""
        return next((layer.first for layer in self.layers if not layer.is_equal), None)

    @property
    def differing(self) -> int:
        """Differing numbers in all layers."""
        return sum(layer.differing for layer in self.layers)

    def __str__(self) -> str:
        ties = sum(layer.near_ties for layer in self.layers)
        exact_ties = sum(layer.ties for layer in self.layers)
        compared = sum(layer.compared for layer in self.layers)
        if self.claim is Claim.APPROXIMATE:
            verdict = f"measured: {self.differing} of {compared} counts differ"
            if self.beyond:
                verdict = f"GOES FURTHER THAN IT SAYS: {self.beyond[0]}; {verdict}"
        else:
            verdict = (
                f"equal: {compared} compared" if self.holds else f"DIFFERS: {self.differing} of {compared}"
            )
        parts = [f"{self.name} ({self.claim}): {verdict}", f"largest output error {self.output_error:.3g}"]
        if self.changed_predictions is not None:
            parts.append(f"{self.changed_predictions} of {self.samples} predictions changed")
        if ties:
            parts.append(f"{ties} near ties")
        if exact_ties:
            parts.append(f"{exact_ties} exact half-to-even ties")
        if self.note:
            parts.append(self.note)
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Proof:
    """All stages of a verification, on *samples* samples of the user's data."""

    stages: tuple[StageCheck, ...]
    samples: int
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        """Whether every stage is what it claims to be."""
        return all(stage.holds for stage in self.stages)

    @property
    def first(self) -> Difference | None:
        """The first difference of the first stage that does not hold."""
        return next((stage.first for stage in self.stages if not (stage.holds or stage.beyond)), None)

    def check(self) -> None:
        """Raise `NotEqual` with the first difference unless the proof holds."""
        for stage in self.stages:
            if not stage.holds:
                if stage.beyond:
                    raise NotEqual(f"{stage.name} goes further than it says: {stage.beyond[0]}")
                where = f": {stage.first}" if stage.first else f": outputs differ by {stage.output_error:.3g}"
                raise NotEqual(f"{stage.name} is not {stage.claim}{where}")

    def __str__(self) -> str:
        lines = [str(stage) for stage in self.stages] + list(self.notes)
        for stage in self.stages:
            if not (stage.holds or stage.beyond) and stage.first is not None:
                lines.append(f"first difference, {stage.name}: {stage.first}")
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        return "\n".join([*lines, f"verify: the proof {verdict} on {self.samples} samples"])

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {
            "holds": self.holds,
            "samples": self.samples,
            "notes": list(self.notes),
            "stages": [
                {**asdict(stage), "claim": stage.claim.value, "holds": stage.holds} for stage in self.stages
            ],
        }
