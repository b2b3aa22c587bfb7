"""The definition of a Loihi program folder: plain NumPy, sample by sample, timestep by timestep.

It shares no code with `run.py` and knows neither chip steps nor Lava: what a connection's delay and
the starts of its two ends come to is a number of timesteps, and everything within a timestep is in the
order of the starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Entry = dict[str, Any]
LIMIT = 2**23 - 1


@dataclass
class Defined:
    """What one network does with its samples; arrays as in the result file of `run.py`."""

    results: dict[str, Array] = field(default_factory=dict)
    largest_input: int = 0
    """Largest absolute sum of weights that reached a neuron in one update."""


def toward_zero(x: Array) -> Array:
    return np.sign(x) * (np.abs(x) >> 12)


def shifted(x: Array, exponent: int) -> Array:
    return x << exponent if exponent > 0 else x >> -exponent


def integers(data: Entry, arrays: Mapping[str, Array], entry: Entry, x: Array) -> Array:
    """[B, T or 1, *shape]"""
    if entry["presence"] != "sequence":
        x = x[:, None]
    elif data["layout"] != "BT":
        x = np.moveaxis(x, 0, 1)
    if entry["kind"] != "analog":
        return x.astype(int)
    scale = arrays[entry["scale"]] if isinstance(entry["scale"], str) else entry["scale"]
    return np.clip(np.rint(x.astype(np.float64) / scale), entry["low"], entry["high"]).astype(int)


def messages(entry: Entry, values: Array) -> list[Array]:
    """What leaves for a timestep, tick by tick."""
    ticks = entry.get("ticks", 1)
    if ticks == 1:
        return [values]
    return [(values > tick).astype(int) for tick in range(ticks)]


def through(connection: Entry, arrays: Mapping[str, Array], message: Array, target_shape: list[int]) -> Array:
    """The sum of weights that one message brings to each target."""
    if not connection["message_bits"]:
        message = (message != 0).astype(int)
    name, kind = connection["name"], connection["kind"]
    if kind == "dense":
        found = arrays[f"{name}.weight"].astype(int) @ message.ravel()
    elif kind == "sparse":
        data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        found = np.zeros(len(indptr) - 1, int)
        for row in range(found.size):
            for at in range(indptr[row], indptr[row + 1]):
                found[row] += int(data[at]) * message.ravel()[indices[at]]
    else:
        found = convolution(connection, arrays[f"{name}.weight"].astype(int), message)
    return shifted(found, connection["weight_exp"]).reshape(target_shape)


def convolution(connection: Entry, weight: Array, message: Array) -> Array:
    (sy, sx), (dy, dx) = connection["stride"], connection["dilation"]
    top, bottom, left, right = connection["padding"]
    padded = np.pad(message, ((0, 0), (top, bottom), (left, right)))
    found: Array = np.zeros(connection["out"], int)
    outputs, inner, kh, kw = weight.shape
    for o in range(outputs):
        first = o // (outputs // connection["groups"]) * inner
        for r in range(found.shape[1]):
            for c in range(found.shape[2]):
                rows = slice(r * sy, r * sy + dy * (kh - 1) + 1, dy)
                columns = slice(c * sx, c * sx + dx * (kw - 1) + 1, dx)
                found[o, r, c] = np.sum(padded[first : first + inner, rows, columns] * weight[o])
    return found


class Neurons:
    """One population during one sample."""

    def __init__(self, entry: Entry, arrays: Mapping[str, Array]) -> None:
        def array(name: str) -> Array:
            found = arrays.get(f"{entry['name']}.{name}", np.zeros(entry["shape"], int))
            return found.astype(np.int64).reshape(entry["shape"])

        self.entry, self.arrays = entry, arrays
        self.u, self.v = array("u_init"), array("v_init")
        self.bias = array("bias_mant") << entry["bias_exp"]

    def update(self, a: Array) -> Array:
        """The number of thresholds that each neuron passes."""
        u = toward_zero(self.u * (4096 - (self.entry["du"] + 1))) + (a << 6)
        u = np.where(u > 2**23, u - 2**24, u)
        self.u = np.where(u <= -(2**23), u + 2**24, u)
        self.v = np.clip(toward_zero(self.v * (4096 - self.entry["dv"])) + self.u + self.bias, -LIMIT, LIMIT)
        if self.entry["process"] == "Phased":
            return self.phased()
        fired = (self.v > self.entry["vth"] << 6).astype(int)
        self.v = np.where(fired, 0, self.v)
        return fired

    def number(self, key: str) -> Any:
        value = self.entry.get(key)
        return self.arrays[value].astype(int) if isinstance(value, str) else value

    def phased(self) -> Array:
        theta, rho, most = self.number("theta"), self.number("rho"), self.entry["max_count"]
        fired = np.zeros_like(self.v)
        while most is None or fired.max() < most:
            threshold = theta + fired * rho
            passed = self.v > threshold if self.entry["strict"] else self.v >= threshold
            if most is not None:
                passed &= fired < most
            if not passed.any():
                break
            fired += passed
        if self.entry["reset"] == "value":
            self.v = np.where(fired > 0, self.number("v_reset"), self.v)
        elif self.entry["reset"] == "subtract":
            self.v = self.v - fired * rho
        low, high = self.number("clamp_low"), self.number("clamp_high")
        self.v = self.v if low is None else np.maximum(self.v, low)
        self.v = self.v if high is None else np.minimum(self.v, high)
        return fired


def run_definition(folder: Path, x: Mapping[str, Array], timesteps: int | None = None) -> Defined:
    """Run the network in *folder* on *x*; every population is recorded."""
    data = json.loads((folder / "network.json").read_text())
    arrays = dict(np.load(folder / "weights.npz"))
    inputs = {
        entry["name"]: integers(data, arrays, entry, x[entry["name"] if len(data["inputs"]) > 1 else "x"])
        for entry in data["inputs"]
    }
    longest = max(values.shape[1] for values in inputs.values())
    timed = any(entry["presence"] == "sequence" for entry in data["inputs"])
    steps = timesteps or (longest if timed else data["timesteps"])
    samples = [run_sample(data, arrays, inputs, b, steps) for b in range(len(next(iter(inputs.values()))))]
    defined = Defined(largest_input=max(sample.pop("largest_input") for sample in samples))
    for name in samples[0]:
        defined.results[name] = np.stack([sample[name] for sample in samples])
    finish(data, arrays, defined, steps)
    return defined


def lag(data: Entry, connection: Entry, ends: Mapping[str, Entry]) -> int:
    """Timesteps from the one in which a connection's source fires to the one in which its target gets it."""
    source, target = ends[connection["source"]], ends[connection["target"]]
    fire: int = source["fire"] if "fire" in source else source["start"]
    arrival: int = fire + 1 + connection["delay"] - target["start"]
    return arrival // data["frame"]


