"""Torch modules to build and train spiking networks with: neurons, surrogate gradients, encoders, attention,
event gates and masked convolutions. Whole published networks are in `snncc.nn.models`.

Neurons take [B, ...] per call and keep a state (step mode "s"), or whole trains [T, B, ...] (step mode
"m", which `torch.export` needs). Every neuron tells its parameters in the words of the compiler's one
neuron: `Neuron.describe`.
"""

import snncc.nn.export  # noqa: F401  registers the operation snncc::neuron
from snncc.nn.attention import (
    TCSA,
    AdvancedSpatialAttention,
    ChannelAttention,
    SpatialAttention,
    TemporalAttention,
)
from snncc.nn.convert import HSDNeuron, hsd_loss, qcfs_to_if
from snncc.nn.encode import DeltaEncoder, DirectEncoder, LatencyEncoder, RateEncoder
from snncc.nn.integer import QCFS, SFA
from snncc.nn.integrate import IF, SRIF
from snncc.nn.leaky import LIAF, LIF, PLIF, CubaLIF
from snncc.nn.masked import MaskedBatchNorm2d, SparseConv2d, set_mask
from snncc.nn.neuron import Neuron, detach_, reset, set_step_mode
from snncc.nn.normalization import ThresholdDependentBatchNorm, tdBN
from snncc.nn.razor import RazorGate
from snncc.nn.repconv import RepConv2d
from snncc.nn.surrogate import ATan, Rectangle, Sigmoid, Surrogate

__all__ = [
    "IF",
    "LIAF",
    "LIF",
    "PLIF",
    "QCFS",
    "SFA",
    "SRIF",
    "TCSA",
    "ATan",
    "AdvancedSpatialAttention",
    "ChannelAttention",
    "CubaLIF",
    "DeltaEncoder",
    "DirectEncoder",
    "HSDNeuron",
    "LatencyEncoder",
    "MaskedBatchNorm2d",
    "Neuron",
    "RateEncoder",
    "RazorGate",
    "Rectangle",
    "RepConv2d",
    "Sigmoid",
    "SparseConv2d",
    "SpatialAttention",
    "Surrogate",
    "TemporalAttention",
    "ThresholdDependentBatchNorm",
    "detach_",
    "hsd_loss",
    "qcfs_to_if",
    "reset",
    "set_mask",
    "set_step_mode",
    "tdBN",
]
