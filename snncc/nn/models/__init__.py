"""Constructors of whole published networks. All take trains [T, B, ...] unless they say otherwise."""

from snncc.nn.models.asa import asa_3layer, asa_5layer, razor_3layer
from snncc.nn.models.espikeformer import (
    ESpikeFormer,
    espikeformer_l,
    espikeformer_m,
    espikeformer_s,
    espikeformer_t,
)
from snncc.nn.models.vgg import vgg_snn

__all__ = [
    "ESpikeFormer",
    "asa_3layer",
    "asa_5layer",
    "espikeformer_l",
    "espikeformer_m",
    "espikeformer_s",
    "espikeformer_t",
    "razor_3layer",
    "vgg_snn",
]
