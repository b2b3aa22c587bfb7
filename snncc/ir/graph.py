"""The spike graph: named nodes in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from snncc.errors import InvalidGraph, UnknownName
from snncc.ir.edges import Edge
from snncc.ir.infer import infer_edges
from snncc.ir.nodes import Input, Neuron, Node, Output


class Layout(StrEnum):
    """The leading axes of the user's data."""

    B = "B"
    """One value for each sample."""
    TB = "TB"
    """Timesteps first, then samples."""
    BT = "BT"
    """Samples first, then timesteps."""


class Numbers(StrEnum):
    """What a graph computes with."""

    FLOAT = "float"
    INTEGER = "integer"


@dataclass(frozen=True, eq=False)
class SpikeGraph:
    """A synchronous data flow over timesteps: at each t every node is evaluated once, in order.

    A wire with delay k reads the value of timestep t - k, so only delayed wires may point backwards.
    *timesteps* and *layout* say how the network was trained and how its user's data lie; executors are
    given both explicitly. *notes* are what its reader should know of how it was made: which neurons were
    recognized by their behavior, and on what evidence. *dt* is the length of a timestep in seconds, where the
    network came from equations in time (NIR); None: nobody said. *seen* is the number of timesteps for which
    a model was seen to do the same in each (None: for any number, as a file says what a network does).
    """

    nodes: tuple[Node, ...]
    numbers: Numbers = Numbers.FLOAT
    name: str = "graph"
    timesteps: int = 1
    layout: Layout = Layout.TB
    notes: tuple[str, ...] = ()
    dt: float | None = None
    seen: int | None = None

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        table: dict[str, Node] = {}
        for node in self.nodes:
            if node.name in table:
                raise InvalidGraph(f"two nodes are called {node.name!r}")
            table[node.name] = node
        return table

    @cached_property
    def edges(self) -> Mapping[str, Edge]:
        """The edge that leaves each node. Raises `InvalidGraph` where a node cannot take its inputs."""
        return infer_edges(self.nodes, is_integer=self.is_integer)

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the nodes that read each node, in order, one entry a wire."""
        table: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for wire in node.inputs:
                table[wire.source].append(node.name)
        return {name: tuple(readers) for name, readers in table.items()}

    @property
    def is_integer(self) -> bool:
        """Whether the graph computes with integers."""
        return self.numbers is Numbers.INTEGER

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """Input nodes."""
        return tuple(node for node in self.nodes if isinstance(node, Input))

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """Output nodes."""
        return tuple(node for node in self.nodes if isinstance(node, Output))

    @cached_property
    def neurons(self) -> tuple[Neuron, ...]:
        """Neuron nodes."""
        return tuple(node for node in self.nodes if isinstance(node, Neuron))

    def __getitem__(self, name: str) -> Node:
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownName("node", name, self.by_name) from None

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def with_nodes(self, nodes: Iterable[Node]) -> SpikeGraph:
        """The same graph with other nodes."""
        return replace(self, nodes=tuple(nodes))

    def verify(self) -> None:
        """Raise `InvalidGraph` for the first broken invariant, naming node and origin."""
        from snncc.ir.verify import verify

        verify(self)

    def __str__(self) -> str:
        from snncc.ir.dump import dump

        return dump(self)
