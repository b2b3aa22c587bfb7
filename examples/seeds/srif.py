"""SRIF with a membrane rectifier against IF and LIF with a hard reset, in the same network.

The claims of InfLoR-SNN: a soft reset keeps what a hard one throws away, and the rectifier phi draws
potentials toward the spikes that they become, so that less is lost in quantization; the network is more
accurate, and costs nothing at inference, where phi changes no spike and is dropped.

    python -m examples.seeds.srif -o examples/seeds/results/srif.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn

import snncc
from examples.digits.data import Digits
from examples.seeds.common import (
    Measured,
    ResidualNet,
    Size,
    bullets,
    fit,
    gains,
    markdown,
    measure,
    options_of,
    publish,
    repeated,
    say,
    size,
    spread,
    training_set,
    verdict,
)
from snncc.ir import Rectifier
from snncc.nn import IF, LIF, SRIF, DirectEncoder, tdBN
from snncc.nn.rectifier import rectified

TIMESTEPS = 4
THETA = 0.5  # of all networks
LAYERS = (
    "block1.neuron1",
    "block1.neuron2",
    "down_neuron",
    "block2.neuron1",
    "block2.neuron2",
    "head_neuron",
)

KINDS: dict[str, Callable[[], nn.Module]] = {
    "SRIF, rectifier": partial(SRIF, rectifier=True, step_mode="m"),
    "SRIF": partial(SRIF, step_mode="m"),
    "IF, hard reset": partial(IF, THETA, reset="zero", step_mode="m"),
    "LIF, leak 1/2, hard reset": partial(LIF, 0.5, THETA, reset="zero", step_mode="m"),
}
OURS, PLAIN, *OTHERS = KINDS


def normalization(channels: int, alpha: float) -> nn.Module:
    """tdBN with the threshold of the neurons."""
    return tdBN(channels, THETA, alpha)


@dataclass(frozen=True)
class Trained:
    """One network, and the quantization errors of its membranes."""

    seconds: float  # of training
    measured: Measured
    error: float  # QE of u
    rectified_error: float  # QE of phi(u)
    rectifiers: tuple[int, int]  # in the traced graph, in the program


def one(name: str, digits: Digits, scale: Size, seed: int) -> Trained:
    """Train and measure one network."""
    torch.manual_seed(seed)
    model = ResidualNet(KINDS[name], width=scale.width, norm=normalization)
    seconds = fit(model, digits, DirectEncoder(TIMESTEPS), seed=seed, epochs=scale.epochs, name=name)
    measured = measure(
        model,
        repeated(digits.test_x, TIMESTEPS),
        digits.test_y,
        repeated(training_set(digits), TIMESTEPS),
        samples=scale.samples,
        record=LAYERS,
    )
    error, after = quantization_errors(measured)
    say(f"seed {seed}: {name}: {measured.accuracy:.2f} %, QE {error:.4f}, of phi {after:.4f}")
    # a record of every potential is too much to keep of every network
    run = replace(measured.result.run, records={})
    measured = replace(measured, result=replace(measured.result, run=run, records={}))
    first, last = measured.program.stages[0].graph, measured.program.graph
    return Trained(seconds, measured, error, after, (count_rectifiers(first), count_rectifiers(last)))


def quantization_errors(measured: Measured) -> tuple[float, float]:
    """QE of the potentials u, mean (u - s)^2, and of phi(u), over all neurons of the network.

    A spike is worth 1, in the units of the network; `snncc.measure.quantization_error` says the first.
    """
    graph, result = measured.program.graph, measured.result
    sizes = [graph.edges[layer].size for layer in LAYERS]
    before, after = [], []
    for layer in LAYERS:
        before.append(snncc.measure.quantization_error(graph, result, layer))
        u = torch.from_numpy(snncc.measure.potentials(graph, result, layer))
        s = torch.from_numpy(result.records[layer].train.sum(axis=2))
        after.append(float(((rectified(u) - s) ** 2).mean()))
    return float(np.average(before, weights=sizes)), float(np.average(after, weights=sizes))


def count_rectifiers(graph: snncc.SpikeGraph) -> int:
    """Layers of *graph* that have a rectifier."""
    return sum(node.parameters.rectifier is not Rectifier.NONE for node in graph.neurons)


def page(found: dict[str, list[Trained]]) -> list[str]:
    """The table and what it says, from what was *found*: one entry a seed."""
    head = ["network", "accuracy %", "in PyTorch %", "training, CPU s"]
    head += ["QE of u", "QE of phi(u)", "spikes", "AC", "MAC", "energy, nJ"]
    rows = []
    for name, runs in found.items():
        measured = [run.measured for run in runs]
        counts = [m.result.counts for m in measured]
        rows.append(
            [
                name,
                spread([m.accuracy for m in measured]),
                spread([m.float_accuracy for m in measured]),
                spread([run.seconds for run in runs], 1),
                spread([run.error for run in runs], 4),
                spread([run.rectified_error for run in runs], 4),
                spread([c.total("spikes") for c in counts], 0),
                spread([c.total("ac") for c in counts], 0),
                spread([c.total("mac") for c in counts], 0),
                spread([1e9 * c.energy for c in counts], 1),
            ]
        )
    return [markdown(head, rows), bullets(claims(found))]


def claims(found: dict[str, list[Trained]]) -> list[str]:
    """What is claimed, and whether it is so."""
    ours = found[OURS]
    accuracies = {name: [run.measured.accuracy for run in runs] for name, runs in found.items()}
    lines = []
    for name, other in ((OURS, PLAIN), *((OURS, o) for o in OTHERS), *((PLAIN, o) for o in OTHERS)):
        better = gains(accuracies[name], accuracies[other])
        lines.append(f"*{name}* is more accurate than *{other}*: {spread(better)} points; {verdict(better)}.")
    within = gains([run.error for run in ours], [run.rectified_error for run in ours])
    across = gains([run.error for run in found[PLAIN]], [run.rectified_error for run in ours])
    own = gains([run.error for run in found[PLAIN]], [run.error for run in ours])
    hard = gains([run.error for run in found[OTHERS[0]]], [run.rectified_error for run in ours])
    lines += [
        f"In the network trained with it the rectifier lowers the quantization error: by "
        f"{spread(within, 4)}; {verdict(within)} (|phi(u) - s| <= |u - s| for every u, so it must).",
        f"The error that the rectified network sees, of phi(u), is lower than that of u in the network "
        f"trained without: by {spread(across, 4)}; {verdict(across)}; and than that of IF: "
        f"by {spread(hard, 4)}; {verdict(hard)}.",
        f"Training with the rectifier lowers the error of u itself: by {spread(own, 4)}; {verdict(own)}.",
    ]
    traced, compiled = ours[0].rectifiers
    differing = sum(run.measured.exact_differences for runs in found.values() for run in runs)
    samples = ours[0].measured.proof.samples
    held = all(run.rectifiers == (traced, 0) for run in ours)
    lines.append(
        f"The compiled network has no rectifier: {traced} layers of the traced one have it, {compiled} of "
        f"the program ({'in every seed' if held else 'NOT in every seed'}); {differing} numbers differ in "
        f"the exact stages and on the simulator, {samples} images for each network (`verify`)."
    )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(__doc__, arguments)
    scale = size(options, epochs=40)
    digits = scale.digits()
    found = {name: [one(name, digits, scale, seed) for seed in range(options.seeds)] for name in KINDS}
    setting = (
        f"The same residual network ({scale.width} to {2 * scale.width} channels, six layers of neurons), "
        f"{scale.epochs} epochs, direct coding, T = {TIMESTEPS}, tdBN and the threshold {THETA} in all four; "
        "SRIF takes off 1 with a spike. QE = mean (u - s)^2 over all neurons, timesteps and test images, "
        "of potentials before firing; s counts spikes, each worth 1 (SRIF, and by convention IF and LIF)."
    )
    title = "SRIF and the membrane rectifier against hard resets"
    publish("srif", title, [setting, *page(found)], options, tested=scale.test)


if __name__ == "__main__":
    main()
