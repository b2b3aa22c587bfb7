"""From real numbers to a chip's integers."""

from snncc.quantization.audit import beyond_rounding
from snncc.quantization.quantize import Quantize

__all__ = ["Quantize", "beyond_rounding"]
