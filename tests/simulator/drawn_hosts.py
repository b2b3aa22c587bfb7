"""`drawn_hosts()`: graphs of which a host computes gains and masks, of timesteps or of whole trains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from snncc.ir import Array, Gate, Input, Kind, Mul, Neuron, Node, Pool, SideOperation, Wire, wires
from tests.simulator.drawn_networks import Drawn, Growing


@st.composite
def drawn_hosts(draw: st.DrawFn) -> Drawn:
    """As `drawn_graphs`, with side operations."""
    return HostGrowing(draw).grown()


class HostGrowing(Growing):
    """Of what has been sent before a whole train was read nothing is read afterwards."""

    first = 0

    def events(self) -> list[str]:
        return [n.name for n in self.nodes[self.first :] if isinstance(n, Input | Neuron | Gate)]

    def begin_stage(self, node: str) -> None:
        """From now on nothing older than *node* is read."""
        self.first = next(k for k, one in enumerate(self.nodes) if one.name == node)

    def layer(self) -> None:
        how = self.pick("plain", "gain", "gain", "gate")
        if how == "gate":
            self.gate(self.source())
        if how != "gain" or not self.gained():
            super().layer()

    def side(self, source: str, operation: str, constants: Mapping[str, Array], **fields: object) -> str:
        """A side operation that reads *source*."""
        node = SideOperation(
            name=self.name("side"),
            inputs=(Wire(source),),
            operation=operation,
            constants=constants,
            scale=np.array(1.0 if fields.get("kind") is Kind.SPIKE else 0.25),
            **fields,  # type: ignore[arg-type]
        )
        assert self.add(node), operation
        return node.name

    def floats(self, *shape: int) -> Array:
        return self.rng.normal(size=shape)

    def gate(self, source: str) -> None:
        """Only some timesteps of *source*."""
        shape, embeddings = self.edges[source].shape, 2
        constants = {
            "embeddings": self.floats(embeddings, self.timesteps),
            "kernel": self.floats(embeddings, self.timesteps),
            "bias": self.floats(embeddings),
            "threshold": np.array(self.pick(0.2, 0.6)),
            "has_gain": np.array(0),
        }
        ones = (1,) * len(shape)
        mask = self.side(source, "razor-frames", constants, shape=ones, is_sequence=True, kind=Kind.SPIKE)
        gate = Gate(name=self.name("gate"), inputs=(self.wire(source), Wire(mask)))
        assert self.add(gate)
        self.begin_stage(gate.name)

    def gained(self) -> bool:
        """A neuron behind a current, or behind a sum of it, with a gain."""
        current = self.synapse(self.prepared(self.source()))
        if current is None or len(self.edges[current].shape) != 3:
            return False
        channels, height, width = self.edges[current].shape
        hidden = self.pick(1, 2)
        per = {
            "spatial-attention": ({"conv": self.floats(1, 2, 3, 3), "over_train": np.array(0)}, False),
            "temporal-attention": (self.squeeze(self.timesteps, hidden), True),
            "channel-attention": (self.squeeze(channels, hidden), True),
        }
        shapes = {
            "spatial-attention": (1, height, width),
            "temporal-attention": (1, 1, 1),
            "channel-attention": (channels, 1, 1),
        }
        before = current
        for name in self.pick(
            ("spatial-attention",), ("channel-attention",), ("temporal-attention",), tuple(per)
        ):
            constants, is_sequence = per[name]
            gain = self.side(before, name, constants, shape=shapes[name], is_sequence=is_sequence)
            value = self.wire(before) if before == current else Wire(before)
            before = self.add(Mul(name=self.name("gained"), inputs=(value, Wire(gain)))) or before
        if height > 1 and width > 1 and self.pick(True, False):
            pool = Pool(name=self.name("pool"), inputs=wires(before), kernel=(2, 2), stride=(1, 2))
            before = self.add(pool) or before
        shape = self.edges[before].shape
        neuron: Node = Neuron(
            name=self.name("neuron"), inputs=wires(before), parameters=self.parameters(shape)
        )
        assert self.add(neuron)
        self.begin_stage(neuron.name)
        return True

    def squeeze(self, size: int, hidden: int) -> dict[str, Array]:
        return {"shrink": self.floats(hidden, size), "grow": self.floats(size, hidden)}
