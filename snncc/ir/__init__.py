"""The spike graph IR: what is compiled, and what every executor runs."""

from snncc.ir.arrays import Array, Shape, sealed
from snncc.ir.dump import dump
from snncc.ir.edges import Edge, Kind
from snncc.ir.file import load_graph, save_graph
from snncc.ir.graph import Numbers, SpikeGraph
from snncc.ir.infer import edges_into, place
from snncc.ir.neuron import (
    BiasTicks,
    Emit,
    Encoding,
    LeakRounding,
    NeuronParameters,
    Order,
    Overflow,
    Reset,
    ResetAt,
)
from snncc.ir.nodes import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Gate,
    Input,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    Node,
    Output,
    Over,
    Pad,
    Pool,
    Presence,
    Product,
    Reshape,
    SideOperation,
    Slice,
    Sparse,
    Synapse,
    Transpose,
    Wire,
    wires,
)

__all__ = [
    *["Array", "Shape", "sealed", "dump", "Edge", "Kind", "load_graph", "save_graph", "Numbers"],
    *["SpikeGraph", "edges_into", "place", "BiasTicks", "Emit", "Encoding", "LeakRounding"],
    *["NeuronParameters", "Order", "Overflow", "Reset", "ResetAt", "Add", "Affine", "Concat", "Conv"],
    *["Dense", "DynamicSynapse", "Gate", "Input", "Maximum", "MaxPool", "Mul", "Neuron", "Node"],
    *["Output", "Over", "Pad", "Pool", "Presence", "Product", "Reshape", "SideOperation", "Slice"],
    *["Sparse", "Synapse", "Transpose", "Wire", "wires"],
]
