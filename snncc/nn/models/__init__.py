"""Constructors of whole published networks. All take trains [T, B, ...] unless they say otherwise."""

from snncc.nn.models.asa import asa_3layer, asa_5layer, razor_3layer
from snncc.nn.models.espikeformer import (
    ESpikeFormer,
    espikeformer_l,
    espikeformer_m,
    espikeformer_s,
    espikeformer_t,
)
from snncc.nn.models.large import LargeESpikeFormer, espikeformer_512, espikeformer_768
from snncc.nn.models.vgg import vgg_snn

__all__ = [
    "ESpikeFormer",
    "LargeESpikeFormer",
    "asa_3layer",
    "asa_5layer",
    "espikeformer_512",
    "espikeformer_768",
    "espikeformer_l",
    "espikeformer_m",
    "espikeformer_s",
    "espikeformer_t",
    "razor_3layer",
    "vgg_snn",
]
