"""From layers to the memories of a chip: address tables; from networks to its cores: placements."""

from snncc.mapping.building import network_of
from snncc.mapping.demand import DoesNotFitChip, Usage
from snncc.mapping.descriptor import Rows, Synapses, Windows
from snncc.mapping.execute import active, executed
from snncc.mapping.guided import MOST_RUNS, Measure
from snncc.mapping.improvement import cost, improve
from snncc.mapping.layer import MAX_WEIGHT_BITS, Rule
from snncc.mapping.load import usage
from snncc.mapping.lower import explicit, explicit_memory, generated, smaller
from snncc.mapping.mapper import map_network
from snncc.mapping.masks import Mask
from snncc.mapping.network import Connection, Network, Population, Role
from snncc.mapping.part_tables import PartTable, tables_of
from snncc.mapping.placement import Part, Placement, Schedule
from snncc.mapping.tables import Explicit, Generated, Memory, Table
from snncc.mapping.traffic import Traffic, distance, traffic_graph

__all__ = [
    "MAX_WEIGHT_BITS",
    "MOST_RUNS",
    "Connection",
    "DoesNotFitChip",
    "Explicit",
    "Generated",
    "Mask",
    "Measure",
    "Memory",
    "Network",
    "Part",
    "PartTable",
    "Placement",
    "Population",
    "Role",
    "Rows",
    "Rule",
    "Schedule",
    "Synapses",
    "Table",
    "Traffic",
    "Usage",
    "Windows",
    "active",
    "cost",
    "distance",
    "executed",
    "explicit",
    "explicit_memory",
    "generated",
    "improve",
    "map_network",
    "network_of",
    "smaller",
    "tables_of",
    "traffic_graph",
    "usage",
]
