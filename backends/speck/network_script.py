"""The text of ``network.py``: the integers of a compiled network as a module of plain sinabs."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from snncc.backends.speck.layers import Layer
from snncc.backends.speck.mapped import Mapped
from snncc.ir import Array, Reset

WEIGHTS = "weights.npz"

HEAD = '''"""{name}: integers as Speck computes with, in sinabs (made by snncc; needs torch and sinabs only).

    python network.py IN.npz OUT.npz

IN.npz has x [T, B, {shape}] with events counted per timestep. OUT.npz has, for each layer NAME, spikes/NAME
and potentials/NAME (after the reset), [T, B, channels, height, width].
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike
from torch import nn
from torch.nn.functional import pad

WEIGHTS = Path(__file__).parent / "weights.npz"
INPUT_SHAPE = {shape_tuple}
LAYERS = {names}
"""Names of the layers in the user's network, in order: layer k is convK and spikesK."""
CHUNK = 64
"""Samples that run together."""
EXACT = 2**23
"""Sums of integers below this are exact in float32, and so is their division by a threshold."""


class Network(nn.Module):
    """Takes [batch x time, channels, height, width], the samples one after another."""

    def __init__(self, batch_size: int = 1, record_states: bool = False) -> None:
        super().__init__()
        options = {{"batch_size": batch_size, "spike_fn": MultiSpike, "record_states": record_states}}
'''

TAIL = '''
    def load(self, path: Path = WEIGHTS) -> Network:
        """Read weights and biases, and bring all neurons to their initial potential."""
        with np.load(path) as file:
            for k in range(len(LAYERS)):
                conv = getattr(self, f"conv{k}")
                conv.weight.data = torch.from_numpy(file[f"conv{k}.weight"]).to(conv.weight.dtype)
                if conv.bias is not None:
                    conv.bias.data = torch.from_numpy(file[f"conv{k}.bias"]).to(conv.weight.dtype)
                if f"spikes{k}.v_mem" in file:
                    layer = getattr(self, f"spikes{k}")
                    state = torch.from_numpy(file[f"spikes{k}.v_mem"]).to(conv.weight.dtype)
                    layer.v_mem = state.expand(layer.batch_size, *state.shape).clone()
        return self


def check_exact(module: nn.Module, entry: object, sums: torch.Tensor) -> None:
    """Stop where float32 would round."""
    if sums.abs().max() >= EXACT:
        raise SystemExit(f"error: a sum of {sums.abs().max():.0f} in {module} is too large for float32")


