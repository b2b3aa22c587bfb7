"""Small networks whose neurons all spike, for the tests of the public face."""

from __future__ import annotations

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Gate,
    Input,
    Kind,
    Layout,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Pool,
    Presence,
    Reset,
    Reshape,
    SideOperation,
    SpikeGraph,
    wires,
)


def sfa_graph(seed: int = 0, depth: int = 2) -> SpikeGraph:
    """Convolutions with batch normalization, a residual block, SFA neurons (D = 4), a linear head."""
    rng = np.random.default_rng(seed)
    sfa = NeuronParameters(theta=np.array(0.5), max_count=4, scale=np.array(0.25), stateless=True)

    def norm(name: str, source: str) -> Affine:
        gain = rng.uniform(0.7, 1.3, (6, 1, 1)) * np.where(rng.random((6, 1, 1)) < 0.3, -1, 1)
        return Affine(name=name, inputs=wires(source), gain=gain, offset=rng.uniform(-0.2, 0.8, (6, 1, 1)))

    nodes: list[Node] = [
        Input(name="x", shape=(1, 6, 6), presence=Presence.CONSTANT),
        Conv(
            name="stem",
            inputs=wires("x"),
            weight=rng.normal(size=(6, 1, 3, 3)),
            bias=rng.normal(size=(6, 1, 1)) * 0.3,
            padding=(1, 1, 1, 1),
        ),
        norm("stem_norm", "stem"),
    ]
    stream = "stem_norm"
    for k in range(depth):
        nodes += [
            Neuron(name=f"n{k}", inputs=wires(stream), parameters=sfa, origin=f"block.{k} (net.py:{10 + k})"),
            Conv(
                name=f"conv{k}",
                inputs=wires(f"n{k}"),
                weight=rng.normal(size=(6, 6, 3, 3)) * 0.25,
                bias=rng.normal(size=(6, 1, 1)) * 0.2,
                padding=(1, 1, 1, 1),
            ),
            norm(f"norm{k}", f"conv{k}"),
            Add(name=f"add{k}", inputs=wires(stream, f"norm{k}")),
        ]
        stream = f"add{k}"
    nodes += [
        Neuron(name="last", inputs=wires(stream), parameters=sfa),
        Pool(name="pool", inputs=wires("last"), kernel=(2, 2), stride=(2, 2), is_average=True),
        Reshape(name="flat", inputs=wires("pool"), shape=(54,)),
        Dense(name="head", inputs=wires("flat"), weight=rng.normal(size=(5, 54)), bias=rng.normal(size=5)),
        Output(name="y", inputs=wires("head"), over=Over.MEAN),
    ]
    return SpikeGraph(tuple(nodes), name="sfa", layout=Layout.B)


def pooled_graph(seed: int = 0, timesteps: int = 4) -> tuple[SpikeGraph, Array]:
    """Spikes through a maximum over windows and the maximum of two trains, and a batch [T, 3, 2, 6, 6]."""
    rng = np.random.default_rng(seed)
    fires = NeuronParameters(theta=np.array(0.5))
    nodes = (
        Input(name="x", shape=(2, 6, 6), kind=Kind.SPIKE),
        Conv(name="first", inputs=wires("x"), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1, 1, 1)),
        Neuron(name="n", inputs=wires("first"), parameters=fires),
        Conv(name="second", inputs=wires("x"), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1, 1, 1)),
        Neuron(name="m", inputs=wires("second"), parameters=fires),
        Maximum(name="either", inputs=wires("n", "m")),
        MaxPool(name="top", inputs=wires("either"), kernel=(2, 2), stride=(2, 2)),
        Reshape(name="flat", inputs=wires("top"), shape=(27,)),
        Dense(name="head", inputs=wires("flat"), weight=rng.normal(size=(5, 27))),
        Neuron(name="last", inputs=wires("head"), parameters=fires),
        Output(name="y", inputs=wires("last"), over=Over.SUM),
    )
    x = (rng.random((timesteps, 3, 2, 6, 6)) < 0.3).astype(np.float64)
    return SpikeGraph(nodes, name="pooled", layout=Layout.TB, timesteps=timesteps), x


