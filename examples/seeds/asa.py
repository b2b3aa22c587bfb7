"""Advanced spatial attention (ASA-1), and spatial attention (SA), in a small network over events.

The claim of "Inherent redundancy in spiking neural networks": attention on the input of the neurons makes
them fire less, keeps or raises the accuracy, and costs fewer joules in MACs than it saves in ACs. ASA-1 needs
whole trains before the first spike; the static variant, whose gains are those of the calibration data, needs
none of that, and is an approximation.

    python -m examples.seeds.asa

A full run writes examples/seeds/results/asa.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

import snncc
from examples.digits.data import Digits
from examples.digits.model import CLASSES
from examples.seeds.common import (
    Measured,
    Size,
    accuracy,
    bullets,
    fit,
    gains,
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
from snncc.nn import LIF, AdvancedSpatialAttention, SpatialAttention
from snncc.nn.models.asa import Stage

Attention = Callable[[], nn.Module | None]

PLAIN, SA, ASA = "no attention", "SA", "ASA-1"
KINDS: dict[str, Attention] = {
    PLAIN: lambda: None,
    SA: lambda: SpatialAttention(3),
    ASA: lambda: AdvancedSpatialAttention(TIMESTEPS),
}


class EventNet(nn.Module):
    """Events [T, B, 2, 16, 16] to logits [B, 10], the mean over T: two layers of LIF neurons."""

    def __init__(self, attention: Attention, *, width: int) -> None:
        super().__init__()
        conv1 = nn.Conv2d(2, width, 3, stride=2, padding=1)
        conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.stages = nn.Sequential(
            Stage(nn.Sequential(conv1, nn.BatchNorm2d(width)), lif(), attention=attention()),
            Stage(nn.Sequential(conv2, nn.BatchNorm2d(2 * width)), lif(), attention=attention()),
            Stage(nn.Sequential(nn.Flatten(), nn.Linear(2 * width * 8 * 8, CLASSES))),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stages(x).mean(0)
        return out


def lif() -> LIF:
    """The neuron of ASA-SNN: leak and threshold 0.3, hard reset."""
    return LIF(0.3, 0.3, reset="zero", step_mode="m")


@dataclass(frozen=True)
class Trained:
    """What one network does, and its static variant (None without attention)."""

    measured: Measured
    static: Measured | None

    @property
    def rate(self) -> float:
        """NASFR of the compiled network."""
        return rate_of(self.measured)


def rate_of(measured: Measured) -> float:
    """NASFR of a compiled network."""
    return snncc.measure.average_rate(measured.program.graph, measured.result)


def one(name: str, digits: Digits, trains: Trains, scale: Size, seed: int) -> Trained:
    """Train and measure one network."""
    torch.manual_seed(seed)
    model = EventNet(KINDS[name], width=scale.width)
    fit(model, digits, EventCamera(seed), seed=seed, epochs=scale.epochs, rate=RATE, name=name)
    measured = measure(
        model,
        trains.test,
        trains.labels,
        trains.calibration,
        samples=scale.samples,
        input_kind="spike",
    )
    static = None if name == PLAIN else frozen(model, measured, trains, scale)
    say(f"seed {seed}: {name}: {measured.accuracy:.2f} %, NASFR {rate_of(measured):.3f}")
    return Trained(measured, static)


def frozen(model: nn.Module, dynamic: Measured, trains: Trains, scale: Size) -> Measured:
    """The static variant: gains are constants, measured on the calibration trains."""
    graph = snncc.trace(model, trains.calibration, layout="TB", input_kind="spike")
    program = snncc.compile(graph, target="sim", calibration=trains.calibration, attention="static")
    result = program.run(trains.test, threads=1)
    proof = snncc.verify(program, model, trains.test, samples=scale.samples)
    proof.check()
    return Measured(program, result, proof, accuracy(result.output, trains.labels), dynamic.float_accuracy)


def page(found: dict[str, list[Trained]]) -> list[str]:
    """The tables and what they say, from what was *found*: one entry a seed."""
    head = ["network", "accuracy %", "in PyTorch %", "NASFR", "spikes", "AC", "MAC", "energy, nJ"]
    head += ["timesteps until the result"]
    rows = []
    for name, runs in found.items():
        rows.append(row(name, [run.measured for run in runs]))
        frozen_ = [run.static for run in runs if run.static is not None]
        if frozen_:
            rows.append(row(f"{name}, static (approximate)", frozen_))
    dynamic = [run.measured for all_ in found.values() for run in all_]
    static = [run.static for all_ in found.values() for run in all_ if run.static is not None]
    programs = [*dynamic, *static]
    differing = sum(m.exact_differences for m in programs)
    changed = sum(m.changed_by_rounding for m in dynamic)
    samples = programs[0].proof.samples
    return [
        markdown(head, rows),
        "Against the network without attention, seed by seed; dE = 4.6 pJ x MACs added - 0.9 pJ x ACs saved:",
        markdown(SHIFT_HEAD, shift_rows(found)),
        bullets(
            [
                *claims(found),
                f"{differing} numbers differ in the exact stages and on the simulator, {samples} samples a "
                f"network (`verify`, {len(programs)} programs). 8 bit weights change {changed} of "
                f"{samples * len(dynamic)} predictions of the dynamic programs.",
            ]
        ),
    ]


def row(name: str, measured: Sequence[Measured]) -> list[str]:
    """One line of the first table."""
    counts = [m.result.counts for m in measured]
    waits = {m.result.latency.timesteps for m in measured}
    return [
        name,
        spread([m.accuracy for m in measured]),
        spread([m.float_accuracy for m in measured]) if "static" not in name else "",
        spread([rate_of(m) for m in measured], 3),
        spread([c.total("spikes") for c in counts], 0),
        spread([c.total("ac") for c in counts], 0),
        spread([c.total("mac") for c in counts], 0),
        spread([1e9 * c.energy for c in counts], 1),
        "/".join(str(w) for w in sorted(waits)),
    ]


SHIFT_HEAD = ("network", "drop in NASFR", "of it, %", "MACs added", "ACs saved", "dE, nJ", "dE, %")


def shift_rows(found: dict[str, list[Trained]]) -> list[list[str]]:
    """What attention changes."""
    rows = []
    plain = [run.measured for run in found[PLAIN]]
    for name in (SA, ASA):
        variants = {
            name: [run.measured for run in found[name]],
            f"{name}, static (approximate)": [run.static for run in found[name] if run.static is not None],
        }
        for label, ours in variants.items():
            drops = gains([rate_of(m) for m in plain], [rate_of(m) for m in ours])
            shares = [100 * d / rate_of(m) for d, m in zip(drops, plain, strict=True)]
            shifts = [
                snncc.measure.energy_shift(a.result.counts, b.result.counts)
                for a, b in zip(plain, ours, strict=True)
            ]
            energies = [100 * s.joules / m.result.counts.energy for s, m in zip(shifts, plain, strict=True)]
            rows.append(
                [
                    label,
                    spread(drops, 3),
                    spread(shares, 1),
                    spread([s.macs_added for s in shifts], 0),
                    spread([s.acs_saved for s in shifts], 0),
                    spread([1e9 * s.joules for s in shifts], 1),
                    spread(energies, 1),
                ]
            )
    return rows


def claims(found: dict[str, list[Trained]]) -> list[str]:
    """What is claimed, and whether it is so."""
    lines = []
    plain = [run.measured for run in found[PLAIN]]
    for name in (SA, ASA):
        ours = [run.measured for run in found[name]]
        static = [run.static for run in found[name] if run.static is not None]
        drops = gains([rate_of(m) for m in plain], [rate_of(m) for m in ours])
        better = gains([m.accuracy for m in ours], [m.accuracy for m in plain])
        joules = [
            1e9 * snncc.measure.energy_shift(a.result.counts, b.result.counts).joules
            for a, b in zip(plain, ours, strict=True)
        ]
        lost = gains([m.accuracy for m in static], [m.accuracy for m in ours])
        differ = fmean(
            100 * float((a.result.output.argmax(1) != b.result.output.argmax(1)).mean())
            for a, b in zip(static, ours, strict=True)
        )
        lines += [
            f"{name} lowers NASFR: {verdict(drops)}.",
            f"{name} is more accurate than the network without attention: {spread(better)} points; "
            f"{verdict(better)}.",
            f"{name} saves energy, its own MACs counted: {verdict([-j for j in joules])}.",
            f"{name}, static, changes the accuracy by {spread(lost)} points and {differ:.1f} % of the "
            "predictions (approximate by name: its gains do not depend on the input).",
        ]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    options = with_results(options_of(__doc__, arguments), "asa")
    scale = scale_of(options, epochs=8)
    digits = scale.digits()
    trains = trains_of(digits)
    found = {
        name: [one(name, digits, trains, scale, seed) for seed in range(options.seeds)] for name in KINDS
    }
    about = (
        f"{setting(trains)}. Two convolutions ({scale.width} and {2 * scale.width} channels, the first of "
        f"stride 2) with LIF neurons, attention on their input, {scale.epochs} epochs, new paths of the "
        "camera in each. MACs of a network with attention: convolutions, the fc over time, and the product "
        "of gain and input, counted by the simulator. SA here has 3 x 3 kernels."
    )
    publish("asa", "Attention over events: ASA-1 and SA", [about, *page(found)], options, tested=scale.test)


if __name__ == "__main__":
    main()
