"""The analytic level, and joules: classes of neurons and lists of events against sums over single spikes."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from snncc import simulator
from snncc.ir import Presence
from snncc.simulator.firing import Firing, StreamFiring, firing_of_train
from snncc.simulator.machine import Level, MachineProgram, energy_of, program_of
from snncc.simulator.machine.analytic import accounts_of, count_firings, whole_listing
from snncc.simulator.machine.batch import time_and_energy
from snncc.simulator.machine.classes import class_counts, classes_of
from snncc.simulator.machine.energy import costs_of, link_energies
from snncc.simulator.machine.machine import run_firings
from snncc.simulator.machine.program import Sends, target_masks
from snncc.simulator.machine.traffic import calendar, updated
from snncc.simulator.plan import plan_of
from snncc.simulator.timing import Timing
from tests.graphs import Case
from tests.joules import joules
from tests.simulator.chains import chains
from tests.simulator.compare import differences
from tests.simulator.drawn_networks import Drawn, drawn_graphs
from tests.simulator.machines import Program, programs

EXAMPLES = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def listed(program: Program) -> dict[str, Firing]:
    """The trains of *program* as lists."""
    senders = program.placement.network.senders
    return {name: firing_of_train(program.trains[name]) for name in senders}


def streamed(program: Program, mixed: bool = False) -> dict[str, Firing]:
    """The same spikes as the simulator hands them over, of the last of two samples; *mixed*: of two runs."""
    runs = runs_of_two(program, 2)
    return {name: runs[mixed and k % 2][name][1] for k, name in enumerate(runs[0])}


def runs_of_two(program: Program, runs: int) -> list[dict[str, tuple[Firing, ...]]]:
    """What so many *runs* of two samples hand over: the data of the first are zeros."""
    timesteps, senders = len(next(iter(program.trains.values()))), program.placement.network.senders
    inputs = {node.name: node for node in program.graph.inputs}
    axes = {name: 1 if node.presence is Presence.SEQUENCE else 0 for name, node in inputs.items()}
    two = {name: np.concatenate([np.zeros_like(x), x], axes[name]) for name, x in program.x.items()}
    done = [simulator.run(program.graph, two, timesteps=timesteps, firing=senders) for _ in range(runs)]
    return [{name: run.firings[name] for name in senders} for run in done]


def longest_work(compiled: MachineProgram, firings: dict[str, Firing]) -> list[int]:
    """MACHINE.md, 5: of each step the longest work of any unit, spike by spike."""
    plan, times, sends = calendar(compiled, firings), compiled.times, compiled.sends
    touches = updated(compiled, plan, firings)
    updates = plan.visits if touches is None else touches.updates
    units, cores = plan.visits * times.access + updates * times.update, compiled.stations.cores
    work = np.zeros((plan.steps, compiled.stations.receivers), np.int64)
    slow = np.array([*(core.slowdown for core in compiled.placement.chip.cores), 1])
    for name, firing in firings.items():
        for frame, address in zip(firing.frames, firing.address, strict=True):
            step, neuron = plan.of[name][frame], compiled.offsets[name] + address
            core = plan.parts[plan.part[neuron]].core
            messages = range(sends.first[neuron], sends.first[neuron + 1])
            units[step, core] += 0 if core == cores else times.spike
            units[step, core] += len(messages) * (times.port if core == cores else times.send)
            for message in messages:
                for arrival in range(sends.base[message], sends.base[message + 1]):
                    work[step, sends.core[arrival]] += sends.service[arrival]
    units *= slow
    units[:, cores] += plan.lead
    return np.maximum(units.max(axis=1), work.max(axis=1)).tolist()


class Seen:
    spikes = streams = whole = mixed = 0


def has_layers(drawn: Drawn) -> bool:
    """Whether the event kernel runs something of it, and hands over streams."""
    edges = [drawn.graph.edges[name] for name in plan_of(drawn.graph).layers]
    return any((edge.max_count, edge.ticks) == (1, 1) for edge in edges)


def one_sample(case: Case) -> Drawn:
    """A chain, and its first sample alone."""
    (node,) = case.graph.inputs
    axis = 1 if node.presence is Presence.SEQUENCE else 0
    return Drawn(case.graph, {node.name: case.x[node.name].take([0], axis)}, case.timesteps)


@EXAMPLES
@given(programs(drawn_graphs().filter(has_layers) | chains().map(one_sample)))
def check_steps(program: Program) -> None:
    compiled = program_of(program.placement)
    plain, events, mixed = listed(program), streamed(program), streamed(program, mixed=True)
    timing, _ = run_firings(compiled, plain, Level.ANALYTIC)
    assert timing.steps.tolist() == longest_work(compiled, plain)
    for each in (events, mixed, events):
        assert not differences(run_firings(compiled, each, Level.ANALYTIC)[0], timing)
    if whole_listing(accounts_of(compiled), events) is not None:
        Seen.whole += 1
        Seen.mixed += whole_listing(accounts_of(compiled), mixed) is None
    Seen.spikes += sum(len(firing.address) for firing in plain.values())
    Seen.streams += sum(isinstance(firing, StreamFiring) for firing in events.values())


@EXAMPLES
@given(programs(chains().map(one_sample)))
def test_samples_of_one_listing_are_not_mixed_up(program: Program) -> None:
    """Of every other population another sample, against the same as lists."""
    compiled = program_of(program.placement)
    (two,) = runs_of_two(program, 1)
    mixed = {name: each[k % 2] for k, (name, each) in enumerate(two.items())}
    timing, fired = count_firings(compiled, {name: Firing(f.first, f.address) for name, f in mixed.items()})
    found, counts = count_firings(compiled, mixed)
    assert not differences(found, timing)
    assert np.array_equal(counts, fired)


def test_the_analytic_time_of_spikes_one_by_one() -> None:
    """From lists of spikes and from the simulator's streams, which nobody has sorted."""
    Seen.spikes = Seen.streams = Seen.whole = Seen.mixed = 0
    check_steps()
    assert Seen.spikes > 1000
    assert Seen.streams > 3
    assert min(Seen.whole, Seen.mixed) > 3