def run_sample(
    data: Entry, arrays: Mapping[str, Array], inputs: Mapping[str, Array], sample: int, steps: int
) -> dict[str, Any]:
    ends = {entry["name"]: entry for key in ("inputs", "populations", "readouts") for entry in data[key]}
    neurons = {entry["name"]: Neurons(entry, arrays) for entry in data["populations"]}
    sent: dict[str, list[list[Array]]] = {name: [] for name in ends}
    counts: dict[str, list[Array]] = {name: [] for name in neurons}
    potentials: dict[str, list[Array]] = {name: [] for name in neurons}
    sums: dict[str, list[Array]] = {entry["name"]: [] for entry in data["readouts"] if not entry.get("of")}
    largest = 0

    def arrived(name: str, timestep: int) -> Array:
        total = np.zeros(ends[name]["shape"], int)
        for connection in data["connections"]:
            when = timestep - lag(data, connection, ends)
            if connection["target"] == name and when >= 0:
                for message in sent[connection["source"]][when]:
                    total += through(connection, arrays, message, ends[name]["shape"])
        return total

    for timestep in range(steps):
        for entry in data["inputs"]:
            values = inputs[entry["name"]][sample]
            values = values[timestep if entry["presence"] == "sequence" else 0]
            values = values * (entry["presence"] != "first" or timestep == 0)
            sent[entry["name"]].append(messages(entry, values))
        for entry in sorted(data["populations"], key=lambda entry: entry["start"]):
            name = entry["name"]
            a = arrived(name, timestep)
            largest = max(largest, int(np.abs(a).max()))
            fired = neurons[name].update(a)
            counts[name].append(fired)
            potentials[name].append(neurons[name].v)
            sent[name].append([fired] if entry.get("graded") else messages(entry, fired))
        for name in sums:
            sums[name].append(arrived(name, timestep))
    found: dict[str, Any] = {"largest_input": largest}
    found |= {f"sums.{name}": np.stack(parts) for name, parts in sums.items()}
    for name in neurons:
        found[f"counts.{name}"] = np.stack(counts[name])
        found[f"v.{name}"] = np.stack(potentials[name])
        found[f"train.{name}"] = np.stack([np.stack(parts) for parts in sent[name]])
    return found


def finish(data: Entry, arrays: Mapping[str, Array], defined: Defined, steps: int) -> None:
    """The arrays of the result file from those of [B, T, ...]."""
    results, given = {}, defined.results
    for entry in data["populations"]:
        name = entry["name"]
        results[f"spikes.{name}"] = (
            given[f"counts.{name}"].reshape(*given[f"counts.{name}"].shape[:2], -1).sum(-1)
        )
        results[f"train.{name}"] = np.moveaxis(given[f"train.{name}"], 0, 1)
        results[f"v.{name}"] = np.moveaxis(given[f"v.{name}"], 0, 1)
    for readout in data["readouts"]:
        name, of = readout["name"], readout.get("of")
        sums = given[f"counts.{of}"] if of else given[f"sums.{name}"]
        if readout.get("bias"):
            sums = sums + arrays[readout["bias"]].reshape(readout["shape"])
        results[f"output.{name}"] = {
            "sequence": sums if data["layout"] == "BT" else np.moveaxis(sums, 0, 1),
            "sum": sums.sum(1),
            "mean": sums.sum(1),
            "last": sums[:, -1],
            "maximum": sums.max(1),
        }[readout["over"]]
        scale = arrays[readout["scale"]] if isinstance(readout["scale"], str) else readout["scale"]
        divisor = steps if readout["over"] == "mean" else 1
        results[f"real.{name}"] = results[f"output.{name}"] * scale / divisor
    defined.results = results
