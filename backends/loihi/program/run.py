#!/usr/bin/env -S uv run --script
# /// script
# requires-python = "==3.10.*"
# dependencies = ["lava-nc==0.10.0"]
# ///
"""Run the network of this folder (network.json, weights.npz) on Lava, Loihi's software.

    uv run run.py x.npz -o result.npz

Every layer is a process of Lava. A spike takes one chip step for every synapse, so each layer works
on a sample a little later than the layer before it, from its `start`; README.md has the format.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.machinery
import importlib.util
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Every process of Lava is one of the system: threads of BLAS would only be in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

INSTALL = "start it with `uv run run.py`, or in a Python 3.10 with `pip install lava-nc==0.10.0`"

try:
    import numpy as np
    from numpy.typing import NDArray
    from scipy import sparse
except ModuleNotFoundError as missing:
    raise SystemExit(f"error: {missing.name} is not installed: {INSTALL}") from None

FORMAT, VERSION = "snncc lava program", 1
LIMIT = 2**23 - 1  # of u and v: 24 bits
MOST_SOCKET = 107 if sys.platform == "linux" else 103  # bytes of its path
STOCK = ("LIF", "LIFReset")  # updated in every chip step, also outside of a sample
OWN = ("LIFHeld", "Phased")

Entry = dict[str, Any]
Array = NDArray[Any]


class ProgramError(Exception):
    """What a user can put right; printed without a traceback."""


# ---- the folder ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """network.json and weights.npz; shapes and addresses are those of C-order [C, H, W]."""

    name: str
    timesteps: int
    frame: int
    depth: int
    layout: str
    inputs: list[Entry]
    populations: list[Entry]
    connections: list[Entry]
    readouts: list[Entry]
    arrays: Mapping[str, Array]

    def value(self, value: Any) -> Any:
        """A number, or the array that a string names."""
        return self.arrays[value] if isinstance(value, str) else value

    def array(self, entry: Entry, field: str) -> Array | None:
        """The array `<name>.<field>`, if there is one."""
        return self.arrays.get(f"{entry['name']}.{field}")

    def sources(self) -> dict[str, Entry]:
        """What spikes are sent by: inputs and populations, by name."""
        return {entry["name"]: entry for entry in (*self.inputs, *self.populations)}

    def targets(self) -> dict[str, Entry]:
        """What spikes are sent to: populations and readouts, by name."""
        return {entry["name"]: entry for entry in (*self.populations, *self.readouts)}


def read_network(folder: Path) -> Network:
    """The network in *folder*, checked."""
    try:
        data = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProgramError(f"{folder}: there is no network.json: is run.py still in its folder?") from None
    except ValueError as error:
        raise ProgramError(f"{folder / 'network.json'}: not JSON: {error}") from None
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ProgramError(f"{folder / 'network.json'}: not a {FORMAT!r} of version {VERSION}")
    arrays = read_arrays(folder / "weights.npz")
    try:
        fields = {name: data[name] for name in Network.__dataclass_fields__ if name != "arrays"}
        network = Network(**fields, arrays=arrays)
        check(network)
    except KeyError as error:
        raise ProgramError(f"{folder}: {error.args[0]!r} is missing") from None
    return network


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ProgramError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ProgramError(f"{path}: not an .npz file of numbers ({error})") from None


def check(network: Network) -> None:
    """Raise `ProgramError` for what would not be computed as it is meant."""
    for population in network.populations:
        check_population(network, population)
    for readout in network.readouts:
        if not readout.get("of") and readout["start"] > network.depth:
            raise ProgramError(f"{readout['name']}: starts after the {network.depth} extra steps of a sample")
    for connection in network.connections:
        check_weights(connection, stored_weights(network, connection))
        check_messages(network, connection)
        check_timing(network, connection)


def check_population(network: Network, population: Entry) -> None:
    """Raise `ProgramError` for parameters that Lava or the timing does not have."""
    name, process = population["name"], population["process"]
    if process not in STOCK + OWN:
        raise ProgramError(f"{name}: there is no process {process!r}")
    window, frame, ticks = (population.get("window", 1), network.frame, population.get("ticks", 1))
    if not (1 <= window <= frame and 1 <= ticks <= frame):
        raise ProgramError(f"{name}: a window of {window} and {ticks} ticks in a frame of {frame} steps")
    if population["fire"] != population["start"] + window - 1:
        raise ProgramError(f"{name}: fires at {population['fire']}, but its window ends elsewhere")
    if not (0 <= population["du"] <= 4095 and 0 <= population["dv"] <= 4096):
        raise ProgramError(f"{name}: du is 0 to 4095 and dv 0 to 4096")
    if population["fire"] > network.depth:
        raise ProgramError(f"{name}: fires after the {network.depth} extra steps of a sample")
    if process == "Phased":
        check_counts(population)
        return
    bias = network.array(population, "bias_mant")
    if bias is not None and not -4096 <= bias.min() <= bias.max() <= 4095:
        raise ProgramError(f"{name}: mantissas of the bias are -4096 to 4095")
    if not 0 <= population["vth"] < 2**17 or not 0 <= population["bias_exp"] <= 7:
        raise ProgramError(f"{name}: vth has 17 bits and bias_exp 3")
    if process in STOCK:
        check_stock(network, population)


def check_counts(population: Entry) -> None:
    """Raise `ProgramError` where a neuron may fire more often than it can say."""
    name, most, ticks = population["name"], population["max_count"], population.get("ticks", 1)
    if population.get("graded") and ticks != 1:
        raise ProgramError(f"{name}: a number is sent in one tick, not in {ticks}")
    if not population.get("graded") and (most is None or most > ticks):
        raise ProgramError(f"{name}: up to {most or 'any number of'} spikes in {ticks} ticks")
    if population["reset"] not in ("value", "subtract", "none"):
        raise ProgramError(f"{name}: there is no reset {population['reset']!r}")


def check_stock(network: Network, population: Entry) -> None:
    """Raise `ProgramError` where Lava's own LIF would not keep to samples."""
    name = population["name"]
    if network.frame != 1:
        raise ProgramError(f"{name}: Lava's LIF updates in each of the {network.frame} steps of a frame")
    first = [network.array(population, field) for field in ("u_init", "v_init")]
    started = any(array is not None and array.any() for array in first)
    if population["process"] == "LIFReset" and started:
        raise ProgramError(f"{name}: Lava's LIFReset starts at zero; LIFHeld has an initial state")
    bias = network.array(population, "bias_mant")
    biased = bias is not None and bool(bias.any())
    if population["process"] == "LIF" and population["start"] > 0 and (started or biased):
        raise ProgramError(f"{name}: Lava's LIF would work before its start; LIFReset and LIFHeld do not")


