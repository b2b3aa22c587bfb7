"""What a target is, and the options with which a graph is compiled for one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self, runtime_checkable

from snncc.chips import Chip
from snncc.errors import BadInput, SnnccError
from snncc.ir import Array, BiasTicks, Encoding, Neuron, Overflow, SpikeGraph, place
from snncc.mapping import Placement, Usage
from snncc.mapping.demand import HINTS
from snncc.passes import Into, Pass
from snncc.passes.expand import GIVE_A_BOUND
from snncc.reference import Run
from snncc.reference.inputs import Data

Progress = Callable[[int, int], None]


class Precision(StrEnum):
    """What the compiled graph computes with."""

    INTEGER = "integer"
    FLOAT = "float"


class Rounding(StrEnum):
    """What becomes of neurons that round half to even."""

    KEEP = "keep"
    """They keep their explicit staircase: exact."""
    HALF_UP = "half-up"
    """floor(x + 0.5), which needs one threshold and one reset amount only: counts differ at exact ties."""


class Attention(StrEnum):
    """What becomes of gains and masks that are computed for every sample."""

    DYNAMIC = "dynamic"
    """Side operations compute them: exact; a chip needs a host, and waits for whole trains."""
    STATIC = "static"
    """Constants, as they were on calibration data: approximate, and nothing beside the chip is needed."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile. *calibration* is data in the graph's layout (`snncc.reference.run`)."""

    encoding: Encoding = Encoding.SPIKES
    flush: int = 0
    bias: BiasTicks = BiasTicks.SPREAD
    fold: Into = Into.WEIGHTS
    rounding: Rounding = Rounding.KEEP
    relu_levels: int | None = None
    attention: Attention = Attention.DYNAMIC
    precision: Precision = Precision.INTEGER
    weight_bits: int = 8
    state_bits: int | None = None
    input_bits: int = 8
    per_channel: bool = True
    overflow: Overflow = Overflow.SATURATE
    timesteps: int = 1
    chip: Chip | None = None
    calibration: Data | None = field(default=None, repr=False)
    input_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One misfit: what is needed, what there is, where, and what to do."""

    where: str
    what: str
    need: str
    have: str
    hint: str

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}: needs {self.need}, has {self.have}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def assuming(self, low: float, high: float) -> Problem:
        """The same of numbers that were chosen for inputs that are assumed to be *low* to *high*."""
        said = f"this is for inputs of {low:g} to {high:g}: compiling with calibration data tells for others"
        return replace(self, hint=f"{self.hint}; {said}" if self.hint else said)


def limits_of(usages: Iterable[Usage]) -> list[Problem]:
    """The limits of a chip that are broken, as misfits."""
    return [
        Problem(
            *(one.where, one.resource.replace("_", " "), str(one.need), str(one.have)),
            HINTS.get(one.resource, ""),
        )
        for one in usages
    ]


def unbounded(node: Neuron) -> Problem:
    """That any number of spikes may leave *node* in a timestep."""
    return Problem(place(node), "spikes in a timestep", "any number", "a bound", GIVE_A_BOUND)


def not_streaming(node: Neuron, reason: str, hint: str) -> Problem:
    """That the counts of *node* cannot leave tick by tick."""
    return Problem(place(node), "streaming", reason, "plain integrators", hint)


class DoesNotFit(SnnccError):
    """The graph breaks limits of the target; *problems* has them all."""

    def __init__(self, target: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = [f"the network does not fit {target}: {len(problems)} problem{'s' * (len(problems) != 1)}"]
        super().__init__("\n".join(lines + [str(problem) for problem in problems]))


@runtime_checkable
class Remarking(Protocol):
    """A target with something to say about a run besides whether it is equal."""

    def remarks(self, graph: SpikeGraph, x: Data, run: Run) -> Iterator[str]:
        """What a user should know of the compiled *graph* on *x*; *run* has a record of every neuron."""
        ...


@runtime_checkable
class OwnPlacement(Protocol):
    """A target that decides by itself what a chip runs of a compiled graph, and on which cores."""

    def graph_on_chip(self, graph: SpikeGraph) -> SpikeGraph:
        """What the chip runs of the compiled *graph*. Raises `CannotLower`."""
        ...

    def place(self, graph: SpikeGraph, chip: Chip) -> Placement:
        """`graph_on_chip` of the compiled *graph* on cores of *chip*. Raises `BadInput`, `CannotLower`."""
        ...

    def trains_on_chip(self, graph: SpikeGraph, x: Data, run: Run) -> Mapping[str, Array]:
        """What *run* of the compiled *graph* on *x* sent, by the nodes of `graph_on_chip`.

        Counts [T, B, size] of inputs and neurons. *run* has a record of every neuron.
        """
        ...

    def loads(self, graph: SpikeGraph, run: Run) -> Iterator[str]:
        """How busy *run* of the compiled *graph* keeps each core, beside the limits of the chip."""
        ...


class Target(Protocol):
    """A place where a graph can run.

    *chip* is the chip that a graph is placed on where the user names none (None: no chip), *engines* are the
    software of others that runs what is emitted, for `run_engine`.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def chip(self) -> str | None: ...

    @property
    def engines(self) -> tuple[str, ...]: ...

    @property
    def settings(self) -> Mapping[str, int]:
        """What is kept of the target in a program folder, beside its name."""
        ...

    def with_settings(self, settings: Mapping[str, int]) -> Target:
        """The target with *settings*. Raises `BadInput` for those that it does not have."""
        ...

    def problems(self, graph: SpikeGraph, options: Options) -> Iterator[Problem]:
        """Every way in which *graph* does not fit."""
        ...

    def passes(self, options: Options) -> tuple[Pass, ...]:
        """What brings a traced graph to the target."""
        ...

    def finish(self, graph: SpikeGraph) -> None:
        """Check the compiled *graph*, as it left the passes. Raises `DoesNotFit` with every misfit."""
        ...

    def run(
        self,
        graph: SpikeGraph,
        x: Data,
        *,
        timesteps: int,
        record: Collection[str] = (),
        threads: int | None = None,
        state: Mapping[str, Any] | None = None,
        keep_state: bool = False,
        progress: Progress | None = None,
        firing: Collection[str] = (),
    ) -> Run:
        """Execute a compiled graph; with *keep_state* the result can be gone on from.

        *firing* names the nodes whose spikes a chip's timing needs.
        """
        ...

    def emit(self, graph: SpikeGraph, folder: Path) -> None:
        """Write what a user loads onto the target into the empty *folder*; nothing where there is nothing."""
        ...

    def run_engine(
        self,
        engine: str,
        graph: SpikeGraph,
        x: Data,
        *,
        timesteps: int,
        record: Collection[str] = (),
        folder: Path | None = None,
        python: str | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Execute a compiled graph on *engine*, from what was emitted to *folder* (None: emitted anew).

        *python* is the interpreter of the engine's own environment. The run has outputs, spikes, and the
        trains and potentials of what *record* names; it counts no operations. Raises `EngineFailed`.
        """
        ...


class WithoutSettings:
    """A target of which nothing is kept but its name."""

    name: str
    settings: Mapping[str, int] = MappingProxyType({})

    def with_settings(self, settings: Mapping[str, int]) -> Self:
        """There are none. Raises `BadInput`."""
        if settings:
            raise BadInput(f"the target {self.name} has no {', '.join(settings)}")
        return self
