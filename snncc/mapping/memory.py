"""What synapses and neurons of one part take in the memories of its core, in the chip's own format.

**BLOCKS** (Loihi). Each axon has its weights in blocks of ``block_synapses``; a block of n weights takes
n x (weight bits + index bits) + ``block_overhead`` bits, rounded up to ``word_bits``. A *dense* layer has one
axon for each source neuron that has a synapse here, and no index. In a *convolution* axons share weight
lists: one list for each input channel and each set of taps that occurs (at borders, and at the phases of a
stride, some taps lead nowhere). Lists of convolutions and of *sparse* layers have indices. (A convolution
whose targets here are no box has a list for each axon.) Weights take 1 to 6 or 8 bits; signed ones of 9
bits, all even, 8.

**KERNELS** (Speck). c input channels and f output channels here: c x 2^(ceil(log2(kx ky)) + ceil(log2 f))
words; a dense layer is the convolution whose kernel has the size of its input map. Neurons: f x
2^(ceil(log2 fy) + ceil(log2 fx)) words for a map of f x fy x fx (the smallest that holds the part).

**TABLES**. The smaller of the generated and the explicit table of each connection: see
`snncc.mapping.part_tables`, which makes them.
"""

from __future__ import annotations

from math import prod

import numpy as np

from snncc.chips.model import Memory, SynapseFormat
from snncc.ir import Conv, Dense, Shape, Sparse
from snncc.mapping.box import bounding
from snncc.mapping.descriptor import Windows, width
from snncc.mapping.masks import Ints
from snncc.mapping.reach import Cut, Wiring, maps_of_inputs, taps
from snncc.mapping.sizes import table_bits

MIN_INDEX_BITS = 6
"""The narrowest index field of Loihi that is not 0."""


def synapse_bits(cut: Cut, memory: Memory) -> int:
    """Bits that the synapses of *cut* take; 8 for each kernel word."""
    if not len(cut.outputs):
        return 0
    match memory.format:
        case SynapseFormat.BLOCKS:
            return block_bits(cut, memory)
        case SynapseFormat.KERNELS:
            return 8 * kernel_words(cut)
        case SynapseFormat.TABLES:
            return table_bits(cut)


def axon_bits(synapses: int, bits: int, memory: Memory) -> int:
    """Bits of one axon of so many *synapses*, each of *bits* (weight and index).

    >>> axon_bits(64, 8, Memory(SynapseFormat.BLOCKS)), axon_bits(1024, 8, Memory(SynapseFormat.BLOCKS))
    (576, 9216)
    """
    full, rest = divmod(synapses, memory.block_synapses)
    sizes = [(full, memory.block_synapses), (1 if rest else 0, rest)]
    return sum(n * words(size * bits + memory.block_overhead, memory.word_bits) for n, size in sizes)


def words(bits: int, word: int) -> int:
    """*bits* rounded up to whole words."""
    return -(-bits // word) * word


def block_bits(cut: Cut, memory: Memory) -> int:
    """BLOCKS: bits of all axons, or shared lists, of *cut*."""
    node = cut.wiring.connection.node
    lengths = lists(cut) if isinstance(node, Conv) and cut.box is not None else cut.per_source
    index = 0 if isinstance(node, Dense) else max(MIN_INDEX_BITS, width(len(cut.addresses)))
    each = stored_bits(cut.wiring) + index
    sizes, counts = np.unique(lengths[lengths > 0], return_counts=True)
    return sum(int(n) * axon_bits(int(size), each, memory) for size, n in zip(sizes, counts, strict=True))


def stored_bits(wiring: Wiring) -> int:
    """BLOCKS: the width of a stored weight."""
    node, bits = wiring.connection.node, wiring.weight_bits
    if bits == 9 and node is not None and not np.any(node.weight % 2):
        return 8
    return 8 if bits == 7 else bits


def lists(cut: Cut) -> Ints:
    """The length of each weight list that the axons of a convolution share."""
    windows, box = cut.wiring.windows, cut.box
    assert box is not None
    read = (cut.wiring.readers > 0).reshape(windows.shape).astype(np.int64)
    (down, deep), (across, wide) = (patterns(windows, axis, box[axis + 1]) for axis in (0, 1))
    occurs = (down @ read @ across.T) > 0
    maps = maps_of_inputs(windows, box[0])
    lengths: Ints = (occurs * maps[:, None, None] * np.outer(deep, wide)).reshape(-1)
    return lengths


def patterns(windows: Windows, axis: int, side: tuple[int, int]) -> tuple[Ints, Ints]:
    """The different sets of taps along one axis that are not empty, and how many taps each has.

    Which place has which: [patterns, places], 0 or 1.
    """
    every = taps(windows, axis, side)
    different, which = np.unique(every, axis=1, return_inverse=True)
    found = which.reshape(-1)[None] == np.arange(different.shape[1])[:, None]
    sizes = different.sum(axis=0, dtype=np.int64)
    return found[sizes > 0].astype(np.int64), sizes[sizes > 0]


def kernel_words(cut: Cut) -> int:
    """KERNELS: words of the kernels of *cut*; one for each entry of a sparse layer, which has no kernel."""
    connection = cut.wiring.connection
    if not len(cut.outputs):
        return 0
    box = bounding(connection.out, cut.outputs)
    match connection.node:
        case Conv():
            return kernel_size(connection.shape[0], connection.node.weight.shape[2:], box[0])
        case Dense():
            ins, channels = connection.shape[-1], cut.wiring.channels
            area = ins // channels if ins % channels == 0 else 1
            return kernel_size(ins // area, (area,), box[-1])
        case Sparse():
            return int(cut.per_entry.sum())
        case None:
            maps = (box[0][1] - box[0][0]) if box else 1
            return kernel_size(maps, (1,), (0, maps))


def kernel_size(ins: int, kernel: Shape, maps: tuple[int, int]) -> int:
    """Words of kernels from *ins* input maps to the output *maps* (a range).

    >>> kernel_size(16, (3, 3), (0, 32))
    8192
    """
    return ins << (width(prod(kernel)) + width(maps[1] - maps[0]))


def neuron_words(shape: Shape, addresses: Ints, memory: Memory) -> int:
    """Words of neurons at *addresses* of a population of *shape*: one each, but padded for KERNELS.

    >>> neuron_words((32, 64, 48), np.arange(32 * 64 * 48), Memory(SynapseFormat.KERNELS))
    131072
    """
    if memory.format is not SynapseFormat.KERNELS or len(shape) != 3 or not len(addresses):
        return len(addresses)
    (maps, down, across) = (stop - start for start, stop in bounding(shape, addresses))
    return maps << (width(down) + width(across))