def stored_weights(network: Network, connection: Entry) -> Array:
    """The weights of a connection, in any order."""
    field = "data" if connection["kind"] == "sparse" else "weight"
    return network.arrays[f"{connection['name']}.{field}"]


def check_weights(connection: Entry, weights: Array) -> None:
    """Raise `ProgramError` for weights that Lava would change: it has even ones of -256 to 254."""
    name = connection["name"]
    if weights.dtype.kind not in "iu":
        raise ProgramError(f"{name}: weights are {weights.dtype}, not integers")
    if weights.size and (weights.min() < -256 or weights.max() > 254 or (weights % 2).any()):
        raise ProgramError(f"{name}: Lava would change weights: they must be even and from -256 to 254")
    if not -8 <= connection["weight_exp"] <= 7:
        raise ProgramError(f"{name}: weight_exp is {connection['weight_exp']}, not -8 to 7")
    if not 0 <= connection["delay"] <= 63:
        raise ProgramError(f"{name}: a delay of {connection['delay']}: Lava has up to 63 extra steps")


def check_messages(network: Network, connection: Entry) -> None:
    """Raise `ProgramError` where a number would be taken for a spike, or is wider than its message."""
    source, have = network.sources()[connection["source"]], connection["message_bits"]
    if not sends_numbers(source):
        return
    if not have:
        raise ProgramError(f"{connection['name']}: {source['name']} sends numbers: message_bits is needed")
    need = number_bits(network, source)
    if need > have:
        name = connection["name"]
        raise ProgramError(f"{name}: {source['name']} sends numbers of {need} bits, message_bits is {have}")


def sends_numbers(source: Entry) -> bool:
    """Whether messages of *source* are numbers: of a spike there is but one."""
    if "process" in source:
        return bool(source.get("graded", False))
    return source["kind"] in ("analog", "count") and source.get("ticks", 1) == 1


