"""The level `reserved`: each message takes its links and receivers in the order of sending."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from snncc.simulator.firing import firing_of_train
from snncc.simulator.machine.analytic import count_firings
from snncc.simulator.machine.machine import reserve, ways_of
from snncc.simulator.machine.program import MachineProgram, program_of
from snncc.simulator.machine.run_kernel import Sweeps
from snncc.simulator.machine.traffic import calendar, lists_of, sweeps_of, updated
from tests.simulator.machine.test_analytic import EXAMPLES
from tests.simulator.machines import Program, programs


class Seen:
    messages = forks = late = idle = 0


def sent_in(program: MachineProgram, sweeps: Sweeps, s: int) -> tuple[list[tuple[int, int, int]], int]:
    """(time, unit, message) of all messages of step *s*, unit by unit, and when the last unit is done."""
    times, sends, units = program.times, program.sends, program.wiring.units
    found, end = [], 0
    for u in range(units):
        k, slow, count = s * units + u, int(times.slowdown[u]), 0
        low, high = sweeps.first[k], sweeps.first[k + 1]
        for nth, j in enumerate(range(low, high), 1):
            swept = (sweeps.visit[j] + 1) * times.access + sweeps.touched[j] * times.update
            for m in range(sends.first[sweeps.neuron[j]], sends.first[sweeps.neuron[j] + 1]):
                count += 1
                time = slow * (swept + nth * times.spike + count * times.send)
                if u == units - 1:
                    time = sweeps.lead[s] + count * times.port
                found.append((int(time), u, m))
        work = sweeps.visits[k] * times.access + sweeps.updates[k] * times.update
        work = slow * (work + (high - low) * times.spike + count * times.send)
        end = max(end, int(sweeps.lead[s] + count * times.port if u == units - 1 else work))
    return found, end


def step_by_definition(program: MachineProgram, sweeps: Sweeps, s: int) -> int:
    """The time of step *s*, message by message and branch by branch."""
    trees, stations, sends = program.trees, program.stations, program.sends
    messages, end = sent_in(program, sweeps, s)
    free = dict.fromkeys(range(stations.size), 0)

    def follow(node: int, time: int, message: int) -> int:
        station, children = int(trees.station[node]), trees.child[trees.first[node] : trees.first[node + 1]]
        start = max(time, free[station])
        Seen.late += start > time
        Seen.forks += len(children) > 1
        if not len(children):
            free[station] = start + int(sends.service[sends.base[message] + trees.leaf[node]])
            return free[station]
        free[station] = start + int(stations.interval[station])
        return max(follow(c, start + int(stations.latency[station]), message) for c in children)

    for time, _, message in sorted(messages):
        Seen.messages += 1
        end = max(end, follow(int(sends.root[message]), time, message))
    return end


@EXAMPLES
@given(programs())
def check(program: Program) -> None:
    compiled = program_of(program.placement)
    firings = {name: firing_of_train(train) for name, train in program.trains.items()}
    timing, fired = reserve(compiled, firings)
    plan = calendar(compiled, firings)
    sweeps = sweeps_of(compiled, lists_of(compiled, plan, firings), updated(compiled, plan, firings))
    assert timing.steps.tolist() == [step_by_definition(compiled, sweeps, s) for s in range(plan.steps)]
    assert np.array_equal(fired, count_firings(compiled, firings)[1])
    links = compiled.trees.first[:-1] < compiled.trees.first[1:]
    Seen.idle += len(ways_of(compiled).link) < int(links.sum())


def test_reserved_steps_equal_their_definition() -> None:
    Seen.messages = Seen.forks = Seen.late = Seen.idle = 0
    check()
    assert Seen.messages > 1000
    assert Seen.forks > 100
    assert Seen.late > 100
    assert Seen.idle > 5
