"""A workload as a peer is told it, and what a peer with another neuron should compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.dense import DenseNetwork
from benchmarks.workloads import Bytes, Workload
from snncc import simulator
from snncc.ir import Conv, Dense, LeakRounding, Neuron, Node, Pool, Reset, Reshape, SpikeGraph

LAVA_FRACTION = 6
"""Lava keeps potentials with six bits behind the point."""


def told(load: Workload) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The chain of layers as a peer is told it, and the arrays of weights by name."""
    steps: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    flat = False
    for node in load.graph.nodes:
        match node:
            case Conv():
                arrays[node.name] = node.weight
                top, bottom, left, right = node.padding
                assert top == bottom == left == right
                step = {"op": "conv", "stride": node.stride, "padding": (top, left)}
            case Dense():
                arrays[node.name] = node.weight
                if steps and steps[-1].get("back") == node.name:
                    continue
                step, flat = {"op": "dense", "flat": flat}, False
            case Pool():
                assert node.kernel == node.stride == (2, 2)
                step = {"op": "pool"}
            case Reshape():
                step, flat = {"op": "flatten"}, True
            case Neuron():
                p = node.parameters
                assert (p.reset, p.max_count, p.strict) == (Reset.SUBTRACT, 1, False)
                assert p.theta == p.rho
                back = node.inputs[1].source if len(node.inputs) > 1 else None
                leak = int(p.leak) / 2**p.leak_shift
                step = {"op": "neuron", "theta": int(p.theta), "leak": leak, "back": back}
            case _:
                continue
        steps.append({**step, "name": node.name})
    return steps, arrays


class FloatLeak(DenseNetwork):
    """Dense execution whose leak multiplies without rounding: what sinabs and SpikingJelly can express."""

    def fire(self, node: Neuron, drive: torch.Tensor, back: torch.Tensor | None) -> torch.Tensor:
        p = node.parameters
        theta, leak = float(p.theta), int(p.leak) / 2**p.leak_shift
        v, s = torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
        train = torch.empty_like(drive)
        for t in range(len(drive)):
            v = v * leak + drive[t]
            if back is not None:
                v = v + F.linear(s, back)
            s = (v >= theta).to(torch.float32)
            v = v - theta * s
            train[t] = s
        return train


def as_lava(graph: SpikeGraph) -> SpikeGraph:
    """*graph* with Lava's neuron: reset to zero; a leak with six bits behind the point, towards zero."""
    one = 1 << LAVA_FRACTION

    def changed(node: Node) -> Node:
        match node:
            case Conv() | Dense():
                return replace(node, weight=node.weight.astype(np.int32) * one)
            case Neuron():
                theta = (int(node.parameters.theta) - 1) * one
                p = replace(
                    node.parameters,
                    theta=np.array(theta),
                    rho=np.array(theta),
                    strict=True,
                    reset=Reset.VALUE,
                    leak_rounding=LeakRounding.ZERO,
                )
                return replace(node, parameters=p)
            case _:
                return node

    return graph.with_nodes(changed(node) for node in graph.nodes)


def trains_of(graph: SpikeGraph, x: Bytes) -> dict[str, Any]:
    """What our simulator sends, [T, B, *shape], layer by layer."""
    names = [node.name for node in graph.neurons]
    run = simulator.run(graph, x, timesteps=len(x), record=names)
    return {name: run.records[name].train[:, :, 0] for name in names}


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    """Neurons and timesteps in which the trains differ."""
    assert mine.keys() == theirs.keys()
    return sum(int(np.sum(np.asarray(mine[name]) != np.asarray(theirs[name]))) for name in mine)


def reference_of(
    load: Workload, x: Bytes, peer: str, mine: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """What *peer* should compute where its neuron is another one than the workload's."""
    if peer == "lava":
        return "ours with Lava's neuron", trains_of(as_lava(load.graph), x)
    if any(node.parameters.leak_shift for node in load.graph.neurons):
        return "dense PyTorch with v *= 15/16", {
            name: train.numpy() for name, train in FloatLeak(load)(x).items()
        }
    return "ours", mine