def number_bits(network: Network, source: Entry) -> int:
    """Bits of the largest number that *source* can send, with the sign where one is negative.

    An input without `high` can send what its messages hold: `quantized` sees to it.
    """
    if "process" not in source:
        low, high = int(source.get("low") or 0), int(source.get("high") or 1)
        return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)
    if source["max_count"] is not None:
        return int(source["max_count"]).bit_length()
    theta, rho = (int(np.min(network.value(source[key]))) for key in ("theta", "rho"))
    if rho < 1:
        raise ProgramError(f"{source['name']}: rho is {rho} and max_count null: nothing bounds its numbers")
    return max(0, (LIMIT - theta) // rho + 1).bit_length()


def check_timing(network: Network, connection: Entry) -> None:
    """Raise `ProgramError` where messages miss their window or reach the next sample."""
    source, target = network.sources()[connection["source"]], network.targets()[connection["target"]]
    frame, window = network.frame, target.get("window", network.frame)
    fire = source["fire"] if "fire" in source else source["start"]
    first = fire + 1 + connection["delay"] - target["start"]
    lag, last = first // frame, first % frame + source.get("ticks", 1) - 1
    if lag < 0 or last >= window:
        raise ProgramError(f"{connection['name']}: spikes arrive outside of the window of {target['name']}")
    if (lag - 1) * frame + last >= network.depth:
        raise ProgramError(f"{connection['name']}: spikes reach the next sample: depth is too small")
    if lag and source.get("process") in STOCK:
        raise ProgramError(f"{connection['name']}: {source['name']} must be LIFHeld, or samples would mix")


# ---- samples in, results out -----------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What is run: *steps* are the chip steps of a sample."""

    samples: int
    timesteps: int
    steps: int
    frame: int


@dataclass(frozen=True)
class Clock:
    """The chip steps of one process, counted from 0 over all samples."""

    job: Job
    start: int
    window: int

    def receives(self, step: int) -> tuple[int, int, int] | None:
        """Sample, timestep and step of its frame whose input arrives at *step*."""
        sample, local = divmod(step - self.start, self.job.steps)
        if not 0 <= sample < self.job.samples or local >= self.job.timesteps * self.job.frame:
            return None
        return (sample, *divmod(local, self.job.frame))

    def sends(self, step: int) -> tuple[int, int, int] | None:
        """Sample, timestep and tick of what leaves at *step*."""
        return self.receives(step - self.window + 1)


def whc(shape: Sequence[int]) -> tuple[int, ...]:
    """Lava's order of a shape: (W, H, C)."""
    return tuple(reversed(shape))


def addresses(shape: Sequence[int]) -> NDArray[np.int64]:
    """The address in C-order of *shape* of each address in Lava's order.

    >>> addresses((1, 2, 3)).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    return np.arange(int(np.prod(shape))).reshape(shape).transpose().ravel()


def quantized(network: Network, entry: Entry, x: Array) -> NDArray[np.int64]:
    """The integers that an input sends for the real values *x*, which end in its shape."""
    if x.dtype.kind not in "biuf":
        raise ProgramError(f"{entry['name']}: values of type {x.dtype} are no numbers")
    values = x.astype(np.float64)
    if not np.isfinite(values).all():
        raise ProgramError(f"{entry['name']}: values are not finite")
    if entry["kind"] == "analog":
        levels = np.rint(values / network.value(entry["scale"]))
        return np.clip(levels, entry.get("low"), entry.get("high")).astype(np.int64)
    high = 1 if entry["kind"] == "spike" else most_sent(network, entry)
    if (values != np.floor(values)).any() or (values < 0).any():
        raise ProgramError(f"{entry['name']}: {entry['kind']}s must be whole numbers, 0 or more")
    if high is not None and (values > high).any():
        raise ProgramError(f"{entry['name']}: {entry['kind']}s are at most {high}")
    return values.astype(np.int64)


def most_sent(network: Network, entry: Entry) -> int | None:
    """The largest count that an input may send; None: it goes nowhere."""
    if entry.get("high") is not None:
        return int(entry["high"])
    bits = [c["message_bits"] for c in network.connections if c["source"] == entry["name"]]
    return 2 ** min(bits) - 1 if bits else None


def sample_major(entry: Entry, layout: str, x: Array) -> Array:
    """*x* as [B, T or 1, *shape]."""
    shape, timed = tuple(entry["shape"]), entry["presence"] == "sequence"
    axes = {"TB": "[T, B, ", "BT": "[B, T, "}.get(layout, "[T, B, ") if timed else "[B, "
    if x.ndim != len(shape) + 1 + timed or x.shape[1 + timed :] != shape:
        wanted = axes + ", ".join(map(str, shape)) + "]"
        raise ProgramError(f"{entry['name']}: an array of shape {list(x.shape)}, not {wanted}")
    if not timed:
        return x[:, None]
    return x if layout == "BT" else x.swapaxes(0, 1)


def encoded(network: Network, arrays: Mapping[str, Array], limit: int | None) -> list[Array]:
    """The integers that each input sends, [B, T or 1, *shape]; *limit*: of samples."""
    found = []
    for entry in network.inputs:
        name = entry["name"] if entry["name"] in arrays else "x"
        if name not in arrays or (name == "x" and len(network.inputs) > 1):
            raise ProgramError(f"the input file has no array {entry['name']!r}")
        found.append(sample_major(entry, network.layout, arrays[name])[:limit])
    if len({x.shape[0] for x in found}) != 1:
        raise ProgramError("the inputs have different numbers of samples")
    if not found[0].shape[0]:
        raise ProgramError("there are no samples")
    return [quantized(network, entry, x) for entry, x in zip(network.inputs, found, strict=True)]


def job_for(network: Network, inputs: Sequence[Array], timesteps: int | None) -> Job:
    """How long *inputs* run: a sequence as long as it is, or its first *timesteps*."""
    free = [population["name"] for population in network.populations if population["process"] == "LIF"]
    if free and inputs[0].shape[0] > 1:
        raise ProgramError(f"{free[0]}: Lava's LIF is never reset: run one sample, with --samples 1")
    timed = [entry["presence"] == "sequence" for entry in network.inputs]
    lengths = {x.shape[1] for x, is_timed in zip(inputs, timed, strict=True) if is_timed}
    if len(lengths) > 1:
        raise ProgramError("the inputs have different numbers of timesteps")
    wanted = timesteps or (min(lengths) if lengths else network.timesteps)
    if wanted < 1 or (lengths and wanted > min(lengths)):
        have = f"the input has {min(lengths)}" if lengths else "it must be 1 or more"
        raise ProgramError(f"{wanted} timesteps: {have}")
    steps = wanted * network.frame + network.depth
    return Job(inputs[0].shape[0], wanted, steps, network.frame)


def unfolded(values: Array, shape: Sequence[int]) -> Array:
    """*values* [..., addresses of Lava] as [..., *shape]."""
    axes = len(shape)
    grid = values.reshape(*values.shape[:-1], *whc(shape))
    return grid.transpose(*range(grid.ndim - axes), *range(grid.ndim - 1, grid.ndim - axes - 1, -1))


def reduced(readout: Entry, sums: Array) -> tuple[Array, int]:
    """The integers of an output from those of all timesteps [B, T, ...], and what they are divided by."""
    over = readout["over"]
    if over == "sequence":
        return sums, 1
    if over in ("sum", "mean"):
        return sums.sum(axis=1), sums.shape[1] if over == "mean" else 1
    if over in ("last", "maximum"):
        return (sums[:, -1] if over == "last" else sums.max(axis=1)), 1
    raise ProgramError(f"{readout['name']}: there is no {over!r} over timesteps")


def output(network: Network, readout: Entry, sums: Array) -> tuple[Array, Array]:
    """Integers and real values of an output, from what arrived [B, T, *shape], in the network's layout."""
    sums = sums << readout.get("shift", 0)
    if readout.get("bias"):
        sums = sums + network.arrays[readout["bias"]].reshape(readout["shape"])
    integers, divisor = reduced(readout, sums)
    if readout["over"] == "sequence" and network.layout != "BT":
        integers = integers.swapaxes(0, 1)
    integers = np.ascontiguousarray(integers, dtype=np.int64)
    return integers, integers / divisor * network.value(readout["scale"])


# ---- connections -----------------------------------------------------------------------------------


def convolution_matrix(connection: Entry, weight: Array) -> sparse.csr_matrix:
    """A convolution as a matrix [targets, sources] over addresses in C-order."""
    (channels, height, width), (_, rows, columns) = connection["shape"], connection["out"]
    (sy, sx), (dy, dx) = connection["stride"], connection["dilation"]
    top, _, left, _ = connection["padding"]
    outputs, inner, kh, kw = weight.shape
    o, i, y, x, r, c = np.ogrid[:outputs, :inner, :kh, :kw, :rows, :columns]
    source = o // (outputs // connection["groups"]) * inner + i
    row, column = r * sy - top + y * dy, c * sx - left + x * dx
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside, weights, source, target = np.broadcast_arrays(
        inside,
        weight[..., None, None],
        (source * height + row) * width + column,
        (o * rows + r) * columns + c,
    )
    kept = inside & (weights != 0)
    places = (target[kept], source[kept])
    size = (outputs * rows * columns, channels * height * width)
    return sparse.csr_matrix((weights[kept].astype(np.int32), places), shape=size)


def is_plain_convolution(connection: Entry) -> bool:
    """Whether Lava's Conv can do it: no delay, equal padding on both sides, no negative exponent."""
    if connection["kind"] != "conv" or connection["delay"] or connection["weight_exp"] < 0:
        return False
    top, bottom, left, right = connection["padding"]
    (_, height, width), (_, rows, columns) = connection["shape"], connection["out"]
    (sy, sx), (dy, dx) = connection["stride"], connection["dilation"]
    kh, kw = connection["kernel"]
    fits = (height + 2 * top - dy * (kh - 1) - 1) // sy + 1 == rows and (
        width + 2 * left - dx * (kw - 1) - 1
    ) // sx + 1 == columns
    return (top, left) == (bottom, right) and fits


