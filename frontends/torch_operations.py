"""The table of aten operations that have an image in the IR, or only move numbers."""

from __future__ import annotations

from snncc.frontends import (
    torch_arithmetic,
    torch_moves,
    torch_pools,
    torch_quantized,
    torch_reductions,
    torch_synapses,
)
from snncc.frontends.torch_record import Handler

HANDLERS: dict[str, Handler] = {
    **torch_quantized.LIMITS,
    **torch_quantized.QUANTIZERS,
    **dict.fromkeys(torch_moves.MOVES, torch_moves.move),
    **dict.fromkeys(torch_moves.FACTORIES, torch_moves.factory),
    "_to_copy": torch_moves.copy,
    "copy_": torch_moves.copy_into,
    "fill_": torch_moves.fill,
    "zero_": torch_moves.fill,
    "constant_pad_nd": torch_moves.pad,
    "upsample_nearest2d": torch_moves.upsample_nearest,
    "add": torch_arithmetic.add,
    "sub": torch_arithmetic.sub,
    "rsub": torch_arithmetic.rsub,
    "mul": torch_arithmetic.mul,
    "div": torch_arithmetic.div,
    "neg": torch_arithmetic.neg,
    "masked_fill": torch_arithmetic.masked_fill,
    "maximum": torch_arithmetic.maximum,
    "native_batch_norm": torch_arithmetic.batch_norm,
    "_native_batch_norm_legit": torch_arithmetic.batch_norm,
    "_native_batch_norm_legit_no_training": torch_arithmetic.batch_norm,
    "convolution": torch_synapses.convolution,
    "mm": torch_synapses.mm,
    "bmm": torch_synapses.mm,
    "mv": torch_synapses.mv,
    "addmm": torch_synapses.addmm,
    "avg_pool2d": torch_pools.avg_pool2d,
    "_adaptive_avg_pool2d": torch_pools.adaptive_avg_pool2d,
    "max_pool2d_with_indices": torch_pools.max_pool2d,
    "adaptive_max_pool2d": torch_pools.adaptive_max_pool2d,
    "avg_pool3d": torch_pools.avg_pool3d,
    "_adaptive_avg_pool3d": torch_pools.adaptive_avg_pool3d,
    "max_pool3d_with_indices": torch_pools.max_pool3d,
    "adaptive_max_pool3d": torch_pools.adaptive_max_pool3d,
    "mean": torch_reductions.mean,
    "sum": torch_reductions.total,
    "amax": torch_reductions.largest,
    "max": torch_reductions.largest,
}
