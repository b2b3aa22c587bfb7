"""From real numbers to a chip's integers."""

from snncc.quantization.quantize import Quantize

__all__ = ["Quantize"]