def matrix(network: Network, connection: Entry) -> Array | sparse.csr_matrix:
    """The weights [targets, sources] of a connection over Lava's addresses."""
    name, arrays = connection["name"], network.arrays
    source, target = network.sources()[connection["source"]], network.targets()[connection["target"]]
    columns, rows = addresses(source["shape"]), addresses(target["shape"])
    if connection["kind"] == "dense":
        found = arrays[f"{name}.weight"].astype(np.int32)
    elif connection["kind"] == "conv":
        found = convolution_matrix(connection, arrays[f"{name}.weight"])
    else:
        parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        found = sparse.csr_matrix(parts, shape=(rows.size, columns.size)).astype(np.int32)
    if found.shape != (rows.size, columns.size):
        raise ProgramError(f"{name}: weights {found.shape} between {columns.size} and {rows.size} neurons")
    return found[rows][:, columns]


# ---- processes of Lava: defined only when one runs -------------------------------------------------


MODULE = "network_processes"


def registered(*classes: type) -> None:
    """Put *classes* into a module of their own.

    Lava's compiler imports, and so executes, every file beside the one that defines a process. The
    module says that it lies in an empty folder, so the user's files beside this one are left alone.
    """
    module = sys.modules.get(MODULE)
    if module is None:
        module = sys.modules[MODULE] = types.ModuleType(MODULE)
        module.__spec__ = importlib.machinery.ModuleSpec(MODULE, None)
        module.__file__ = os.path.join(tempfile.mkdtemp(prefix="lava-"), "none.py")
        os.rmdir(os.path.dirname(module.__file__))
    for one in classes:
        one.__module__ = MODULE
        setattr(module, one.__name__, one)


def model_of(process: Any) -> Callable[[Any], Any]:
    """Decorate a class as the model of *process*: on the CPU, in integers."""
    from lava.magma.core.decorator import implements, requires, tag
    from lava.magma.core.resources import CPU
    from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

    def decorate(model: Any) -> Any:
        model.implements_process = None  # that of the class it is derived from
        return implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("fixed_pt")(model)))

    return decorate


class Record:
    """Files of results, which the process of the system that computes them writes to.

    *paths* of "count" [B, T], "train" [B, T, ticks, N], "v" [B, T, N] and "sum" [B, T, N].
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.files = {kind: np.lib.format.open_memmap(path, mode="r+") for kind, path in paths.items()}

    def sent(self, place: tuple[int, int, int], message: Array) -> None:
        """Note the *message* of a tick."""
        sample, timestep, tick = place
        if "count" in self.files:
            self.files["count"][sample, timestep] += int(message.sum())
        if "train" in self.files and tick < self.files["train"].shape[2]:
            self.files["train"][sample, timestep, tick] = message.ravel()

    def updated(self, place: tuple[int, int, int], v: Array) -> None:
        """Note the potential *v* after the update of a timestep."""
        if "v" in self.files:
            self.files["v"][place[:2]] = v.ravel()

    def arrived(self, place: tuple[int, int, int], message: Array) -> None:
        """Add up what reaches a readout."""
        self.files["sum"][place[:2]] += message.ravel()


@cache
def stimulus_process() -> Any:
    """The process that sends an input from a file of integers [B, T or 1, N]."""
    from lava.magma.core.model.py.model import PyLoihiProcessModel
    from lava.magma.core.model.py.ports import PyOutPort
    from lava.magma.core.model.py.type import LavaPyType
    from lava.magma.core.process.ports.ports import OutPort
    from lava.magma.core.process.process import AbstractProcess

    class Stimulus(AbstractProcess):
        def __init__(self, *, shape: tuple[int, ...], **settings: Any) -> None:
            super().__init__(shape=shape, **settings)
            self.s_out = OutPort(shape=shape)

    @model_of(Stimulus)
    class StimulusModel(PyLoihiProcessModel):
        s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.clock, self.presence = settings["clock"], settings["presence"]
            self.ticks, self.shape = settings["ticks"], settings["shape"]
            self.data = np.load(settings["path"], mmap_mode="r")

        def run_spk(self) -> None:
            self.s_out.send(self.message(self.clock.sends(self.time_step - 1)))

        def message(self, place: tuple[int, int, int] | None) -> Array:
            if place is None or place[2] >= self.ticks or (self.presence == "first" and place[1] > 0):
                return np.zeros(self.shape, np.int32)
            sample, timestep, tick = place
            values = self.data[sample, timestep if self.presence == "sequence" else 0].reshape(self.shape)
            return (values > tick).astype(np.int32) if self.ticks > 1 else values.astype(np.int32)

    registered(Stimulus, StimulusModel)
    return Stimulus


@cache
def sink_process() -> Any:
    """The process that adds up what arrives in each timestep: a readout."""
    from lava.magma.core.model.py.model import PyLoihiProcessModel
    from lava.magma.core.model.py.ports import PyInPort
    from lava.magma.core.model.py.type import LavaPyType
    from lava.magma.core.process.ports.ports import InPort
    from lava.magma.core.process.process import AbstractProcess

    class Sink(AbstractProcess):
        def __init__(self, *, shape: tuple[int, ...], **settings: Any) -> None:
            super().__init__(shape=shape, **settings)
            self.a_in = InPort(shape=shape)

    @model_of(Sink)
    class SinkModel(PyLoihiProcessModel):
        a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)

        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.clock, self.record = settings["clock"], Record(settings["paths"])

        def run_spk(self) -> None:
            message, place = self.a_in.recv(), self.clock.receives(self.time_step - 1)
            if place is not None:
                self.record.arrived(place, message)

    registered(Sink, SinkModel)
    return Sink


def observed(model: Any) -> Any:
    """Lava's own *model* of LIF or LIFReset, which also notes spikes and potentials."""

    class Observed(model):
        def reset_voltage(self, spike_vector: Array) -> None:
            super().reset_voltage(spike_vector)
            if self.time_step == 1:
                self.record = Record(self.proc_params["paths"])
            place = self.proc_params["clock"].receives(self.time_step - 1)
            if place is not None:
                self.record.sent(place, spike_vector)
                self.record.updated(place, self.v)

    return Observed


