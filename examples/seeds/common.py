"""What the experiments on the seeds share: one small network, its training, its compilation, and the tables.

The data are scikit-learn's digits, split as in `examples.digits`: 1198 images to train with, 599 held out.
Every experiment trains the same network with different neurons, and changes nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snncc
from examples.digits.data import Digits, augment, load
from examples.digits.model import CLASSES, OverTime
from snncc.api import Claim
from snncc.ir import Array

BATCH = 64
RATE = 4e-3
CALIBRATION = 256  # training images from which ranges are measured

Norm = Callable[[int, float], nn.Module]
Loss = Callable[[Tensor, Tensor], Tensor]


def batch_norm(channels: int, alpha: float) -> nn.Module:
    """Plain batch normalization, which needs no factor *alpha*."""
    return nn.BatchNorm2d(channels)


class Block(nn.Module):
    """x + two convolutions, each of which reads what neurons send."""

    def __init__(self, neuron: Callable[[], nn.Module], channels: int, norm: Norm) -> None:
        super().__init__()
        self.neuron1 = neuron()
        self.conv1 = OverTime(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm(channels, 1.0))
        self.neuron2 = neuron()
        self.conv2 = OverTime(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm(channels, 0.5**0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.neuron2(self.conv1(self.neuron1(x))))


class ResidualNet(nn.Module):
    """Trains [T, B, 1, 8, 8] to logits [B, 10], the mean over T; six layers of what *neuron* makes.

    *neuron* takes [T, B, ...]; *norm* gets channels and the factor of residual tdBN: sqrt(1/2) where two
    branches are added, else 1.
    """

    def __init__(self, neuron: Callable[[], nn.Module], *, width: int, norm: Norm = batch_norm) -> None:
        super().__init__()
        wide, added = 2 * width, 0.5**0.5
        self.stem = OverTime(nn.Conv2d(1, width, 3, padding=1, bias=False), norm(width, added))
        self.block1 = Block(neuron, width, norm)
        self.down_neuron = neuron()
        self.down = OverTime(nn.Conv2d(width, wide, 3, stride=2, padding=1, bias=False), norm(wide, added))
        self.block2 = Block(neuron, wide, norm)
        self.head_neuron = neuron()
        self.head = OverTime(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(wide * 2 * 2, CLASSES))

    def logits(self, x: Tensor) -> Tensor:
        """The logits of every timestep, [T, B, 10]."""
        x = self.block1(self.stem(x))
        x = self.block2(self.down(self.down_neuron(x)))
        return self.head(self.head_neuron(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).mean(0)


@dataclass(frozen=True)
class Size:
    """How much is trained: all of it, or (``--quick``) just enough to see that the script works."""

    width: int
    epochs: int
    train: int
    test: int
    samples: int  # that verify compares

    def digits(self) -> Digits:
        """The data of this size."""
        all_ = load()
        return Digits(
            all_.train_x[: self.train],
            all_.train_y[: self.train],
            all_.test_x[: self.test],
            all_.test_y[: self.test],
        )


def size(options: argparse.Namespace, *, epochs: int) -> Size:
    """The full configuration with *epochs*, or the quick one."""
    return Size(4, 6, 192, 48, 4) if options.quick else Size(8, epochs, 1198, 599, 128)


def options_of(what: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line that the experiments share; also keeps torch to one thread."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works; shows nothing")
    parser.add_argument("--seeds", type=int, default=3, help="random seeds 0, 1, ... (default: 3)")
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    torch.set_num_threads(1)  # more do not help networks of this size, and the machine is shared
    return options


def say(text: str) -> None:
    """Progress, to stderr."""
    print(text, file=sys.stderr, flush=True)


def fit(
    model: nn.Module,
    digits: Digits,
    encode: nn.Module,
    *,
    seed: int,
    epochs: int,
    rate: float = RATE,
    loss: Loss | None = None,
    name: str = "",
) -> float:
    """Train *model* on images that *encode* turned into trains; the processor seconds that it took.

    *loss* takes a batch of trains [T, B, 1, 8, 8] and its labels (default: cross entropy of the logits).
    Afterwards the model is in evaluation mode. The same for the same seed and machine.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(digits.train_x), torch.from_numpy(digits.train_y)
    batches = max(1, len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=epochs * batches, pct_start=0.2
    )
    start, total = time.process_time(), 0.0
    for _ in range(epochs):
        model.train()
        total = 0.0
        for picked in torch.randperm(len(x), generator=generator).chunk(batches):
            frames, labels = encode(augment(x[picked], generator)), y[picked]
            value = (
                F.cross_entropy(model(frames), labels, label_smoothing=0.05)
                if loss is None
                else loss(frames, labels)
            )
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += value.item()
    seconds = time.process_time() - start
    say(f"seed {seed}: {name}: {epochs} epochs in {seconds:.1f} s, loss {total / batches:.4f}")
    model.eval()
    return seconds


