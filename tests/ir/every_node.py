"""One graph that holds every kind of node, in floats and in integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from snncc.ir import (
    Add,
    Affine,
    Array,
    Concat,
    Conv,
    Dense,
    DynamicSynapse,
    Encoding,
    Gate,
    Input,
    Kind,
    LeakRounding,
    Maximum,
    MaxPool,
    Mul,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Overflow,
    Pad,
    Pool,
    Product,
    Reshape,
    SideOperation,
    Slice,
    Sparse,
    SpikeGraph,
    Transpose,
    Wire,
    wires,
)

TIMESTEPS = 4
UNEXECUTED = (DynamicSynapse, SideOperation, Gate)


def every_node(numbers: Numbers, *, executable: bool = False) -> SpikeGraph:
    """The graph; without what no executor takes yet if *executable*."""
    rng = np.random.default_rng(7)
    integer = numbers is Numbers.INTEGER

    def draw(*shape: int) -> Array:
        values = rng.integers(-6, 12, shape)
        return values if integer else values / 4

    def scale(value: float) -> Array:
        return np.array(value if integer else 1.0)

    def number(value: float) -> Array:
        return np.array(round(value * 4) if integer else value)

    leak: dict[str, Any] = (
        {"leak": np.array(3), "leak_shift": 2, "leak_rounding": LeakRounding.FLOOR, "v_bits": 16}
        if integer
        else {"leak": np.array(0.75)}
    )
    lif = NeuronParameters(theta=number(1.5), rho=number(1.5), **leak)
    sfa = NeuronParameters(
        theta=number(2.5),
        rho=number(5),
        max_count=4,
        encoding=Encoding.GRADED,
        clamp_low=number(-20),
        overflow=Overflow.SATURATE,
        scale=np.array(1.0),
    )
    image: dict[str, Any] = {"low": 0, "high": 255, "scale": np.array(0.25)} if integer else {}
    nodes: list[Node] = [
        Input(name="image", shape=(2, 6, 6), origin="x", **image),
        Input(name="events", shape=(10,), kind=Kind.SPIKE),
        Input(name="tallies", shape=(36,), kind=Kind.COUNT, max_count=3),
        Conv(
            name="conv",
            inputs=wires("image"),
            origin="features.0 (model.py:12)",
            weight=draw(4, 2, 3, 3),
            bias=draw(4, 1, 1),
            padding=(1, 0, 1, 0),
            weight_scale=scale(0.5),
        ),
        Affine(
            name="norm", inputs=wires("conv"), gain=draw(4, 1, 1), offset=draw(4, 1, 1), gain_scale=scale(0.5)
        ),
        Neuron(name="lif", inputs=wires("norm"), parameters=lif, origin="features.2 (model.py:14)"),
        Pad(name="grown", inputs=wires("lif"), padding=(0, 1, 0, 1)),
        Pool(name="pooled", inputs=wires("grown"), kernel=(2, 2), stride=(2, 2), is_average=True),
        MaxPool(name="peak", inputs=wires("grown"), kernel=(2, 2), stride=(2, 2)),
        Transpose(name="turned", inputs=wires("peak"), axes=(1, 2, 0)),
        Reshape(name="flat", inputs=wires("turned"), shape=(36,)),
        Slice(name="part", inputs=(Wire("flat", 1),), axis=0, start=0, stop=36, step=2),
        Concat(name="joined", inputs=wires("part", "part"), axis=0),
        Maximum(name="either", inputs=wires("flat", "joined")),
        Add(name="sum", inputs=wires("flat", "joined", "either", "tallies")),
        Dense(
            name="fc",
            inputs=wires("sum"),
            weight=draw(10, 36),
            bias=draw(10),
            shift=2 if integer else 0,
            weight_scale=scale(0.5),
        ),
        Sparse(
            name="table",
            inputs=wires("flat"),
            pre=rng.integers(0, 36, 50),
            post=rng.integers(0, 10, 50),
            weight=draw(50),
            delay=rng.integers(0, 3, 50),
            shape=(10,),
            weight_scale=scale(0.125),
        ),
        Mul(name="product", inputs=wires("fc", "table")),
        Neuron(name="sfa", inputs=(*wires("fc", "table"), Wire("loop", 1, number(2) * 1.0)), parameters=sfa),
        Dense(name="loop", inputs=wires("sfa"), weight=draw(10, 10), weight_scale=scale(0.125)),
        Output(name="map", inputs=wires("pooled"), over=Over.SUM),
        Output(name="gains", inputs=wires("product"), over=Over.LAST),
        Output(name="counts", inputs=wires("sfa")),
        Output(name="seen", inputs=wires("events"), over=Over.MEAN),
    ]
    if not executable:
        nodes += [
            DynamicSynapse(name="paired", inputs=wires("sfa", "events"), product=Product.ELEMENTWISE),
            SideOperation(
                name="soft",
                inputs=wires("fc"),
                operation="temporal-attention",
                shape=(1,),
                is_sequence=True,
                constants={"shrink": np.array([[0.5, 2.0]]), "grow": np.array([[1], [-1]])},
            ),
            Gate(name="gated", inputs=wires("sfa", "events")),
            Output(name="attention", inputs=wires("paired"), over=Over.MAXIMUM),
            Output(name="host", inputs=wires("soft")),
            Output(name="masked", inputs=wires("gated")),
        ]
    return SpikeGraph(tuple(nodes), numbers, "every", TIMESTEPS)


def data(batch: int = 2) -> dict[str, Array]:
    """Input for the graph."""
    rng = np.random.default_rng(1)
    return {
        "image": rng.uniform(0, 3, (TIMESTEPS, batch, 2, 6, 6)),
        "events": rng.integers(0, 2, (TIMESTEPS, batch, 10)),
        "tallies": rng.integers(0, 4, (TIMESTEPS, batch, 36)),
    }
