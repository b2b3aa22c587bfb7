"""From which share of nonzero numbers on a matrix product is faster than adding number by number.

``python -m benchmarks.dense_share`` writes ``benchmarks/DENSE_SHARE.md``, off which
`snncc.simulator.dense_synapse.BREAK_EVEN` is read.
"""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.measure import in_turns, machine
from benchmarks.tables import table
from benchmarks.workloads import Chain
from snncc import simulator
from snncc.ir import Conv, Dense, wires
from snncc.simulator import dense_synapse
from snncc.simulator.dense_synapse import BREAK_EVEN, ONE_THREAD
from snncc.simulator.synapse_table import SynapseTable, synapse_tables

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
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
    "convolution 2 to 16, stride 2, 128 x 128": Chain((2, 128, 128), seed=1).conv(16, 12, stride=2),
    "convolution 16 to 32, 64 x 64": Chain((16, 64, 64), seed=1).conv(32, 800),
    "convolution 64 to 64, 32 x 32": Chain((64, 32, 32), seed=1).conv(64, 2000),
    "convolution 128 to 256, 8 x 8": Chain((128, 8, 8), seed=1).conv(256, 2000),
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


def by_events(layer: Chain, share: float) -> float:
    """How many times longer the sums alone take densely than the whole layer by events, neurons included."""
    graph, synapses = layer.graph("layer"), layer.nodes[1]
    shape = graph.edges["x"].shape
    rng = np.random.default_rng(0)
    x = (rng.random((TIMESTEPS, 1, *shape)) < share).astype(np.uint8)
    assert isinstance(synapses, Conv | Dense)
    weight = torch.tensor(synapses.weight, dtype=torch.float32)

    def sums() -> torch.Tensor:
        given = torch.from_numpy(x).to(torch.float32).flatten(0, 1)
        if isinstance(synapses, Dense):
            return F.linear(given, weight)
        return F.conv2d(given, weight, None, synapses.stride, synapses.padding[0])

    with torch.inference_mode():
        events = partial(simulator.run, graph, x, timesteps=TIMESTEPS, threads=1)
        times = in_turns({"events": events, "sums": sums}, 7)
    return times["sums"] / times["events"]


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
    lines += [
        "## Layers of spikes",
        "",
        "That is the executor of numbers (analog inputs, counts, products). Convolutions and dense layers",
        "between spikes are run by events, all timesteps of a layer in one call, by scatter or, where a",
        "window holds many of them, by gather: chosen by the measured number of events. There is no third,",
        "dense way. How many times longer PyTorch takes for the sums alone (float32, one thread,",
        f"{TIMESTEPS} timesteps at once), without any neuron, than the simulator for the whole layer,",
        "neurons and the search of the input included; below 1 is what a dense way could gain at most.",
        "Layers of spiking networks fire at 3 to 12 % (`workloads.py`).",
        "",
    ]
    torch.set_num_threads(1)
    rows = [
        [name, *(f"{by_events(layer, share):.2f}" for share in SHARES)] for name, layer in SPIKING.items()
    ]
    lines += table(["", *(f"{share:.0%}" for share in SHARES)], rows)
    return "\n".join(lines)


def main() -> None:
    dense_synapse.BREAK_EVEN = dict.fromkeys(BREAK_EVEN, 0.0)
    RESULTS.write_text(page(), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
