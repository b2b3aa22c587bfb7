"""The same network as one file for NetX, lava-dl's importer, where it is a plain chain of layers.

Source of the format: lava-dl 0.6.0, lib/dl/netx/hdf5.py, utils.py and blocks/process.py. NetX makes one Lava
LIF of each layer, always with a bias exponent of 6, resets to zero, and no initial state; it scales the
weights of dense layers by a rule of its own, and passes those of convolutions on as they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snncc.backends.loihi.limits import BIAS_MANTISSA_MOST, DECAY_BITS, THRESHOLD_MOST, UNIT_SHIFT
from snncc.backends.loihi.lower import WEIGHT_HIGH, WEIGHT_LOW, Program
from snncc.backends.loihi.passes import ALWAYS
from snncc.errors import MissingDependency
from snncc.ir import Array

NET = "network.net"
MOST_SYNAPSES = 2**24
"""Of a dense layer: NetX has no sparse ones."""
MOST_GROUPS = 127
"""Lava holds the number of groups in a signed byte."""
BYTE = 8
WEIGHT_MOST = 2**BYTE - 1
"""Of weights that are all of one sign."""

Entry = Mapping[str, Any]


class NoNet(Exception):
    """No file was made: the message names the layer that NetX cannot hold, and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One group ``/layer/<i>``: its *type*, what it holds, and its neurons."""

    type: str
    values: Mapping[str, Any]
    neuron: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A layer of neurons, or of sums that the host reads, and what feeds it."""

    target: Entry
    feed: Entry


def net_file(layers: Sequence[Layer]) -> bytes:
    """The HDF5 file of *layers*: the same layers give the same bytes. Raises `NoNet` without h5py."""
    try:
        import h5py
    except ModuleNotFoundError:
        error = MissingDependency("h5py", "netx")
        raise NoNet(f"{error.message} (`{error.hint}`, then compile again)") from None

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            put(group, {**layer.values, "type": layer.type})
            if layer.neuron is not None:
                put(group.create_group("neuron"), layer.neuron)
    return buffer.getvalue()


def put(group: Any, values: Mapping[str, Any]) -> None:
    """Write *values*: words as NetX reads them, large arrays compressed."""
    for key, value in values.items():
        if isinstance(value, str):
            group.create_dataset(key, data=np.array([value], "S10"))
        else:
            array = np.asarray(value)
            group.create_dataset(key, data=array, compression="gzip" if array.size > 1024 else None)


def layers_of(program: Program) -> list[Layer]:
    """*program* as layers of NetX. Raises `NoNet`."""
    s = program.structure
    own = next((c for c in s["connections"] if c["source"] == c["target"]), None)
    if own is not None:
        raise NoNet(f"{own['target']}: is recurrent, for which lava-dl has a layer, but no model that runs")
    always = next((c["target"] for c in s["connections"] if c["source"] == ALWAYS), None)
    if always is not None:
        raise NoNet(f"{always}: its bias flows into a current with memory, in NetX into the potential")
    if s["frame"] != 1:
        senders = (*s["inputs"], *s["populations"])
        many = next((one["name"] for one in senders if one["ticks"] > 1), s["name"])
        raise NoNet(f"{many}: takes {s['frame']} chip steps for a timestep, in NetX one")
    links = list(chain(s))
    source = s["inputs"][0]
    shape = tuple(source["shape"])
    layers = [Layer("input", {"shape": np.array(shape)})]
    for link in links:
        if link.feed["kind"] == "conv" and len(shape) == 3:
            layer, shape = convolution(program, link), tuple(link.target["shape"])
        else:
            if len(shape) > 1:
                layers.append(Layer("flatten", {"shape": np.array([int(np.prod(shape))])}))
            layer, shape = dense(program, link), (int(np.prod(link.target["shape"])),)
        layers.append(layer)
    return layers


