"""The gate of Razor SNN in a small network over events: frames pruned against accuracy.

A gate stands before every layer but the first. It weighs events, and in evaluation drops the frames of which
no weighed event reaches a threshold: 0.4 in the paper, whose claim is that frames go and the accuracy stays.
Two readings of the paper are compared, with the same weights: the gain acts in evaluation, too ("graded":
spikes carry a payload, and every one costs MACs), or it only decides about frames ("none": spikes stay
binary, but the layers behind were trained with weighed events). A third variant, "none, fine-tuned", is
made for that: the gates are left as they are and all else is trained on as it will run.

    python -m examples.seeds.razor

A full run writes examples/seeds/results/razor.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.digits.data import Digits
from examples.digits.model import CLASSES
from examples.seeds.asa import lif
from examples.seeds.common import (
    Measured,
    Size,
    bullets,
    fit,
    gains,
    in_torch,
    markdown,
    measure,
    options_of,
    publish,
    say,
    spread,
    verdict,
)
from examples.seeds.events import (
    RATE,
    TIMESTEPS,
    EventCamera,
    Trains,
    scale_of,
    setting,
    trains_of,
    with_results,
)
from snncc.nn import RazorGate
from snncc.nn.models.asa import Stage
from snncc.nn.razor import Gain

PAPER = 0.4
OFF = -1.0  # no score is below it: every frame stays
THRESHOLDS = (OFF, PAPER, 1.8, 2.0, 2.05, 2.1, 2.15, 2.2, 2.4, 2.6)
QUICK_THRESHOLDS = (OFF, PAPER, 2.1)
COMPILED = (PAPER, 2.1)  # of these the programs are made; the whole sweep is PyTorch's
PLAIN, GRADED, NONE, TUNED = "no gates", "graded", "none", "none, fine-tuned"
READINGS = (GRADED, NONE, TUNED)

Bools = NDArray[np.bool_]


class GatedNet(nn.Module):
    """Events [T, B, 2, 16, 16] to logits [B, 10], the mean over T: two layers of LIF neurons, two gates.

    With *settled*, the gates act in training as in evaluation, and learn nothing.
    """

    def __init__(self, *, width: int, gated: bool) -> None:
        super().__init__()
        conv1 = nn.Conv2d(2, width, 3, stride=2, padding=1)
        conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.stages = nn.Sequential(
            Stage(nn.Sequential(conv1, nn.BatchNorm2d(width)), lif()),
            Stage(nn.Sequential(conv2, nn.BatchNorm2d(2 * width)), lif(), gate=gate(gated)),
            Stage(nn.Sequential(nn.Flatten(), nn.Linear(2 * width * 8 * 8, CLASSES)), gate=gate(gated)),
        )
        self.settled = False

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stages(x).mean(0)
        return out

    @property
    def gates(self) -> list[RazorGate]:
        return [module for module in self.modules() if isinstance(module, RazorGate)]

    def train(self, mode: bool = True) -> GatedNet:
        super().train(mode)
        if self.settled:
            for one in self.gates:
                one.eval()
        return self

    def read(self, gain: Gain, threshold: float) -> GatedNet:
        """A copy whose gates have this *gain* and *threshold*."""
        copy = deepcopy(self)
        for one in copy.gates:
            one.gain, one.threshold = gain, threshold
        return copy


def gate(present: bool) -> RazorGate | None:
    """A gate as the paper has it, or none."""
    return RazorGate(TIMESTEPS, threshold=PAPER) if present else None


@dataclass(frozen=True)
class Gated:
    """Percent, in PyTorch: accuracy, frames dropped of all, and of those with events."""

    accuracy: float
    dropped: float
    dropped_with_events: float
    measured: Measured | None  # the compiled program


def one(
    digits: Digits, trains: Trains, scale: Size, seed: int, thresholds: Sequence[float]
) -> dict[str, Gated]:
    """Train the networks of one seed, and look at them at every threshold; by the name of the row."""

    def trained(name: str, *, gated: bool) -> GatedNet:
        torch.manual_seed(seed)
        model = GatedNet(width=scale.width, gated=gated)
        fit(model, digits, EventCamera(seed), seed=seed, epochs=scale.epochs, rate=RATE, name=name)
        return model

    model = trained("with gates", gated=True)
    tuned = model.read("none", OFF)
    tuned.settled = True
    epochs = max(1, scale.epochs // 2)
    fit(tuned, digits, EventCamera(seed + 100), seed=seed, epochs=epochs, rate=RATE / 2, name=TUNED)
    readings: dict[str, tuple[GatedNet, Gain]] = {
        GRADED: (model, "graded"),
        NONE: (model, "none"),
        TUNED: (tuned, "none"),
    }
    found = {PLAIN: looked_at(trained(PLAIN, gated=False), trains, scale, compiled=True)}
    for name, (net, gain) in readings.items():
        for threshold in thresholds:
            this = net.read(gain, threshold).eval()
            found[row(name, threshold)] = looked_at(this, trains, scale, compiled=threshold in COMPILED)
    for name, gated in found.items():
        say(f"seed {seed}: {name}: {gated.accuracy:.2f} %, {gated.dropped:.1f} % of frames dropped")
    return found


def row(reading: str, threshold: float) -> str:
    """What a row of the tables is called."""
    return f"{reading}: all frames" if threshold == OFF else f"{reading}: {threshold:g}"


def looked_at(model: GatedNet, trains: Trains, scale: Size, *, compiled: bool) -> Gated:
    """What *model* does in PyTorch, and what its program does if *compiled*."""
    kept, full = frames(model, trains)
    dropped = (100 * float(np.mean(~kept)), 100 * float(np.mean(~kept[full]))) if kept.size else (0.0, 0.0)
    if not compiled:
        return Gated(in_torch(model, trains.test, trains.labels), *dropped, None)
    run = measure(
        model, trains.test, trains.labels, trains.calibration, samples=scale.samples, input_kind="spike"
    )
    return Gated(run.float_accuracy, *dropped, run)


def frames(model: GatedNet, trains: Trains) -> tuple[Bools, Bools]:
    """For each gate, timestep and sample: whether the frame stays, and whether it holds events."""
    kept: list[Tensor] = []
    full: list[Tensor] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(module, RazorGate)
        kept.append(module.scores(inputs[0]) >= module.threshold)
        full.append(inputs[0].flatten(2).any(2))

    hooks = [one.register_forward_hook(hook) for one in model.gates]
    with torch.no_grad():
        model(torch.from_numpy(trains.test))
    for handle in hooks:
        handle.remove()
    if not kept:
        return np.zeros(0, bool), np.zeros(0, bool)
    return torch.stack(kept).numpy(), torch.stack(full).numpy()


def page(found: list[dict[str, Gated]], thresholds: Sequence[float]) -> list[str]:
    """The tables and what they say, from what was *found*: one entry a seed."""
    head = ["gain: threshold", "accuracy in PyTorch %", "frames dropped %", "of those with events %"]
    rows = [
        [
            name,
            spread([seed[name].accuracy for seed in found]),
            spread([seed[name].dropped for seed in found], 1),
            spread([seed[name].dropped_with_events for seed in found], 1),
        ]
        for name in found[0]
    ]
    programs = {
        name: runs
        for name in found[0]
        if (runs := [m for seed in found if (m := seed[name].measured) is not None])
    }
    every = [m for runs in programs.values() for m in runs]
    samples = every[0].proof.samples
    return [
        markdown(head, rows),
        "Compiled to 8 bit, on the simulator:",
        markdown(("gain: threshold", *COUNTED), [[name, *counted(runs)] for name, runs in programs.items()]),
        bullets(
            [
                *claims(found, thresholds),
                f"{sum(m.exact_differences for m in every)} numbers differ in the exact stages and on the "
                f"simulator, {samples} samples a network (`verify`, {len(every)} programs). 8 bit weights "
                f"change {sum(m.changed_by_rounding for m in every)} of {samples * len(every)} predictions.",
            ]
        ),
    ]


COUNTED = ("accuracy %", "spikes", "AC", "MAC", "energy, nJ", "timesteps until the result")


def counted(runs: Sequence[Measured]) -> list[str]:
    """The columns of compiled programs."""
    counts = [run.result.counts for run in runs]
    return [
        spread([run.accuracy for run in runs]),
        spread([c.total("spikes") for c in counts], 0),
        spread([c.total("ac") for c in counts], 0),
        spread([c.total("mac") for c in counts], 0),
        spread([1e9 * c.energy for c in counts], 1),
        "/".join(str(w) for w in sorted({run.result.latency.timesteps for run in runs})),
    ]


def claims(found: list[dict[str, Gated]], thresholds: Sequence[float]) -> list[str]:
    """What is claimed, and whether it is so."""
    lines = []
    for name in READINGS:
        runs = {t: [seed[row(name, t)] for seed in found] for t in thresholds}
        lost = {t: gains([g.accuracy for g in at], [g.accuracy for g in runs[OFF]]) for t, at in runs.items()}
        dropped = {t: fmean(g.dropped for g in at) for t, at in runs.items()}
        better = gains([g.accuracy for g in runs[PAPER]], [seed[PLAIN].accuracy for seed in found])
        lines.append(
            f"{name}: the paper's threshold {PAPER:g} drops {dropped[PAPER]:.1f} % of the frames, "
            f"{fmean(g.dropped_with_events for g in runs[PAPER]):.1f} % of those with events, and changes "
            f"the accuracy in PyTorch by {spread(lost[PAPER])} points. More accurate than without gates: "
            f"{spread(better)} points; {verdict(better)}."
        )
        harmless = [t for t in thresholds if t != OFF and fmean(lost[t]) >= -1]
        lines.append(
            f"{name}: the largest threshold tried that costs at most one point, {max(harmless):g}, drops "
            f"{dropped[max(harmless)]:.1f} % of the frames."
            if harmless
            else f"{name}: every threshold tried costs more than one point."
        )
    energies = [
        [m.result.energy for seed in found if (m := seed[name].measured) is not None]
        for name in (PLAIN, row(GRADED, PAPER), row(NONE, PAPER))
    ]
    for name, joules in zip((GRADED, NONE), energies[1:], strict=True):
        saved = gains(energies[0], joules)
        lines.append(f"{name}: less energy than without gates, at {PAPER:g}: {verdict(saved)}.")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    options = with_results(options_of(__doc__, arguments), "razor")
    scale = scale_of(options, epochs=12)
    digits = scale.digits()
    trains = trains_of(digits)
    thresholds = QUICK_THRESHOLDS if options.quick else THRESHOLDS
    found = [one(digits, trains, scale, seed, thresholds) for seed in range(options.seeds)]
    about = (
        f"{setting(trains)}. Two convolutions ({scale.width} and {2 * scale.width} channels, the first of "
        f"stride 2) with LIF neurons, a gate (E = 4) before the second convolution and before the "
        f"classifier, {scale.epochs} epochs, new paths of the camera in each. Thresholds are those of "
        "evaluation: the network of a seed is trained once. An untrained gate weighs all events by about "
        "E/2 = 2, and one event is enough to keep a frame. The fine-tuned networks have "
        f"{max(1, scale.epochs // 2)} epochs more than the others. A dropped frame is a frame without "
        "events; the neurons behind it still leak and receive their bias."
    )
    publish(
        "razor",
        "Razor SNN: frames pruned against accuracy",
        [about, *page(found, thresholds)],
        options,
        tested=scale.test,
    )


if __name__ == "__main__":
    main()