def attended_graph(seed: int = 0, timesteps: int = 4) -> tuple[SpikeGraph, Array]:
    """Attention over the currents of a convolution, a gate of frames, and a batch [T, 3, 2, 6, 6]."""
    rng = np.random.default_rng(seed)
    fires = NeuronParameters(theta=np.array(0.2), leak=np.array(0.5))
    squeeze = {"shrink": rng.normal(size=(2, timesteps)), "grow": rng.normal(size=(timesteps, 2))}
    razor = {
        "embeddings": rng.normal(size=(2, timesteps)),
        "kernel": rng.normal(size=(2, timesteps)),
        "bias": rng.normal(size=2),
        "threshold": np.array(0.3),
        "has_gain": np.array(0),
    }
    nodes = (
        Input(name="x", shape=(2, 6, 6), kind=Kind.SPIKE),
        Conv(name="first", inputs=wires("x"), weight=rng.normal(size=(3, 2, 3, 3)), padding=(1, 1, 1, 1)),
        SideOperation(
            name="gain",
            inputs=wires("first"),
            operation="temporal-attention",
            shape=(1, 1, 1),
            constants=squeeze,
            is_sequence=True,
            origin="attention.gain",
        ),
        Mul(name="gained", inputs=wires("first", "gain")),
        Neuron(name="n", inputs=wires("gained"), parameters=fires),
        SideOperation(
            name="frames",
            inputs=wires("n"),
            operation="razor-frames",
            shape=(1, 1, 1),
            constants=razor,
            is_sequence=True,
            kind=Kind.SPIKE,
        ),
        Gate(name="gate", inputs=wires("n", "frames")),
        Reshape(name="flat", inputs=wires("gate"), shape=(108,)),
        Dense(name="head", inputs=wires("flat"), weight=rng.normal(size=(5, 108))),
        Neuron(name="last", inputs=wires("head"), parameters=fires),
        Output(name="y", inputs=wires("last"), over=Over.SUM),
    )
    x = (rng.random((timesteps, 3, 2, 6, 6)) < 0.3).astype(np.float64)
    return SpikeGraph(nodes, name="attended", layout=Layout.TB, timesteps=timesteps), x


def lif_graph(seed: int = 0, timesteps: int = 6) -> SpikeGraph:
    """Two layers of leaky neurons on a sequence, [T, B, 8]."""
    rng = np.random.default_rng(seed)
    lif = NeuronParameters(leak=np.array(0.5), reset=Reset.VALUE)
    soft = NeuronParameters(leak=np.array(0.75))
    nodes = (
        Input(name="x", shape=(8,)),
        Dense(name="fc1", inputs=wires("x"), weight=rng.normal(size=(12, 8)), bias=rng.normal(size=12) * 0.2),
        Neuron(name="n1", inputs=wires("fc1"), parameters=lif),
        Dense(name="fc2", inputs=wires("n1"), weight=rng.normal(size=(12, 12)) * 0.6 + 0.1),
        Neuron(name="n2", inputs=wires("fc2"), parameters=soft),
        Dense(name="fc3", inputs=wires("n2"), weight=rng.normal(size=(4, 12))),
        Output(name="y", inputs=wires("fc3"), over=Over.MEAN),
    )
    return SpikeGraph(nodes, name="lif", timesteps=timesteps, layout=Layout.TB)


def images(count: int = 24, seed: int = 1) -> Array:
    """Images [B, 1, 6, 6] on a grid of sixteenths."""
    return np.random.default_rng(seed).integers(0, 17, (count, 1, 6, 6)) / 16


def sequences(count: int = 24, seed: int = 1, timesteps: int = 6) -> Array:
    """Sequences [T, B, 8]."""
    return np.random.default_rng(seed).normal(size=(timesteps, count, 8))
