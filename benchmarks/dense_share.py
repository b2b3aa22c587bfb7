"""From which share of nonzero numbers on a dense way is faster than adding number by number.

``python -m benchmarks.dense_share`` writes ``benchmarks/DENSE_SHARE.md``, off which
`snncc.simulator.dense_synapse.BREAK_EVEN` and `snncc.simulator.layer_lookup.BREAK_EVEN` are read.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.measure import in_turns, machine
from benchmarks.tables import table
from benchmarks.workloads import Chain
from snncc import simulator
from snncc.ir import Array, Conv, Dense, wires
from snncc.simulator import dense_synapse, layer_lookup
from snncc.simulator.dense_synapse import BREAK_EVEN, ONE_THREAD
from snncc.simulator.layer_lookup import MOST_BYTES
from snncc.simulator.layer_run import Job
from snncc.simulator.plan import plan_of
from snncc.simulator.sheet import Sheet
from snncc.simulator.synapse_table import SynapseTable, synapse_tables

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
SPIKE_SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
SAMPLES = 8
RESULTS = Path(__file__).with_name("DENSE_SHARE.md")


def conv(channels: int, outs: int, size: int) -> SynapseTable:
    weight = np.random.default_rng(1).integers(-127, 128, (outs, channels, 3, 3))
    node = Conv(name="c", inputs=wires("x"), weight=weight, padding=(1, 1, 1, 1))
    return synapse_tables(node, (channels, size, size), (outs, size, size))[0]


def dense(ins: int, outs: int) -> SynapseTable:
    weight = np.random.default_rng(1).integers(-127, 128, (outs, ins))
    return synapse_tables(Dense(name="d", inputs=wires("x"), weight=weight), (ins,), (outs,))[0]


LAYERS = {
    "convolution 3 to 64, 32 x 32": conv(3, 64, 32),
    "convolution 64 to 64, 32 x 32": conv(64, 64, 32),
    "convolution 128 to 256, 8 x 8": conv(128, 256, 8),
    "dense 2048 to 1024": dense(2048, 1024),
}
SPIKING = {
    "convolution 1 to 16, 28 x 28": Chain((1, 28, 28), seed=1).conv(16, 80),
    "convolution 3 to 64, 32 x 32": Chain((3, 32, 32), seed=1).conv(64, 80),
    "convolution 2 to 16, stride 2, 128 x 128": Chain((2, 128, 128), seed=1).conv(16, 12, stride=2),
    "convolution 16 to 32, 64 x 64": Chain((16, 64, 64), seed=1).conv(32, 800),
    "convolution 64 to 64, 32 x 32": Chain((64, 32, 32), seed=1).conv(64, 2000),
    "convolution 128 to 256, 8 x 8": Chain((128, 8, 8), seed=1).conv(256, 2000),
    "convolution 256 to 256, 8 x 8": Chain((256, 8, 8), seed=1).conv(256, 2000),
    "dense 2048 to 1024": Chain((2048,), seed=1).dense(1024, 2000),
}
TIMESTEPS = 32


def ratio(synapses: SynapseTable, share: float, top: int) -> float:
    """How many times faster the product is."""
    rng = np.random.default_rng(0)
    shape = SAMPLES, *synapses.shape
    x = rng.integers(1, top + 1, shape) * (rng.random(shape) < share)
    assert synapses.matrix is not None
    product = synapses.matrix.product(x)
    assert product is not None
    assert np.array_equal(product, synapses.scattered(x))
    matrix = synapses.matrix
    times = in_turns({"one by one": lambda: synapses.scattered(x), "product": lambda: matrix.product(x)}, 7)
    return times["one by one"] / times["product"]


def spikes(layer: Chain, share: float) -> Array:
    """Data of a layer, [T, 1, *shape]."""
    shape = layer.graph("layer").edges["x"].shape
    return (np.random.default_rng(0).random((TIMESTEPS, 1, *shape)) < share).astype(np.uint8)


def job_of(layer: Chain, share: float, break_even: float) -> Job:
    """A layer as the event kernel runs it, by lookup from the share *break_even* on."""
    layer_lookup.BREAK_EVEN, before = break_even, layer_lookup.BREAK_EVEN
    graph, x = layer.graph("layer"), spikes(layer, share)
    for _ in range(2):  # the first run makes room
        simulator.run(graph, x, timesteps=TIMESTEPS, threads=1)
    layer_lookup.BREAK_EVEN = before
    ((_, job),) = plan_of(graph).spaces[0].replays[1, TIMESTEPS].jobs
    return job


def by_lookup(layer: Chain, share: float) -> float:
    """How many times faster a whole layer is by lookup than event by event, neurons included."""
    events, lookup = job_of(layer, share, 2.0), job_of(layer, share, 0.0)
    assert lookup.turned
    assert not events.turned
    times = in_turns({"events": events.run, "lookup": lookup.run}, 7)
    return times["events"] / times["lookup"]


def by_numbers(layer: Chain, share: float) -> float:
    """How many times longer the general executor takes for a layer than the event kernel by events."""
    graph, x, events = layer.graph("layer"), spikes(layer, share), job_of(layer, share, 2.0)
    plan = plan_of(graph, by_events=False)

    def numbers() -> None:
        sheet = Sheet(plan, TIMESTEPS, 1, {"x": x})
        for part in plan.parts:
            sheet.run_part(part)

    times = in_turns({"events": events.run, "numbers": numbers}, 3)
    return times["numbers"] / times["events"]


def by_product(layer: Chain, share: float) -> float:
    """How many times longer PyTorch takes for the sums alone than the event kernel for a layer by events."""
    synapses, x, job = layer.nodes[1], spikes(layer, share), job_of(layer, share, 2.0)
    assert isinstance(synapses, Conv | Dense)
    weight = torch.tensor(synapses.weight, dtype=torch.float32)

    def sums() -> torch.Tensor:
        given = torch.from_numpy(x).to(torch.float32).flatten(0, 1)
        if isinstance(synapses, Dense):
            return F.linear(given, weight)
        return F.conv2d(given, weight, None, synapses.stride, synapses.padding[0])

    with torch.inference_mode():
        times = in_turns({"events": job.run, "sums": sums}, 7)
    return times["sums"] / times["events"]


def ratios(
    measure: Callable[[Chain, float], float], shares: Sequence[float], *, convolutions: bool
) -> list[str]:
    """A table of what *measure* says of the layers of spikes."""
    rows = [
        [name, *(f"{measure(layer, share):.2f}" for share in shares)]
        for name, layer in SPIKING.items()
        if isinstance(layer.nodes[1], Conv) or not convolutions
    ]
    return table(["", *(f"{share:.0%}" for share in shares)], rows)


def page() -> str:
    """All tables."""
    lines = [
        "# A matrix product, or number by number",
        "",
        f"{machine()}; {datetime.date.today().isoformat()}.",
        "",
        "`python -m benchmarks.dense_share`. How many times faster the sums of a synapse layer are as one",
        "matrix product than number by number, by the share of numbers that are not zero (random); the",
        f"results are equal. {SAMPLES} samples at once, one thread, jobs in turns, medians. The float is the",
        "narrowest that holds every sum: of 32 bits for numbers up to 255, of 64 for numbers up to 2^30. The",
        "simulator takes the product from these shares on: "
        + ", ".join(f"{share:.0%} ({kind.__name__})" for kind, share in BREAK_EVEN.items())
        + ".",
        "",
    ]
    with ONE_THREAD:
        for top, name in ((255, "32 bits"), (2**30, "64 bits")):
            head = [name, *(f"{share:.0%}" for share in SHARES)]
            rows = [
                [layer, *(f"{ratio(synapses, share, top):.2f}" for share in SHARES)]
                for layer, synapses in LAYERS.items()
            ]
            lines += table(head, rows)
    torch.set_num_threads(1)
    lines += [
        "## Layers of spikes",
        "",
        "That is the executor of numbers (analog inputs, counts, products). Convolutions and dense layers",
        "between spikes are run by events, all timesteps of a layer in one call. Rows of a convolution's",
        "source of which many neurons fire are run by lookup: the spikes of four neurons side by side are",
        "one of 16 patterns, whose sums of weights lie in a table, so that four synapses cost one addition,",
        "silent or not. How many times faster the event kernel is for a whole layer, neurons included, if",
        f"every row is run by lookup ({TIMESTEPS} timesteps, one thread; the results are equal):",
        "",
        *ratios(by_lookup, SPIKE_SHARES, convolutions=True),
        f"The simulator makes the tables (up to {MOST_BYTES >> 20} MB) when a chunk of samples has",
        f"{layer_lookup.BREAK_EVEN:.0%} of all spikes that there might be; from then on, each row that has",
        "as large a share is run by lookup. (A share of the numbers that events may have: channels of a",
        "layer are rounded up to 16.) A layer's own spikes, neurons that fire several times a timestep, sums",
        "of 16 bits that are emptied within a timestep, and dense layers stay with events.",
        "",
        "Other dense ways would not pay. How many times longer the executor of numbers takes, neurons",
        "included, than the event kernel by events:",
        "",
        *ratios(by_numbers, (0.3, 1.0), convolutions=False),
        "And how many times longer PyTorch takes for the sums alone, as a matrix product (float32, one",
        "thread), without any neuron; below 1 is what such a way could gain at most:",
        "",
        *ratios(by_product, SHARES, convolutions=False),
    ]
    return "\n".join(lines)


def main() -> None:
    dense_synapse.BREAK_EVEN = dict.fromkeys(BREAK_EVEN, 0.0)
    RESULTS.write_text(page(), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
