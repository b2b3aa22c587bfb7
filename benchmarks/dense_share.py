"""From which share of nonzero numbers on a matrix product is faster than adding number by number.

``python -m benchmarks.dense_share`` prints ratios (time one by one / time of the product): one thread, jobs
in turns, medians. `snncc.simulator.dense_synapse.BREAK_EVEN` is read off here.
"""

from __future__ import annotations

import numpy as np

from benchmarks.measure import in_turns, machine
from snncc.ir import Conv, Dense, wires
from snncc.simulator import dense_synapse
from snncc.simulator.dense_synapse import one_thread
from snncc.simulator.synapse_table import SynapseTable, synapse_tables

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
SAMPLES = 8


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


def ratio(table: SynapseTable, share: float, top: int) -> float:
    """How many times faster the product is."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, top + 1, (SAMPLES, *table.shape)) * (rng.random((SAMPLES, *table.shape)) < share)
    assert table.matrix is not None
    product = table.matrix.product(x)
    assert product is not None
    assert np.array_equal(product, table.scattered(x))
    matrix = table.matrix
    times = in_turns({"one by one": lambda: table.scattered(x), "product": lambda: matrix.product(x)}, 7)
    return times["one by one"] / times["product"]


def main() -> None:
    print(machine())
    dense_synapse.BREAK_EVEN = {np.float32: 0.0, np.float64: 0.0}
    with one_thread():
        for top, name in ((255, "32 bits"), (2**30, "64 bits")):
            print(f"\n| {name} | {' | '.join(f'{share:.0%}' for share in SHARES)} |")
            print(f"|{'-|' * (len(SHARES) + 1)}")
            for layer, table in LAYERS.items():
                row = [f"{ratio(table, share, top):.2f}" for share in SHARES]
                print(f"| {layer} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
