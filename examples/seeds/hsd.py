"""Hybrid step-wise distillation: a QCFS network trained on many frames becomes a spiking one on few.

The claim of HSD: pre-train with integer activations on T1 frames, convert, and fine-tune on T2 < T1 frames
with the pre-trained network as teacher of every timestep; the result is more accurate than the same
spiking network trained directly, and than the conversion without fine-tuning, in fewer timesteps.

The frames are made, not recorded: each digit becomes T1 frames of independent spikes whose probability is
the gray level (`snncc.nn.RateEncoder`), and the network of T2 timesteps sees the first T2 of them. So fewer
frames also say less about the digit, as with an event camera that is read for a shorter time.

    python -m examples.seeds.hsd -o examples/seeds/results/hsd.md
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from examples.digits.data import Digits
from examples.seeds.common import (
    Measured,
    ResidualNet,
    Size,
    accuracy,
    bullets,
    fit,
    gains,
    in_torch,
    markdown,
    measure,
    options_of,
    publish,
    say,
    size,
    spread,
    training_set,
    verdict,
)
from snncc.ir import Array
from snncc.nn import QCFS, HSDNeuron, RateEncoder, hsd_loss, qcfs_to_if

T1, T2 = 8, 4  # frames in training of the teacher, timesteps of the spiking network
LEVELS = 4
HEIGHT = 2.0  # of the staircase at first; learned
TAU = 1.0  # 1, 2 and 4 were alike on 200 training images held out for that
TEST_FRAMES, CALIBRATION_FRAMES = 1_000_000, 2_000_000  # seeds, the same for every network

TEACHER = f"QCFS network (teacher), {T1} frames"
TEACHER_SHORT = f"QCFS network, first {T2} frames"
CONVERTED_LONG = f"converted (lam·s), T = {T1}"
CONVERTED = f"converted (lam·s), T = {T2}"
CONVERTED_RAW = f"converted (s, as HSD), T = {T2}"
STEPWISE = f"converted, fine-tuned by HSD, T = {T2}"
PLAIN = f"converted, fine-tuned without a teacher, T = {T2}"
DIRECT = f"trained directly, T = {T2}"


@dataclass(frozen=True)
class Frames:
    """The test and calibration frames, T1 of each digit, [T1, B, 1, 8, 8]."""

    test: Array
    calibration: Array

    @classmethod
    def of(cls, digits: Digits) -> Frames:
        """The same for every network and every seed."""
        return cls(encoded(digits.test_x, TEST_FRAMES), encoded(training_set(digits), CALIBRATION_FRAMES))


def encoded(images: Array, seed: int) -> Array:
    """*images* as T1 frames of spikes."""
    frames: Array = RateEncoder(T1, seed=seed)(torch.from_numpy(images)).numpy()
    return frames


def one_seed(digits: Digits, frames: Frames, scale: Size, seed: int) -> dict[str, Measured]:
    """All networks of one seed."""
    epochs, tuning = scale.epochs, max(1, scale.epochs // 2)

    def measured(model: torch.nn.Module, timesteps: int) -> Measured:
        return measure(
            model,
            frames.test[:timesteps],
            digits.test_y,
            frames.calibration[:timesteps],
            samples=scale.samples,
            input_kind="spike",
            fold="thresholds",  # where x/lam goes too; into weights it cannot, behind a residual sum
        )

    torch.manual_seed(seed)
    teacher = ResidualNet(partial(QCFS, LEVELS, HEIGHT, step_mode="m"), width=scale.width)
    fit(teacher, digits, RateEncoder(T1, seed=seed), seed=seed, epochs=epochs, name=TEACHER)
    whole = measured(teacher, T1)
    rows = {TEACHER: whole, TEACHER_SHORT: shortened(whole, teacher, frames, digits)}
    scaled = qcfs_to_if(teacher, "qcfs", step_mode="m")
    raw = qcfs_to_if(teacher, "hsd", step_mode="m")
    rows[CONVERTED_LONG] = measured(scaled, T1)
    rows[CONVERTED] = measured(scaled, T2)
    rows[CONVERTED_RAW] = measured(raw, T2)

    for name, guide in ((STEPWISE, frozen(teacher)), (PLAIN, None)):  # on the same images and frames
        student = student_of(teacher)
        loss = stepwise(student, guide)
        fit(student, digits, RateEncoder(T1, seed + 1), seed=seed, epochs=tuning, loss=loss, name=name)
        rows[name] = measured(student, T2)
    torch.manual_seed(seed)
    direct = ResidualNet(partial(HSDNeuron, 1.0, step_mode="m"), width=scale.width)
    fit(direct, digits, RateEncoder(T2, seed), seed=seed, epochs=epochs + tuning, name=DIRECT)
    rows[DIRECT] = measured(direct, T2)
    for name, row in rows.items():
        say(f"seed {seed}: {name}: {row.accuracy:.2f} %")
    return rows


def shortened(whole: Measured, teacher: ResidualNet, frames: Frames, digits: Digits) -> Measured:
    """The teacher's own program on the first T2 frames."""
    result = whole.program.run(frames.test, timesteps=T2, threads=1)
    return replace(
        whole,
        result=result,
        accuracy=accuracy(result.output, digits.test_y),
        float_accuracy=in_torch(teacher, frames.test[:T2], digits.test_y),
    )


