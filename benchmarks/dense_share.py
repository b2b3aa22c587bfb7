"""From which share of nonzero numbers on a matrix product is faster than adding number by number.

``python -m benchmarks.dense_share`` writes ``benchmarks/DENSE_SHARE.md``, off which
`snncc.simulator.dense_synapse.BREAK_EVEN` is read.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from benchmarks.measure import in_turns, machine
from benchmarks.tables import table
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


def page() -> str:
    """Both tables."""
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
    return "\n".join(lines)


def main() -> None:
    dense_synapse.BREAK_EVEN = dict.fromkeys(BREAK_EVEN, 0.0)
    RESULTS.write_text(page(), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
