"""Plain rectifiers as counts: the conversion of a trained ReLU network, calibrated on data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from snncc.errors import BadInput
from snncc.ir import Array, Emit, Neuron, NeuronParameters, Node, SpikeGraph, place
from snncc.passes.pipeline import Preserves
from snncc.reference import run
from snncc.reference.inputs import Data

FRACTIONS = np.linspace(0.2, 1.0, 33)
"""Of the largest activation seen: where the staircase may end."""
MOST_LEVELS = 255


@dataclass(frozen=True, slots=True)
class CountRectifiers:
    """Make every rectifier without memory a count of *levels* levels, calibrated on data.

    ``relu(u)`` becomes ``lam clip(floor(u L / lam + 1/2), 0, L) / L``. L is *levels*; lam is chosen for each
    layer among fractions of the largest activation on *calibration*, to make the mean squared error there
    the smallest. Approximate: what lies between two levels, or beyond lam, changes. Source: QCFS, the
    quantization-clip-floor-shift activation, whose network this is; the layers then fire in phases, so that
    nothing else is lost. *calibration* is in the layout of `snncc.reference.run`, *timesteps* long.
    """

    levels: int
    timesteps: int = 1
    calibration: Data | None = field(default=None, repr=False)
    name: ClassVar[str] = "count-rectifiers"
    preserves: ClassVar[Preserves] = Preserves.APPROXIMATE

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= MOST_LEVELS:
            raise BadInput(f"rectifiers become counts of 1 to {MOST_LEVELS} levels, not {self.levels}")

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        found = [node for node in graph.neurons if is_rectifier(node.parameters)]
        if not found:
            return graph
        if self.calibration is None:
            raise BadInput(
                f"{place(found[0])}: to make it count needs calibration data",
                hint="give calibration data (calibration=, --calibration x.npz)",
            )
        names = [node.name for node in found]
        done = run(graph, self.calibration, timesteps=self.timesteps, record=names, count=False)
        new: dict[str, Node] = {}
        for node in found:
            u = done.records[node.name].u_pre
            if u is None:
                raise AssertionError(f"{node.name}: its potential was not recorded")
            step = best_end(np.maximum(u, 0).reshape(-1), self.levels, node) / self.levels
            new[node.name] = replace(node, parameters=counting(node.parameters, step, self.levels))
        return graph.with_nodes(new.get(node.name, node) for node in graph.nodes)


def is_rectifier(p: NeuronParameters) -> bool:
    """Whether a neuron is ``scale * relu(u)`` and remembers nothing."""
    has_memory = not p.stateless or any(np.any(a != 0) for a in (p.v_init, p.i_init))
    return p.emit is Emit.RELU and not has_memory


def counting(p: NeuronParameters, step: float, levels: int) -> NeuronParameters:
    """The staircase of *levels* steps of *step* in place of the rectifier *p*."""
    return replace(
        p,
        emit=Emit.COUNT,
        theta=np.asarray(step / 2),
        rho=np.asarray(step),
        max_count=levels,
        scale=np.asarray(p.scale * step),
    )


def best_end(values: Array, levels: int, node: Neuron) -> float:
    """The end of the staircase with the smallest squared error on *values*, activations."""
    largest = float(values.max(initial=0.0))
    if largest <= 0:
        raise BadInput(
            f"{place(node)}: is zero on all of the calibration data, so it cannot be calibrated",
            hint="calibrate on data like those of the training",
        )
    ends = FRACTIONS * largest
    errors = [
        float(
            np.mean((np.clip(np.floor(values * levels / end + 0.5), 0, levels) * end / levels - values) ** 2)
        )
        for end in ends
    ]
    return float(ends[int(np.argmin(errors))])
