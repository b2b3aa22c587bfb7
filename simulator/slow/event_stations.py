"""The stations of the discipline `event` (MACHINE.md, 7). Each `act` does one thing at most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from snncc.chips import LinkKind
from snncc.simulator.slow.potentials import Event
from snncc.simulator.slow.stations import Message, Note, Queue, Record


@dataclass(frozen=True, slots=True, eq=False)
class Spike(Message):
    """A spike on its way, and the event from outside that caused it. A tick has no population."""

    cause: Event


@dataclass(frozen=True, slots=True)
class Firing:
    """A neuron has fired because of the event *cause* from outside."""

    population: str
    address: int
    cause: Event


Work = Iterable[tuple[int, Firing | Spike | None]]
"""Busy times, and what comes after each: a neuron fires, a message is sent, the unit is free."""


class Slots(Queue):
    """A queue that forgets the slots that are free again."""

    def slots_in_use(self, now: int) -> int:
        self.returns = [instant for instant in self.returns if instant > now]
        return super().slots_in_use(now)


class EventStation(Protocol):
    """What takes part in a run."""

    name: str
    rank: int

    def act(self, now: int) -> bool:
        """Do one thing; whether there was one."""

    def blocked_by(self, now: int) -> Queue | None:
        """The full queue that the station waits for."""


class EventPort:
    """Sends the messages of one timestep after another."""

    def __init__(self, name: str, rank: int, queue: Queue, note: Note) -> None:
        self.name, self.rank, self.queue, self.note = name, rank, queue, note
        self.timesteps: list[list[Spike]] = []
        self.begun = self.period = self.time = 0
        self.list: deque[Spike] = deque()
        self.ready = self.busy = self.stalled = self.sent = 0
        self.is_waiting = False

    def begin(self, timesteps: list[list[Spike]], period: int, time: int) -> None:
        """There is work: of each timestep what is sent in it, each message after *time*."""
        self.timesteps, self.period, self.time = timesteps, period, time
        self.queue.wake(0)

    def act(self, now: int) -> bool:
        if not self.list:
            return self.open(now)
        if self.ready > now:
            return False
        if not self.queue.has_room(now):
            if not self.is_waiting:
                self.note(Record(now, self.name, "waits", self.list[0]))
            self.is_waiting = True
            return False
        message = self.list.popleft()
        self.note(Record(now, self.name, "sends", message))
        self.queue.put(message, now, now, self.rank)
        self.stalled += now - self.ready
        self.is_waiting = False
        self.sent += 1
        self.work(now)
        return True

    def open(self, now: int) -> bool:
        """Begin the next timestep, if it is due."""
        if self.begun == len(self.timesteps) or now < self.begun * self.period:
            return False
        self.note(Record(now, self.name, f"begins timestep {self.begun}", None))
        self.list = deque(self.timesteps[self.begun])
        self.begun += 1
        self.work(now)
        return True

    def work(self, now: int) -> None:
        """Go on with the next message, or wait for the next timestep."""
        if self.list:
            self.busy += self.time
            self.ready = now + self.time
            self.queue.wake(self.ready)
        else:
            self.queue.wake(max(now, self.begun * self.period))

    def blocked_by(self, now: int) -> Queue | None:
        return self.queue if self.list else None


class EventLink:
    """As `Link`; *drops* where a full queue behind it loses the message (`eject` only)."""

    def __init__(
        self,
        name: str,
        rank: int,
        kind: LinkKind,
        queue: Queue,
        queues: Mapping[str, Queue],
        note: Note,
        *,
        drops: bool,
    ) -> None:
        self.name, self.rank, self.kind, self.queue, self.queues = name, rank, kind, queue, queues
        self.note, self.drops = note, drops
        self.last: int | None = None
        self.dropped = 0
        self.is_waiting = False

    def following(self, message: Message) -> Sequence[Queue]:
        """The queues that *message* goes to next."""
        return [self.queues[name] for name in message.after[self.name]]

    def act(self, now: int) -> bool:
        message = self.queue.first(now)
        if message is None or (self.last is not None and now - self.last < self.kind.interval):
            return False
        has_room = all(queue.has_room(now) for queue in self.following(message))
        if not has_room and not self.drops:
            if not self.is_waiting:
                self.note(Record(now, self.name, "waits", message))
            self.is_waiting = True
            return False
        self.note(Record(now, self.name, "starts" if has_room else "drops", message))
        self.queue.take(now)
        if has_room:
            for queue in self.following(message):
                queue.put(message, now, now + self.kind.latency, self.rank)
        else:
            self.dropped += 1
        self.last, self.is_waiting = now, False
        self.queue.wake(now + self.kind.interval)
        return True

    def blocked_by(self, now: int) -> Queue | None:
        message = self.queue.first(now)
        full = [q for q in self.following(message) if not q.has_room(now)] if message is not None else []
        return full[0] if full else None


class EventUnit:
    """Works off one message after another: *work* lists what one takes, *fire* hears of each spike."""

    def __init__(
        self,
        name: str,
        rank: int,
        queue: Queue,
        out: Queue,
        work: Callable[[Spike], Work],
        fire: Callable[[Firing], None],
        note: Note,
    ) -> None:
        self.name, self.rank, self.queue, self.out = name, rank, queue, out
        self.work, self.fire, self.note = work, fire, note
        self.message: Message | None = None
        self.list: deque[tuple[int, Firing | Spike | None]] = deque()
        self.ready = self.busy = self.stalled = self.sent = 0
        self.is_waiting = False

    def act(self, now: int) -> bool:
        if not self.list:
            return self.start(now)
        return self.ready <= now and self.go_on(now)

    def start(self, now: int) -> bool:
        """Take the first message, if it has arrived."""
        message = self.message = self.queue.first(now)
        if message is None:
            return False
        assert isinstance(message, Spike)
        self.note(Record(now, self.name, "starts", message))
        self.queue.take(now)
        self.list = deque(self.work(message))
        self.busy_until(now)
        return True

    def busy_until(self, now: int) -> None:
        """Go on with the busy time at the head of the list."""
        self.busy += self.list[0][0]
        self.ready = now + self.list[0][0]
        self.queue.wake(self.ready)

    def go_on(self, now: int) -> bool:
        """What comes after the busy time."""
        match self.list[0][1]:
            case Firing() as firing:
                self.fire(firing)
            case Spike() as message:
                if not self.out.has_room(now):
                    if not self.is_waiting:
                        self.note(Record(now, self.name, "waits", message))
                    self.is_waiting = True
                    return False
                self.note(Record(now, self.name, "sends", message))
                self.out.put(message, now, now, self.rank)
                self.stalled += now - self.ready
                self.is_waiting = False
                self.sent += 1
            case None:
                self.note(Record(now, self.name, "finishes", self.message))
                self.list.clear()
                self.queue.wake(now)
                return True
        self.list.popleft()
        self.busy_until(now)
        return True

    def blocked_by(self, now: int) -> Queue | None:
        return self.out if self.list else None


def in_groups(synapses: Sequence[tuple[int, int]], lanes: int) -> Iterator[Sequence[tuple[int, int]]]:
    """*synapses*, as many at once as there are lanes."""
    for start in range(0, len(synapses), lanes):
        yield synapses[start : start + lanes]
