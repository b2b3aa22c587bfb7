"""From layers to the memories of a chip: address tables."""

from snncc.mapping.descriptor import Rows, Synapses, Windows
from snncc.mapping.execute import active, executed
from snncc.mapping.layer import MAX_WEIGHT_BITS, Rule
from snncc.mapping.lower import explicit, explicit_memory, generated, smaller
from snncc.mapping.masks import Mask
from snncc.mapping.tables import Explicit, Generated, Memory, Table

__all__ = [
    "MAX_WEIGHT_BITS",
    "Explicit",
    "Generated",
    "Mask",
    "Memory",
    "Rows",
    "Rule",
    "Synapses",
    "Table",
    "Windows",
    "active",
    "executed",
    "explicit",
    "explicit_memory",
    "generated",
    "smaller",
]
