"""The main job, end to end: trained networks compiled, simulated on real digits, and proved unchanged.

Run it with ``make demo``. It writes the programs for each chip, and reports, to ``out/digits``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import snncc
from examples.digits.chips import accuracy, before, on_loihi, on_speck, proof_lines
from examples.digits.data import load
from examples.digits.networks import Network, event_stream, lif, sfa, spiking
from snncc.api.report import write_report
from snncc.api.tables import chip_table, cost_table, usage_table
from snncc.ir import Array, SpikeGraph

CHIP, CORES = "mesh", 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/digits"), help="folder of the results")
    parser.add_argument("--samples", type=int, default=32, help="samples that verify compares (default: 32)")
    options = parser.parse_args()
    start, digits = time.perf_counter(), load()
    print(
        f"scikit-learn's digits: {len(digits.test_y)} held-out images of 8x8, none of them seen in training"
    )
    holds = [show(one, options.samples, options.output, simulated=True) for one in (sfa(digits), lif(digits))]
    holds += [show(one, options.samples, options.output) for one in (spiking(digits), event_stream())]
    print(f"\nfour networks in {time.perf_counter() - start:.0f} s")
    if not all(holds):
        sys.exit("something differs that must not")


def show(network: Network, samples: int, out: Path, *, simulated: bool = False) -> bool:
    """Compile one network for each chip, first for the simulator where *simulated*; whether all agree."""
    print(f"\n=== {network.name} network: {network.what} ===")
    out = out / network.name.lower()
    graph = snncc.trace(network.model, network.first(samples), layout=network.layout, input_kind=network.kind)
    scores = before(network)
    holds = [on_simulator(network, graph, scores, samples, out)] if simulated else []
    holds.append(on_loihi(network, graph, scores, samples, out / "for-loihi"))
    holds.append(on_speck(network, graph, scores, samples, out / "for-speck"))
    return all(holds)


def on_simulator(network: Network, graph: SpikeGraph, scores: Array, samples: int, out: Path) -> bool:
    """Compile for the simulator and run on a chip, cycle by cycle; whether the proof holds."""
    start, calibration = time.perf_counter(), network.calibration
    expanded = snncc.compile(graph, precision="float")
    program = snncc.compile(graph, calibration=calibration, chip=CHIP, cores=CORES, profile=calibration)
    print(f"compiled for sim in {time.perf_counter() - start:.1f} s: {', '.join(passes(program))}")
    start = time.perf_counter()
    result = program.run(network.x, timing="cycle")
    seconds = time.perf_counter() - start
    print(accuracy("in PyTorch", scores, network.y))
    print(accuracy("spikes, real weights", expanded.run(network.x).output, network.y, scores))
    print(accuracy("spikes, 8 bit weights", result.output, network.y, scores))
    print(f"\nsimulated {len(network.y)} images in {seconds:.2f} s\n{cost_table(result.counts)}")
    if program.placement is not None and result.chip is not None:
        print(f"\n{usage_table(program.placement)}\n\n{chip_table(result.chip)}")
    proof = snncc.verify(program, network.model, network.x, samples=samples)
    print(f"\n{proof_lines(proof)}")
    program.save(out / "for-sim")
    write_report(out / "report.html", program, result, f"{network.name} network on handwritten digits")
    print(f"program: {out / 'for-sim'}   report: {out / 'report.html'}")
    return proof.holds


def passes(program: snncc.Program) -> list[str]:
    """The passes with what they preserve."""
    return [
        f"{stage.name} ({stage.made_by.preserves})" for stage in program.stages if stage.made_by is not None
    ]


if __name__ == "__main__":
    main()
