"""The same networks executed densely by PyTorch: the comparison, and the proof that nothing differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.workloads import Workload
from snncc.ir import Conv, Dense, Neuron, Pool, Reshape


class DenseNetwork:
    """Convolutions over all timesteps at once, then the neurons timestep by timestep.

    In float32: every sum is an integer below 2**24, so it is exact.
    """

    def __init__(self, load: Workload) -> None:
        self.load = load
        self.weights = {
            node.name: torch.tensor(node.weight, dtype=torch.float32)
            for node in load.graph.nodes
            if isinstance(node, Conv | Dense)
        }

    @torch.inference_mode()
    def __call__(self, x: Any) -> dict[str, torch.Tensor]:
        """The train [T, B, *shape] of each layer."""
        steps, batch = x.shape[:2]
        values = {"x": torch.from_numpy(x).to(torch.float32)}
        for node in self.load.graph.nodes:
            if not node.inputs:
                continue
            y = values.get(node.inputs[0].source)
            match node:
                case Conv():
                    assert y is not None
                    z = F.conv2d(y.flatten(0, 1), self.weights[node.name], None, node.stride, node.padding[0])
                    values[node.name] = z.unflatten(0, (steps, batch))
                case Dense():
                    if y is not None and node.name not in values:
                        values[node.name] = F.linear(y, self.weights[node.name])
                case Pool():
                    assert y is not None
                    z = F.avg_pool2d(y.flatten(0, 1), node.kernel, node.stride, divisor_override=1)
                    values[node.name] = z.unflatten(0, (steps, batch))
                case Reshape():
                    assert y is not None
                    values[node.name] = y.flatten(2)
                case Neuron():
                    assert y is not None
                    back = node.inputs[1].source if len(node.inputs) > 1 else None
                    values[node.name] = self.fire(node, y, None if back is None else self.weights[back])
                case _:
                    continue
        return {node.name: values[node.name] for node in self.load.graph.neurons}

    def fire(self, node: Neuron, drive: torch.Tensor, back: torch.Tensor | None) -> torch.Tensor:
        """The train of a layer that receives *drive* [T, B, *shape], and what it sends back to itself."""
        p = node.parameters
        theta, leak = float(p.theta), int(p.leak)
        v, s = torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
        train = torch.empty_like(drive)
        for t in range(len(drive)):
            if p.leak_shift:
                v = torch.floor(v * leak / 2**p.leak_shift)
            v = v + drive[t]
            if back is not None:
                v = v + F.linear(s, back)
            s = (v >= theta).to(torch.float32)
            v = v - theta * s
            train[t] = s
        return train


def differing(load: Workload, x: Any, trains: dict[str, Any]) -> int:
    """Neurons and timesteps in which *trains* of the simulator differ from dense execution."""
    dense = DenseNetwork(load)(x)
    return sum(int(np.sum(dense[name].numpy() != train)) for name, train in trains.items())
