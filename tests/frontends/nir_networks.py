"""Networks that are exported to NIR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Conv,
    Dense,
    Emit,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Order,
    Output,
    Pool,
    Reset,
    Reshape,
    SpikeGraph,
    Wire,
    wires,
)

N, T, B = 6, 25, 3
HARD = NeuronParameters(reset=Reset.VALUE)
RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(0.3, 0.6, (N, N))


def layer(p: NeuronParameters, *more: Node, reads: str = "fc", sends: str = "lif") -> SpikeGraph:
    """Input, weights, one layer of neurons; *more* stands between it and the output."""
    nodes = (
        Input(name="in", shape=(N,)),
        Dense(name="fc", inputs=wires("in"), weight=WEIGHT),
        Neuron(name="lif", inputs=wires(reads), parameters=p, origin="model.py:7"),
        *more,
        Output(name="out", inputs=wires(sends)),
    )
    graph = SpikeGraph(nodes, timesteps=T)
    graph.verify()
    return graph


def data(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0.5, 1, (T, B, N))


def drawn(rng: np.random.Generator) -> NeuronParameters:
    """A neuron that NIR says exactly."""

    def each(low: float, high: float) -> Array:
        return rng.uniform(low, high, (N,) if rng.random() < 0.5 else ())

    p = replace(HARD, theta=each(0.3, 1.5), v_reset=each(-0.5, 0.2), strict=bool(rng.random() < 0.5))
    if rng.random() < 0.7:
        p = replace(p, leak=each(0.05, 0.99), bias=each(-0.1, 0.3))
        if rng.random() < 0.3:
            p = replace(p, order=Order.INTEGRATE_FIRST)
        if rng.random() < 0.4:
            p = replace(p, leak_i=each(0.05, 0.9), bias=np.zeros(()))
    if rng.random() < 0.2:
        p = replace(
            p, reset=Reset.NONE, v_reset=np.zeros(()), emit=Emit.POTENTIAL, strict=False, theta=np.ones(())
        )
    elif rng.random() < 0.1:
        p = NeuronParameters(theta=each(0.3, 1.5), stateless=True, reset=Reset.NONE, strict=True)
    return p


def drawn_graph(rng: np.random.Generator) -> SpikeGraph:
    """A small network of layers, sums, loops and delays."""
    nodes: list[Node] = [Input(name="in", shape=(N,))]
    signals, ends = ["in"], []
    for k in range(int(rng.integers(1, 4))):
        source = str(rng.choice(signals))
        weight = rng.normal(0.2, 0.8, (N, N)).astype(rng.choice(["f4", "f8"]))
        bias = rng.normal(0, 0.2, N) if rng.random() < 0.5 else None
        delay = int(rng.integers(0, 3)) * int(rng.random() < 0.3)
        nodes.append(Dense(name=f"fc{k}", inputs=(Wire(source, delay),), weight=weight, bias=bias))
        ends, last = [Wire(f"fc{k}")], f"fc{k}"
        if rng.random() < 0.4:
            gain, offset = rng.normal(1, 0.5, N), rng.normal(0, 0.3, N) * rng.integers(0, 2)
            nodes.append(Affine(name=f"bn{k}", inputs=wires(last), gain=gain, offset=offset))
            ends = [Wire(f"bn{k}")]
        if rng.random() < 0.3:
            ends.append(Wire(str(rng.choice(signals)), int(rng.integers(0, 2))))
        if rng.random() < 0.2:
            nodes.append(Add(name=f"sum{k}", inputs=tuple(ends)))
            ends = [Wire(f"sum{k}"), *ends[:1]]
        p = drawn(rng)
        back: list[Node] = []
        if rng.random() < 0.4 and p.emit is Emit.COUNT:
            rec = rng.normal(0, 0.4, (N, N))
            back.append(Dense(name=f"rec{k}", inputs=wires(f"lif{k}"), weight=rec))
            ends.append(Wire(f"rec{k}", int(rng.integers(1, 3))))
        nodes.append(Neuron(name=f"lif{k}", inputs=tuple(ends), parameters=p))
        nodes += back
        signals.append(f"lif{k}")
    return SpikeGraph((*nodes, Output(name="out", inputs=wires(signals[-1]))), timesteps=T)


def conv_graph() -> SpikeGraph:
    rng = np.random.default_rng(3)
    p = replace(HARD, leak=np.array(0.75), theta=rng.uniform(0.2, 0.6, (8, 1, 1)))
    nodes = (
        Input(name="in", shape=(2, 8, 9), kind=Kind.SPIKE),
        Conv(
            name="conv",
            inputs=wires("in"),
            weight=rng.normal(0, 0.4, (8, 1, 3, 2)),
            bias=rng.normal(0, 0.1, (8, 1, 1)),
            stride=(1, 2),
            padding=(1, 1, 0, 0),
            groups=2,
        ),
        Affine(
            name="bn",
            inputs=wires("conv"),
            gain=rng.normal(1, 0.2, (8, 1, 1)),
            offset=rng.normal(0, 0.1, (8, 1, 1)),
        ),
        Neuron(name="n1", inputs=wires("bn"), parameters=p),
        Pool(name="pool", inputs=wires("n1"), kernel=(2, 2), stride=(2, 2), is_average=True),
        Reshape(name="line", inputs=wires("pool"), shape=(8, 8)),
        Reshape(name="map", inputs=wires("line"), shape=(8, 1, 8)),
        Conv(
            name="conv1d", inputs=wires("map"), weight=rng.normal(0, 0.6, (4, 8, 1, 3)), padding=(0, 0, 1, 1)
        ),
        Reshape(name="flat1d", inputs=wires("conv1d"), shape=(4, 8)),
        Neuron(name="n2", inputs=wires("flat1d"), parameters=replace(p, theta=np.array(0.1))),
        Reshape(name="flat", inputs=wires("n2"), shape=(32,)),
        Dense(name="fc", inputs=wires("flat"), weight=rng.normal(size=(5, 32))),
        Output(name="out", inputs=wires("fc")),
    )
    return SpikeGraph(nodes, timesteps=12)
