"""Torch modules to build and train spiking networks with: neurons, surrogate gradients, encoders.

Neurons take [B, ...] per call and keep a state (step mode "s"), or whole trains [T, B, ...] (step mode
"m", which `torch.export` needs). Every neuron tells its parameters in the words of the compiler's one
neuron: `Neuron.describe`.
"""

import snncc.nn.export  # noqa: F401  registers the operation snncc::neuron
from snncc.nn.encode import DeltaEncoder, DirectEncoder, LatencyEncoder, RateEncoder
from snncc.nn.integer import QCFS, SFA
from snncc.nn.integrate import IF, SRIF
from snncc.nn.leaky import LIAF, LIF, PLIF, CubaLIF
from snncc.nn.neuron import Neuron, detach_, reset, set_step_mode
from snncc.nn.surrogate import ATan, Rectangle, Sigmoid, Surrogate

__all__ = [
    "IF",
    "LIAF",
    "LIF",
    "PLIF",
    "QCFS",
    "SFA",
    "SRIF",
    "ATan",
    "CubaLIF",
    "DeltaEncoder",
    "DirectEncoder",
    "LatencyEncoder",
    "Neuron",
    "RateEncoder",
    "Rectangle",
    "Sigmoid",
    "Surrogate",
    "detach_",
    "reset",
    "set_step_mode",
]
