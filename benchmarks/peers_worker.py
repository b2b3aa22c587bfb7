"""Runs sinabs or SpikingJelly: ``python -I benchmarks/peers_worker.py KIND JOB.npz``.

In an environment of its own. Nothing of snncc imports this file, and it imports nothing of snncc. The
network, the data and the number of threads come in as npz; a line of standard input asks for one run, a
line of JSON on standard output answers. The data are tensors of floats before the clock starts; resetting
the states is part of a run.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Tensor = torch.Tensor


def float_weights(array: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(array, dtype=torch.float32), requires_grad=False)


def synapse(step: dict[str, Any], arrays: Any, layers: Any) -> Any:
    """The layer of *layers* (torch's, or a framework's own) for a step that is not a neuron."""
    match step["op"]:
        case "conv":
            weight = arrays[step["name"]]
            made = layers.Conv2d(
                weight.shape[1], weight.shape[0], 3, step["stride"], step["padding"], bias=False
            )
            made.weight = float_weights(weight)
        case "dense":
            weight = arrays[step["name"]]
            made = layers.Linear(weight.shape[1], weight.shape[0], bias=False)
            made.weight = float_weights(weight)
        case "pool":
            made = layers.AvgPool2d(2, 2, divisor_override=1)
        case _:
            made = layers.Flatten()
    return made


class Sinabs:
    """Convolutions over all timesteps at once, then the neurons step by step, as sinabs does.

    [B * T, ...] where there are convolutions ("squeezed"), else [B, T, ...].
    """

    def __init__(self, job: Any, steps: list[dict[str, Any]]) -> None:
        import sinabs.layers as sl  # type: ignore[import-not-found]
        from sinabs.activation import SingleSpike  # type: ignore[import-not-found]

        x = job["data"]
        self.batch = x.shape[1]
        self.x = torch.from_numpy(np.moveaxis(x, 0, 1).astype(np.float32)).contiguous()
        self.squeezed = x.ndim > 3
        if self.squeezed:
            self.x = self.x.flatten(0, 1)
        made: list[Any] = []
        self.neurons: dict[str, Any] = {}
        for step in steps:
            if step["op"] != "neuron":
                made.append(synapse(step, job, nn))
                continue
            common = {
                "spike_threshold": torch.tensor(float(step["theta"])),
                "spike_fn": SingleSpike,
                **({"batch_size": self.batch} if self.squeezed else {}),
            }
            tau = -1 / math.log(step["leak"]) if step["leak"] < 1 else None
            if step["back"]:
                back = synapse({"op": "dense", "name": step["back"]}, job, nn)
                one = sl.LIFRecurrent(tau_mem=tau, rec_connect=back, norm_input=False, **common)
            elif tau:
                one = sl.LIF(tau_mem=tau, norm_input=False, **common)
            else:
                one = sl.IAFSqueeze(**common)
            made.append(one)
            self.neurons[step["name"]] = one
        self.network = nn.Sequential(*made).eval()

    def __call__(self) -> Tensor:
        for one in self.neurons.values():
            one.reset_states()
        return self.network(self.x)

    def train(self, spikes: Tensor) -> Any:
        """[T, B, *shape]."""
        if self.squeezed:
            spikes = spikes.unflatten(0, (self.batch, -1))
        return spikes.transpose(0, 1).to(torch.uint8).numpy()


class Recurrent(nn.Module):
    """A layer of SpikingJelly that also receives, timestep by timestep, what it sent in the one before."""

    def __init__(self, node: Any, back: Any) -> None:
        super().__init__()
        self.node, self.back = node, back

    def forward(self, x: Tensor) -> Tensor:
        spikes = []
        drive = torch.zeros_like(x[0])
        for one in x:
            spikes.append(self.node(one + drive))
            drive = self.back(spikes[-1])
        return torch.stack(spikes)


class SpikingJelly:
    """Multi-step mode, [T, B, ...]."""

    def __init__(self, job: Any, steps: list[dict[str, Any]]) -> None:
        from spikingjelly.activation_based import (  # type: ignore[import-not-found]
            functional,
            layer,
            neuron,
        )

        self.reset = functional.reset_net
        self.x = torch.from_numpy(job["data"].astype(np.float32))
        made: list[Any] = []
        self.neurons: dict[str, Any] = {}
        for step in steps:
            if step["op"] != "neuron":
                made.append(synapse(step, job, layer))
                continue
            theta = float(step["theta"])
            if step["leak"] < 1:
                one = neuron.LIFNode(1 / (1 - step["leak"]), False, theta, v_reset=None)
            else:
                one = neuron.IFNode(theta, v_reset=None)
            if step["back"]:
                one = Recurrent(one, synapse({"op": "dense", "name": step["back"]}, job, nn))
            made.append(one)
            self.neurons[step["name"]] = one
        self.network = nn.Sequential(*made).eval()
        functional.set_step_mode(self.network, "m")
        for one in self.neurons.values():
            if isinstance(one, Recurrent):
                one.node.step_mode = "s"

    def __call__(self) -> Tensor:
        self.reset(self.network)
        return self.network(self.x)

    def train(self, spikes: Tensor) -> Any:
        """[T, B, *shape]."""
        return spikes.to(torch.uint8).numpy()


KINDS = {"sinabs": Sinabs, "spikingjelly": SpikingJelly}


def keep(found: dict[str, Any], name: str, train: Callable[[Tensor], Any]) -> Callable[..., None]:
    """A hook that keeps what a layer sends."""

    def hook(_module: Any, _inputs: Any, spikes: Tensor) -> None:
        found[name] = train(spikes)

    return hook


def kilobytes() -> int:
    """Peak memory of this process."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])


@torch.inference_mode()
def main() -> None:
    kind, file = sys.argv[1:]
    with np.load(file) as job:
        arrays = dict(job)
    torch.set_num_threads(int(arrays["threads"]))
    run = KINDS[kind](arrays, json.loads(str(arrays["network"])))
    for line in sys.stdin:
        asked = json.loads(line)
        found: dict[str, Any] = {}
        hooks = []
        if "trains" in asked:
            hooks = [
                one.register_forward_hook(keep(found, name, run.train)) for name, one in run.neurons.items()
            ]
        repeats = asked.get("repeats", 1)
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        seconds = (time.perf_counter() - start) / repeats
        told: dict[str, Any] = {"seconds": seconds, "kilobytes": kilobytes()}
        if "trains" in asked:
            np.savez(asked["trains"], **found)
            told["spikes"] = {name: int(train.sum()) for name, train in found.items()}
            told["threads"] = torch.get_num_threads()
            told["versions"] = {
                name: importlib.metadata.version(name) for name in (kind, "torch", "numpy")
            } | {"python": sys.version.split()[0]}
        for hook in hooks:
            hook.remove()
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
