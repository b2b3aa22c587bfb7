"""Which reshapes, convolutions and affine nodes of a graph NIR can say."""

from __future__ import annotations

import numpy as np

from snncc.frontends.nir_image import full
from snncc.ir import Array, Conv, Reshape, Shape, SpikeGraph

ONE_TAP = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def is_by_channel(array: Array) -> bool:
    """Whether *array* [C, H, W] has one number for each channel."""
    return bool(np.all(array == array[:, :1, :1]))


def narrow(array: Array) -> Array:
    """*array* in float32 where that is the same."""
    return full(array, array.shape)


def conv1d_of(graph: SpikeGraph, conv: Conv) -> tuple[Reshape, Reshape] | None:
    """The reshapes around *conv* that make it a convolution over one axis."""
    before, readers = graph[conv.inputs[0].source], graph.readers[conv.name]
    after = graph[readers[0]] if len(readers) == 1 else None
    if not isinstance(before, Reshape) or not isinstance(after, Reshape) or conv.inputs[0].delay:
        return None
    source, out = graph.edges[before.inputs[0].source].shape, graph.edges[conv.name].shape
    fits = (
        graph.readers[before.name] == (conv.name,)
        and not after.inputs[0].delay
        and len(source) == 2
        and before.shape == (source[0], 1, source[1])
        and after.shape == (out[0], out[2])
        and conv.weight.shape[2] == 1
        and conv.padding[:2] == (0, 0)
        and out[1] == 1
    )
    return (before, after) if fits else None


def flattened(before: Shape, after: Shape) -> tuple[int, int] | None:
    """The first and the last axis of *before* that became one in *after*.

    >>> flattened((4, 3, 3), (36,)), flattened((4, 3, 3), (12, 3)), flattened((4, 3), (3, 4))
    ((0, 2), (0, 1), None)
    """
    for start in range(len(before)):
        for end in range(start, len(before)):
            merged = int(np.prod(before[start : end + 1]))
            if (*before[:start], merged, *before[end + 1 :]) == after:
                return start, end
    return None
