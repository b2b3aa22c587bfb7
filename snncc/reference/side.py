"""Side operations: what a chip's host or MAC unit computes in float64, the same code in every executor.

Each is a function from the train of one sample [T, *shape] to a train of gains or masks. The equations are
those of the modules in `snncc.nn` that are compiled to them; their docstrings name the sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from snncc.errors import BadInput
from snncc.ir import Array, Edge, Kind, Shape, SideOperation, SpikeGraph, place
from snncc.reference.synapse import windows

Constants = Mapping[str, Array]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Side:
    """How an operation is computed, what it costs, and the largest number that it yields (None: any).

    *macs* gives, for T timesteps of signals of a shape, the multiply-accumulates that it makes and those of
    the literature's accounting. The product with what it yields is a node of its own, with its own MACs.
    """

    gain: Callable[[Floats, Constants], Floats]
    macs: Callable[[int, Shape, Constants], tuple[int, int]]
    largest: Callable[[Constants], float]
    timesteps: Callable[[Constants], int | None]
    """How long a train must be; None: any length."""


def side_train(node: SideOperation, x: Array, edge: Edge, *, is_integer: bool) -> Array:
    """The carried numbers of *node* for the train *x* [T, B, ticks, *shape] on *edge*: [T, B, 1, *shape].

    In an integer graph, real numbers enter by the scale of *edge* and leave rounded by that of *node*. An
    operation that reads no whole train sees one timestep at a time.
    """
    real = (x.sum(axis=2) * edge.scale).astype(np.float64)
    shape = (*real.shape[:2], *node.shape)
    out = np.empty(shape)
    gain = SIDES[node.operation].gain
    for b in range(real.shape[1]):
        if node.is_sequence:
            out[:, b] = gain(real[:, b], node.constants)
        else:
            for t in range(len(real)):
                out[t, b] = gain(real[t : t + 1, b], node.constants)[0]
    if is_integer and node.kind is Kind.ANALOG:
        out = np.rint(out / node.scale)
    return out.astype(x.dtype)[:, :, None]


def check_trains(graph: SpikeGraph, timesteps: int, state: object) -> None:
    """Raise `BadInput` where a run is no whole train of the length that a node of *graph* was made for."""
    for node in graph.nodes:
        if not isinstance(node, SideOperation) or not node.is_sequence:
            continue
        if state is not None:
            raise BadInput(f"{place(node)}: reads whole trains, so a run cannot go on from a state")
        need = SIDES[node.operation].timesteps(node.constants)
        if need not in (None, timesteps):
            raise BadInput(
                f"{place(node)}: needs trains of {need} timesteps, has {timesteps}",
                hint="its parameters have one value for each timestep of training; run it with as many",
            )


def side_macs(node: SideOperation, timesteps: int, shape: Shape) -> tuple[int, int]:
    """MACs of *node* for one sample: those that it makes, those of the literature's accounting."""
    return SIDES[node.operation].macs(timesteps, shape, node.constants)


def sigmoid(x: Array) -> Floats:
    """Without overflow on either side."""
    return np.asarray(np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x)))))


def convolved(maps: Array, weight: Array) -> Floats:
    """One map for maps [n, H, W] under *weight* [n, k, k], padded with zeros to the same size."""
    pad = weight.shape[-1] // 2
    padded = np.pad(maps, [(0, 0), (pad, pad), (pad, pad)])
    taps = np.stack(windows(padded, weight.shape[-2:], (1, 1), (1, 1), maps.shape))
    return np.asarray(np.einsum("knhw,nk->hw", taps, weight.reshape(len(weight), -1)))


def largest(scores: Array, count: int, axis: int) -> NDArray[np.bool_]:
    """Where the *count* largest along *axis* are; among equals the lowest index is the largest."""
    order = np.argsort(-scores, axis=axis, kind="stable")
    ranks = np.argsort(order, axis=axis, kind="stable")
    return np.asarray(ranks < count)


def advanced_spatial(x: Floats, c: Constants) -> Floats:
    """ASA: ``A1*M1 + A2*M2`` [T, C, H, W]."""
    mean, peak = x.mean(axis=(2, 3)), x.max(axis=(2, 3))
    scores = 0.5 * (mean + peak) + c["alpha"] * mean + c["gamma"] * peak
    for k in range(2):
        if f"fc{k}" in c:
            scores = c[f"fc{k}"] @ (np.maximum(scores, 0) if k else scores)
    lam = float(c["lam"])
    timesteps, channels = scores.shape
    important = largest(scores, int(lam * channels), 1) != largest(scores, int(lam * timesteps), 0)
    total = np.zeros(x.shape)
    for mask, share, name in ((important, lam, "conv1"), (~important, 1 - lam, "conv2")):
        chosen = mask[..., None, None]
        part = x * chosen
        maps = np.stack([part.mean(axis=1).mean(axis=0) / share, part.max(axis=(0, 1))])
        total += chosen * sigmoid(convolved(maps, c[name][0]))
    return total