def student_of(teacher: ResidualNet) -> ResidualNet:
    """A copy of *teacher* with the neurons that HSD fine-tunes."""
    student = qcfs_to_if(teacher, "hsd", step_mode="m")
    assert isinstance(student, ResidualNet)
    return student


def frozen(teacher: ResidualNet) -> ResidualNet:
    """A copy of *teacher* that learns no more."""
    return copy.deepcopy(teacher).eval().requires_grad_(False)


def stepwise(student: ResidualNet, teacher: ResidualNet | None) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of HSD: the student on the first T2 frames, the teacher on all T1.

    Without a *teacher* what remains of it: the cross entropy.
    """

    def loss(frames: Tensor, labels: Tensor) -> Tensor:
        if teacher is None:
            return F.cross_entropy(student(frames[:T2]), labels)
        with torch.no_grad():
            goal = teacher(frames)
        return hsd_loss(student.logits(frames[:T2]), goal, labels, TAU)

    return loss


def page(found: Sequence[dict[str, Measured]], scale: Size) -> list[str]:
    """The table and what it says, from what was *found*: one entry a seed."""
    head = ("network", "accuracy %", "in PyTorch %", "ticks", "spikes", "AC", "energy, nJ")
    rows = []
    for name in found[0]:
        of = [networks[name] for networks in found]
        counts = [one.result.counts for one in of]
        rows.append(
            [
                name,
                spread([one.accuracy for one in of]),
                spread([one.float_accuracy for one in of]),
                str(counts[0].latency.ticks),
                spread([c.total("spikes") for c in counts], 0),
                spread([c.total("ac") for c in counts], 0),
                spread([1e9 * c.energy for c in counts], 1),
            ]
        )
    lines = []
    for other in (DIRECT, PLAIN, CONVERTED, CONVERTED_RAW, CONVERTED_LONG, TEACHER):
        better = gains(
            [networks[STEPWISE].accuracy for networks in found],
            [networks[other].accuracy for networks in found],
        )
        lines.append(
            f"*{STEPWISE}* is more accurate than *{other}*: {spread(better)} points; {verdict(better)}."
        )
    ratio = [networks[TEACHER].result.energy / networks[STEPWISE].result.energy for networks in found]
    differing = sum(one.exact_differences for networks in found for one in networks.values())
    lines += [
        f"*{STEPWISE}* needs less energy than *{TEACHER}* expanded to spikes: {spread(ratio, 1)} times; "
        f"{verdict([r - 1 for r in ratio])}; {T2} timesteps against {T1} frames of {LEVELS} ticks.",
        f"{differing} numbers differ in the exact stages and on the simulator, {scale.samples} images for "
        "each network (`verify`).",
    ]
    return [markdown(head, rows), bullets(lines)]


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(__doc__, arguments)
    scale = size(options, epochs=40)
    digits = scale.digits()
    frames = Frames.of(digits)
    found = [one_seed(digits, frames, scale, seed) for seed in range(options.seeds)]
    tuning = max(1, scale.epochs // 2)
    setting = (
        f"The same residual network ({scale.width} to {2 * scale.width} channels, six layers of neurons). "
        f"Each digit is {T1} frames of independent spikes (rate coding); T = {T2} sees the first {T2}. QCFS "
        f"with {LEVELS} levels trains for {scale.epochs} epochs, fine-tuning takes {tuning} (tau = {TAU:g}), "
        f"direct training {scale.epochs + tuning}. The QCFS network runs expanded to spikes, in phases, "
        "exactly; the converted ones are integrate-and-fire neurons, timestep by timestep, inexactly."
    )
    title = f"HSD: {T1} frames in training, {T2} timesteps at inference"
    publish("hsd", title, [setting, *page(found, scale)], options, tested=scale.test)


if __name__ == "__main__":
    main()
