"""Passes: each takes a graph and gives a graph, exact or measured."""

from snncc.passes.counted import CountRectifiers
from snncc.passes.elide import ElideIdentities
from snncc.passes.expand import ExpandCounts
from snncc.passes.fold import FoldBatchNorm, Into
from snncc.passes.freeze import FreezeSideOperations
from snncc.passes.multispike import MultiSpike
from snncc.passes.pipeline import Pass, Preserves, Stage, run_passes
from snncc.passes.plain import PlainNeurons
from snncc.passes.pools import FoldPools
from snncc.passes.rectifier import ElideRectifier
from snncc.passes.reorder import ReorderProducts
from snncc.passes.rounding import RoundHalfUp
from snncc.passes.thresholds import FoldThresholds

__all__ = [
    "CountRectifiers",
    "ElideIdentities",
    "ElideRectifier",
    "ExpandCounts",
    "FoldBatchNorm",
    "FoldPools",
    "FoldThresholds",
    "FreezeSideOperations",
    "Into",
    "MultiSpike",
    "Pass",
    "PlainNeurons",
    "Preserves",
    "ReorderProducts",
    "RoundHalfUp",
    "Stage",
    "run_passes",
]
