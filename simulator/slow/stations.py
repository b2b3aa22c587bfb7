"""Stations that act whenever they can: what section 2 of `MACHINE.md` says of each, and nothing faster."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from snncc.chips import LinkKind


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A spike on its way from the unit *sender* to *cores*; *after* has its next stations by link."""

    population: str
    address: int
    timestep: int
    tick: int
    sender: int
    cores: tuple[int, ...]
    after: Mapping[str, Sequence[str]] = field(repr=False)


class Record(NamedTuple):
    """Something that happened. *what*: a unit or link ``waits`` for a slot (once for each message),
    ``sends`` (neuron unit), ``starts`` (link, synapse unit), ``finishes`` (synapse unit), is ``done``
    (neuron unit, without a message)."""

    instant: int
    station: str
    what: str
    message: Message | None


Note = Callable[[Record], None]
Wake = Callable[[int], None]
"""Asks for all stations to be looked at again at an instant."""


class Queue:
    """Slots in front of a station: a message holds one from its way here until *credit* after it left."""

    def __init__(self, capacity: int | None, credit: int, wake: Wake) -> None:
        self.capacity, self.credit, self.wake = capacity, credit, wake
        self.messages: list[tuple[int, int, int, Message]] = []
        self.returns: list[int] = []
        self.taken = 0
        self.put_ever = 0
        self.seen: list[int] = []
        """The depth that each message saw."""

    def begin(self) -> None:
        """All slots are free."""
        self.returns = []

    def slots_in_use(self, now: int) -> int:
        return len(self.messages) + sum(instant > now for instant in self.returns)

    def has_room(self, now: int) -> bool:
        return self.capacity is None or self.slots_in_use(now) < self.capacity

    def put(self, message: Message, now: int, arrival: int, rank: int) -> None:
        """Take a slot for what leaves the station of *rank* now, and will be here at *arrival*."""
        heapq.heappush(self.messages, (arrival, rank, self.put_ever, message))
        self.put_ever += 1
        self.seen.append(self.slots_in_use(now))
        self.wake(arrival)

    def first(self, now: int) -> Message | None:
        """The message whose turn it is, if it has arrived."""
        if not self.messages or self.messages[0][0] > now:
            return None
        return self.messages[0][-1]

    def take(self, now: int) -> None:
        """Let the first message leave."""
        heapq.heappop(self.messages)
        self.taken += 1
        self.returns.append(now + self.credit)
        self.wake(now + self.credit)


class Station(Protocol):
    """What takes part in a step."""

    name: str
    rank: int

    def act(self, now: int) -> None:
        """Do at this instant whatever can be done, as often as it can."""


class NeuronUnit:
    """Works through its *list*: (busy time, message to send after it), at last (busy time, None)."""

    def __init__(self, name: str, rank: int, queue: Queue, note: Note, wake: Wake) -> None:
        self.name, self.rank, self.queue, self.note, self.wake = name, rank, queue, note, wake
        self.list: deque[tuple[int, Message | None]] = deque()
        self.ready, self.is_waiting = 0, False
        self.busy = self.stalled = self.sent = 0

    def begin(self, now: int, work: Iterable[tuple[int, Message | None]]) -> None:
        """Start on a new list."""
        self.list = deque(work)
        self.work(now)

    def work(self, now: int) -> None:
        """Go on with the busy time at the head of the list."""
        time, _ = self.list[0]
        self.busy += time
        self.ready = now + time
        self.wake(self.ready)

    def act(self, now: int) -> None:
        while self.list and self.ready <= now:
            _, message = self.list[0]
            if message is None:
                self.note(Record(now, self.name, "done", None))
                self.list.popleft()
            elif self.queue.has_room(now):
                self.send(message, now)
            else:
                if not self.is_waiting:
                    self.note(Record(now, self.name, "waits", message))
                self.is_waiting = True
                return

    def send(self, message: Message, now: int) -> None:
        """Put *message* into the queue of the inject link, and go on."""
        self.note(Record(now, self.name, "sends", message))
        self.queue.put(message, now, now, self.rank)
        self.stalled += now - self.ready
        self.is_waiting = False
        self.sent += 1
        self.list.popleft()
        self.work(now)


class Link:
    """Carries messages from its *queue* into those of *stations* that they go to next."""

    def __init__(
        self, name: str, rank: int, kind: LinkKind, queue: Queue, queues: Mapping[str, Queue], note: Note
    ) -> None:
        self.name, self.rank, self.kind, self.queue = name, rank, kind, queue
        self.queues, self.note = queues, note
        self.last: int | None = None
        self.is_waiting = False

    def begin(self) -> None:
        """Nothing has started in this step."""
        self.last = None

    def act(self, now: int) -> None:
        while (message := self.queue.first(now)) is not None:
            if self.last is not None and now - self.last < self.kind.interval:
                return
            following = [self.queues[name] for name in message.after[self.name]]
            if not all(queue.has_room(now) for queue in following):
                if not self.is_waiting:
                    self.note(Record(now, self.name, "waits", message))
                self.is_waiting = True
                return
            self.start(message, following, now)

    def start(self, message: Message, following: Iterable[Queue], now: int) -> None:
        """Let *message* go."""
        self.note(Record(now, self.name, "starts", message))
        self.queue.take(now)
        for queue in following:
            queue.put(message, now, now + self.kind.latency, self.rank)
        self.last, self.is_waiting = now, False
        self.queue.wake(now + self.kind.interval)


class SynapseUnit:
    """Works off the messages in its *queue*: *work* says how long one takes, *finish* hears of its end."""

    def __init__(
        self,
        name: str,
        rank: int,
        queue: Queue,
        work: Callable[[Message], int],
        finish: Callable[[Message], None],
        note: Note,
    ) -> None:
        self.name, self.rank, self.queue = name, rank, queue
        self.work, self.finish, self.note = work, finish, note
        self.message: Message | None = None
        self.free = self.busy = 0

    def act(self, now: int) -> None:
        while True:
            if self.message is not None:
                if self.free > now:
                    return
                self.note(Record(now, self.name, "finishes", self.message))
                self.finish(self.message)
                self.message = None
            self.message = self.queue.first(now)
            if self.message is None:
                return
            self.note(Record(now, self.name, "starts", self.message))
            self.queue.take(now)
            time = self.work(self.message)
            self.busy += time
            self.free = now + time
            self.queue.wake(self.free)