@dataclass(frozen=True)
class Measured:
    """One compiled network on the test images."""

    program: snncc.Program
    result: snncc.Result
    proof: snncc.Proof
    accuracy: float  # of the 8 bit program on the simulator
    float_accuracy: float  # in PyTorch

    @property
    def exact_differences(self) -> int:
        """What verify found in the stages that claim to change nothing."""
        return sum(stage.differing for stage in self.proof.stages if stage.claim is not Claim.APPROXIMATE)

    @property
    def changed_by_rounding(self) -> int:
        """Predictions, of those that verify compared, that 8 bit weights change."""
        return sum(
            stage.changed_predictions or 0 for stage in self.proof.stages if stage.claim is Claim.APPROXIMATE
        )


def accuracy(output: Array, labels: Array) -> float:
    """Percent of *labels* [B] at which the largest of *output* [B, classes] lies."""
    return 100 * float((output.argmax(1) == labels).mean())


def in_torch(model: nn.Module, x: Array, labels: Array) -> float:
    """Accuracy of *model* in PyTorch, percent."""
    with torch.no_grad():
        return accuracy(model(torch.from_numpy(x)).numpy(), labels)


def measure(
    model: nn.Module,
    x: Array,
    labels: Array,
    calibration: Array,
    *,
    samples: int,
    record: Collection[str] = (),
    input_kind: str = "analog",
    fold: str = "weights",
) -> Measured:
    """Trace, compile to 8 bit, simulate all of the trains *x* [T, B, ...], verify on the first *samples*.

    Raises `NotEqual` where a stage is not what it claims to be.
    """
    graph = snncc.trace(model, calibration, layout="TB", input_kind=input_kind)
    program = snncc.compile(graph, target="sim", calibration=calibration, fold=fold)
    result = program.run(x, record=record, threads=1)
    proof = snncc.verify(program, model, x, samples=samples)
    proof.check()
    return Measured(program, result, proof, accuracy(result.output, labels), in_torch(model, x, labels))


def training_set(digits: Digits) -> Array:
    """The training images on which ranges are calibrated."""
    return digits.train_x[:CALIBRATION]


def repeated(x: Array, timesteps: int) -> Array:
    """Images [B, ...] at every timestep, [T, B, ...]: direct coding."""
    return np.repeat(x[None], timesteps, axis=0)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation over seeds.

    >>> spread([1.0, 2.0, 3.0]), spread([1.0])
    ('2.00 ± 1.00', '1.00')
    """
    text = f"{statistics.fmean(values):,.{digits}f}"
    return f"{text} ± {statistics.stdev(values):,.{digits}f}" if len(values) > 1 else text


def verdict(gains: Sequence[float]) -> str:
    """In words, what the *gains* (positive: as claimed) of all seeds say.

    >>> verdict([1.0, 2.0]), verdict([1.0, 0.0])
    ('holds in all 2 seeds', 'not shown: so in 1 of 2 seeds, the other way in 0')
    >>> verdict([-1.0, -2.0])
    'does not hold: the other way in all 2 seeds'
    """
    seeds, so, other = len(gains), sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    which = f"all {seeds} seeds" if seeds > 1 else "the one seed"
    if so == seeds:
        return f"holds in {which}"
    if other == seeds:
        return f"does not hold: the other way in {which}"
    return f"not shown: so in {so} of {seeds} seeds, the other way in {other}"


def gains(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """What *ours* is above *theirs*, seed by seed."""
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def publish(name: str, title: str, parts: Sequence[str], options: argparse.Namespace, *, tested: int) -> None:
    """Print the page of an experiment, with the command that made it; write it where ``-o`` says."""
    arguments = ["--quick"] * options.quick + [f"--seeds {options.seeds}"]
    arguments += [f"-o {options.output}"] if options.output else []
    command = f"python -m examples.seeds.{name} {' '.join(arguments)}"
    quick = ["**A quick run: too small to show anything.**"] * options.quick
    seeds = (
        f"Mean ± standard deviation over seeds 0 to {options.seeds - 1}" if options.seeds > 1 else "Seed 0"
    )
    note = (
        f"Made by `{command}` (PyTorch {torch.__version__}, one thread). {seeds}. Accuracy on {tested} "
        f"held-out images (one is {100 / tested:.2f} points) and energy from counted operations (4.6 pJ a "
        "MAC, 0.9 pJ an AC) are those of the compiled 8 bit program on the simulator. A claim *holds* where "
        "every seed says so, which for three seeds shows a direction and no more."
    )
    page = "\n\n".join([f"# {title}", *quick, note, *parts])
    print(page)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(page + "\n", encoding="utf-8")