def chain(s: Entry) -> Iterator[Link]:
    """The layers behind the input, each read by the next. Raises `NoNet`."""
    if len(s["inputs"]) != 1:
        raise NoNet(f"the network has {len(s['inputs'])} inputs, in NetX it has one")
    targets = {one["name"]: one for one in (*s["populations"], *s["readouts"]) if not one.get("of")}
    source, start = s["inputs"][0]["name"], s["inputs"][0]["start"]
    for _ in targets:
        leaving = [c for c in s["connections"] if c["source"] == source]
        readers = list(dict.fromkeys(c["target"] for c in leaving))
        if len(readers) != 1:
            have = " and ".join(readers) if readers else "nothing"
            raise NoNet(f"{source}: is read by {have}, in NetX by the layer behind it alone")
        name = readers[0]
        feeds = [c for c in s["connections"] if c["target"] == name]
        if len(feeds) > 1:
            raise NoNet(f"{name}: has {len(feeds)} connections, in NetX one from the layer before it")
        if feeds[0]["delay"] or targets[name]["start"] != start + 1:
            raise NoNet(f"{name}: its connection has a delay, in NetX each takes its one chip step")
        yield Link(targets[name], feeds[0])
        source, start = name, targets[name]["start"]


def convolution(program: Program, link: Link) -> Layer:
    """A layer fed by a convolution; weights in torch's order [O, I, kH, kW]. Raises `NoNet`."""
    name, feed = link.target["name"], link.feed
    neurons = neuron(program, link.target)
    if feed["groups"] > MOST_GROUPS:
        raise NoNet(f"{name}: has {feed['groups']} groups, Lava's convolution {MOST_GROUPS} at most")
    weight = folded(program, feed)
    if weight.min() < WEIGHT_LOW or weight.max() > WEIGHT_HIGH:
        raise NoNet(f"{name}: weights with their exponent are beyond {WEIGHT_LOW} to {WEIGHT_HIGH}")
    top, _, left, _ = feed["padding"]
    if not fills(feed, weight.shape[2:]):
        raise NoNet(f"{name}: its size is not that of Lava's convolution")
    values = {
        "shape": np.array(link.target["shape"]),
        "inChannels": feed["shape"][0],
        "outChannels": weight.shape[0],
        "kernelSize": np.array(weight.shape[2:]),
        "stride": np.array(feed["stride"]),
        "padding": np.array([top, left]),
        "dilation": np.array(feed["dilation"]),
        "groups": feed["groups"],
        "weight": weight,
    }
    bias = bias_of(program, link.target)
    if bias is not None:
        planes = bias.reshape(link.target["shape"])
        by_channel = planes[:, 0, 0]
        # NetX takes one number a channel, or one a neuron, as [W, H, C].
        is_uniform = bool(np.all(planes == by_channel[:, None, None]))
        values["bias"] = by_channel if is_uniform else planes.transpose(2, 1, 0)
    return Layer("conv", values, neurons)


