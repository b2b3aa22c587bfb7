"""What a Speck 2e or 2f can hold, each number with its source.

*datasheet*: SynSense, Speck Dev Kit Datasheet, August 2023. *sinabs*: sinabs 3.1.3, source. *docs*: its
documentation of Speck. The words of kernels and neurons of each core are in the chip file speck2f.toml.
"""

from __future__ import annotations

from dataclasses import dataclass

from snncc.chips import load_chip

CHIP = "speck2f"
BIAS_WORDS = 1024
"""Of each core (datasheet; sinabs counts one for each feature of a layer that has a bias)."""
WEIGHT_BITS = 8
"""Also of biases, to which sinabs gives 8 bits where the chip has 16 (sinabs)."""
STATE_BITS = 16
"""Of potentials and thresholds (datasheet)."""
INPUT_SIDE = 128
"""Rows and columns of the map that enters a core (datasheet)."""
OUTPUT_SIDE = 64
"""Rows and columns of a core's neurons (datasheet)."""
FEATURES = 1024
"""Channels into and out of a core (datasheet; its FAQ says "less than")."""
KERNEL_SIDE = 16
"""Of a kernel, which is square (datasheet; its FAQ says "less than")."""
STRIDES = (1, 2, 4, 8)
"""In each direction (datasheet)."""
PADDING = 7
"""In each direction (datasheet)."""
POOLINGS = (1, 2, 4)
"""Sums over squares on the way to a destination (datasheet)."""
FAN_OUT = 2
"""Destinations of a core, and of the sensor (datasheet)."""
MERGED = 2
"""Trains that sinabs's Merge adds (sinabs); the chip itself has no limit."""
READOUT_CLASSES = 15
"""Classes of the readout (datasheet)."""
READOUT_STEP = 4
"""The readout takes class k from channel 4 k: an erratum of Speck 2e and 2f (docs)."""
SENSOR = (2, 128, 128)
"""Polarities, rows and columns of the sensor (datasheet)."""
OPERATIONS = (100e6, *(30e6,) * 8)
"""Synaptic operations in a second by core; beyond them the whole chip waits. Quoted, not published by its
makers: see [sources] quoted in the chip file."""
COUNTS = 16
"""Events of an input pixel in a timestep, where it has no bound, on the chip that is simulated (a choice)."""
LEAST_RATIO = 2.0
"""Of threshold to largest weight, below which events and timesteps go far apart (measured; docs: 1)."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words of memory: what a layer needs, or what a core has."""

    kernel: int
    neuron: int
    bias: int

    def fits(self, core: Words) -> bool:
        """Whether this need is met by *core*."""
        return self.kernel <= core.kernel and self.neuron <= core.neuron and self.bias <= core.bias

    def excess(self, core: Words) -> dict[str, tuple[int, int]]:
        """By the name of the memory, (need, have) of each that is too small."""
        pairs = {name: (getattr(self, name), getattr(core, name)) for name in ("kernel", "neuron", "bias")}
        return {name: (need, have) for name, (need, have) in pairs.items() if need > have}


def cores() -> tuple[Words, ...]:
    """The nine cores, in the order of the chip."""
    found = []
    for core in load_chip(CHIP).cores:
        assert core.kernel_words is not None
        assert core.neuron_words is not None
        found.append(Words(core.kernel_words, core.neuron_words, BIAS_WORDS))
    return tuple(found)


def bits_for(count: int) -> int:
    """The least n with 2^n >= *count*."""
    return (count - 1).bit_length()


def words_of(kernel: tuple[int, ...], neurons: tuple[int, ...], *, has_bias: bool) -> Words:
    """What a layer with a *kernel* [F, C, ky, kx] and *neurons* [F, h, w] needs (sinabs; the datasheet).

    >>> words_of((32, 16, 3, 3), (32, 64, 64), has_bias=True)
    Words(kernel=8192, neuron=131072, bias=32)
    """
    features, channels, ky, kx = kernel
    return Words(
        kernel=channels << (bits_for(ky * kx) + bits_for(features)),
        neuron=neurons[0] << (bits_for(neurons[1]) + bits_for(neurons[2])),
        bias=features if has_bias else 0,
    )
