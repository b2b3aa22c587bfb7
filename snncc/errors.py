"""Every error that a user can cause, in one tree, and the one that says that it was not the user.

::

    SnnccError
    ├── InvalidGraph        the graph breaks an invariant of the IR
    ├── CannotTrace         the model holds something that has no image in the IR
    ├── CannotLower         a pass or target cannot take a node
    ├── NotEqual            a check found that two executions differ
    ├── StateOverflow       a state left its width during a run
    ├── Runaway             a loop on a self-timed chip excites itself
    ├── Deadlock            queues of a self-timed chip wait for each other
    ├── EngineFailed        software of others that runs an emitted program is missing, or failed
    ├── BadInput            data, options or files of the user's are wrong
    │   ├── BadFile         a file is missing, damaged, unsafe, too new, or not writable
    │   └── UnknownName     a name that is in no table
    ├── MissingDependency   an optional package is not installed
    └── Defect              snncc itself failed while a model of the user's ran: not the user's fault

The command line prints ``str(error)`` and exits with 1; anything else is a defect of snncc, too, and
keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SnnccError(Exception):
    """Base of all errors that the command line prints.

    *message* says what is wrong and where; *hint* says what to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        notes = [f"  {note}" for note in getattr(self, "__notes__", ())]
        hints = [f"  hint: {self.hint}"] if self.hint else []
        return "\n".join([self.message, *notes, *hints])


class InvalidGraph(SnnccError):
    """The graph breaks an invariant of the IR."""


class CannotTrace(SnnccError):
    """The model holds something that has no image in the IR."""


class CannotLower(SnnccError):
    """A pass or a target cannot take a node."""


class NotEqual(SnnccError):
    """A check found that two executions differ."""


class BadInput(SnnccError):
    """Data, options or files of the user's are wrong."""


class BadFile(BadInput):
    """A file is missing, damaged, unsafe, too new, or cannot be written."""


class UnknownName(BadInput):
    """A name that is in no table; the message lists the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(map(str, known))
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}", hint=hint)


class EngineFailed(SnnccError):
    """Software of others that runs an emitted program is missing, or it failed."""


class MissingDependency(SnnccError):
    """An optional package is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed", hint=f"pip install 'snncc[{extra}]'")


class Defect(SnnccError):
    """snncc itself failed, in the midst of what is the user's; *__cause__* has the traceback."""


class StateOverflow(SnnccError):
    """A neuron's state left its width, and the graph says that this is an error."""

    def __init__(
        self, layer: str, what: str, sample: int, neuron: tuple[int, ...], have: int, low: int, high: int
    ) -> None:
        super().__init__(
            f"{layer}: the {what} of neuron {neuron} reaches {have} in sample {sample}; "
            f"its width holds {low}..{high}",
            hint="quantize with a wider state, or with overflow 'saturate'",
        )


class Runaway(SnnccError):
    """On a self-timed chip one event from outside causes more and more spikes."""

    def __init__(self, population: str, address: int, timestep: int, most: int) -> None:
        super().__init__(
            f"{population}: the event of its neuron {address} in timestep {timestep} causes more than "
            f"{most} spikes",
            hint="a loop that excites itself needs higher thresholds, or lower weights",
        )


class Deadlock(SnnccError):
    """On a self-timed chip queues are full that wait for each other: *cycle*, in order."""

    def __init__(self, cycle: Iterable[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            "deadlock: each of these queues is full and waits for a slot of the next: "
            + " -> ".join([*self.cycle, self.cycle[0]]),
            hint="give them more slots, place the loop in another way, or let full queues drop",
        )