@cache
def held_process() -> Any:
    """LIF with Lava's arithmetic, which starts each sample afresh and rests outside of its timesteps."""
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.proc.lif.process import LIF

    class LIFHeld(LIF):
        pass

    @model_of(LIFHeld)
    class LIFHeldModel(PyLifModelBitAcc):
        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.clock, self.record = settings["clock"], Record(settings["paths"])
            self.ticks, self.forgets = settings["ticks"], False

        def first_step(self) -> None:
            self.scale_bias()
            self.scale_threshold()
            self.initial = (self.u.copy(), self.v.copy())
            self.arrived = np.zeros(self.u.shape, np.int32)
            self.fired = np.zeros(self.u.shape, np.int32)

        def run_spk(self) -> None:
            if self.time_step == 1:
                self.first_step()
            activation = self.a_in.recv()
            place = self.clock.receives(self.time_step - 1)
            if place is not None:
                self.receive(place, activation)
            place = self.clock.sends(self.time_step - 1)
            message = self.message(place)
            if place is not None:
                self.record.sent(place, message)
            self.s_out.send(message)

        def receive(self, place: tuple[int, int, int], activation: Array) -> None:
            _, timestep, step = place
            if step == 0 and (timestep == 0 or self.forgets):
                self.u[:], self.v[:] = self.initial
            self.arrived = self.arrived * (step > 0) + activation * (step < self.clock.window)
            if step == self.clock.window - 1:
                self.subthr_dynamics(activation_in=self.arrived)
                self.fired = self.spiking_activation().astype(np.int32)
                self.reset_voltage(spike_vector=self.fired > 0)
                self.record.updated(place, self.v)

        def message(self, place: tuple[int, int, int] | None) -> Array:
            if place is None or place[2] >= self.ticks:
                return np.zeros_like(self.fired)
            return (self.fired > place[2]).astype(np.int32)

    registered(LIFHeld, LIFHeldModel)
    return LIFHeld


@cache
def phased_process() -> Any:
    """Neurons with several thresholds and other resets: a CPU model, silicon needs microcode."""
    from lava.magma.core.model.py.type import LavaPyType

    held: Any = held_process()
    held_model: Any = vars(sys.modules[MODULE])["LIFHeldModel"]

    class Phased(held):
        pass

    @model_of(Phased)
    class PhasedModel(held_model):
        bias_mant = LavaPyType(np.ndarray, np.int32)

        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.neuron = settings["neuron"]
            self.forgets = self.neuron["stateless"]

        def spiking_activation(self) -> Array:
            return thresholds_passed(self.neuron, self.v)

        def reset_voltage(self, spike_vector: Array) -> None:
            self.v[:] = after_reset(self.neuron, self.v, self.fired)

        def message(self, place: tuple[int, int, int] | None) -> Array:
            if self.neuron["graded"] and place is not None:
                return self.fired if place[2] == 0 else np.zeros_like(self.fired)
            return super().message(place)

    registered(Phased, PhasedModel)
    return Phased