def fills(feed: Entry, kernel: Sequence[int]) -> bool:
    """Whether Lava's convolution gives the size that ours has."""
    pads = feed["padding"][::2]
    sizes = zip(feed["shape"][1:], pads, kernel, feed["dilation"], feed["stride"], strict=True)
    whole = [(size + 2 * pad - d * (k - 1) - 1) // stride + 1 for size, pad, k, d, stride in sizes]
    return whole == list(feed["out"][1:])


def dense(program: Program, link: Link) -> Layer:
    """A layer fed by a matrix [out, in]. Raises `NoNet`."""
    name, size = link.target["name"], int(np.prod(link.target["shape"]))
    neurons = neuron(program, link.target)
    if link.feed["kind"] == "conv":
        raise NoNet(f"{name}: is a convolution behind a dense layer, which in NetX has no rows and columns")
    weight = folded(program, link.feed)
    kept = imported(weight)
    if kept is None or not np.array_equal(weight, kept):
        raise NoNet(f"{name}: NetX would change its weights, {weight.min()} to {weight.max()}")
    values = {"shape": np.array([size]), "inFeatures": weight.shape[1], "outFeatures": size, "weight": weight}
    bias = bias_of(program, link.target)
    if bias is not None:
        values["bias"] = bias
    return Layer("dense", values, neurons)


def folded(program: Program, feed: Entry) -> Array:
    """The weights of a connection times two to their exponent, matrices in full. Raises `NoNet`."""
    name, arrays = feed["name"], program.arrays
    if feed["kind"] != "sparse":
        whole = arrays[f"{name}.weight"]
    else:
        rows, columns = feed["shape"]
        if rows * columns > MOST_SYNAPSES:
            need = f"{rows} x {columns} sparse weights"
            raise NoNet(f"{feed['target']}: has {need}, in NetX a matrix is full; this is too large")
        whole = np.zeros((rows, columns), np.int64)
        indptr = arrays[f"{name}.indptr"]
        whole[np.repeat(np.arange(rows), np.diff(indptr)), arrays[f"{name}.indices"]] = arrays[f"{name}.data"]
    return whole.astype(np.int32) << feed["weight_exp"]


def imported(weight: Array) -> Array | None:
    """What NetX and Lava's Dense keep of a matrix; None where NetX fails.

    NetX shifts the largest weight to the top of 8 bits, and sums back; Lava clips and truncates in between,
    by the signs that it sees itself.
    """
    low, high = int(weight.min()), int(weight.max())
    if not low and not high:
        return None
    if (high > WEIGHT_HIGH and low < 0) or (low < WEIGHT_LOW and high > 0):
        weight = np.clip(weight, WEIGHT_LOW, WEIGHT_HIGH)
        low, high = int(weight.min()), int(weight.max())
    is_mixed = int(low < 0 <= high)
    if is_mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = 255 / high if high > 0 else -256 / low
    shift = int(np.floor(np.log2(scale))) + is_mixed
    if shift < 0:
        return None
    even = next((n for n in range(BYTE, 0, -1) if not np.any(weight % 2**n)), 0)
    bits = BYTE - shift - (even - is_mixed)
    return truncated(weight << shift, bits) >> shift


def truncated(weight: Array, bits: int) -> Array:
    """*weight* as Lava's Dense keeps it, which sees zeros as inhibition where nothing is positive."""
    if weight.max() <= 0:
        cut = BYTE - bits
        return -(np.clip(-weight, 0, WEIGHT_MOST) >> cut << cut)
    is_mixed = int(weight.min() < 0)
    cut = BYTE - bits + is_mixed
    return np.clip(weight, WEIGHT_LOW * is_mixed, WEIGHT_MOST) >> cut << cut


def bias_of(program: Program, target: Entry) -> Array | None:
    """The bias of each neuron in whole weight units, as NetX takes it. Raises `NoNet`."""
    bias = program.arrays.get(f"{target['name']}.bias_mant")
    if bias is None or "process" not in target:
        return None
    units = bias.astype(np.int64) << target["bias_exp"]
    if np.any(units % 2**UNIT_SHIFT):
        raise NoNet(f"{target['name']}: its bias has parts of a weight unit, in NetX it has none")
    mantissa = (units >> UNIT_SHIFT).astype(np.int32)
    if np.abs(mantissa).max() > BIAS_MANTISSA_MOST:
        need = int(np.abs(mantissa).max())
        raise NoNet(f"{target['name']}: its bias of {need} weight units is beyond {BIAS_MANTISSA_MOST}")
    return mantissa


def neuron(program: Program, target: Entry) -> dict[str, Any]:
    """Lava's LIF; sums for the host are the potentials of neurons that keep nothing and never fire."""
    none = {"type": "CUBA", "refDelay": 1, "gradedSpike": False}
    all_decays = 1 << DECAY_BITS
    if "process" not in target:
        return none | {"iDecay": all_decays, "vDecay": all_decays, "vThMant": THRESHOLD_MOST}
    name = target["name"]
    if target["process"] == "Phased":
        raise NoNet(f"{name}: is no LIF of Lava's own, which resets to zero")
    if any(f"{name}.{start}" in program.arrays for start in ("v_init", "u_init")):
        raise NoNet(f"{name}: begins at an initial state, in NetX at zero")
    return none | {"iDecay": target["du"] + 1, "vDecay": target["dv"], "vThMant": target["vth"]}
