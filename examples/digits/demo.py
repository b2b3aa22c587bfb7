"""The main job, end to end: two trained networks compiled, simulated on real digits, and proved unchanged.

Run it with ``make demo``. It writes the programs and a report for each network to ``out/digits``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import snncc
from examples.digits.data import Digits, load
from examples.digits.model import TIMESTEPS, lif_net, sfa_net
from snncc.api.report import write_report
from snncc.api.tables import chip_table, cost_table, proof_table, usage_table

HERE = Path(__file__).resolve().parent
CALIBRATION = 256  # training images from which ranges and spikes are measured
CHIP, CORES = "mesh", 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/digits"), help="folder of the results")
    parser.add_argument("--samples", type=int, default=128, help="images that verify compares (default: 128)")
    options = parser.parse_args()
    out, samples = options.output, options.samples
    digits = load()
    print(
        f"scikit-learn's digits: {len(digits.test_y)} held-out images of 8x8, none of them seen in training"
    )
    holds = [
        show(
            "SFA",
            "integer activations 0..4, expanded to 4 ticks",
            sfa_net,
            "sfa.pt",
            digits,
            None,
            out,
            samples,
        ),
        show(
            "LIF", f"leaky neurons, {TIMESTEPS} timesteps", lif_net, "lif.pt", digits, TIMESTEPS, out, samples
        ),
    ]
    if not all(holds):
        sys.exit("verify found a difference")


def show(
    name: str,
    what: str,
    build: Callable[[], torch.nn.Module],
    checkpoint: str,
    digits: Digits,
    timesteps: int | None,
    out: Path,
    samples: int,
) -> bool:
    """Compile, simulate and verify one network; whether the proof holds."""
    print(f"\n=== {name} network: {what} ===")
    model = build()
    model.load_state_dict(torch.load(HERE / checkpoint, weights_only=True))
    model.eval()
    test, calibration = (repeated(x, timesteps) for x in (digits.test_x, digits.train_x[:CALIBRATION]))
    layout = "B" if timesteps is None else "TB"

    start = time.perf_counter()
    graph = snncc.trace(model, calibration, timesteps=timesteps, layout=layout)
    expanded = snncc.compile(graph, target="sim", precision="float")
    program = snncc.compile(
        graph, target="sim", calibration=calibration, chip=CHIP, cores=CORES, profile=calibration
    )
    print(f"traced and compiled for sim in {time.perf_counter() - start:.1f} s: {', '.join(passes(program))}")

    with torch.no_grad():
        scores = model(torch.from_numpy(test)).numpy()
    start = time.perf_counter()
    result = program.run(test, timing="cycle")
    seconds = time.perf_counter() - start
    rows = [
        ("in PyTorch", scores),
        ("spikes, real weights", expanded.run(test).output),
        ("spikes, 8 bit weights", result.output),
    ]
    total = len(digits.test_y)
    for text, output in rows:
        correct = int((output.argmax(1) == digits.test_y).sum())
        print(f"accuracy {text:22} {100 * correct / total:6.2f} %  ({correct}/{total})")
    print(f"\nsimulated {len(digits.test_y)} images in {seconds:.2f} s\n{cost_table(result.counts)}")
    if program.placement is not None and result.chip is not None:
        print(f"\n{usage_table(program.placement)}\n\n{chip_table(result.chip)}")

    proof = snncc.verify(program, model, test, samples=samples)
    print(f"\n{proof_table(proof)}")
    program.save(out / name.lower())
    report = out / f"{name.lower()}.html"
    write_report(report, program, result, f"{name} network on handwritten digits")
    print(f"program: {out / name.lower()}   report: {report}")
    return proof.holds


def passes(program: snncc.Program) -> list[str]:
    """The passes with what they preserve."""
    return [
        f"{stage.name} ({stage.made_by.preserves})" for stage in program.stages if stage.made_by is not None
    ]


def repeated(x: NDArray[np.float32], timesteps: int | None) -> NDArray[np.float32]:
    """Images [B, ...] repeated to [T, B, ...]: direct coding."""
    return x if timesteps is None else np.repeat(x[None], timesteps, axis=0)


if __name__ == "__main__":
    main()
