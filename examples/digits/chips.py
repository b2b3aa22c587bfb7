"""The demo's sections "On Loihi" and "On Speck": what becomes of one traced network on each chip."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

import snncc
from examples.digits.networks import Network
from snncc.api import Claim, Proof
from snncc.api.tables import number, text_table
from snncc.backends.loihi.engine import HINT, can_run
from snncc.backends.speck.emit import core_table
from snncc.backends.speck.events import run_by_events
from snncc.backends.speck.mapped import mapped
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import Array, SpikeGraph
from snncc.mapping import Placement, usage

ON_LAVA = 3
"""Images, one after the other, so that what one leaves behind would show in the next."""


def on_loihi(network: Network, graph: SpikeGraph, scores: Array, samples: int) -> bool:
    """Compile for Loihi, compare, and run the Lava program where there is a Lava; whether all agree."""
    print("\nOn Loihi")
    program = snncc.compile(graph, target="loihi", calibration=network.calibration)
    output = program.run(network.x).output
    print(accuracy("in PyTorch, before", scores, network.y))
    print(accuracy("in Loihi's integers", output, network.y, scores))
    assert program.placement is not None
    print(f"fits {program.placement.chip.name}: {fullest(program.placement)}")
    proof = snncc.verify(program, network.model, network.x, samples=samples)
    print(proof_lines(proof))
    return lava_agrees(program, network) and proof.holds


def lava_agrees(program: snncc.Program, network: Network) -> bool:
    """Run the Lava program on the first images and count what differs; True where there is no Lava."""
    if not can_run():
        print(f"not run on Lava, which was not found: {HINT}")
        return True
    x, layers = network.first(ON_LAVA), [node.name for node in program.graph.neurons]
    start = time.perf_counter()
    theirs = program.run_engine("lava", x, record=layers).records
    seconds = time.perf_counter() - start
    ours = program.run(x, record=layers).records
    spikes = potentials = fired = 0
    for name in layers:
        fired += int(ours[name].train.sum())
        spikes += int((ours[name].train != theirs[name].train).sum())
        potentials += int((ours[name].u_post != theirs[name].u_post).sum())
    print(
        f"the program on Lava, {ON_LAVA} images in {seconds:.1f} s: {fired} spikes; "
        f"{spikes} spikes and {potentials} membrane potentials differ from our simulator"
    )
    return spikes == potentials == 0


def on_speck(network: Network, graph: SpikeGraph, scores: Array, samples: int) -> bool:
    """Compile for Speck and compare, or print all that stands against it; whether all agree."""
    print("\nOn Speck")
    try:
        program = snncc.compile(graph, target="speck")
    except DoesNotFit as refusal:
        print(obstacles(refusal.problems))
        return True
    output = program.run(network.x).output
    print(accuracy("in PyTorch, before", scores, network.y))
    print(accuracy("in Speck's integers, by timesteps", output, network.y, scores))
    print(accuracy("on the chip, event by event", event_counts(program, network.x), network.y, scores))
    cores = core_table(mapped(program.graph)).splitlines()
    print("\n".join(line for line in cores if not line.endswith("free")))
    proof = snncc.verify(program, network.model, network.x, samples=samples)
    print(proof_lines(proof))
    return proof.holds


def event_counts(program: snncc.Program, x: NDArray[np.float32]) -> Array:
    """What each output neuron sends by the model of the chip, which works event by event: [B, classes]."""
    spikes, _ = run_by_events(program.graph, x, timesteps=program.timesteps)
    (output,) = program.graph.outputs
    return spikes[output.inputs[0].source].sum(axis=0)


def obstacles(problems: tuple[Problem, ...]) -> str:
    """A table of what does not fit, layer by layer, and each remedy once."""
    rows = [[p.where, p.what, p.need, p.have] for p in problems]
    title = f"refused: {len(problems)} obstacles"
    hints = dict.fromkeys(p.hint for p in problems if p.hint)
    table = text_table(title, ("where", "what", "needs", "has"), rows)
    return "\n".join([table, "what to do:", *(f"- {hint}" for hint in hints)])


def accuracy(where: str, output: Array, labels: Array, before: Array | None = None) -> str:
    """One line: the share of right answers, and how many answers are others than those *before*."""
    answers = output.argmax(axis=1)
    correct, total = int((answers == labels).sum()), len(labels)
    line = f"accuracy {where:34} {100 * correct / total:6.2f} %  ({correct}/{total})"
    if before is None:
        return line
    return f"{line}, {int((answers != before.argmax(axis=1)).sum())} answers changed"


def fullest(placement: Placement) -> str:
    """How many cores are used, and need / have of each resource on the core that needs most of it."""
    found = [one for one in usage(placement) if one.have is not None]
    most = {one.resource: one for one in sorted(found, key=lambda one: one.need)}
    used = len({part.core for part in placement.parts})
    needs = [f"{name.replace('_', ' ')} {number(u.need)} / {number(u.have or 0)}" for name, u in most.items()]
    return f"{used} core{'s' * (used != 1)}; of the fullest core: {', '.join(needs)}"


def proof_lines(proof: Proof) -> str:
    """One line a stage; exact ones that hold in a row share one."""
    lines = []
    exact = (Claim.EQUAL_IN_FLOAT64, Claim.EXACT)
    for is_plain, stages in groupby(proof.stages, key=lambda one: one.claim in exact and one.holds):
        if is_plain:
            lines.append(f"  equal: {', '.join(stage.name for stage in stages)}")
        else:
            lines += [f"  {replace(stage, note='')}" for stage in stages]
    first = [] if proof.first is None else [f"  first difference: {proof.first}"]
    return "\n".join(
        [*lines, *first, *(f"  {note}" for note in proof.notes), str(proof).splitlines()[-1]]
    )
