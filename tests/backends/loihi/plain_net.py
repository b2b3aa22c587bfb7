"""A reader and an interpreter of .net files, from the description of the format alone."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from snncc.ir import Array


def read(path: Path | IO[bytes]) -> list[dict[str, Any]]:
    """The layers: each a dictionary of its datasets, neurons in one of their own."""
    with h5py.File(path) as file:
        groups = file["layer"]
        return [contents(groups[str(index)]) for index in range(len(groups))]


def contents(group: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in group.items():
        if isinstance(value, h5py.Group):
            found[key] = contents(value)
        elif key == "type":
            assert value.shape == (1,)
            assert value.dtype == "S10"
            found[key] = value[0].decode("ascii")
        else:
            found[key] = value[()]
    return found


def run(layers: list[dict[str, Any]], x: Array) -> list[tuple[Array, Array]]:
    """Spikes and potentials of each layer, [T, *shape], for one sample [T, *shape].

    No layer is late here: a spike reaches the next layer in its own step.
    """
    found, train = [], x
    for layer in layers[1:]:
        if layer["type"] == "flatten":
            train = train.reshape(len(train), -1)
            continue
        if layer["type"] == "conv":
            sums = np.stack([convolved(layer, step) for step in train])
        elif layer["type"] == "dense":
            sums = train @ dense(layer["weight"]).T
        else:
            raise AssertionError(layer["type"])
        train, potential = neurons(layer, sums)
        found.append((train, potential))
    return found


def convolved(layer: dict[str, Any], x: Array) -> Array:
    """Torch's convolution of [C, H, W], one output at a time."""
    weight, groups = layer["weight"], int(layer["groups"])
    (sy, sx), (py, px), (dy, dx) = (layer[key] for key in ("stride", "padding", "dilation"))
    outputs, inner, kh, kw = weight.shape
    assert (kh, kw) == tuple(layer["kernelSize"])
    assert (inner * groups, outputs) == (layer["inChannels"], layer["outChannels"])
    padded = np.pad(x, ((0, 0), (py, py), (px, px)))
    _, rows, columns = layer["shape"]
    sums = np.zeros((outputs, rows, columns), np.int64)
    for o in range(outputs):
        first = o // (outputs // groups) * inner
        for r in range(rows):
            for c in range(columns):
                top, left = r * sy, c * sx
                seen = padded[first : first + inner, top : top + dy * kh : dy, left : left + dx * kw : dx][
                    :, :kh, :kw
                ]
                sums[o, r, c] = (weight[o] * seen).sum()
    return (sums + 2**23) % 2**24 - 2**23


def dense(weight: Array) -> Array:
    """What is left of weights in 8 bits, of which mixed signs take one: even numbers of -256 to 254."""
    weight = weight.astype(np.int64)
    top = np.abs(weight).max()
    assert top > 0
    if weight.min() >= 0:
        assert weight.max() <= 255
    elif weight.max() < 0:
        assert weight.min() >= -255
    else:
        assert weight.min() >= -256
        assert weight.max() <= 254
        if top > 127:
            assert not np.any(weight % 2)
    return weight


def neurons(layer: dict[str, Any], sums: Array) -> tuple[Array, Array]:
    """Lava's LIF with a bias exponent of 6."""
    p = layer["neuron"]
    assert p["type"] == "CUBA"
    assert not p["gradedSpike"]
    du, dv, vth = int(p["iDecay"]) - 1, int(p["vDecay"]), int(p["vThMant"])
    assert 0 <= du <= 4095
    assert 0 <= dv <= 4096
    assert 0 <= vth < 2**17
    bias = layer.get("bias", np.zeros(()))
    if layer["type"] == "conv" and bias.ndim:
        bias = bias[:, None, None] if bias.ndim == 1 else bias.transpose(2, 1, 0)
    assert np.all((bias >= -4096) & (bias <= 4095))
    bias = bias.astype(np.int64) << 6
    u = v = np.zeros(sums.shape[1:], np.int64)
    spikes, potentials = [], []
    for a in sums.astype(np.int64):
        u = toward_zero(u * (4096 - (du + 1))) + (a << 6)
        assert np.all(np.abs(u) < 2**23)
        v = np.clip(toward_zero(v * (4096 - dv)) + u + bias, -(2**23) + 1, 2**23 - 1)
        fires = v > vth << 6
        v = np.where(fires, 0, v)
        spikes.append(fires)
        potentials.append(v)
    return np.stack(spikes), np.stack(potentials)


def toward_zero(x: Array) -> Array:
    """Twelve bits less."""
    return np.sign(x) * (np.abs(x) >> 12)
