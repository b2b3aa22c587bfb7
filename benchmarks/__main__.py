"""Run the benchmarks and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.climit import c_scatter, compiled, kernels, simulated
from benchmarks.dense import DenseNetwork, differing
from benchmarks.measure import first_call, help_seconds, in_turns, machine
from benchmarks.tables import table
from benchmarks.workloads import WORKLOADS, Workload
from snncc import simulator

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True, slots=True)
class Result:
    load: Workload
    synops: int
    batch_synops: int
    neuron_timesteps: int
    differing: int
    times: dict[str, float]
    cold: float
    warm: float


def measured(load: Workload, rounds: int) -> Result:
    """All figures of one workload, after the proof that it computes what dense PyTorch computes."""
    one, many, steps = load.data(1), load.data(load.batch), load.timesteps
    sheet = simulated(load, one)
    trains = {node.name: sheet.dense(node.name)[:, :, 0] for node in load.graph.neurons}
    wrong = differing(load, one, trains)
    dense, library = DenseNetwork(load), compiled()
    limit, batch_limit = c_scatter(sheet, library), c_scatter(simulated(load, many), library)
    other_limit = c_scatter(simulated(load, many), library)
    pool = ThreadPoolExecutor(2)

    def with_threads(threads: int, x: object) -> object:
        torch.set_num_threads(threads)
        return dense(x)

    # Threads of PyTorch spin on after their work and would disturb what runs next: one thread first.
    times = in_turns(
        {
            "C": limit,
            "kernels": kernels(load, one),
            "kernels batch": kernels(load, many),
            "one": lambda: simulator.run(load.graph, one, timesteps=steps, threads=1),
            "C batch": batch_limit,
            "C batch twice": lambda: list(pool.map(lambda job: job(), (batch_limit, other_limit))),
            "batch, 1 thread": lambda: simulator.run(load.graph, many, timesteps=steps, threads=1),
            "batch, 2 threads": lambda: simulator.run(load.graph, many, timesteps=steps, threads=2),
        },
        rounds,
    )
    pool.shutdown()
    times |= in_turns(
        {
            "one again": lambda: simulator.run(load.graph, one, timesteps=steps, threads=1),
            "dense one": lambda: with_threads(1, one),
        },
        rounds,
    )
    times |= in_turns(
        {
            "batch again": lambda: simulator.run(load.graph, many, timesteps=steps, threads=2),
            "dense batch": lambda: with_threads(2, many),
        },
        max(5, rounds // 2),
    )
    cold, warm = first_call(load.name)
    counts = [synops(load, x) for x in (one, many)]
    return Result(load, *counts, load.neurons * steps, wrong, times, cold, warm)


def synops(load: Workload, x: object) -> int:
    """Accumulations of all synapse layers (pooling moves events, it adds nothing)."""
    run = simulator.run(load.graph, x, timesteps=load.timesteps)  # type: ignore[arg-type]
    return sum(int(o.ac.sum()) for name, o in run.operations.items() if not name.startswith("pool"))


def report(results: list[Result], help_time: float, about: str) -> str:
    """The tables, in Markdown."""
    rows = []
    for r in results:
        t = r.times
        batch = r.load.batch
        rows.append(
            [
                r.load.name,
                f"{r.load.neurons:,}",
                f"{r.synops / 1e6:.1f} M",
                "none" if r.differing == 0 else f"{r.differing} of {r.neuron_timesteps}",
                f"{t['one'] * 1e3:.2f}",
                f"{r.synops / t['one'] / 1e9:.1f}",
                f"{t['C'] / t['one']:.2f}",
                f"{t['C'] / t['kernels']:.2f} / {t['C batch'] / t['kernels batch']:.2f}",
                f"{t['dense one'] / t['one again']:.1f}x",
                f"{batch}: {t['batch, 2 threads'] * 1e3:.1f}",
                f"{t['C batch'] / t['batch, 1 thread']:.2f}",
                f"{t['dense batch'] / t['batch again']:.1f}x",
                f"{t['batch, 1 thread'] / t['batch, 2 threads']:.2f}x "
                f"({2 * t['C batch'] / t['C batch twice']:.2f}x)",
                f"{r.warm:.2f} / {r.cold:.1f}",
            ]
        )
    head = [
        *("", "neurons", "SynOps a sample", "differing spikes", "1 sample, 1 thread, ms", "GSynOps/s"),
        *(
            "of the C limit",
            "kernels alone, of the C limit (1 sample / batch)",
            "against dense PyTorch",
            "batch, 2 threads, ms",
            "of the C limit (batch, 1 thread)",
        ),
        *(
            "against dense PyTorch (2 threads)",
            "2 threads against 1 (C loop)",
            "first call, s (warm / cold cache)",
        ),
    ]
    lines = [
        "# Results of `make bench`",
        "",
        f"{about}.",
        "",
        "One run, jobs in turns, medians. Times on a shared machine vary; only ratios of one run mean",
        "anything. *Differing spikes*: neurons and timesteps in which the simulator's train differs from",
        "dense execution by PyTorch (exact: every sum is an integer below 2^24). *C limit*:",
        "`benchmarks/scatter.c`, compiled with `gcc -O3 -march=native` in this run: the same events added to",
        "16-bit sums through the same tables, nothing else; the simulator also lists the input's events,",
        "fires, writes events, counts operations, and starts from Python (0.02 ms). *Kernels alone*: without",
        "Python and without listing the input's events. *2 threads, C loop*: how much more two of these",
        "loops do at once than one alone: what the machine had to give. *First call*: one sample in a new",
        "process, after the imports.",
        "",
        *table(head, rows),
        f"`snncc --help`: {help_time:.2f} s of processor time.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="W", help=f"workloads ({', '.join(WORKLOADS)}); default all"
    )
    parser.add_argument("--rounds", type=int, default=11, help="times that each job is run (at least 5)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    about = machine()
    results = []
    for name in options.names or WORKLOADS:
        print(f"{name} ...", file=sys.stderr)
        results.append(measured(WORKLOADS[name](), max(5, options.rounds)))
    text = report(results, help_seconds(), about)
    if not options.names:
        RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 1 if any(r.differing for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
