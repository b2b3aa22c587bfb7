"""The demo's sections "On Loihi" and "On Speck": what becomes of one traced network on each chip."""

from __future__ import annotations

import textwrap
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

import snncc
from examples.digits.networks import Network
from snncc.api import Claim, Proof
from snncc.api.tables import number, text_table
from snncc.backends.loihi import engine as lava
from snncc.backends.speck import engine as sinabs
from snncc.backends.speck import limits
from snncc.backends.speck.events import distances, run_by_events
from snncc.backends.speck.mapped import mapped, words_of_layer
from snncc.backends.target import DoesNotFit, Problem
from snncc.ir import Array, SpikeGraph
from snncc.mapping import Placement, usage

ON_ENGINES = 4
"""Images for Lava and Sinabs, one after the other in Lava: what one leaves behind would show in the next."""
WIDTH = 110


def before(network: Network) -> Array:
    """What the model itself says to the held-out data, [N, classes]."""
    with torch.no_grad():
        scores: Array = network.model(torch.from_numpy(network.x)).numpy()
    return scores


def on_loihi(network: Network, graph: SpikeGraph, scores: Array, samples: int, out: Path) -> bool:
    """Compile for Loihi, compare, and run the Lava program where there is a Lava; whether all agree."""
    print(f"\n--- {network.name} on Loihi ---")
    program = snncc.compile(graph, target="loihi", calibration=network.calibration)
    output = program.run(network.x).output
    print(accuracy("before, in PyTorch", scores, network.y))
    print(accuracy("after, in Loihi's integers", output, network.y, scores))
    assert program.placement is not None
    print(f"fits {program.placement.chip.name}: {fullest(program.placement)}")
    proof = snncc.verify(program, network.model, network.x, samples=samples)
    print(proof_lines(proof))
    program.save(out)
    print(f"Lava program: {out / 'loihi'}")
    if lava.can_run():
        return proof.holds and agrees(program, "lava", network)
    print(textwrap.fill(f"not run on Lava, which is not here: {lava.HINT}", WIDTH))
    return proof.holds


def on_speck(network: Network, graph: SpikeGraph, scores: Array, samples: int, out: Path) -> bool:
    """Compile for Speck and compare, or print all that stands against it; whether all agree."""
    print(f"\n--- {network.name} on Speck ---")
    try:
        program = snncc.compile(graph, target="speck")
    except DoesNotFit as refusal:
        print(obstacles(refusal.problems))
        return True
    names = [node.name for node in program.graph.neurons]
    result = program.run(network.x, record=names)
    step = {name: result.records[name].train[:, :, 0] for name in names}
    events, _ = run_by_events(program.graph, network.x, timesteps=program.timesteps)
    sent = events[program.graph.outputs[0].inputs[0].source].sum(axis=0)
    print(accuracy("before, in PyTorch", scores, network.y))
    print(accuracy("after, in Speck's integers", result.output, network.y, scores))
    print(accuracy("after, event by event", sent, network.y, scores))
    print(core_table(program, events, step))
    proof = replace(snncc.verify(program, network.model, network.x, samples=samples), notes=())
    print(proof_lines(proof))
    program.save(out)
    print(f"Sinabs module, configuration, deployment script: {out / 'speck'}")
    if sinabs.can_run():
        return proof.holds and agrees(program, "sinabs", network)
    print(f"not run on Sinabs, which is not here: {sinabs.INSTALL}")
    return proof.holds


def agrees(program: snncc.Program, engine: str, network: Network) -> bool:
    """Run what was emitted on the *engine*, for the first samples; print and return whether it agrees."""
    x, layers = network.first(ON_ENGINES), [node.name for node in program.graph.neurons]
    start = time.perf_counter()
    theirs = program.run_engine(engine, x, record=layers).records
    seconds = time.perf_counter() - start
    ours = program.run(x, record=layers).records
    spikes = potentials = fired = 0
    for name in layers:
        fired += int(ours[name].train.sum())
        spikes += int(np.count_nonzero(ours[name].train != theirs[name].train))
        potentials += int(np.count_nonzero(ours[name].u_post != theirs[name].u_post))
    print(
        f"run on {engine.capitalize()}, {ON_ENGINES} samples in {seconds:.1f} s: {fired:,} spikes, "
        f"{spikes} of them and {potentials} membrane potentials differ from our simulator"
    )
    return spikes == potentials == 0


def core_table(program: snncc.Program, events: dict[str, Array], step: dict[str, Array]) -> str:
    """Where each layer is, what memory it takes, and how far the chip is from timesteps."""
    m, cores = mapped(program.graph), limits.cores()
    rows = []
    for one in distances(program.graph, events, step):
        core = m.core_of[one.layer]
        need, have = words_of_layer(m.by_name[one.layer]), cores[core]
        words = [f"{need.kernel:,} / {have.kernel:,}", f"{need.neuron:,} / {have.neuron:,}"]
        counts = [f"{one.step:,}", f"{one.event:,}", f"{one.differing:,}"]
        rows.append([one.layer, str(core), *words, f"{one.ratio:.3g}", *counts])
    return text_table(
        f"fits {len(rows)} of {len(cores)} cores; spikes of all samples by timesteps and event by event",
        ("layer", "core", "kernel words", "neuron words", "threshold / weight", "spikes", "events", "differ"),
        rows,
    )


def obstacles(problems: tuple[Problem, ...]) -> str:
    """A table of what does not fit, layer by layer, and each remedy once."""
    rows = [[p.where.partition(" (")[0], p.what, p.need, p.have] for p in problems]
    table = text_table(f"refused, {len(problems)} obstacles", ("where", "what", "needs", "has"), rows)
    hints = dict.fromkeys(p.hint for p in problems if p.hint)
    return "\n".join([table, "what to do:", *(bullet(hint) for hint in hints)])


def bullet(text: str) -> str:
    """*text* as an item of a list, wrapped."""
    return textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent="  ")


def accuracy(where: str, output: Array, labels: Array, scores: Array | None = None) -> str:
    """One line: the share of right answers, and how many answers are others than those of *scores*."""
    answers = output.argmax(axis=1)
    correct, total = int((answers == labels).sum()), len(labels)
    line = f"accuracy {where:28} {100 * correct / total:6.2f} %  ({correct}/{total})"
    if scores is None:
        return line
    return f"{line}, {int((answers != scores.argmax(axis=1)).sum())} answers changed"


def fullest(placement: Placement) -> str:
    """How many cores are used, and need / have of each resource on the core that needs most of it."""
    found = [one for one in usage(placement) if one.have is not None]
    most = {one.resource: one for one in sorted(found, key=lambda one: one.need)}
    used = len({part.core for part in placement.parts})
    needs = [f"{name.replace('_', ' ')} {number(u.need)} / {number(u.have or 0)}" for name, u in most.items()]
    return f"{used} core{'s' * (used != 1)}; on the fullest: {', '.join(needs)}"


def proof_lines(proof: Proof) -> str:
    """One line a stage; exact ones that hold in a row share one."""
    lines = []
    exact = (Claim.EQUAL_IN_FLOAT64, Claim.EXACT)
    for is_plain, stages in groupby(proof.stages, key=lambda one: one.claim in exact and one.holds):
        if is_plain:
            lines.append(bullet(f"equal: {', '.join(stage.name for stage in stages)}"))
        else:
            lines += [bullet(str(replace(stage, note=""))) for stage in stages]
    first = [] if proof.first is None else [f"first difference: {proof.first}"]
    return "\n".join([*lines, *first, *proof.notes, str(proof).splitlines()[-1]])
