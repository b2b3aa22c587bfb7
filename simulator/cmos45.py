"""The accounting ``cmos45``: arithmetic, memory and addresses in 45 nm, for a network without a chip.

The energies are those of M. Horowitz, "Computing's energy problem", ISSCC 2014; what is counted follows
E. Lemaire et al., "An analytical estimation of spiking neural networks energy efficiency" (ICONIP 2022,
arXiv:2210.13107), with the operations that a run really made in place of mean rates, so borders, strides
and zeros are exact. The machine behind it is event-driven. In each layer

- an *event* (a spike, or a number that is not zero) is read from a queue once: its address, and its number;
- each of its synapses (each AC or MAC) reads a weight, adds to a potential that is read and written back, and
  advances an address by one addition; a MAC multiplies first. The place of a window (convolution, pooling)
  takes two MACs an event (equations 16.2, 16.3, 17.2; the code of the authors leaves the output channels
  out of 16.3). A sparse table is read for its targets instead;
- a *neuron update* (each neuron, each timestep; each tick where it streams) reads and writes its state, takes
  one addition to compare, one and the read of a bias for each bias that reaches it, and one MAC for each
  state that leaks but is not dropped. A spike takes one addition (reset) and is written to a queue once.

Not counted: the input's own events until they are read, filling the complete operand of a dynamic synapse,
clocks, control, static power. Side operations are 32 bit floats and read both operands of each MAC.

Widths. In a float graph all is 32 bit floating point. In an integer graph a weight has the bits that its
layer's largest needs (two's complement), a state the graph's (`v_bits`, `i_bits`), a count those of its
bound. An operation takes the next larger width of the table: 8, 16 or 32 bits to add, 8 or 32 to multiply;
beyond 32 bits it is made of 32 bit ones (n to add, n x n to multiply). Addresses have 32 bits, as Lemaire's.

Memories. Each layer has memories of its own for weights, states and biases, exactly as large as needed, and
an access costs its bits' share of a 64 bit access: neighbours are used together. (Where they are not, an
8 bit weight costs up to 8 times as much.) Energy is linear between the sizes of the table, that of 8 KB
below, and goes on as between 32 KB and 1 MB above.

A conventional network (`Cmos45.conventional`) runs each layer once by Lemaire's counts for formal networks
(equations 1 to 12): inputs of a convolution are read for every MAC, of a dense layer once; sums stay in
registers; in an integer graph activations have 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

from snncc.chips import Number, Status
from snncc.errors import BadInput
from snncc.ir import Conv, Neuron, SpikeGraph, Synapse
from snncc.simulator.energy import Layer, Parts
from snncc.simulator.work import Synapses, Updates, synapses_of, updates_of, weight_bits

HOROWITZ = 'M. Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014, 45 nm 0.9 V'
LEMAIRE = "E. Lemaire et al., ICONIP 2022, arXiv:2210.13107"
CHOICE = "A choice of the authors of snncc"
ROUGH = "a rough figure for the technology, of no measured chip"


def table(pj: float, note: str = ROUGH) -> Number:
    return Number(pj, "pJ", Status.SIMULATED, HOROWITZ, note)


NUMBERS: Mapping[str, Number] = {
    "int8_add": table(0.03),
    "int16_add": Number(0.05, "pJ", Status.ASSUMED, HOROWITZ, "quoted from memory; not seen in a source"),
    "int32_add": table(0.1),
    "int8_mul": table(0.2),
    "int32_mul": table(3.1),
    "fp32_add": table(0.9),
    "fp32_mul": table(3.7),
    "sram_8KB": table(10.0, "64 bit access"),
    "sram_32KB": table(20.0, "64 bit access"),
    "sram_1MB": table(100.0, "64 bit access"),
    "queue_bytes": Number(8192, "bytes", Status.ASSUMED, CHOICE, "queues: the smallest memory of the table"),
    "address_bits": Number(32, "bits", Status.ASSUMED, LEMAIRE, "addresses cost what 32 bit integers cost"),
    "state_bits": Number(32, "bits", Status.ASSUMED, CHOICE, "integer states without a width, and readouts"),
    "activation_bits": Number(8, "bits", Status.ASSUMED, CHOICE, "of a conventional integer network"),
}
"""Every figure, with its source."""

SIZES = {"sram_8KB": 2**13, "sram_32KB": 2**15, "sram_1MB": 2**20}
"""Bytes of the memories of the table."""
WORD = 64
PICO = 1e-12


@dataclass(frozen=True, slots=True)
class Cmos45:
    """The accounting with the figures *numbers* (see above)."""

    name: str = "cmos45"
    source: str = (
        "Horowitz, ISSCC 2014, counts after Lemaire 2022: 45 nm arithmetic at the graph's widths, accesses "
        "to each layer's own memories, addresses, neuron updates; no chip, no static power"
    )
    numbers: Mapping[str, Number] = field(default_factory=lambda: NUMBERS, hash=False)

    @property
    def summary(self) -> str:
        """Its figures, in a few words."""
        return "45 nm, arithmetic by width, memory by size, addresses, neuron updates"

    def joules(self, *, mac: float, ac: float) -> float:
        """Refused: an operation has no price without its layer."""
        raise BadInput(
            f"in the accounting {self.name} an operation has no price of its own: widths and memories "
            "differ by layer",
            hint="subtract the energies of two runs, or count both in accounting='paper'",
        )

    def parts(self, layer: Layer, *, mac: float, ac: float) -> Parts:
        """The energy of one inference in *layer*, if it makes *mac* and *ac*."""
        if isinstance(layer.node, Neuron):
            return self.update_parts(updates_of(layer, self.default_bits))
        if layer.did is None:
            return Parts()
        return self.synapse_parts(synapses_of(layer, self.default_bits), mac=mac, ac=ac)

    def synapse_parts(self, work: Synapses, *, mac: float, ac: float) -> Parts:
        """The energy of *mac* and *ac* of *work*."""
        many, real = mac + ac, work.is_float
        add, address = self.add(work.state_bits, real), self.add(self.address_bits)
        operand = self.mul(max(work.weight_bits, work.value_bits), real)
        windows = 2 * work.events * (self.mul(self.address_bits) + address) if work.has_windows else 0.0
        targets = self.access(work.index_bits * work.weights, work.index_bits) if work.index_bits else address
        return Parts(
            ops=PICO * (mac * (operand + add) + ac * add + work.biased * add),
            memory=PICO
            * (
                work.events * self.queued(work.event_bits)
                + many * self.access(work.weights * work.weight_bits, work.weight_bits)
                + 2 * many * self.access(work.states * work.state_bits, work.state_bits)
                + work.biased * self.access(work.biases * work.state_bits, work.state_bits)
            ),
            addressing=PICO * (windows + many * targets),
        )

    def update_parts(self, work: Updates) -> Parts:
        """The energy of the updates and spikes of a layer."""
        real, widest = work.is_float, max(work.widths)
        bits = sum(work.widths)
        add = self.add(widest, real)
        leaks = sum(self.mul(width, real) + self.add(width, real) for width in work.leaks)
        biases = self.access(work.biases * widest, widest)
        return Parts(
            ops=PICO * (work.updates * (leaks + (1 + work.biased) * add) + work.spikes * add),
            memory=PICO
            * (
                2 * work.updates * self.access(work.states * bits, bits)
                + work.updates * work.biased * biases
                + work.sent * self.queued(work.sent_bits)
            ),
        )

    def conventional(self, graph: SpikeGraph, macs: Mapping[str, int]) -> float:
        """The energy of the layers *macs* (with theirs), run once as a conventional network."""
        return PICO * sum(
            self.formal_layer(graph, node, macs[node.name])
            for node in graph.nodes
            if isinstance(node, Synapse) and macs.get(node.name)
        )

    def formal_layer(self, graph: SpikeGraph, node: Synapse, macs: int) -> float:
        """Picojoules of one layer, run once."""
        real = not graph.is_integer
        bits = 32 if real else self.whole("activation_bits")
        ins, outs = graph.edges[node.inputs[0].source].size, graph.edges[node.name].size
        weight = weight_bits(node.weight, is_float=real)
        sums, address = self.add(self.default_bits, real), self.add(self.address_bits)
        if isinstance(node, Conv):
            reads, addresses = macs, ins + outs + len(node.weight) * prod(node.weight.shape[2:])
        else:
            reads, addresses = ins, macs
        total = macs * (
            self.mul(max(weight, bits), real) + sums + self.access(node.weight.size * weight, weight)
        )
        total += reads * self.access(ins * bits, bits) + outs * self.access(outs * bits, bits)
        if node.bias is not None:
            held = self.default_bits
            total += outs * (sums + self.access(node.bias.size * held, held))
        return total + addresses * address

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        rows = {
            name: {
                "value": n.value,
                "unit": n.unit,
                "status": str(n.status),
                "source": n.source,
                "note": n.note,
            }
            for name, n in self.numbers.items()
        }
        return {"name": self.name, "source": self.source, "numbers": rows}

    def value(self, name: str) -> float:
        """One of the numbers."""
        value = self.numbers[name].value
        assert value is not None
        return value

    def whole(self, name: str) -> int:
        """One of the numbers that are whole."""
        return int(self.value(name))

    @property
    def address_bits(self) -> int:
        """Bits of an address."""
        return self.whole("address_bits")

    @property
    def default_bits(self) -> int:
        """Bits of an integer state that has no width."""
        return self.whole("state_bits")

    def add(self, bits: int, is_float: bool = False) -> float:
        """Picojoules of an addition of numbers of *bits*.

        >>> CMOS45.add(8), CMOS45.add(24), CMOS45.add(64), CMOS45.add(32, is_float=True)
        (0.03, 0.1, 0.2, 0.9)
        """
        if is_float:
            return self.value("fp32_add")
        if bits > 32:
            return ceil(bits / 32) * self.value("int32_add")
        return self.value("int8_add" if bits <= 8 else "int16_add" if bits <= 16 else "int32_add")

    def mul(self, bits: int, is_float: bool = False) -> float:
        """Picojoules of a multiplication of numbers of *bits*.

        >>> CMOS45.mul(4), CMOS45.mul(9), CMOS45.mul(64), CMOS45.mul(32, is_float=True)
        (0.2, 3.1, 12.4, 3.7)
        """
        if is_float:
            return self.value("fp32_mul")
        if bits > 32:
            return ceil(bits / 32) ** 2 * self.value("int32_mul")
        return self.value("int8_mul" if bits <= 8 else "int32_mul")

    def sram(self, size: float) -> float:
        """Picojoules of a 64 bit access, read or write, to a memory of *size* bytes.

        >>> [round(CMOS45.sram(2**k), 2) for k in (10, 13, 14, 15, 20, 21)]
        [10.0, 10.0, 13.33, 20.0, 100.0, 182.58]
        """
        points = [(at, self.value(name)) for name, at in SIZES.items()]
        if size <= points[0][0]:
            return points[0][1]
        (x0, y0), (x1, y1) = points[:2] if size <= points[1][0] else points[1:]
        return y0 + (y1 - y0) * (size - x0) / (x1 - x0)

    def access(self, memory_bits: int, bits: int) -> float:
        """Picojoules of an access of *bits* to a memory of *memory_bits*."""
        return self.sram(memory_bits / 8) * bits / WORD

    def queued(self, bits: int) -> float:
        """Picojoules of an event of *bits* written to, or read from, a queue."""
        return self.sram(self.value("queue_bytes")) * bits / WORD


CMOS45 = Cmos45()
