"""`float_graphs()`: random float networks as trained ones look, with thresholds that make them spike.

Convolutions (dense, depthwise, grouped), batch normalization as affine nodes with negative and with zero
gains, residual streams, pools, and SFA, QCFS, IF and LIF neurons over several timesteps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Input,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pool,
    Presence,
    Reset,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.reference import run

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True, eq=False)
class FloatCase:
    """A verified float graph and data for it."""

    graph: SpikeGraph
    x: Array
    timesteps: int

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(f"{self.graph}\n  timesteps {self.timesteps}, data {self.x.shape}")


@st.composite
def float_graphs(
    draw: st.DrawFn,
    *,
    counts: tuple[int, ...] = (1, 2, 4, 8),
    kinds: tuple[str, ...] = ("sfa", "sfa", "carry", "qcfs", "if", "lif"),
    blocks: int = 3,
    normalized: bool = True,
) -> FloatCase:
    """A network of up to *blocks* blocks whose neurons are of *kinds*, their counts bounded by *counts*."""
    net = Net(draw, counts, kinds, normalized)
    net.enter()
    net.conv("dense")
    for _ in range(draw(st.integers(1, blocks))):
        net.pick((net.plain, net.plain, net.residual, net.prescaled, net.pooled))()
    net.head()
    graph = SpikeGraph(tuple(net.nodes), name="drawn", timesteps=net.timesteps)
    graph.verify()
    return FloatCase(graph, net.x, net.timesteps)


class Net:
    """A network while it is drawn; *last* is the signal that the next block reads."""

    def __init__(
        self, draw: st.DrawFn, counts: tuple[int, ...], kinds: tuple[str, ...], normalized: bool
    ) -> None:
        self.draw, self.counts, self.kinds, self.normalized = draw, counts, kinds, normalized
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.timesteps, self.batch = draw(st.integers(1, 4)), 2
        self.nodes: list[Node] = []
        self.last, self.channels = "", 0

    def pick(self, options: tuple[Choice, ...]) -> Choice:
        return self.draw(st.sampled_from(options))

    def add(self, node: Node) -> str:
        """Append *node* under a name with its number."""
        node = replace(node, name=f"{node.name}{len(self.nodes)}")
        self.nodes.append(node)
        self.last = node.name
        return node.name

    def enter(self) -> None:
        self.channels = self.pick((2, 4))
        presence = self.pick((Presence.SEQUENCE, Presence.CONSTANT))
        shape = (self.channels, 6, 6)
        lead = (self.timesteps,) if presence is Presence.SEQUENCE else ()
        self.x = self.rng.normal(0.3, 1.0, (*lead, self.batch, *shape))
        self.nodes.append(Input(name="x", shape=shape, presence=presence))
        self.last = "x"

    def conv(self, kind: str, channels: int | None = None) -> None:
        """A convolution of the given kind, and perhaps its batch normalization."""
        groups = {"dense": 1, "depthwise": self.channels, "grouped": 2}[kind]
        out = channels or (self.channels if kind != "dense" else self.pick((2, 4)))
        kernel = self.pick((1, 3))
        weight = self.rng.normal(0.2, 1, (out, self.channels // groups, kernel, kernel)) / kernel
        bias = self.pick((None, self.rng.normal(0, 0.3, (out, 1, 1))))
        padding = (kernel // 2,) * 4
        node = Conv(
            name="conv", inputs=wires(self.last), weight=weight, bias=bias, groups=groups, padding=padding
        )
        self.add(node)
        self.channels = out
        if self.normalized and self.pick((True, True, False)):
            self.norm()

    def norm(self) -> None:
        """Batch normalization: gains of both signs, sometimes a dead channel."""
        gain = self.rng.uniform(0.7, 1.3, (self.channels, 1, 1)) * self.rng.choice(
            [1, 1, -1], (self.channels, 1, 1)
        )
        gain[0] *= self.pick((1, 1, 0))
        offset = self.rng.uniform(-0.2, 0.8, gain.shape)
        self.add(Affine(name="norm", inputs=wires(self.last), gain=gain, offset=offset))

    def fire(self, source: str | None = None) -> str:
        """A neuron whose staircase fits what it receives."""
        source = source or self.last
        probe = SpikeGraph((*self.nodes, Output(name="probe", inputs=wires(source))))
        drive = run(probe, self.x, timesteps=self.timesteps, count=False).output
        kind, bound = self.pick(self.kinds), self.pick(self.counts)
        level = float(np.quantile(drive, 0.75))
        level = level if level > 0.05 else float(np.abs(drive).max()) / 2 + 0.05
        level *= self.rng.uniform(0.95, 1.05)  # else thresholds would lie on values, and every one were a tie
        rho = np.array(level if bound == 1 else 2 * level / bound)
        leak = np.array(self.pick((1.0, 0.5, 0.25)))
        scale = np.array(self.pick((1.0, 1 / bound)))
        common: dict[str, Any] = {"theta": rho / 2, "rho": rho, "max_count": bound, "scale": scale}
        p: dict[str, Any] = {
            "sfa": common | {"stateless": True},
            "carry": common | {"leak": leak},
            "qcfs": common | {"theta": rho, "v_init": rho / 2},
            "if": common | {"theta": rho},
            "lif": {
                "theta": rho,
                "rho": rho,
                "leak": leak,
                "reset": self.pick((Reset.VALUE, Reset.SUBTRACT)),
                "v_reset": -rho / 4,
                "v_init": rho / 8,
                "strict": self.pick((True, False)),
                "clamp_low": self.pick((None, -2 * rho)),
            },
        }[kind]
        return self.add(Neuron(name="n", inputs=(Wire(source),), parameters=NeuronParameters(**p)))

    def plain(self) -> None:
        self.fire()
        self.conv(self.pick(("dense", "depthwise", "grouped")))

    def residual(self) -> None:
        stream, width = self.last, self.channels
        self.fire()
        self.conv(self.pick(("dense", "depthwise")), width)
        self.add(Add(name="add", inputs=wires(stream, self.last)))

    def prescaled(self) -> None:
        """A gain (layer scale, or batch normalization first) before a convolution, which may be padded."""
        self.fire()
        if self.normalized:
            self.norm()
        self.conv("dense")

    def pooled(self) -> None:
        """A pool behind a convolution or behind a neuron."""
        size = 2 if min(self.shape()[1:]) >= 2 else 1
        pool = Pool(
            name="pool", kernel=(size, size), stride=(size, size), is_average=self.pick((True, False))
        )
        if self.pick((True, False)):
            self.fire()
        self.add(replace(pool, inputs=wires(self.last)))
        if self.normalized:
            self.norm()
        self.fire()
        self.conv("dense")

    def shape(self) -> tuple[int, ...]:
        return SpikeGraph(tuple(self.nodes)).edges[self.last].shape

    def head(self) -> None:
        """A last neuron, and a linear layer over everything."""
        self.fire()
        size = int(np.prod(self.shape()))
        self.add(Reshape(name="flat", inputs=wires(self.last), shape=(size,)))
        self.add(Dense(name="fc", inputs=wires(self.last), weight=self.rng.normal(size=(3, size))))
        if self.normalized:
            self.add(Affine(name="last", inputs=wires(self.last), gain=self.rng.normal(size=3)))
        self.nodes.append(
            Output(name="y", inputs=wires(self.last), over=self.pick((Over.SEQUENCE, Over.MEAN)))
        )
