"""What passes there are: a literal table, for people and for ``snncc passes``."""

from __future__ import annotations

from snncc.backends.loihi.passes import BiasByNeuron, MoveBiases, PoolByNeurons, ToRegisters
from snncc.backends.speck.legalize import BoundPotentials, Discretize
from snncc.backends.speck.readout import SpikingReadout
from snncc.backends.speck.split import SplitCores
from snncc.backends.speck.stream import UnrollTicks
from snncc.ir import Encoding
from snncc.passes import (
    CountRectifiers,
    ElideIdentities,
    ElideRectifier,
    ExpandCounts,
    FoldBatchNorm,
    FoldThresholds,
    FreezeSideOperations,
    MultiSpike,
    Pass,
    PlainNeurons,
    ReorderProducts,
    RoundHalfUp,
)
from snncc.quantization import Quantize

PASSES: tuple[Pass, ...] = (
    ElideIdentities(),
    ReorderProducts(),
    ElideRectifier(),
    PoolByNeurons(),
    PlainNeurons(),
    FreezeSideOperations(1),
    FoldBatchNorm(),
    CountRectifiers(15),
    RoundHalfUp(),
    ExpandCounts(),
    ExpandCounts(Encoding.STREAM),
    MoveBiases(),
    BiasByNeuron(),
    Quantize(),
    ToRegisters(),
    FoldThresholds(),
    UnrollTicks(),
    SpikingReadout(),
    MultiSpike(),
    BoundPotentials(),
    Discretize(),
    SplitCores(),
)


def passes() -> list[dict[str, str]]:
    """Name, promise and summary of every pass, in the order in which they are applied."""
    rows = []
    for one in PASSES:
        stream = isinstance(one, ExpandCounts) and one.encoding is Encoding.STREAM
        summary = (type(one).__doc__ or "").splitlines()[0]
        if isinstance(one, ExpandCounts):
            summary = (
                "Counts become a stream of spikes." if stream else "Counts become spikes or graded spikes."
            )
        name = f"{one.name} (stream)" if stream else one.name
        rows.append({"name": name, "preserves": one.preserves.value, "summary": summary})
    return rows
