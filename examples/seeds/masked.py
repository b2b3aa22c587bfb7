"""Masked-image pre-training with spike sparse convolution, on digits of which few have labels.

A small encoder with SFA neurons sees the patches of an image that a random map keeps; sparse convolutions and
masked normalization leave the hidden ones exactly 0, and a light decoder reconstructs them. No label is used.
Then the encoder is trained on a few labelled images, and compared with the same from scratch: the claim of
E-SpikeFormer's masked pre-training is that it helps. Without a map the layers are ordinary convolutions,
and that is what is compiled.

    python -m examples.seeds.masked

A full run writes examples/seeds/results/masked.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.digits.data import Digits
from examples.digits.model import CLASSES, OverTime
from examples.seeds.common import (
    Measured,
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
from examples.seeds.events import with_results
from snncc.ir import Conv
from snncc.mapping import explicit_memory
from snncc.nn import SFA, DirectEncoder, MaskedBatchNorm2d, SparseConv2d, set_mask

LEVELS = 4  # D of SFA
PATCHES = 4  # a map of 4 x 4 patches, each of 2 x 2 pixels
KEPT = 8  # of the 16 patches
LABELLED = (50, 100)
QUICK_LABELLED = (50,)
STEPS = 240  # of gradient descent with labels, about
BATCH = 64
SCRATCH, PRETRAINED = "from scratch", "masked pre-training"


class Encoder(nn.Module):
    """Images [T, B, 1, 8, 8] to features [T, B, 2*width, 8, 8], what SFA neurons send."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int) -> OverTime:
            conv = SparseConv2d(inputs, outputs, 3, padding=1, bias=False)
            return OverTime(conv, MaskedBatchNorm2d(outputs))

        self.conv1, self.neuron1 = layer(1, width), SFA(LEVELS, step_mode="m")
        self.conv2, self.neuron2 = layer(width, 2 * width), SFA(LEVELS, step_mode="m")
        self.conv3, self.neuron3 = layer(2 * width, 2 * width), SFA(LEVELS, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        x = self.neuron1(self.conv1(x))
        x = self.neuron2(self.conv2(x))
        out: Tensor = self.neuron3(self.conv3(x))
        return out


class Classifier(nn.Module):
    """An encoder, and a linear layer over its features, pooled by 2; [T, B, 10] averaged over T."""

    def __init__(self, encoder: Encoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = OverTime(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2 * width * 4 * 4, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(x)).mean(0)
        return out


class Reconstruction(nn.Module):
    """An encoder, and a decoder of two ordinary convolutions; hidden positions hold a learned token."""

    def __init__(self, encoder: Encoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.token = nn.Parameter(torch.zeros(2 * width, 1, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(2 * width, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1)
        )

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Images [B, 1, 8, 8] from trains [1, B, 1, 8, 8] of which the pixels *keep* are seen."""
        seen = self.encoder(x * keep)[0]
        out: Tensor = self.decoder(torch.where(keep.bool(), seen, self.token))
        return out


def random_maps(samples: int, kept: int, generator: torch.Generator) -> Tensor:
    """Maps [B, 4, 4], each with *kept* patches, bool."""
    order = torch.rand(samples, PATCHES**2, generator=generator).argsort(1).argsort(1)
    return (order < kept).reshape(-1, PATCHES, PATCHES)


def pretrained(digits: Digits, scale: Size, seed: int) -> tuple[Encoder, float]:
    """An encoder trained to reconstruct hidden patches, and the last mean squared error; no label is used."""
    torch.manual_seed(seed)
    encoder = Encoder(scale.width)
    model = Reconstruction(encoder, scale.width)
    generator = torch.Generator().manual_seed(seed)
    errors: list[float] = []

    def loss(frames: Tensor, _: Tensor) -> Tensor:
        maps = random_maps(frames.shape[1], KEPT, generator)
        set_mask(model, maps)
        keep = F.interpolate(maps[:, None].float(), frames.shape[3:], mode="nearest")
        value = ((1 - keep) * (model(frames, keep) - frames[0]) ** 2).sum() / (1 - keep).sum()
        errors.append(value.item())
        return value

    fit(model, digits, DirectEncoder(1), seed=seed, epochs=scale.epochs, loss=loss, name="pre-training")
    set_mask(model, None)
    return encoder, sum(errors[-10:]) / len(errors[-10:])


def few(digits: Digits, labelled: int, seed: int) -> Digits:
    """*labelled* of the training images, at random but with all classes alike."""
    order = np.random.default_rng(seed).permutation(len(digits.train_y))
    picked = [order[digits.train_y[order] == label][: labelled // CLASSES] for label in range(CLASSES)]
    some = np.concatenate(picked)
    return digits._replace(train_x=digits.train_x[some], train_y=digits.train_y[some])


@dataclass(frozen=True)
class Trained:
    """One classifier, compiled; and its address tables for the first convolution, in bits."""

    measured: Measured
    table: int
    masked_table: float  # mean over random maps


def one(encoder: Encoder, name: str, digits: Digits, few_: Digits, scale: Size, seed: int) -> Trained:
    """Train the whole network on the few labelled images, and measure it."""
    torch.manual_seed(seed)
    model = Classifier(deepcopy(encoder), scale.width)
    labelled = len(few_.train_x)
    epochs = max(2, scale.epochs // 4) if scale.test < 100 else STEPS // max(1, labelled // BATCH)
    fit(model, few_, DirectEncoder(1), seed=seed, epochs=epochs, name=f"{name}, {labelled} labels")
    measured = measure(
        model,
        repeated(digits.test_x, 1),
        digits.test_y,
        repeated(training_set(few_), 1),
        samples=scale.samples,
    )
    say(f"seed {seed}: {name}, {labelled} labels: {measured.accuracy:.2f} %")
    return Trained(measured, *tables(measured, seed))


def tables(measured: Measured, seed: int) -> tuple[int, float]:
    """Bits of the explicit address table of the first convolution, without a map and with random ones."""
    graph = measured.program.graph
    node = next(node for node in graph.nodes if isinstance(node, Conv))
    shape = graph.edges[node.inputs[0].source].shape
    maps = random_maps(8, KEPT, torch.Generator().manual_seed(seed)).numpy()
    masked = [explicit_memory(node, shape, keep=one).bits for one in maps]
    return explicit_memory(node, shape).bits, float(np.mean(masked))


def seed_of(
    digits: Digits, scale: Size, seed: int, labelled: Sequence[int]
) -> tuple[dict[str, Trained], float]:
    """The networks of one seed by the name of their row, and the error of the reconstruction."""
    torch.manual_seed(seed)
    fresh = Encoder(scale.width)
    trained, error = pretrained(digits, scale, seed)
    found = {}
    for count in labelled:
        some = few(digits, count, seed)
        for name, encoder in ((SCRATCH, fresh), (PRETRAINED, trained)):
            found[row(name, count)] = one(encoder, name, digits, some, scale, seed)
    return found, error


def row(name: str, labelled: int) -> str:
    """What a row of the table is called."""
    return f"{name}, {labelled} labels"


def page(
    found: list[dict[str, Trained]], errors: list[float], digits: Digits, labelled: Sequence[int]
) -> list[str]:
    """The table and what it says, from what was *found*: one entry a seed."""
    head = ["network", "accuracy %", "in PyTorch %", "spikes", "AC", "MAC", "energy, nJ"]
    rows = []
    for name in found[0]:
        runs = [seed[name].measured for seed in found]
        counts = [run.result.counts for run in runs]
        rows.append(
            [
                name,
                spread([run.accuracy for run in runs]),
                spread([run.float_accuracy for run in runs]),
                spread([c.total("spikes") for c in counts], 0),
                spread([c.total("ac") for c in counts], 0),
                spread([c.total("mac") for c in counts], 0),
                spread([1e9 * c.energy for c in counts], 1),
            ]
        )
    lines = []
    for count in labelled:
        ours, theirs = (
            [seed[row(name, count)].measured.accuracy for seed in found] for name in (PRETRAINED, SCRATCH)
        )
        better = gains(ours, theirs)
        lines.append(
            f"With {count} labels, pre-training is worth {spread(better)} points of accuracy; "
            f"{verdict(better)}."
        )
    every = [run for seed in found for run in seed.values()]
    measured = [run.measured for run in every]
    samples = measured[0].proof.samples
    differing = sum(m.exact_differences for m in measured)
    whole, masked = [float(run.table) for run in every], [run.masked_table for run in every]
    variance = float(digits.train_x.var())
    return [
        markdown(head, rows),
        bullets(
            [
                *lines,
                f"Mean squared error on hidden pixels at the end of pre-training: {spread(errors, 4)} (the "
                f"variance of a pixel is {variance:.4f}).",
                f"Explicit address table of the first sparse convolution: {spread(whole, 0)} bits; with a "
                f"map that keeps {KEPT} of {PATCHES**2} patches, the map included, {spread(masked, 0)} "
                f"(mean of 8 maps a network): {100 * float(np.mean(np.divide(masked, whole))):.1f} %.",
                f"The maps are cleared before the networks are compiled, and {differing} "
                f"numbers differ in the exact stages and on the simulator, {samples} images a network "
                f"(`verify`, {len(every)} programs). 8 bit weights change "
                f"{sum(m.changed_by_rounding for m in measured)} of {samples * len(every)} predictions.",
            ]
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    options = with_results(options_of(__doc__, arguments), "masked")
    scale = size(options, epochs=40)
    digits = scale.digits()
    labelled = QUICK_LABELLED if options.quick else LABELLED
    runs = [seed_of(digits, scale, seed, labelled) for seed in range(options.seeds)]
    about = (
        f"Three sparse convolutions ({scale.width}, {2 * scale.width}, {2 * scale.width} channels) with SFA "
        f"neurons (D = {LEVELS}) and a linear classifier. Pre-training: {scale.epochs} epochs on the "
        f"{len(digits.train_x)} training images without their labels, {PATCHES**2 - KEPT} of {PATCHES**2} "
        "patches hidden. Then the whole network is trained on the labelled images, equally long with and "
        "without pre-training, whose own cost comes on top; each seed draws other labels. Images are scaled, "
        "turned and shifted a little in all training."
    )
    parts = [about, *page([found for found, _ in runs], [error for _, error in runs], digits, labelled)]
    publish("masked", "Masked pre-training with spike sparse convolution", parts, options, tested=scale.test)


if __name__ == "__main__":
    main()
