"""`drawn_products()`: graphs with products of two trains, also of products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hypothesis import strategies as st

from snncc.ir import Dense, DynamicSynapse, Input, Neuron, Product, Reshape, Shape, Wire, wires
from tests.simulator.drawn_networks import Drawn, Growing


@st.composite
def drawn_products(draw: st.DrawFn) -> Drawn:
    """As `drawn_graphs`, with dynamic synapses."""
    return ProductGrowing(draw).grown()


class ProductGrowing(Growing):
    """Products count as events: layers and further products read them."""

    before = ""

    def events(self) -> list[str]:
        return [n.name for n in self.nodes if isinstance(n, Input | Neuron | DynamicSynapse)]

    def layer(self) -> None:
        how = self.pick("plain", "product", "product", "chain")
        if how != "plain":
            heads, rows, inner, columns = (self.pick(1, 2, 3) for _ in range(4))
            self.before = self.prepared(self.source())  # so that no operand depends on another
            made = self.product((heads, rows, inner), (heads, inner, columns))
            if how == "chain" and made is not None:
                more = self.pick(1, 2)
                made = self.matmul([made, self.operand((heads, columns, more))]) or made
            if made is not None and self.pick(True, False):
                node = Neuron(
                    name=self.name("neuron"),
                    inputs=wires(made),
                    parameters=self.parameters(self.edges[made].shape),
                )
                self.add(node)
                return
        super().layer()

    def operand(self, shape: Shape) -> str:
        """A neuron behind a dense layer, as a tensor of *shape*."""
        flat = self.flat(self.before)
        if not self.edges[flat].is_events or len(self.edges[flat].shape) != 1:
            flat = self.flat(self.nodes[0].name)
        weight = self.weights(prod(shape), self.edges[flat].shape[0])
        dense = self.add(Dense(name=self.name("dense"), inputs=wires(flat), weight=weight))
        assert dense
        neuron = Neuron(
            name=self.name("neuron"), inputs=wires(dense), parameters=self.parameters((prod(shape),))
        )
        assert self.add(neuron)
        made = self.add(Reshape(name=self.name("matrix"), inputs=wires(neuron.name), shape=shape))
        assert made
        return made

    def product(self, left: Shape, right: Shape) -> str | None:
        """A matrix product, or one by elements."""
        if self.pick(True, False, False):
            broadcast = tuple(self.pick(n, 1) for n in left)
            pair = [self.operand(left), self.operand(broadcast)]
            node = DynamicSynapse(
                name=self.name("product"),
                inputs=wires(*pair),
                product=Product.ELEMENTWISE,
                first=self.pick(0, 1),
            )
            return self.add(node)
        return self.matmul([self.operand(left), self.operand(right)])

    def matmul(self, pair: Sequence[str]) -> str | None:
        """The product of two matrices, at times of transposed ones."""
        inputs, flips = [], []
        for name in pair:
            flip = self.pick(False, False, True)
            if flip and not name.startswith("product"):
                shape = self.edges[name].shape
                source = next(node for node in self.nodes if node.name == name).inputs[0].source
                turned = Reshape(
                    name=self.name("turned"), inputs=wires(source), shape=(shape[0], *shape[:0:-1])
                )
                name = self.add(turned) or name
            else:
                flip = False
            inputs.append(Wire(name))
            flips.append(flip)
        node = DynamicSynapse(
            name=self.name("product"),
            inputs=tuple(inputs),
            transpose=(flips[0], flips[1]),
            first=self.pick(0, 1),
        )
        return self.add(node)
