"""From real numbers to a chip's integers."""

from snncc.quantization.audit import beyond_rounding
from snncc.quantization.currents import current_bounds
from snncc.quantization.quantize import Quantize
from snncc.quantization.scales import Grid
from snncc.quantization.separate import ROUNDED

__all__ = ["ROUNDED", "Grid", "Quantize", "beyond_rounding", "current_bounds"]
