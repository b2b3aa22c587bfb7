"""E-SpikeFormer at full size: t compared in every layer, s compiled to integers and simulated at 224 x 224.

``python -m benchmarks.espikeformer`` writes ``benchmarks/ESPIKEFORMER.md``. Weights are random, batch
normalization calibrated so that every layer spikes: what is measured is exactness, cost and time, not
accuracy. Each part runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import snncc
from benchmarks.measure import machine
from benchmarks.tables import table
from snncc import measure
from snncc.api.program import Program
from snncc.ir import DynamicSynapse
from snncc.nn.models import espikeformer_s, espikeformer_t

RESULTS = Path(__file__).with_name("ESPIKEFORMER.md")
SIZE = 224


def calibrated(model: nn.Module, samples: int = 4) -> nn.Module:
    """Random but sane statistics: every layer spikes, none all the time."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.8)
            module.momentum = None
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(samples, 3, SIZE, SIZE))
    return model.eval()


def images(samples: int) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(samples, 3, SIZE, SIZE)


def exactness(rounding: str) -> dict[str, Any]:
    """The spike-level graph of t against PyTorch, layer by layer."""
    torch.manual_seed(0)
    model, x = calibrated(espikeformer_t(rounding=rounding)), images(1)
    program = snncc.compile(snncc.trace(model, x, timesteps=1, layout="B"), precision="float")
    proof = snncc.verify(program, model, x)
    proof.check()
    rates = [layer.rate for layer in program.run(x).counts.layers if layer.neurons]
    last = proof.stages[-1]
    return {
        "rounding": rounding,
        "layers": len(rates),
        "lowest rate": min(rates),
        "compared": sum(layer.compared for layer in proof.stages[0].layers),
        "differing": [stage.differing for stage in proof.stages],
        "largest output error": max(stage.output_error for stage in proof.stages),
        "ties": sum(layer.ties for layer in last.layers),
    }


def integers() -> dict[str, Any]:
    """One image through s in integers: cost, time, memory."""
    torch.manual_seed(0)
    model, x = calibrated(espikeformer_s(), samples=2), images(1)
    start = time.perf_counter()
    graph = snncc.trace(model, x, timesteps=1, layout="B")
    traced = time.perf_counter()
    program = snncc.compile(graph, calibration=x)
    compiled = time.perf_counter()
    result = program.run(x)
    first = time.perf_counter()
    result = program.run(x)
    second = time.perf_counter()
    counts = result.counts
    attention = {n.name for n in program.graph.nodes if isinstance(n, DynamicSynapse)}
    rows = [layer for layer in counts.layers if layer.ac or layer.mac]
    return {
        "seconds": [traced - start, compiled - traced, first - compiled, second - first],
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "spikes": counts.total("spikes"),
        "ac": counts.total("ac"),
        "mac": counts.total("mac"),
        "attention ac": sum(layer.ac for layer in counts.layers if layer.name in attention),
        "energy": counts.energy,
        "formula energy": counts.formula_energy,
        "ticks": counts.latency.ticks,
        "nsfr": tick_rates(program, result),
        "layers": [[layer.name, layer.ac, layer.mac, layer.energy] for layer in rows],
    }


def tick_rates(program: Program, result: Any) -> list[float]:
    """Spikes over neurons in each tick, over all layers: non-increasing."""
    rates: list[float] = np.asarray(measure.tick_rates(program.graph, result))[0].tolist()
    return rates


PARTS = {"floor": lambda: exactness("floor"), "even": lambda: exactness("even"), "integers": integers}


def run_apart(part: str) -> dict[str, Any]:
    """The result of *part*, run in a new process."""
    print(f"{part} ...", file=sys.stderr)
    command = [sys.executable, "-m", "benchmarks.espikeformer", part]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


HEAD = (
    *("rounding", "spiking layers", "lowest rate", "numbers compared", "differing, stage by stage"),
    *("largest error of a logit", "exact ties"),
)


def exact_row(one: dict[str, Any]) -> list[object]:
    """One rounding, for the table with `HEAD`."""
    return [
        *(one["rounding"], one["layers"], f"{one['lowest rate']:.2f}", f"{one['compared']:,}"),
        *(", ".join(map(str, one["differing"])), f"{one['largest output error']:.3g}", one["ties"]),
    ]


def report(about: str, exact: list[dict[str, Any]], cost: dict[str, Any]) -> str:
    """Everything, in Markdown."""
    trace, compile_time, first, second = cost["seconds"]
    lines = [
        "# Results of `python -m benchmarks.espikeformer`",
        "",
        f"{about}. Random weights, calibrated statistics, one image of {SIZE} x {SIZE}.",
        "",
        "## E-SpikeFormer t: PyTorch (float64) against the compiled graph of spikes",
        "",
        *table(HEAD, map(exact_row, exact)),
        "## E-SpikeFormer s: 8-bit weights, on the simulator",
        "",
        f"- trace {trace:.1f} s, compile {compile_time:.1f} s, first run {first:.1f} s, second "
        f"{second:.1f} s; peak memory of all of it, with PyTorch, {cost['gigabytes']:.1f} GB",
        f"- {cost['spikes']:,.0f} spikes, {cost['ac'] / 1e6:,.1f} M AC (of them "
        f"{cost['attention ac'] / 1e6:,.1f} M in products of counts), {cost['mac'] / 1e6:,.1f} M MAC",
        f"- {cost['energy'] * 1e3:.2f} mJ by counted operations, {cost['formula energy'] * 1e3:.2f} mJ by "
        "the formula of the literature (which leaves out the attention's products and ignores borders); "
        f"{cost['ticks']} ticks",
        "- spikes per neuron, tick by tick: " + ", ".join(f"{rate:.3f}" for rate in cost["nsfr"]),
        "",
        "Layer by layer (a `skip` is a synapse of weight one, which brings a signal onto a grid):",
        "",
        *table(
            ["layer", "M AC", "M MAC", "uJ"],
            [
                [name, *(f"{number / 1e6:,.2f}" for number in (ac, mac)), f"{joules * 1e6:,.2f}"]
                for name, ac, mac, joules in cost["layers"]
            ],
        ),
    ]
    return "\n".join(lines)


def main() -> int:
    if len(sys.argv) > 1:
        print(json.dumps(PARTS[sys.argv[1]]()))
        return 0
    about = machine()
    exact, cost = [run_apart("floor"), run_apart("even")], run_apart("integers")
    RESULTS.write_text(report(about, exact, cost), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
