"""What the constants and shapes of each side operation must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from snncc.ir.arrays import Array, Shape
from snncc.ir.edges import Kind
from snncc.ir.nodes import OPERATIONS, SideOperation

Problems = Iterator[str]


def side_problems(node: SideOperation, shape: Shape) -> Problems:
    """What is wrong with *node* behind a signal of *shape*."""
    if node.operation not in OPERATIONS:
        yield f"unknown operation {node.operation!r}; known: {', '.join(OPERATIONS)}"
        return
    missing = [name for name in OPERATIONS[node.operation] if name not in node.constants]
    if missing:
        yield f"the operation {node.operation} lacks its constants {', '.join(missing)}"
        return
    for name, value in node.constants.items():
        if value.dtype.kind not in "fiu" or not np.all(np.isfinite(value)):
            yield f"its constant {name} holds something other than finite numbers"
            return
    is_mask = node.operation == "razor-frames"
    if (node.kind is Kind.SPIKE) != is_mask:
        yield f"the operation {node.operation} yields {'a mask (spike)' if is_mask else 'gains (analog)'}"
    yield from RULES[node.operation](node, shape)


def shape_is(node: SideOperation, need: Shape) -> Problems:
    if node.shape != need:
        yield f"the operation {node.operation} yields {need}, not {node.shape}"


def reads_train(node: SideOperation) -> Problems:
    if not node.is_sequence:
        yield f"the operation {node.operation} reads whole trains (is_sequence)"


def is_map(node: SideOperation, shape: Shape) -> Problems:
    if len(shape) != 3:
        yield f"the operation {node.operation} takes [C, H, W], not {shape}"


def scalars(c: Mapping[str, Array], *names: str) -> Problems:
    for name in names:
        if c[name].ndim:
            yield f"its constant {name} is one number, not an array {c[name].shape}"


def kernels(c: Mapping[str, Array], *names: str) -> Problems:
    for name in names:
        k = c[name].shape
        if len(k) != 4 or k[:2] != (1, 2) or k[2] != k[3] or k[2] % 2 == 0:
            yield f"its constant {name} is a kernel (1, 2, k, k) with odd k, not {k}"


def matrices(c: Mapping[str, Array], down: str, up: str, size: int | None = None) -> Problems:
    """A squeeze from *size* (None: any) numbers and back."""
    a, b = c[down].shape, c[up].shape
    if len(a) != 2 or b != a[::-1] or (size is not None and a[1] != size):
        need = "[hidden, n] and [n, hidden]" + (f" with n = {size}" if size is not None else "")
        yield f"its constants {down} and {up} are {need}, not {a} and {b}"


def advanced_spatial(node: SideOperation, shape: Shape) -> Problems:
    c = node.constants
    yield from (*is_map(node, shape), *shape_is(node, shape), *reads_train(node))
    yield from (*scalars(c, "alpha", "gamma", "lam"), *kernels(c, "conv1", "conv2"))
    if c["lam"].ndim == 0 and not 0 < c["lam"] < 1:
        yield f"its constant lam lies in (0, 1), not {c['lam']}"
    if "fc1" in c and "fc0" in c:
        yield from matrices(c, "fc0", "fc1")
    elif "fc1" in c or ("fc0" in c and (c["fc0"].ndim != 2 or len(set(c["fc0"].shape)) > 1)):
        yield "its constant fc0 is a square matrix over time"


def spatial(node: SideOperation, shape: Shape) -> Problems:
    c = node.constants
    yield from (*is_map(node, shape), *shape_is(node, (1, *shape[1:])), *kernels(c, "conv"))
    yield from scalars(c, "over_train")
    if c["over_train"].ndim == 0 and bool(c["over_train"]) != node.is_sequence:
        yield "its constant over_train and is_sequence say different things"


def temporal(node: SideOperation, shape: Shape) -> Problems:
    yield from (*shape_is(node, (1,) * len(shape)), *reads_train(node))
    yield from matrices(node.constants, "shrink", "grow")


def channel(node: SideOperation, shape: Shape) -> Problems:
    yield from (*is_map(node, shape), *shape_is(node, (shape[0], 1, 1)), *reads_train(node))
    yield from matrices(node.constants, "shrink", "grow", shape[0])


def razor_gain(node: SideOperation, shape: Shape) -> Problems:
    yield from (*shape_is(node, shape), *razor(node))


def razor_frames(node: SideOperation, shape: Shape) -> Problems:
    yield from (*shape_is(node, (1,) * len(shape)), *razor(node))
    yield from scalars(node.constants, "threshold", "has_gain")


def razor(node: SideOperation) -> Problems:
    c = node.constants
    yield from reads_train(node)
    embeddings, kernel, bias = (c[name].shape for name in ("embeddings", "kernel", "bias"))
    if len(embeddings) != 2 or kernel != embeddings or bias != embeddings[:1]:
        yield (
            "its constants embeddings and kernel are [E, T], bias is [E], "
            f"not {embeddings}, {kernel} and {bias}"
        )


RULES: Mapping[str, Callable[[SideOperation, Shape], Problems]] = {
    "advanced-spatial-attention": advanced_spatial,
    "spatial-attention": spatial,
    "temporal-attention": temporal,
    "channel-attention": channel,
    "razor-gain": razor_gain,
    "razor-frames": razor_frames,
}
