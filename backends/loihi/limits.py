"""What Loihi's registers hold, as Lava 0.10.0 models them.

Source: lava-nc 0.10.0, proc/lif/process.py and models.py, proc/dense/process.py; the same numbers are in
Davies 2018 for Loihi 1. A *weight unit* is 64 units of the state: every synaptic sum is shifted left by 6.
"""

from __future__ import annotations

STATE_BITS = 24
STATE_MOST = 2 ** (STATE_BITS - 1) - 1
"""The potential is clipped to -STATE_MOST..STATE_MOST; the current would wrap, so it is proved never to."""
UNIT_SHIFT = 6
UNIT = 2**UNIT_SHIFT
THRESHOLD_MOST = 2**17 - 1
"""Of a hard-reset neuron, in weight units; it fires above the threshold."""
BIAS_MANTISSA_MOST = 2**12 - 1
BIAS_EXPONENT_MOST = 7
DECAY_BITS = 12
WEIGHT_BITS = 8
"""Of a signed step; a weight of mixed sign is an even number of weight units, twice its step."""
WEIGHT_EXPONENT_MOST = 7
SUM_MOST = 2**31 - 1
"""What a connection hands on, in weight units; a convolution only STATE_MOST, beyond which it wraps."""
DELAY_MOST = 62
"""Chip steps that a synapse can delay a spike further; one more of 0..63 is always there."""
STEP_SHIFT = UNIT_SHIFT + 1
"""A step of a weight, an even number of weight units, in units of the state: 2**STEP_SHIFT."""
