"""What ran before runs again: chunks of one size go the same way where all is events."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.simulator.layer_run import Job, Prepared
from snncc.simulator.sheet import Sheet
from snncc.simulator.stream import Stream, listed


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What a chunk did: *entering* inputs were listed, then the layers of *jobs* ran, in this order."""

    entering: tuple[tuple[str, Stream], ...]
    jobs: tuple[tuple[Prepared, Job], ...]


def replay_of(sheet: Sheet) -> Replay | None:
    """What *sheet* did; None where a node was evaluated on dense trains, or the workspace grew meanwhile."""
    if sheet.values:
        return None
    entering: list[tuple[str, Stream]] = []
    jobs: list[tuple[Prepared, Job]] = []
    for name in sheet.counted:
        prepared = sheet.plan.layers.get(name)
        if prepared is None:
            entering.append((name, sheet.streams[name]))
            continue
        job = sheet.space.jobs.get((name, (sheet.batch, sheet.timesteps, prepared.ticks)))
        if job is None:
            return None
        jobs.append((prepared, job))
    return Replay(tuple(entering), tuple(jobs))


def replayed(replay: Replay, sheet: Sheet) -> bool:
    """Do it for *sheet*, a new one; False where data are no spikes, or a layer needs a greater width."""
    for name, stream in replay.entering:
        if not listed(sheet.data[name][:, :, None], sheet.first, stream):
            return False
        sheet.keep_events(name, stream)
    for prepared, job in replay.jobs:
        counted = job.run()
        if counted is None:
            return False
        sheet.keep_layer(prepared, job.stream, counted)
    return True
