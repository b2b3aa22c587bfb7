"""What the kernel of the timed order of events works on."""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.machine.blocked_kernel import Moment
from snncc.simulator.machine.event_kernel import Cells, Fired, Synapses
from snncc.simulator.machine.step_kernel import Tally, Wiring

IDLE, FIRING, SENDING, FINISHING = range(4)
"""What an event unit does next, once its busy time is over."""
(BEGUN, NEXT, READY, END) = range(4)
"""What `Machine.clock` has: timesteps that the port has begun, its next message, when that is due; the last
instant in which something happened."""


class Costs(NamedTuple):
    """Times; *synapse* [3] by kind of connection. *credit* of all queues. *drops*: what `eject` does."""

    message_in: int
    bias: int
    spike: int
    message_out: int
    port: int
    synapse: Any
    lanes: int
    credit: int
    period: int
    drops: bool
    most: int


class Sent(NamedTuple):
    """What is sent. A firing in slot k sends messages ``first[k] : last[k]``, which begin at route nodes
    *root*. In timestep t the port sends ``start[t] : start[t + 1]`` of *port_root*, *port_source* and
    *port_cause*.
    """

    first: Any
    last: Any
    root: Any
    start: Any
    port_root: Any
    port_source: Any
    port_cause: Any


class Biases(NamedTuple):
    """Of core c ``first[c] : first[c + 1]``: *slot*, *bias*, and their *number* in the order of all."""

    first: Any
    slot: Any
    bias: Any
    number: Any


class Units(NamedTuple):
    """By core: what its event unit does (*state*), until when (*due*), what is left after the last firing
    (*rest*), the next *message* and their *last*, *slot* and *cause* of the firing at hand; the *source* of
    the message that it works off; *head*, *tail* of the firings to come, whose time is the work before each.
    *alone* [populations, cores]: whether a core has all neurons of a population (1), some (0), or none (-1).
    *slowdown*: its times are so many times as long.
    """

    state: Any
    due: Any
    rest: Any
    message: Any
    last: Any
    slot: Any
    cause: Any
    source: Any
    head: Any
    tail: Any
    alone: Any
    slowdown: Any


class Counts(NamedTuple):
    """By core *work* [connections] of synapses, *arrived* [populations + 1] (ticks last), *biases*, *fired*,
    *sent*, *dropped*; *caused* by event."""

    work: Any
    arrived: Any
    biases: Any
    fired: Any
    sent: Any
    dropped: Any
    caused: Any


BEGINS, SENDS, STARTS, FINISHES, DROPS, FIRES = range(6)
"""What a station does: the port begins a timestep or sends; a link starts or drops a message; an event unit
starts and finishes one, and while it works on it neurons fire and send."""


class EventLog(NamedTuple):
    """What happened, if there is room for it: [n] of *station*, *time*, *what*, *slot*; used[0] is n.

    *slot* is that of the neuron that fires or has sent the message (-1: a tick); the timestep where one
    begins.
    """

    used: Any
    station: Any
    time: Any
    what: Any
    slot: Any


class Machine(NamedTuple):
    """Everything that a run needs; *spikes* [T, slots], *sums* as in `note_sums`; *begins* [populations]."""

    wiring: Wiring
    costs: Costs
    cells: Cells
    synapses: Synapses
    sent: Sent
    biases: Biases
    units: Units
    counts: Counts
    moment: Moment
    tally: Tally
    out: Fired
    clock: Any
    spikes: Any
    sums: Any
    begins: Any
    log: EventLog
