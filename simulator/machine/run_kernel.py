"""All steps of a sample on the machine, one after another."""

from __future__ import annotations

from typing import Any, NamedTuple

from snncc.simulator.jit import inner, kernel
from snncc.simulator.machine.blocked_kernel import Moment, blocked_step
from snncc.simulator.machine.step_kernel import Log, Records, Step, Tally, Wiring, open_step


class Sweeps(NamedTuple):
    """What neuron units do, by step and unit (k = step x units + unit).

    Spikes are ``first[k] : first[k + 1]`` of *visit* (which visit of the sweep fires), *touched* (how many
    neurons are updated up to this one) and *neuron* (its global number). *visits* and *updates* [k]: in all.
    *lead* [steps]: when the port begins.
    """

    first: Any
    visit: Any
    touched: Any
    neuron: Any
    visits: Any
    updates: Any
    lead: Any


class Times(NamedTuple):
    """What the units take, in units of the chip's time; *slowdown* [units]: so many times that (port: 1)."""

    access: int
    update: int
    spike: int
    send: int
    port: int
    slowdown: Any


class Sent(NamedTuple):
    """`snncc.simulator.machine.program.Sends` for kernels."""

    first: Any
    root: Any
    base: Any
    service: Any


class Results(NamedTuple):
    """What a run fills: *steps* [S], *busy* [units], *fired* [neurons, or classes of them]."""

    steps: Any
    busy: Any
    fired: Any


@inner
def fill(
    sweeps: Sweeps, times: Times, sent: Sent, working: Any, units: int, s: int, step: Step, out: Results
) -> int:
    """Work out the messages of step *s*, of those units that are *working*; how many there are."""
    m, lead = 0, sweeps.lead[s]
    for u in working:
        k = s * units + u
        step.first[u] = before = m
        is_port, slow = u == units - 1, times.slowdown[u]
        low, high = sweeps.first[k], sweeps.first[k + 1]
        for j in range(low, high):
            neuron = sweeps.neuron[j]
            out.fired[neuron] += 1
            visits, updates = sweeps.visit[j] + 1, sweeps.touched[j]
            since = visits * times.access + updates * times.update + (j - low + 1) * times.spike
            for n in range(sent.first[neuron], sent.first[neuron + 1]):
                m += 1
                since_sent = slow * (since + (m - before) * times.send)
                time = lead + (m - before) * times.port if is_port else since_sent
                step.time[m - 1], step.root[m - 1], step.base[m - 1] = time, sent.root[n], sent.base[n]
        work = sweeps.visits[k] * times.access + sweeps.updates[k] * times.update
        work += (high - low) * times.spike + (m - before) * times.send
        step.end[u] = lead + (m - before) * times.port if is_port else slow * work
        out.busy[u] += step.end[u]
    step.first[units] = m
    return m


@inner
def commit(w: Wiring, now: Tally, tally: Tally, keep: bool) -> None:
    """Add what one step counted to the whole (if it is to be kept), and clear it."""
    for s in range(len(w.interval)):
        if not now.messages[s] and not now.deepest[s] and not now.stalled[s]:
            continue
        if keep:
            tally.stalled[s] += now.stalled[s]
            tally.messages[s] += now.messages[s]
            tally.deepest[s] = max(tally.deepest[s], now.deepest[s])
            for b in range(tally.depths.shape[1]):
                tally.depths[s, b] += now.depths[s, b]
        now.stalled[s] = now.messages[s] = now.deepest[s] = 0
        now.depths[s] = 0


@kernel
def most_of(steps: Any, neuron: Any, first: Any, stays: Any) -> tuple[int, int]:
    """The most messages of any step, and the most stays of them in queues.

    The spikes of step s are ``neuron[steps[s] : steps[s + 1]]``; *first* as in `Sent`; *stays* [neurons + 1]
    are running sums.
    """
    most, longest = 0, 0
    for s in range(len(steps) - 1):
        messages, length = 0, 0
        for k in range(steps[s], steps[s + 1]):
            g = neuron[k]
            messages += first[g + 1] - first[g]
            length += stays[g + 1] - stays[g]
        most, longest = max(most, messages), max(longest, length)
    return most, longest


@kernel
def run_steps(
    w: Wiring,
    sweeps: Sweeps,
    times: Times,
    sent: Sent,
    barrier: int,
    step: Step,
    r: Records,
    moment: Moment,
    now: Tally,
    tally: Tally,
    log: Log,
    out: Results,
) -> None:
    """Run all steps and fill *out* and *tally*; *now*, of one step, is zeros before and after."""
    start = 0
    for s in range(len(out.steps)):
        fill(sweeps, times, sent, range(w.units), w.units, s, step, out)
        used = log.used[0]
        time = open_step(w, step, r, now, log, start)
        if time < 0:
            commit(w, now, tally, False)
            log.used[0] = used
            time = blocked_step(w, step, r, moment, now, log, start)
        commit(w, now, tally, True)
        out.steps[s] = time
        start += time + barrier
