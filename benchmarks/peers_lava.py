"""Runs Lava's fixed-point CPU models: ``python -I benchmarks/peers_lava.py lava JOB.npz``.

In an environment of its own. As `peers_worker`: imports nothing of snncc and is imported by nothing of it.
One sample; every process of the network is an operating system's process of its own, which is how Lava runs
on CPUs. A run asked for goes on where the last one ended. Pooling is a grouped convolution with ones.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps  # type: ignore[import-not-found]
from lava.magma.core.run_configs import Loihi2SimCfg  # type: ignore[import-not-found]
from lava.proc.conv.process import Conv  # type: ignore[import-not-found]
from lava.proc.dense.process import Dense  # type: ignore[import-not-found]
from lava.proc.io.sink import RingBuffer as Sink  # type: ignore[import-not-found]
from lava.proc.io.source import RingBuffer as Source  # type: ignore[import-not-found]
from lava.proc.lif.process import LIF  # type: ignore[import-not-found]

COUNT_BITS = 8
"""Bits of a message that carries the number of spikes of a pooling window."""


def dense_of(weight: Any, bits: int) -> Any:
    """Twice the weights and half of the sum: Lava drops the lowest of eight bits where signs are mixed."""
    return Dense(weights=2 * weight.astype(np.int32), weight_exp=-1, num_message_bits=bits)


def conv_of(weight: Any, shape: Any, **more: Any) -> Any:
    """*weight* [out, in, y, x] as Lava's [out, x, y, in], turned round: Lava convolves, others correlate."""
    turned = weight.astype(np.int32)[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).copy()
    return Conv(weight=turned, input_shape=shape, **more)


class Network:
    """Source, layers and, where trains are asked for, sinks; layers send one step later than ours each."""

    def __init__(self, job: Any, steps: list[dict[str, Any]], records: bool) -> None:
        x = job["data"][:, 0]
        self.timesteps = len(x)
        self.delay = sum(step["op"] in ("conv", "dense", "pool") for step in steps)
        shape = x.shape[:0:-1]
        silence = np.zeros((self.delay if records else 0, *x.shape[1:]), x.dtype)
        data = np.concatenate([x, silence]).transpose(*range(x.ndim - 1, 0, -1), 0)
        source = Source(data=data.astype(np.int32))
        self.length, self.late, bits, late = data.shape[-1], {}, 0, 0
        self.sinks: dict[str, Any] = {}
        port, self.last = source.s_out, source
        for step in steps:
            match step["op"]:
                case "conv":
                    made = conv_of(
                        job[step["name"]],
                        shape,
                        stride=tuple(step["stride"]),
                        padding=tuple(step["padding"]),
                        num_message_bits=bits,
                    )
                    port.connect(made.s_in)
                    port, shape, bits, late = made.a_out, made.output_shape, 0, late + 1
                case "pool":
                    channels = shape[-1]
                    ones = np.ones((channels, 1, 2, 2), np.int8)
                    made = conv_of(ones, shape, stride=(2, 2), groups=channels)
                    port.connect(made.s_in)
                    port, shape, bits, late = made.a_out, made.output_shape, COUNT_BITS, late + 1
                case "flatten":
                    # Their order is (x, y, channel), ours (channel, y, x): columns of the next weights move.
                    number = np.arange(np.prod(shape)).reshape(shape[::-1])
                    order, shape = number.transpose(2, 1, 0).ravel(), (int(np.prod(shape)),)
                    port = port.flatten()
                    (follower,) = (s for s in steps if s["op"] == "dense" and s.get("flat"))
                    job[follower["name"]] = job[follower["name"]][:, order]
                case "dense":
                    made = dense_of(job[step["name"]], bits)
                    port.connect(made.s_in)
                    port, shape, bits, late = made.a_out, (len(job[step["name"]]),), 0, late + 1
                case "neuron":
                    decay = round((1 - step["leak"]) * 4096)
                    made = LIF(shape=tuple(shape), vth=step["theta"] - 1, du=4095, dv=decay)
                    port.connect(made.a_in)
                    if step["back"]:
                        back = dense_of(job[step["back"]], 0)
                        made.s_out.connect(back.s_in)
                        back.a_out.connect(made.a_in)
                    port, self.late[step["name"]] = made.s_out, late
                    if records:
                        self.sinks[step["name"]] = sink = Sink(shape=tuple(shape), buffer=self.length)
                        made.s_out.connect(sink.a_in)

    def run(self, steps: int) -> float:
        """Seconds of *steps* timesteps."""
        start = time.perf_counter()
        self.last.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        return time.perf_counter() - start

    def trains(self) -> dict[str, Any]:
        """What was sent, [T, 1, *shape], without the delays of the layers."""
        found = {}
        for name, sink in self.sinks.items():
            data = sink.data.get()
            train = data.transpose(-1, *range(data.ndim - 2, -1, -1))
            late = self.late[name]
            found[name] = train[late : late + self.timesteps, None].astype(np.uint8)
        return found


def kilobytes() -> int:
    """Peak memory of this process and of those that it started, summed."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(
                line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line
            )
        except OSError:
            continue
        ours = str(Path("/proc/self").resolve().name)
        if ours in (fields["Pid"].strip(), fields["PPid"].strip()):
            total += int(fields.get("VmHWM", "0 kB").split()[0])
    return total


def main() -> None:
    _, file = sys.argv[1:]
    with np.load(file) as job:
        arrays = dict(job)
    steps = json.loads(str(arrays["network"]))
    network: Network | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "trains" in asked:
            recorded = Network(dict(arrays), steps, records=True)
            seconds = recorded.run(recorded.length)
            found = recorded.trains()
            recorded.last.stop()
            np.savez(asked["trains"], **found)
            names = {"lava": "lava-nc", "numpy": "numpy", "scipy": "scipy"}
            told: dict[str, Any] = {
                "seconds": seconds,
                "spikes": {name: int(train.sum()) for name, train in found.items()},
                "versions": {name: importlib.metadata.version(package) for name, package in names.items()}
                | {"python": sys.version.split()[0]},
            }
        else:
            if network is None:
                network = Network(dict(arrays), steps, records=False)
                network.run(network.timesteps)
            repeats = asked.get("repeats", 1)
            seconds = sum(network.run(network.timesteps) for _ in range(repeats)) / repeats
            told = {"seconds": seconds, "kilobytes": kilobytes()}
        print(json.dumps(told), flush=True)
    if network is not None:
        network.last.stop()


if __name__ == "__main__":
    main()
