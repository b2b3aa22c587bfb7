"""Integer training (SFA) against direct training of binary neurons, at the same number T x D of spikes.

The claim of spike firing approximation (E-SpikeFormer): train D = 4 levels in one timestep, expand them to
four ticks of spikes on a chip, and lose nothing; against IF and LIF neurons trained through T = 4 timesteps
of the same image, this takes a fraction of the time and memory, and is at least as accurate.

    python -m examples.seeds.sfa -o examples/seeds/results/sfa.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snncc
from examples.digits.data import Digits
from examples.seeds.common import (
    BATCH,
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
from snncc.nn import IF, LIF, SFA, DirectEncoder

STEPS = 4  # T x D of every network


@dataclass(frozen=True)
class Kind:
    """Neurons, and the timesteps with which a network of them is trained."""

    neuron: Callable[[], nn.Module]
    timesteps: int


KINDS = {
    "SFA, D = 4, T = 1": Kind(lambda: SFA(STEPS, step_mode="m"), 1),
    "IF, soft reset, T = 4": Kind(lambda: IF(1.0, step_mode="m"), STEPS),
    "LIF, leak 1/2, hard reset, T = 4": Kind(lambda: LIF(0.5, reset="zero", step_mode="m"), STEPS),
}
OURS, *OTHERS = KINDS


@dataclass(frozen=True)
class Trained:
    """What one network cost to train, and what it does."""

    seconds: float
    megabytes: float
    measured: Measured

    @property
    def rates(self) -> list[float]:
        """NSFR of the whole network, tick by tick (SFA) or timestep by timestep."""
        run = self.measured
        rates: list[float] = snncc.measure.tick_rates(run.program.graph, run.result).reshape(-1).tolist()
        return rates


def one(kind: Kind, name: str, digits: Digits, scale: Size, seed: int) -> Trained:
    """Train and measure one network."""
    torch.manual_seed(seed)
    model = ResidualNet(kind.neuron, width=scale.width)
    encode = DirectEncoder(kind.timesteps)
    seconds = fit(model, digits, encode, seed=seed, epochs=scale.epochs, name=name)
    measured = measure(
        model,
        repeated(digits.test_x, kind.timesteps),
        digits.test_y,
        repeated(training_set(digits), kind.timesteps),
        samples=scale.samples,
    )
    say(f"seed {seed}: {name}: {measured.accuracy:.2f} %")
    return Trained(seconds, kept_for_backward(model, encode, digits) / 1e6, measured)


class Saved:
    """A tensor that autograd keeps; it lives as long as the operation that needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def kept_for_backward(model: nn.Module, encode: nn.Module, digits: Digits) -> int:
    """Bytes that one batch keeps for the backward pass, not counting the weights and buffers of *model*."""
    saved: WeakSet[Saved] = WeakSet()

    def pack(tensor: Tensor) -> Saved:
        one = Saved(tensor)
        saved.add(one)
        return one

    # on copies of the buffers: the running statistics of the model stay what they are
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *buffers.values())}
    x, y = torch.from_numpy(digits.train_x[:BATCH]), torch.from_numpy(digits.train_y[:BATCH])
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        loss = F.cross_entropy(torch.func.functional_call(model, buffers, (encode(x),)), y)
    model.eval()
    storages = [one.tensor.untyped_storage() for one in saved]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    del loss  # only here: what it needs is what was counted
    return sum(size for place, size in sizes.items() if place not in own)


def page(found: dict[str, list[Trained]]) -> list[str]:
    """The tables and what they say, from what was *found*: one entry a seed."""
    head = ["network", "accuracy %", "in PyTorch %", "training, CPU s", "kept for backward, MB"]
    head += ["spikes", "AC", "MAC", "energy, nJ"]
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
                spread([run.megabytes for run in runs], 1),
                spread([c.total("spikes") for c in counts], 0),
                spread([c.total("ac") for c in counts], 0),
                spread([c.total("mac") for c in counts], 0),
                spread([1e9 * c.energy for c in counts], 1),
            ]
        )
    ticks = [[name, *(spread(list(r), 3) for r in rates_of(runs))] for name, runs in found.items()]
    ours = found[OURS]
    falls = all(a >= b for run in ours for a, b in zip(run.rates, run.rates[1:], strict=False))
    differing = sum(run.measured.exact_differences for run in ours)
    changed = sum(run.measured.changed_by_rounding for run in ours)
    samples = ours[0].measured.proof.samples
    return [
        markdown(head, rows),
        bullets(claims(found)),
        "Spikes per neuron (NSFR), tick by tick for SFA, timestep by timestep for the others:",
        markdown(("network", *(str(t + 1) for t in range(STEPS))), ticks),
        bullets(
            [
                f"NSFR of SFA does not increase from tick to tick: {'holds' if falls else 'does not hold'}.",
                f"The network expanded to spikes equals the one with integer activations: {differing} "
                f"numbers differ in the exact stages and on the simulator, {samples} images a seed "
                f"(`verify`). 8 bit weights change {changed} of "
                f"{samples * len(ours)} predictions.",
            ]
        ),
    ]


def claims(found: dict[str, list[Trained]]) -> list[str]:
    """What is claimed of SFA against each of the others, and whether it is so."""
    lines = []
    for other in OTHERS:
        ours, theirs = found[OURS], found[other]
        better = gains([t.measured.accuracy for t in ours], [t.measured.accuracy for t in theirs])
        faster = [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)]
        smaller = [b.megabytes / a.megabytes for a, b in zip(ours, theirs, strict=True)]
        energy = [
            b.measured.result.energy / a.measured.result.energy for a, b in zip(ours, theirs, strict=True)
        ]
        spikes = [
            b.measured.result.counts.total("spikes") / a.measured.result.counts.total("spikes")
            for a, b in zip(ours, theirs, strict=True)
        ]
        ac = [
            b.measured.result.counts.total("ac") / a.measured.result.counts.total("ac")
            for a, b in zip(ours, theirs, strict=True)
        ]
        name = other.partition(",")[0]
        lines += [
            f"SFA is more accurate than {name}: {spread(better)} points; {verdict(better)}.",
            f"SFA trains faster than {name}: {spread(faster, 1)} times; {verdict([r - 1 for r in faster])}. "
            f"It keeps {fmean(smaller):.1f} times fewer bytes for the backward pass.",
            f"SFA needs less energy than {name}: {spread(energy, 2)} times; "
            f"{verdict([r - 1 for r in energy])}. {name} does {fmean(ac):.2f} times its ACs and sends "
            f"{fmean(spikes):.2f} times its spikes.",
        ]
    return lines


def rates_of(runs: Sequence[Trained]) -> list[tuple[float, ...]]:
    """For each tick the rates of all seeds."""
    return list(zip(*(run.rates for run in runs), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(__doc__, arguments)
    scale = size(options, epochs=80)
    digits = scale.digits()
    found = {
        name: [one(kind, name, digits, scale, seed) for seed in range(options.seeds)]
        for name, kind in KINDS.items()
    }
    title = f"SFA: integer training against binary training, T x D = {STEPS}"
    setting = (
        f"The same residual network ({scale.width} to {2 * scale.width} channels, six layers of neurons), "
        f"{scale.epochs} epochs, direct coding. The image enters the first convolution once (SFA) or in each "
        "timestep (the others), in MACs: a part of the difference in energy is that."
    )
    publish("sfa", title, [setting, *page(found)], options, tested=scale.test)


if __name__ == "__main__":
    main()
