"""Accuracy with its cost, on a labeled data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from snncc.api.data import labels
from snncc.api.program import Program, Result
from snncc.errors import BadInput
from snncc.simulator.costs import Costs

if TYPE_CHECKING:
    from snncc.simulator.machine import ChipRun

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy and mean cost of one inference at a number of timesteps; *chip* where it was timed."""

    timesteps: int
    samples: int
    correct: int
    counts: Costs
    notes: tuple[str, ...] = ()
    chip: ChipRun | None = None

    @property
    def accuracy(self) -> float:
        """The share of samples whose largest score is at their label."""
        return self.correct / self.samples

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {
            "timesteps": self.timesteps,
            "samples": self.samples,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "counts": self.counts.as_dict(),
            "chip": None if self.chip is None else self.chip.as_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of a program, one for each number of timesteps that was asked for."""

    scores: tuple[Score, ...]

    @property
    def accuracy(self) -> float:
        """Accuracy at the last number of timesteps."""
        return self.scores[-1].accuracy

    @property
    def counts(self) -> Costs:
        """Costs at the last number of timesteps."""
        return self.scores[-1].counts

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {"scores": [score.as_dict() for score in self.scores]}


def evaluate(
    program: Program,
    x: ArrayLike,
    y: ArrayLike,
    *,
    timesteps: Sequence[int] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    accounting: str = "paper",
    timing: str = "none",
) -> Report:
    """Accuracy and cost of *program* on *x* (the model's layout) with labels *y* [B].

    *timesteps* asks for several numbers of timesteps (default: the one it was traced with; a sequence input
    is cut). *jobs* is the number of threads, *accounting* and *timing* as in `Program.run`. Raises `BadInput`
    for data that does not fit and for a program without one output of scores [B, classes].
    """
    chosen: list[int | None] = [None] if timesteps is None else list(timesteps)
    if not chosen or any(steps is not None and steps < 1 for steps in chosen):
        raise BadInput(f"evaluate needs timesteps >= 1, not {chosen}")
    scores = []
    for steps in chosen:
        result = program.run(
            x, timesteps=steps, threads=jobs, progress=progress, accounting=accounting, timing=timing
        )
        scores.append(score(result, y, steps or program.timesteps))
    return Report(tuple(scores))


def score(result: Result, y: ArrayLike, timesteps: int) -> Score:
    """How many samples of *result* are classified right."""
    output = result.output
    if output.ndim != 2:
        raise BadInput(
            f"accuracy needs one score a class for each sample, [B, classes]; the output is {output.shape}",
            hint="reduce it over time: in the model, or with trace(..., over='mean'), --over mean",
        )
    correct = int((output.argmax(axis=1) == labels(y, len(output), output.shape[1])).sum())
    return Score(timesteps, len(output), correct, result.counts, result.notes, result.chip)