def thresholds_passed(neuron: Entry, v: Array) -> Array:
    """How many of the *steps*, or thresholds theta + (j - 1) rho, j = 1 to max_count, *v* has passed."""
    if neuron["steps"] is not None:
        passes = np.greater if neuron["strict"] else np.greater_equal
        return np.stack([passes(v, step) for step in neuron["steps"]]).sum(axis=0, dtype=np.int32)
    above = v.astype(np.int64) - neuron["theta"]
    if neuron["strict"]:
        above = above - 1
    if neuron["max_count"] == 1:
        return (above >= 0).astype(np.int32)
    passed = np.where(above >= 0, above // neuron["rho"] + 1, 0)
    return np.clip(passed, 0, neuron["max_count"]).astype(np.int32)


def after_reset(neuron: Entry, v: Array, fired: Array) -> Array:
    """The potential of neurons of which *fired* thresholds were passed."""
    if neuron["reset"] == "value":
        v = np.where(fired > 0, neuron["v_reset"], v)
    elif neuron["reset"] == "subtract":
        v = v - fired * neuron["rho"]
    if neuron["clamp_low"] is None and neuron["clamp_high"] is None:
        return v
    return np.clip(v, neuron["clamp_low"], neuron["clamp_high"])


def fast_convolution() -> Any:
    """Lava's convolution with one product of matrices in place of loops: the same integers."""
    from lava.proc.conv.models import PyConvModelFixed

    class FastConv(PyConvModelFixed):
        def prepare(self) -> None:
            outputs, kx, ky, inner = self.weight.shape
            groups = self.proc_params["input_shape"][-1] // inner
            flipped = self.weight[:, ::-1, ::-1].reshape(groups, outputs // groups, kx, ky, inner)
            columns = flipped.transpose(0, 4, 2, 3, 1).reshape(groups, inner * kx * ky, -1)
            self.columns = np.ascontiguousarray(columns, dtype=np.float64)
            self.extent = tuple(int(d) * (k - 1) + 1 for d, k in zip(self.dilation, (kx, ky), strict=True))
            px, py = (int(p) for p in self.padding)
            width, height, channels = self.proc_params["input_shape"]
            self.padded = np.zeros((width + 2 * px, height + 2 * py, channels))
            self.whole = self.a_buf.shape
            self.inside = self.padded[px : px + width, py : py + height]
            self.graded = self.num_message_bits.item() > 0

        def run_spk(self) -> None:
            self.a_out.send(self.a_buf)
            if self.time_step == 1:
                self.prepare()
            arrived = self.s_in.recv()
            self.inside[:] = arrived if self.graded else arrived.astype(bool)
            self.a_buf: Array = self.clamp_precision(self.product().astype(np.int32))

        def product(self) -> Array:
            (sx, sy), (dx, dy) = self.stride.tolist(), self.dilation.tolist()
            windows = np.lib.stride_tricks.sliding_window_view(self.padded, self.extent, axis=(0, 1))
            windows = windows[::sx, ::sy, :, ::dx, ::dy]
            places, groups = windows.shape[0] * windows.shape[1], self.columns.shape[0]
            rows = windows.reshape(places, groups, -1).swapaxes(0, 1)
            return (rows @ self.columns).swapaxes(0, 1).reshape(self.whole)

    return FastConv


def fast_sparse(model: Any) -> Any:
    """Lava's *model* of Sparse, with one product where it would pick columns: the same integers."""

    class FastSparse(model):
        def run_spk(self) -> None:
            if self.time_step == 1:
                self.num_message_bits[:] = 8  # where 0 was given, nothing but 0 and 1 arrives
            super().run_spk()

    return FastSparse


def fast_delay(model: Any) -> Any:
    """Lava's *model* of a delayed connection where all delays are equal: the same integers."""

    class FastDelay(model):
        def calc_act(self, s_in: Array) -> Array:
            found = np.zeros((self.weights.shape[0], self.a_buff.shape[1]), np.int32)
            found[:, -1] = self.weights.dot(s_in.astype(np.int32))
            return found

    return FastDelay


# ---- the network as processes ----------------------------------------------------------------------


def conv_process(network: Network, connection: Entry) -> Any:
    """A convolution as Lava's Conv, which ignores weight exponents and flips kernels."""
    from lava.proc.conv.process import Conv

    weight = network.arrays[f"{connection['name']}.weight"].astype(np.int32)
    top, _, left, _ = connection["padding"]
    return Conv(
        weight=(weight << connection["weight_exp"])[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        input_shape=whc(connection["shape"]),
        padding=(left, top),
        stride=tuple(reversed(connection["stride"])),
        dilation=tuple(reversed(connection["dilation"])),
        groups=connection["groups"],
        num_message_bits=connection["message_bits"],
    )


def matrix_process(network: Network, connection: Entry) -> Any:
    """A connection as Lava's Dense or Sparse, or these with delays."""
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode

    weights, delay = matrix(network, connection), connection["delay"]
    settings = {
        "weights": weights,
        "weight_exp": connection["weight_exp"],
        "num_weight_bits": 8,
        "sign_mode": SignMode.MIXED,
        "num_message_bits": connection["message_bits"],
    }
    if not delay:
        return (Sparse if sparse.issparse(weights) else Dense)(**settings)
    if not sparse.issparse(weights):
        return DelayDense(delays=np.full(weights.shape, delay), **settings)
    delays = weights.astype(int)
    delays.data[:] = delay
    return DelaySparse(delays=delays, **settings)


def neuron_process(network: Network, population: Entry, settings: Entry) -> Any:
    """A population as a process of Lava or of ours."""
    from lava.proc.lif.process import LIF, LIFReset

    shape, order = whc(population["shape"]), addresses(population["shape"])
    state = {
        name: np.zeros(shape, np.int32) if array is None else array.ravel()[order].reshape(shape)
        for name in ("u_init", "v_init", "bias_mant")
        for array in [network.array(population, name)]
    }
    common = {
        "shape": shape,
        "u": state["u_init"],
        "v": state["v_init"],
        "bias_mant": state["bias_mant"],
        "bias_exp": population["bias_exp"],
        "du": population["du"],
        "dv": population["dv"],
        "vth": population.get("vth", 0),
    }
    ticks = population.get("ticks", 1)
    if population["process"] == "LIFHeld":
        return held_process()(**common, ticks=ticks, **settings)
    if population["process"] == "Phased":
        neuron = phased_neuron(network, population)
        return phased_process()(**common, ticks=ticks, neuron=neuron, **settings)
    if population["process"] == "LIF":
        process = LIF(**common)
    else:
        steps = settings["clock"].job.steps
        # Lava counts steps from 1.
        process = LIFReset(**common, reset_interval=steps, reset_offset=(population["start"] + 1) % steps)
    for name, setting in settings.items():
        process.proc_params[name] = setting
    return process


def phased_neuron(network: Network, population: Entry) -> Entry:
    """What `thresholds_passed` and `after_reset` need, arrays in Lava's order."""
    keys = ("theta", "rho", "v_reset", "clamp_low", "clamp_high", "max_count", "strict", "reset", "graded")
    neuron = {key: network.value(population.get(key)) for key in keys if key not in ("reset",)}
    for key, value in neuron.items():
        if isinstance(value, np.ndarray) and value.size > 1:
            order = addresses(population["shape"])
            neuron[key] = value.ravel()[order].reshape(whc(population["shape"])).astype(np.int64)
    neuron["reset"] = population["reset"]
    neuron["steps"] = population.get("steps")
    neuron["graded"] = bool(population.get("graded"))
    neuron["stateless"] = bool(population.get("stateless"))
    return neuron


@dataclass(frozen=True)
class Storage:
    """Files of a run in the folder *work*."""

    work: Path
    job: Job
    paths: dict[tuple[str, str], Path]

    def add(self, kind: str, name: str, *shape: int, dtype: Any = np.int32) -> str:
        """A file of zeros [B, T, *shape]."""
        path = self.work / f"{len(self.paths)}.npy"
        whole = (self.job.samples, self.job.timesteps, *shape)
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=whole).flush()
        self.paths[kind, name] = path
        return str(path)

    def read(self, kind: str, name: str) -> Array:
        """What a run has written."""
        return np.load(self.paths[kind, name])


def records(network: Network, population: Entry, storage: Storage, record: Sequence[str]) -> dict[str, str]:
    """The files that a population writes."""
    name, size = population["name"], int(np.prod(population["shape"]))
    paths = {"count": storage.add("count", name, dtype=np.int64)}
    if name in record or any(readout.get("of") == name for readout in network.readouts):
        paths["train"] = storage.add("train", name, population.get("ticks", 1), size)
    if name in record:
        paths["v"] = storage.add("v", name, size)
    return paths


def built(network: Network, inputs: Sequence[Array], storage: Storage, record: Sequence[str]) -> list[Any]:
    """All processes of the network, connected."""
    job = storage.job
    nodes: dict[str, Any] = {}
    used = {connection["source"] for connection in network.connections}
    for entry, values in zip(network.inputs, inputs, strict=True):
        if entry["name"] not in used:
            continue
        path = storage.work / f"input{len(nodes)}.npy"
        order = addresses(entry["shape"])
        np.save(path, values.reshape(*values.shape[:2], -1)[..., order].astype(np.int32))
        settings = {key: entry.get(key, 1) for key in ("presence", "ticks")}
        clock = Clock(job, entry["start"], 1)
        shape = whc(entry["shape"])
        nodes[entry["name"]] = stimulus_process()(shape=shape, path=str(path), clock=clock, **settings)
    for population in network.populations:
        clock = Clock(job, population["start"], population.get("window", 1))
        settings = {"clock": clock, "paths": records(network, population, storage, record)}
        nodes[population["name"]] = neuron_process(network, population, settings)
    for readout in network.readouts:
        if not readout.get("of"):
            paths = {"sum": storage.add("sum", readout["name"], int(np.prod(readout["shape"])))}
            clock = Clock(job, readout["start"], job.frame)
            nodes[readout["name"]] = sink_process()(shape=whc(readout["shape"]), clock=clock, paths=paths)
    return [*nodes.values(), *(connect(network, connection, nodes) for connection in network.connections)]


def connect(network: Network, connection: Entry, nodes: Mapping[str, Any]) -> Any:
    """The process of a connection between two of *nodes*."""
    source, target = nodes[connection["source"]], nodes[connection["target"]]
    if connection["kind"] == "conv":
        kernel = network.arrays[f"{connection['name']}.weight"].shape[2:]
        connection = {**connection, "kernel": kernel}
    if is_plain_convolution(connection):
        process = conv_process(network, connection)
        source.s_out.connect(process.s_in)
        process.a_out.connect(target.a_in)
        return process
    process = matrix_process(network, connection)
    source.s_out.reshape(process.s_in.shape).connect(process.s_in)
    process.a_out.reshape(target.a_in.shape).connect(target.a_in)
    return process


# ---- running ---------------------------------------------------------------------------------------


def run_config(stock: bool) -> Any:
    """Lava's configuration: integers, LIFs that note what they do, and faster models of connections."""
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.dense.models import PyDelayDenseModelBitAcc
    from lava.proc.dense.process import DelayDense
    from lava.proc.lif.models import PyLifModelBitAcc, PyLifResetModelBitAcc
    from lava.proc.lif.process import LIF, LIFReset
    from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
    from lava.proc.sparse.process import DelaySparse, Sparse

    models = {LIF: observed(PyLifModelBitAcc), LIFReset: observed(PyLifResetModelBitAcc)}
    if not stock:
        models[Conv] = fast_convolution()
        models[Sparse] = fast_sparse(PySparseModelBitAcc)
        models[DelayDense] = fast_delay(PyDelayDenseModelBitAcc)
        models[DelaySparse] = fast_delay(PyDelaySparseModelBitAcc)
    return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)


def in_child() -> None:
    """Make a process of Lava end with this one, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end(process: Any) -> None:
    """End a run that failed, of which Lava itself would wait for answers; frees its shared memory."""
    if process.runtime is None or process.runtime._messaging_infrastructure is None:
        return
    infrastructure = process.runtime._messaging_infrastructure
    for actor in infrastructure.actors:
        with contextlib.suppress(ValueError):  # it has ended, and was closed
            actor.kill()
    with contextlib.suppress(AttributeError):  # it has not begun
        infrastructure.smm.shutdown()


def leave(code: int) -> None:
    """Exit at once: Lava's destructors would wait for processes that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def reason(process: Any) -> str:
    """What a process of Lava has raised."""
    if process.runtime is None or process.runtime._messaging_infrastructure is None:
        return ""
    actors = process.runtime._messaging_infrastructure.actors
    raised = [actor.exception[0] for actor in actors if actor.exception]
    return f": {raised[0]!r}" if raised else ""


class Watch:
    """Ends the run when one of Lava's processes dies, for which Lava itself would wait forever."""

    def __init__(self, process: Any, work: Path, finished: threading.Event) -> None:
        self.process, self.work, self.finished = process, work, finished
        self.grace = 3.0  # seconds
        self.children = [child.sentinel for child in multiprocessing.active_children()]
        threading.Thread(target=self.wait, daemon=True).start()

    def wait(self) -> None:
        while not multiprocessing.connection.wait(self.children, 0.5):
            if self.finished.is_set():
                return
        if self.finished.wait(self.grace):  # Lava noticed it, too
            return
        shutil.rmtree(self.work, ignore_errors=True)
        print(
            "error: a process of Lava died: was there enough memory and space for files?",
            file=sys.stderr,
            flush=True,
        )
        end(self.process)
        leave(1)


Progress = Callable[[int, int], None]


def run_processes(processes: Sequence[Any], job: Job, work: Path, stock: bool, progress: Progress) -> None:
    """Run *processes* for all samples."""
    from lava.magma.compiler.compiler_graphs import find_processes

    left = list(processes)
    while left:
        first, together = left[0], find_processes(left[0], [])
        left = [process for process in left if process not in together]
        run_connected(first, job, work, stock, progress)


def run_connected(process: Any, job: Job, work: Path, stock: bool, progress: Progress) -> None:
    """Run *process* and all that are connected with it."""
    from lava.magma.core.run_conditions import RunSteps

    finished = threading.Event()
    try:
        process.create_runtime(run_cfg=run_config(stock))
        watch = Watch(process, work, finished)
        done, piece = 0, 1
        while done < job.samples:
            piece, began = min(piece, job.samples - done), time.monotonic()
            process.run(RunSteps(num_steps=piece * job.steps))
            done += piece
            progress(done, job.samples)
            piece = max(1, round(piece / max(time.monotonic() - began, 1e-3)))  # about one second
        watch.grace = 60
        process.stop()
        finished.set()
    except RuntimeError as error:
        raise ProgramError(f"Lava failed{reason(process)}") from error
    finally:
        if not finished.is_set():
            finished.set()
            end(process)


def show(done: int, total: int) -> None:
    """Progress: one line on a terminal, otherwise one for each message."""
    terminal = sys.stderr.isatty()
    begin, end = "\r" if terminal else "", "" if terminal and done < total else "\n"
    print(f"{begin}sample {done} of {total}", end=end, file=sys.stderr, flush=True)


def run(
    network: Network,
    inputs: Sequence[Array],
    job: Job,
    record: Sequence[str] = (),
    stock: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Array]:
    """The arrays of the result file."""
    unknown = set(record) - {population["name"] for population in network.populations}
    if unknown:
        known = ", ".join(population["name"] for population in network.populations)
        raise ProgramError(f"there is no population {sorted(unknown)[0]!r}; there are: {known}")
    work = Path(tempfile.mkdtemp(prefix="lava-run-"))
    try:
        storage = Storage(work, job, {})
        run_processes(built(network, inputs, storage, record), job, work, stock, progress)
        return dict(results(network, storage, record))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def results(network: Network, storage: Storage, record: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """Name and array of each result."""
    shapes = {population["name"]: population["shape"] for population in network.populations}
    for readout in network.readouts:
        name, source = readout["name"], readout.get("of")
        if source:
            sums = storage.read("train", source).sum(axis=2, dtype=np.int64)
        else:
            sums = storage.read("sum", name).astype(np.int64)
        integers, real = output(network, readout, unfolded(sums, readout["shape"]))
        yield f"output.{name}", integers
        yield f"real.{name}", real
    for name, shape in shapes.items():
        yield f"spikes.{name}", storage.read("count", name)
        if name in record:
            for kind in ("train", "v"):
                found = unfolded(storage.read(kind, name), shape).swapaxes(0, 1)
                yield f"{kind}.{name}", np.ascontiguousarray(found)


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write *path* whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
        unfinished.replace(path)
    except OSError as error:
        raise ProgramError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def check_environment() -> None:
    """Raise `ProgramError` where Lava cannot run."""
    if sys.version_info[:2] != (3, 10):
        have = ".".join(map(str, sys.version_info[:2]))
        raise ProgramError(f"Lava 0.10.0 needs Python 3.10, this is {have}: {INSTALL}")
    if importlib.util.find_spec("lava") is None:
        raise ProgramError(f"Lava is not installed: {INSTALL}")
    check_sockets()


def check_sockets() -> None:
    """Raise `ProgramError` where the sockets of Lava's processes would have too long a path."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) > MOST_SOCKET - len("/pymp-12345678/listener-12345678"):
        raise ProgramError(f"{folder}: too long a path for sockets: let TMPDIR name a shorter one")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="run.py", description="Run the network of this folder on Lava.")
    parser.add_argument("input", type=Path, help=".npz file with the samples, in an array x")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--record", nargs="+", default=[], metavar="NAME", help="populations to record")
    parser.add_argument("--timesteps", type=int, help="of a sample")
    parser.add_argument("--samples", type=int, help="run only the first ones")
    parser.add_argument("--stock", action="store_true", help="Lava's own, slow models of connections")
    parser.add_argument("--progress", action="store_true", help="also where no terminal shows it")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line that says what is wrong."""
    options = arguments(given)
    try:
        if not options.output.absolute().parent.is_dir():
            raise ProgramError(f"{options.output}: there is no such folder")
        network = read_network(Path(__file__).resolve().parent)
        inputs = encoded(network, read_arrays(options.input), options.samples)
        job = job_for(network, inputs, options.timesteps)
        check_environment()
        silent = options.quiet or not (options.progress or sys.stderr.isatty())
        progress = (lambda done, total: None) if silent else show
        save(options.output, run(network, inputs, job, options.record, options.stock, progress))
    except ProgramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def interrupted(signal_number: int, frame: object) -> None:
    """Let a signal run the clean-up of `run`."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.register_at_fork(after_in_child=in_child)
    signal.signal(signal.SIGTERM, interrupted)
    code = 1
    try:
        code = main()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
    except MemoryError:
        print("error: there is not enough memory", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    if code:
        leave(code)