@contextmanager
def plain_sums() -> Iterator[None]:
    """Without fast algorithms for convolutions: Winograd's, in NNPACK, is inexact even for integers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about settings of other processors
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
            yield


@torch.no_grad()
def run(x: np.ndarray, record_states: bool = False) -> dict[str, np.ndarray]:
    """Run x [T, B, ...] from the initial state: spikes and potentials by layer, [T, B, C, H, W]."""
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, x.shape[1], CHUNK):
        part = x[:, start : start + CHUNK]
        steps, batch = part.shape[:2]
        flat = np.ascontiguousarray(part.swapaxes(0, 1)).reshape(batch * steps, *INPUT_SHAPE)
        network = Network(batch, record_states).load()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(check_exact)
        with plain_sums():
            spikes = network(torch.from_numpy(flat.astype(np.float32)))
        for k, (name, train) in enumerate(zip(LAYERS, spikes)):
            train = train.reshape(batch, steps, *train.shape[1:]).transpose(0, 1)
            found.setdefault(f"spikes/{name}", []).append(train.numpy().astype(np.int64))
            if record_states:
                state = getattr(network, f"spikes{k}").recordings["v_mem"]
                state = state.reshape(train.transpose(0, 1).shape).transpose(0, 1)
                found.setdefault(f"potentials/{name}", []).append(state.numpy().astype(np.int64))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: python network.py IN.npz OUT.npz", file=sys.stderr)
        return 2
    with np.load(arguments[0]) as file:
        x, record = file["x"], bool(file["record"]) if "record" in file else True
    if x.ndim < 3 or x.shape[2:] not in (INPUT_SHAPE, INPUT_SHAPE[:1]) or x.size == 0:
        print(f"error: x must be [T, B, *{INPUT_SHAPE}], not {x.shape}", file=sys.stderr)
        return 1
    np.savez_compressed(arguments[1], **run(x, record))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def network_script(m: Mapped) -> str:
    """The whole text."""
    (node,) = m.graph.inputs
    shape = m.layers[0].in_shape if len(node.shape) != 3 else node.shape
    if len(node.shape) != 3:
        shape = (node.shape[0], 1, 1)
    lines = [
        HEAD.format(
            name=json.dumps(m.graph.name)[1:-1],
            shape=", ".join(map(str, node.shape)),
            shape_tuple=repr(tuple(shape)),
            names=json.dumps([layer.name for layer in m.layers]),
        ).rstrip("\n")
    ]
    pools = sorted({s.pool for layer in m.layers for s in layer.sources if s.pool > 1})
    for k, layer in enumerate(m.layers):
        lines += declared(k, layer)
    lines += [f"        self.sum{pool} = sl.SumPool2d({pool})" for pool in pools]
    if any(len(layer.sources) > 1 for layer in m.layers):
        lines.append("        self.merge = sl.Merge()")
    lines += ["", "    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:"]
    lines.append('        """The spikes of every layer, in the order of LAYERS."""')
    train = {node.name: "x"} | {layer.name: f"s{k}" for k, layer in enumerate(m.layers)}
    for k, layer in enumerate(m.layers):
        entry = entry_of(layer, train, {one.name: one.out_shape[0] for one in m.layers})
        lines.append(f"        s{k} = self.spikes{k}(self.conv{k}({entry}))")
    lines.append(f"        return ({', '.join(f's{k}' for k in range(len(m.layers)))},)")
    return "\n".join(lines) + "\n" + TAIL


def entry_of(layer: Layer, train: Mapping[str, str], channels: Mapping[str, int]) -> str:
    """The expression for what a layer receives; *channels* of every layer."""
    reads, have = [], layer.in_shape[0]
    for one in layer.sources:
        read = train[one.name] if one.pool == 1 else f"self.sum{one.pool}({train[one.name]})"
        after = have - one.first - channels.get(one.name, have)
        reads.append(f"pad(({read}), (0, 0, 0, 0, {one.first}, {after}))" if one.first or after else read)
    if len(reads) == 1:
        return reads[0]
    return f"self.merge({', '.join(reads)})" if len(reads) == 2 else " + ".join(reads)


def declared(k: int, layer: Layer) -> list[str]:
    """The statements that make the modules of one layer."""
    p = layer.neuron.parameters
    features, channels, size, _ = layer.weight.shape
    reset = "MembraneReset()" if p.reset is Reset.VALUE else "MembraneSubtract()"
    assert p.clamp_low is not None
    has_bias = layer.bias is not None
    return [
        f"        # {json.dumps(layer.name)}",
        f"        self.conv{k} = nn.Conv2d(",
        f"            {channels}, {features}, {size}, stride={layer.stride}, padding={layer.padding}, "
        f"bias={has_bias}",
        "        )",
        f"        self.spikes{k} = sl.IAFSqueeze(",
        f"            spike_threshold=torch.tensor({int(p.theta)}.0), min_v_mem={int(p.clamp_low)}.0, "
        f"reset_fn={reset}, **options",
        "        )",
    ]


def weight_arrays(m: Mapped) -> dict[str, Array]:
    """What ``weights.npz`` holds: int8 weights [F, C, ky, kx], biases [F], initial potentials [F, h, w]."""
    arrays: dict[str, Array] = {}
    for k, layer in enumerate(m.layers):
        arrays[f"conv{k}.weight"] = layer.weight.astype(np.int8)
        if layer.bias is not None:
            arrays[f"conv{k}.bias"] = np.ascontiguousarray(layer.bias).astype(np.int64)
        start = layer.neuron.parameters.v_init
        if np.any(start):
            shape = m.graph.edges[layer.name].shape
            arrays[f"spikes{k}.v_mem"] = (
                np.broadcast_to(start, shape).reshape(layer.out_shape).astype(np.int64)
            )
    return arrays
