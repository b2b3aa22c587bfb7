"""Random program folders: every feature of the format, small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Entry = dict[str, Any]
SCRIPT = Path(__file__).resolve().parents[3] / "backends" / "loihi" / "program" / "run.py"


@dataclass
class Draft:
    """A network under construction: `finish` gives every layer its start and every connection its delay."""

    name: str
    rng: np.random.Generator
    timesteps: int = 20
    frame: int = 1
    layout: str = "B"
    inputs: list[Entry] = field(default_factory=list)
    populations: list[Entry] = field(default_factory=list)
    connections: list[Entry] = field(default_factory=list)
    readouts: list[Entry] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)
    x: dict[str, Any] = field(default_factory=dict)

    def input(self, shape: list[int], *, kind: str = "spike", presence: str = "sequence", rate: float = 0.4,
              samples: int = 3, ticks: int = 1) -> str:  # fmt: skip
        name = f"in{len(self.inputs)}"
        timed: list[int] = [self.timesteps] if presence == "sequence" else []
        size = [samples, *timed, *shape]
        if kind == "spike":
            x: Array = (self.rng.random(size) < rate).astype(np.float32)
        elif kind == "count":
            x = self.rng.integers(0, 4, size).astype(np.float32)
        else:
            x = self.rng.normal(size=size)
        if timed and self.layout != "BT":
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        entry = {"name": name, "shape": shape, "presence": presence, "kind": kind, "ticks": ticks, "start": 0}
        if kind == "analog":
            entry |= {"scale": 0.25, "low": -8, "high": 7}
        else:
            entry |= {"scale": 1.0, "low": 0, "high": 3 if kind == "count" else 1}
        self.inputs.append(entry)
        self.x["x" if not self.x else name] = x
        return name

    def population(self, shape: list[int], process: str = "LIFReset", *, bias: bool = False,
                   initial: bool = False, **given: Any) -> str:  # fmt: skip
        name = f"n{len(self.populations)}"
        entry = {
            "name": name,
            "shape": shape,
            "process": process,
            "window": self.frame,
            "ticks": 1,
            "du": int(self.rng.choice([4095, 4095, 2048, 700])),
            "dv": int(self.rng.choice([0, 0, 410, 1500])),
            "bias_exp": int(self.rng.choice([6, 6, 4])),
            "strict": True,
            "graded": False,
            "reset": "value",
            "v_reset": 0,
            "max_count": 1,
            "clamp_low": None,
            "clamp_high": None,
        }
        if process == "Phased":
            entry |= {"theta": 220 << 6, "rho": 220 << 6}
        else:
            entry |= {"vth": int(self.rng.integers(120, 260)), "rho": 0}
        entry |= given
        if bias:
            self.arrays[f"{name}.bias_mant"] = self.rng.integers(-30, 50, shape).astype(np.int32)
        if initial:
            self.arrays[f"{name}.v_init"] = self.rng.integers(-9000, 9000, shape).astype(np.int32)
            self.arrays[f"{name}.u_init"] = self.rng.integers(-900, 900, shape).astype(np.int32)
        self.populations.append(entry)
        return name

    def readout(self, shape: list[int], over: str = "sum", of: str | None = None) -> str:
        name = f"out{len(self.readouts)}"
        entry = {"name": name, "shape": shape, "scale": 0.125, "bias": None, "over": over, "of": of}
        if of is None:
            entry["bias"] = f"{name}.bias"
            self.arrays[f"{name}.bias"] = self.rng.integers(-9, 9, shape)
        self.readouts.append(entry)
        return name

    def end(self, name: str) -> Entry:
        (entry,) = [e for e in (*self.inputs, *self.populations, *self.readouts) if e["name"] == name]
        return entry

    def connect(self, source: str, target: str, kind: str = "dense", *, lag: int = 0, exponent: int = 0,
                **geometry: Any) -> str:  # fmt: skip
        """*lag*: timesteps, the delay of the IR."""
        name, before, after = f"c{len(self.connections)}", self.end(source), self.end(target)
        many = before.get("graded") or (before.get("kind") in ("analog", "count") and before["ticks"] == 1)
        entry = {"name": name, "source": source, "target": target, "kind": kind, "weight_exp": exponent}
        entry |= {"message_bits": 10 if many else 0, "lag": lag}
        columns, rows = int(np.prod(before["shape"])), int(np.prod(after["shape"]))
        if kind == "dense":
            self.arrays[f"{name}.weight"] = self.weights((rows, columns))
        elif kind == "sparse":
            dense = self.weights((rows, columns)) * (self.rng.random((rows, columns)) < 0.4)
            self.arrays[f"{name}.indptr"] = np.r_[0, np.cumsum((dense != 0).sum(1))].astype(np.int32)
            self.arrays[f"{name}.indices"] = np.nonzero(dense)[1].astype(np.int32)
            self.arrays[f"{name}.data"] = dense[dense != 0].astype(np.int16)
        else:
            kernel = geometry.pop("kernel")
            entry |= {"shape": before["shape"], "out": after["shape"], **geometry}
            shape = (after["shape"][0], before["shape"][0] // entry["groups"], *kernel)
            self.arrays[f"{name}.weight"] = self.weights(shape)
        self.connections.append(entry)
        return name

    def conv(self, source: str, channels: int, *, kernel: tuple[int, int] = (3, 3),
             stride: tuple[int, int] = (1, 1), padding: tuple[int, int, int, int] = (1, 1, 1, 1),
             dilation: tuple[int, int] = (1, 1), groups: int = 1, exponent: int = 0,
             process: str = "LIFReset", **neuron: Any) -> str:  # fmt: skip
        _, height, width = self.end(source)["shape"]
        top, bottom, left, right = padding
        rows = (height + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
        columns = (width + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
        target = self.population([channels, rows, columns], process, **neuron)
        self.connect(
            source, target, "conv", exponent=exponent, kernel=kernel, stride=stride, padding=padding,
            dilation=dilation, groups=groups,
        )  # fmt: skip
        return target

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Even, a little more positive than negative, so that neurons spike."""
        scale = 2.2 / np.sqrt(np.prod(shape[1:]))
        drawn = self.rng.normal(0.12 * scale, scale, shape) * 60
        return (np.clip(np.rint(drawn), -128, 127) * 2).astype(np.int16)

    def finish(self) -> Entry:
        """network.json, with the longest way to each layer as its start."""
        ends = {e["name"]: e for e in (*self.inputs, *self.populations, *self.readouts)}
        for entry in (*self.populations, *self.readouts):
            entry["start"] = 0
        for _ in ends:
            for wire in self.connections:
                if not wire["lag"]:
                    source, target = ends[wire["source"]], ends[wire["target"]]
                    start = source["start"] + source.get("window", 1)
                    target["start"] = max(target["start"], start)
        for entry in self.populations:
            entry["fire"] = entry["start"] + entry["window"] - 1
        for wire in self.connections:
            source, target = ends[wire["source"]], ends[wire["target"]]
            fire = source.get("fire", source["start"])
            wire["delay"] = target["start"] + wire.pop("lag") * self.frame - fire - 1
        lags = [wire["delay"] // self.frame for wire in self.connections]
        starts = [e["start"] + e.get("window", 1) for e in (*self.populations, *self.readouts)]
        return {
            "format": "snncc lava program",
            "version": 1,
            "name": self.name,
            "timesteps": self.timesteps,
            "frame": self.frame,
            "depth": max(starts) + max(0, *lags, 0) * self.frame,
            "layout": self.layout,
            **{key: getattr(self, key) for key in ("inputs", "populations", "connections", "readouts")},
        }

    def write(self, folder: Path) -> Path:
        """The program folder, with a copy of the script."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "network.json").write_text(json.dumps(self.finish(), indent=1))
        np.savez(folder / "weights.npz", **self.arrays)
        np.savez(folder / "x.npz", **self.x)
        shutil.copy(SCRIPT, folder / "run.py")
        return folder


def dense(draft: Draft) -> None:
    """Two layers, CUBA and IF, biases."""
    x = draft.input([9], samples=3)
    first = draft.population([12], bias=True)
    second = draft.population([8], bias=True)
    draft.connect(x, first, exponent=int(draft.rng.choice([0, 1])))
    draft.connect(first, second)
    draft.connect(second, draft.readout([4]))


def exponents(draft: Draft) -> None:
    """Negative exponents, which round each sum down."""
    x = draft.input([9], rate=0.6)
    first = draft.population([12], vth=70)
    second = draft.population([8], vth=40)
    draft.connect(x, first, exponent=-1)
    draft.connect(first, second, "sparse", exponent=-2)
    draft.connect(second, draft.readout([4], "maximum"), exponent=-1)


def conv(draft: Draft) -> None:
    """Strides, padding, dilation and groups; flattened into a dense layer."""
    draft.layout = str(draft.rng.choice(["TB", "BT"]))
    groups = int(draft.rng.choice([1, 2]))
    x = draft.input([2, 7, 6], rate=0.5)
    first = draft.conv(
        x, 4, stride=(int(draft.rng.integers(1, 3)), int(draft.rng.integers(1, 3))), groups=groups,
        padding=(1, 1, 2, 2), exponent=int(draft.rng.choice([0, 1])), bias=True,
    )  # fmt: skip
    second = draft.conv(first, 6, kernel=(2, 3), padding=(1, 1, 1, 1), groups=groups)
    third = draft.population([5], vth=500)
    draft.connect(second, third)
    draft.connect(third, draft.readout([5], "sequence"))


def uneven(draft: Draft) -> None:
    """Convolutions that Lava's Conv has not: uneven padding, a negative exponent, dilation."""
    x = draft.input([2, 6, 7], rate=0.5)
    first = draft.conv(x, 3, padding=(0, 1, 2, 0), kernel=(2, 3))
    second = draft.conv(first, 4, exponent=-1, groups=1, vth=60)
    third = draft.conv(second, 4, dilation=(2, 2), padding=(2, 2, 1, 1), groups=4)
    draft.readout(draft.end(third)["shape"], "sum", of=third)


def recurrent(draft: Draft) -> None:
    """A layer that hears itself a timestep later."""
    process = str(draft.rng.choice(["LIFHeld", "Phased"]))
    x = draft.input([8])
    first = draft.population([10], process, bias=True)
    draft.connect(x, first)
    draft.connect(first, first, lag=1)
    second = draft.population([6])
    draft.connect(first, second)
    draft.connect(second, draft.readout([3], "last"))


def stretched(draft: Draft) -> None:
    """A loop over two layers: a timestep takes two chip steps."""
    draft.frame = 2
    x = draft.input([8], rate=0.6)
    first = draft.population([10], "LIFHeld", window=1)
    second = draft.population([7], "Phased", window=1, reset="subtract", bias=True)
    draft.connect(x, first)
    draft.connect(first, second)
    draft.connect(second, first, lag=1)
    draft.connect(second, draft.readout([3]))


def skip(draft: Draft) -> None:
    """A skip past one layer and one past two, matched by delays; dense, sparse and convolutional."""
    x = draft.input([2, 5, 4], rate=0.5)
    first = draft.conv(x, 3)
    second = draft.conv(first, 3)
    third = draft.conv(second, 3)
    draft.connect(first, third, "conv", kernel=(1, 1), stride=(1, 1), padding=(0, 0, 0, 0),
                  dilation=(1, 1), groups=1)  # fmt: skip
    draft.connect(x, third, "sparse")
    out = draft.readout([4])
    draft.connect(third, out)
    draft.connect(first, out, "dense", exponent=-1)


def pooled(draft: Draft) -> None:
    """Sums of 2 x 2 as a sparse matrix."""
    x = draft.input([2, 6, 6], rate=0.5)
    first = draft.conv(x, 4)
    second = draft.population([4, 3, 3], vth=60)
    wire = draft.connect(first, second, "sparse")
    address = np.arange(4 * 36).reshape(4, 3, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4)
    draft.arrays[f"{wire}.indices"] = address.ravel().astype(np.int32)
    draft.arrays[f"{wire}.indptr"] = np.arange(0, 4 * 36 + 1, 4, dtype=np.int32)
    draft.arrays[f"{wire}.data"] = np.full(4 * 36, 50, np.int16)
    third = draft.population([5])
    draft.connect(second, third)
    draft.connect(third, draft.readout([5], "mean"))


def subtractive(draft: Draft) -> None:
    """Subtractive reset with initial states and clamps."""
    x = draft.input([9], kind="analog", presence="constant")
    strict = bool(draft.rng.integers(2))
    first = draft.population([2, 3, 2], "Phased", reset="subtract", initial=True, bias=True, strict=strict,
                             clamp_low=-20000)  # fmt: skip
    second = draft.population([8], "Phased", reset="subtract", strict=not strict, theta="n1.theta",
                              rho="n1.theta", clamp_high=30000)  # fmt: skip
    draft.arrays["n1.theta"] = draft.rng.integers(5000, 16000, 8)
    draft.connect(x, first)
    draft.connect(first, second)
    draft.connect(second, draft.readout([4]))


def hard(draft: Draft) -> None:
    """Hard reset with initial states, and a stock layer behind; an input that comes once."""
    x = draft.input([9], kind="analog", presence="first")
    first = draft.population([10], "LIFHeld", initial=True, bias=True, dv=200, vth=150)
    second = draft.population([8], vth=90)
    third = draft.population([6], "Phased", reset="value", v_reset=-640, theta=5000, rho=1)
    draft.connect(x, first)
    draft.connect(first, second)
    draft.connect(second, third, exponent=1)
    draft.readout([6], "sequence", of=third)


def graded(draft: Draft) -> None:
    """Counts as numbers, sparse and through a convolution; two inputs."""
    x = draft.input([2, 5, 5], kind="count", presence="constant")
    first = draft.conv(x, 3, process="Phased", graded=True, max_count=None, reset="subtract", theta=9000,
                       rho=9000)  # fmt: skip
    second = draft.conv(first, 2, process="Phased", graded=True, max_count=50, reset="none",
                        theta=15000, rho=5000, dv=2000)  # fmt: skip
    draft.connect(second, draft.readout([5]), "sparse")


def two_inputs(draft: Draft) -> None:
    """An image that stays and spikes that come."""
    image = draft.input([6], kind="analog", presence="constant")
    spikes = draft.input([5])
    draft.x = {"in0": draft.x["x"], "in1": draft.x["in1"]}
    first = draft.population([8])
    draft.connect(image, first)
    draft.connect(spikes, first)
    draft.connect(first, draft.readout([3], "sequence"))


def phased(draft: Draft) -> None:
    """SFA: up to four spikes in a frame of four chip steps."""
    draft.frame = 4
    kind = str(draft.rng.choice(["count", "analog"]))
    x = draft.input([2, 5, 5], kind=kind, presence="constant", ticks=4 if kind == "count" else 1)
    common: Entry = {"ticks": 4, "max_count": 4, "reset": "subtract", "strict": False, "du": 4095, "dv": 0}
    first = draft.conv(x, 3, process="Phased", initial=True, **common)
    second = draft.population([9], "Phased", bias=True, **common)
    draft.connect(first, second, "sparse")
    draft.connect(first, first, lag=1, exponent=-2)
    third = draft.population([6], "Phased", **common)
    draft.connect(second, third)
    draft.connect(second, draft.readout([4]))
    draft.readout([6], "mean", of=third)


def fresh(draft: Draft) -> None:
    """Lava's LIF without any reset: one sample."""
    x = draft.input([9], samples=1, presence="sequence")
    first = draft.population([12], "LIF")
    second = draft.population([6], "LIF")
    draft.connect(x, first)
    draft.connect(first, second)
    draft.connect(second, draft.readout([4]))


def late(draft: Draft) -> None:
    """Delays of the model itself: timesteps, forwards, backwards and to the output."""
    draft.frame = int(draft.rng.choice([1, 2]))
    x = draft.input([2, 4, 4], rate=0.5)
    first = draft.conv(x, 3, process="LIFHeld", initial=True)
    second = draft.population([8], "Phased", bias=True)
    draft.connect(first, second, lag=2)
    draft.connect(first, second, "sparse")
    draft.connect(second, second, lag=3)
    draft.connect(second, first, "sparse", lag=2, exponent=-1)
    out = draft.readout([4], "sequence")
    draft.connect(second, out)
    draft.connect(first, out, lag=1)


FAMILIES: tuple[Callable[[Draft], None], ...] = (
    dense, exponents, conv, uneven, recurrent, stretched, skip, pooled, subtractive, hard, graded, two_inputs,
    phased, fresh, late,
)  # fmt: skip


def draw(number: int, timesteps: int = 20) -> Draft:
    """Network *number*: its family, its weights and its samples follow from it."""
    family = FAMILIES[number % len(FAMILIES)]
    draft = Draft(f"{family.__name__}-{number}", np.random.default_rng([number, 2024]), timesteps)
    family(draft)
    return draft