@EXAMPLES
@given(programs())
def test_classes_fire_as_their_neurons_do(program: Program) -> None:
    compiled = program_of(program.placement)
    classes, sends, populations = classes_of(compiled), compiled.sends, program.placement.network.populations
    plain, events = listed(program), streamed(program)
    fired = {name: firing.counts(populations[name].size) for name, firing in plain.items()}
    assert all(np.array_equal(events[name].counts(populations[name].size), fired[name]) for name in fired)
    counts = class_counts(compiled, fired)
    assert all(np.array_equal(counts, count_firings(compiled, each)[1]) for each in (plain, events))
    for name, own in classes.own.items():
        low, of = compiled.offsets[name], classes.of[name]
        assert np.array_equal(counts[own], np.bincount(of, fired[name], own.stop - own.start))
        for k, c in enumerate(of + own.start):
            mine, its = (messages_of(one, n) for one, n in ((sends, low + k), (classes.sends, c)))
            assert mine == its


def messages_of(sends: Sends, neuron: int) -> list[object]:
    """Everything that *neuron* sends."""
    found: list[object] = []
    for m in range(sends.first[neuron], sends.first[neuron + 1]):
        of = slice(sends.base[m], sends.base[m + 1])
        found.append((sends.root[m], sends.core[of].tolist(), sends.synapses[:, of].tolist()))
    return found


@EXAMPLES
@given(programs())
def test_energy_of_layers_neuron_by_neuron(program: Program) -> None:
    compiled = program_of(program.placement)
    firings = listed(program)
    timing, energy = time_and_energy(compiled, firings, Level.CYCLE)
    assert energy.layers == joules(layers_of(compiled, timing, firings))
    populations = program.placement.network.populations
    fired = {name: firing.counts(populations[name].size) for name, firing in firings.items()}
    for other in (
        energy_of(compiled, timing, class_counts(compiled, fired)),
        time_and_energy(compiled, streamed(program), Level.ANALYTIC)[1],
    ):  # to the last bit
        assert other.layers == energy.layers
        assert other.kinds == energy.kinds
        assert np.array_equal(other.cores, energy.cores)


def layers_of(compiled: MachineProgram, timing: Timing, firings: dict[str, Firing]) -> dict[str, float]:
    """Joules of each population, from what each of its neurons sends."""
    placement, network = compiled.placement, compiled.placement.network
    costs, links = costs_of(placement.chip), link_energies(placement.chip)
    found = dict.fromkeys(network.populations, 0.0)
    for name, firing in firings.items():
        fired = firing.counts(network.populations[name].size)
        at_port = placement.is_at_port(name)
        for address in np.flatnonzero(fired):
            neuron = compiled.offsets[name] + address
            joules = 0.0 if at_port else costs["spike"]
            for m in range(compiled.sends.first[neuron], compiled.sends.first[neuron + 1]):
                joules += costs["port" if at_port else "message_out"]
                joules += costs["message_in"] * int(compiled.sends.base[m + 1] - compiled.sends.base[m])
                joules += on_links(compiled, int(compiled.sends.root[m]), links)
            found[name] += int(fired[address]) * joules
        for connection in network.out_of(name):
            is_mac = network.populations[name].payload_bits and not connection.rule
            masks = target_masks(placement).get(connection.target, {}).values()
            counts: NDArray[np.int64] = np.sum([connection.counts(mask) for mask in masks], axis=0)
            found[connection.target] += costs["mac" if is_mac else connection.kind] * int(fired @ counts)
    visited = costs["access"] * timing.events["access"] + costs["update"] * timing.events["update"]
    for part in placement.parts:
        held = [p for p in placement.parts if p.core == part.core]
        weights = [len(p.addresses) * network.populations[p.population].steps for p in held]
        own = weights[held.index(part)] / sum(weights)
        found[part.population] += float(visited[part.core]) * own
    return found


def on_links(compiled: MachineProgram, node: int, links: dict[str, float]) -> float:
    """Joules of a message on the tree from *node* on."""
    trees = compiled.trees
    children = trees.child[trees.first[node] : trees.first[node + 1]].tolist()
    own = links.get(compiled.stations.kinds[trees.station[node]], 0.0)
    return own + sum(on_links(compiled, child, links) for child in children)