def advanced_spatial_macs(timesteps: int, shape: Shape, c: Constants) -> tuple[int, int]:
    channels, pixels = shape[0], prod(shape[1:])
    fc = channels * sum(c[name].size for name in ("fc0", "fc1") if name in c)
    conv = c["conv1"].size * pixels
    return fc + 2 * conv, fc + timesteps * conv


def spatial(x: Floats, c: Constants) -> Floats:
    """SA: a map [T, 1, H, W]; of one timestep, or of the whole train where that is what is given."""
    mean, peak = x.mean(axis=1), x.max(axis=1)
    mean, peak = mean.mean(axis=0), peak.max(axis=0)
    gain = sigmoid(convolved(np.stack([mean, peak]), c["conv"][0]))
    return np.broadcast_to(gain, (len(x), 1, *gain.shape))


def spatial_macs(timesteps: int, shape: Shape, c: Constants) -> tuple[int, int]:
    maps = 1 if bool(c["over_train"]) else timesteps
    count = maps * c["conv"].size * prod(shape[1:])
    return count, timesteps * prod(shape) + count


def excited(squeezed: tuple[Array, Array], c: Constants) -> Floats:
    mean, peak = (c["grow"] @ np.maximum(c["shrink"] @ s, 0) for s in squeezed)
    return sigmoid(mean + peak)


def temporal(x: Floats, c: Constants) -> Floats:
    """A gain for each timestep [T, 1, 1, 1]."""
    axes = tuple(range(1, x.ndim))
    return excited((x.mean(axis=axes), x.max(axis=axes)), c).reshape(-1, *[1] * (x.ndim - 1))


def channel(x: Floats, c: Constants) -> Floats:
    """A gain for each channel [T, C, 1, 1], the same in every timestep."""
    gain = excited((x.mean(axis=(2, 3)).mean(axis=0), x.max(axis=(0, 2, 3))), c)
    return np.broadcast_to(gain[None, :, None, None], (len(x), len(gain), 1, 1))


def squeeze_macs(timesteps: int, shape: Shape, c: Constants) -> tuple[int, int]:
    mlp = 2 * (c["shrink"].size + c["grow"].size)
    return mlp, mlp + timesteps * prod(shape)


def razor_gain(x: Floats, c: Constants) -> Floats:
    """G [T, *shape], the same in every timestep: the sum over embeddings of the maps of events."""
    events = x.reshape(len(x), -1)
    logits = c["kernel"] @ events.mean(axis=1) + c["bias"]
    weights = np.exp(logits - logits.max())
    maps = sigmoid(((weights / weights.sum())[:, None] * c["embeddings"]) @ events)
    return np.broadcast_to(maps.sum(axis=0).reshape(x.shape[1:]), x.shape)


def razor_frames(x: Floats, c: Constants) -> Floats:
    """1 for a timestep that has an event of interest, else 0: [T, 1, ...]."""
    gained = x * razor_gain(x, c)
    kept = gained.reshape(len(x), -1).max(axis=1) >= c["threshold"]
    return np.asarray(kept.astype(np.float64)).reshape(-1, *[1] * (x.ndim - 1))


def razor_macs(timesteps: int, shape: Shape, c: Constants) -> tuple[int, int]:
    embeddings = len(c["embeddings"])
    count = 2 * embeddings * timesteps + embeddings * timesteps * prod(shape)
    return count, count


def razor_frame_macs(timesteps: int, shape: Shape, c: Constants) -> tuple[int, int]:
    """The scores need the gained frames, whose maps the gain has made where it acts itself."""
    own = 0 if bool(c["has_gain"]) else razor_macs(timesteps, shape, c)[0]
    count = own + (0 if bool(c["has_gain"]) else timesteps * prod(shape))
    return count, count


def one(c: Constants) -> float:
    return 1.0


def any_length(c: Constants) -> int | None:
    return None


def length_of(name: str) -> Callable[[Constants], int | None]:
    """The last axis of the constant *name*, where it is there."""
    return lambda c: c[name].shape[-1] if name in c else None


SIDES: Mapping[str, Side] = {
    "advanced-spatial-attention": Side(advanced_spatial, advanced_spatial_macs, one, length_of("fc0")),
    "spatial-attention": Side(spatial, spatial_macs, one, any_length),
    "temporal-attention": Side(temporal, squeeze_macs, one, length_of("shrink")),
    "channel-attention": Side(channel, squeeze_macs, one, any_length),
    "razor-gain": Side(
        razor_gain, razor_macs, lambda c: float(len(c["embeddings"])), length_of("embeddings")
    ),
    "razor-frames": Side(razor_frames, razor_frame_macs, one, length_of("embeddings")),
}
"""By the names of `snncc.ir.nodes.OPERATIONS`."""
