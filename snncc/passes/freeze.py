"""Replace what an attention computes for every sample by what it gave on calibration data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from snncc.errors import BadInput, CannotLower
from snncc.ir import Affine, Array, Gate, Kind, Mul, Node, SideOperation, SpikeGraph, place
from snncc.passes.pipeline import Preserves
from snncc.reference import run
from snncc.reference.inputs import Data


@dataclass(frozen=True, slots=True)
class FreezeSideOperations:
    """Make every gain and mask a constant for each timestep: its mean (mask: majority) over *calibration*.

    Without it, a side operation needs a host and whole trains; a constant gain is a factor on chip and needs
    neither. Approximate: data other than those calibrated on would have got other gains. *calibration* is in
    the layout of `snncc.reference.run`, *timesteps* long; a frozen graph runs that long and no longer.
    """

    timesteps: int
    calibration: Data | None = field(default=None, repr=False)
    name: ClassVar[str] = "freeze-side-operations"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        sides = [node.name for node in graph.nodes if isinstance(node, SideOperation)]
        if not sides:
            return graph
        for node in graph.nodes:
            read = [wire.source for wire in node.inputs if wire.source in sides]
            if read and not (isinstance(node, Mul | Gate) and len(read) == 1):
                raise CannotLower(
                    f"{place(node)}: reads {read[0]}, which can be frozen only where it is one factor of a "
                    "product, or the mask of a gate",
                    hint="leave it computed: attention='dynamic', --attention dynamic",
                )
        if self.calibration is None:
            raise BadInput(
                f"{sides[0]}: to freeze what it computes needs calibration data",
                hint="give calibration data (calibration=, --calibration x.npz)",
            )
        done = run(graph, self.calibration, timesteps=self.timesteps, record=sides, count=False)
        means = {
            name: (record.train.sum(axis=2) * graph.edges[name].scale).mean(axis=1)
            for name, record in done.records.items()
        }
        nodes = (frozen(graph, node, means) for node in graph.nodes if node.name not in means)
        return graph.with_nodes(nodes)


def frozen(graph: SpikeGraph, node: Node, means: dict[str, Array]) -> Node:
    """*node* with a constant where it read a gain or a mask."""
    if not isinstance(node, Mul | Gate):
        return node
    sources = [wire.source for wire in node.inputs]
    known = [name for name in sources if name in means]
    if not known:
        return node
    gain = means[known[0]]
    if isinstance(node, Gate) or graph.edges[known[0]].kind is Kind.SPIKE:
        gain = (gain >= 0.5).astype(np.float64)
    if np.all(gain == gain[:1]):
        table, per_timestep = gain[0], False
    else:
        table, per_timestep = gain, True
    signal = next(wire for wire in node.inputs if wire.source not in known)
    return Affine(name=node.name, origin=node.origin, inputs=(signal,), gain=table, per_timestep=per_timestep)
