"""`chains()`: random networks of the common kind, which the event kernel runs from end to end."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snncc import reference
from snncc.ir import (
    Array,
    Conv,
    Dense,
    Encoding,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Node,
    Numbers,
    Output,
    Over,
    Pool,
    Presence,
    Reset,
    Reshape,
    SpikeGraph,
    Wire,
)
from tests.graphs import Case


@st.composite
def chains(draw: st.DrawFn) -> Case:
    """Convolutions, sums over tiles, flattening, dense layers, loops; leaks, biases, delays, ticks."""
    return Chain(draw).grown()


class Chain:
    """A chain while it is drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.timesteps, self.batch = draw(st.integers(1, 6)), draw(st.integers(1, 3))
        presence = self.pick(Presence.SEQUENCE, Presence.SEQUENCE, Presence.CONSTANT)
        self.shape: tuple[int, ...] = self.pick((2, 8, 6), (3, 5, 4), (17, 4, 4), (1, 12, 9), (30,))
        self.nodes: list[Node] = [Input(name="x", shape=self.shape, kind=Kind.SPIKE, presence=presence)]
        lead = (self.timesteps, self.batch) if presence is Presence.SEQUENCE else (self.batch,)
        spikes = self.rng.random((*lead, *self.shape)) < self.pick(0.1, 0.4)
        self.x = spikes.astype(self.pick(np.uint8, bool, np.int64, np.float32))
        self.last = "x"

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def weights(self, *shape: int) -> Array:
        """Small integers, or some that do not fit into 8 bits."""
        drawn = np.rint(self.rng.normal(2, 9, shape)).astype(np.int64) * (self.rng.random(shape) < 0.9)
        return drawn * self.pick(1, 1, 1, 1, 300)

    def grown(self) -> Case:
        for _ in range(self.draw(st.integers(1, 4))):
            if len(self.shape) == 3 and self.pick(True, True, False):
                self.pool()
                self.conv()
            else:
                self.dense()
        end = Output(name="out", inputs=(Wire(self.last),), over=Over.SEQUENCE)
        graph = SpikeGraph((*self.nodes, end), Numbers.INTEGER, "chain")
        graph.verify()
        return Case(graph, {"x": self.x}, self.timesteps)

    def pool(self) -> None:
        ways = [k for k in (1, 2, 3) if self.shape[1] % k == 0]
        across = [k for k in (1, 2, 3) if self.shape[2] % k == 0]
        window = (self.pick(*ways), self.pick(*across))
        if window == (1, 1):
            return
        name = f"pool{len(self.nodes)}"
        self.nodes.append(Pool(name=name, inputs=(Wire(self.last),), kernel=window, stride=window))
        self.shape = (self.shape[0], self.shape[1] // window[0], self.shape[2] // window[1])
        self.last = name

    def conv(self) -> None:
        kernel = self.pick((1, 1), (3, 3), (3, 2), (2, 3), (5, 5))
        padding = self.pick((1, 1, 1, 1), (2, 2, 2, 2), (0, 2, 1, 3))
        stride = self.pick((1, 1), (1, 1), (2, 2), (1, 3), (3, 1))
        sizes = (self.shape[1] + padding[0] + padding[1], self.shape[2] + padding[2] + padding[3])
        if sizes[0] < kernel[0] or sizes[1] < kernel[1]:
            kernel = (1, 1)
        weight = self.weights(self.pick(4, 16, 33), self.shape[0], *kernel)
        name = f"conv{len(self.nodes)}"
        node = Conv(
            name=name,
            inputs=(Wire(self.last, self.pick(0, 0, 0, 1)),),
            weight=weight,
            bias=self.pick(None, self.rng.integers(-9, 10, (len(weight), 1, 1))),
            shift=self.pick(0, 0, 1),
            stride=stride,
            padding=padding,
        )
        self.nodes.append(node)
        self.neuron(Wire(name))

    def dense(self) -> None:
        if len(self.shape) == 3:
            self.pool()
            name = f"flatten{len(self.nodes)}"
            self.shape = (prod(self.shape),)
            self.nodes.append(Reshape(name=name, inputs=(Wire(self.last),), shape=self.shape))
            self.last = name
        size = self.pick(5, 32, 70)
        name = f"dense{len(self.nodes)}"
        bias = self.pick(None, self.rng.integers(-9, 10, size))
        weight = self.weights(size, self.shape[0])
        self.nodes.append(Dense(name=name, inputs=(Wire(self.last),), weight=weight, bias=bias))
        late = self.pick(0, 0, 1) if bias is None else 0
        self.neuron(Wire(name, late), recurs=self.pick(True, False))

    def neuron(self, wire: Wire, *, recurs: bool = False) -> None:
        """A neuron whose threshold fits what arrives, perhaps with a loop of its own."""
        probe = Output(name="probe", inputs=(wire,), over=Over.SEQUENCE)
        graph = SpikeGraph((*self.nodes, probe), Numbers.INTEGER)
        run = reference.run(graph, {"x": self.x}, timesteps=self.timesteps, count=False)
        drive = np.asarray(run.output / graph.edges["probe"].scale)
        upwards = drive[drive > 0]
        level = max(2, int(np.quantile(upwards, self.pick(0.3, 0.7))) if upwards.size else 2)
        self.shape = graph.edges["probe"].shape
        columns = (self.shape[0], *([1] * (len(self.shape) - 1)))
        sizes = self.pick((), columns, self.shape)
        max_count = self.pick(1, 1, 2, 4)
        theta = np.maximum(np.rint(level * self.rng.uniform(0.7, 1.3, sizes)), 1).astype(np.int64)
        p = NeuronParameters(
            theta=theta,
            rho=theta if max_count == 1 else np.maximum(theta // 2, 1),
            strict=self.pick(True, False),
            max_count=max_count,
            encoding=Encoding.SPIKES if max_count > 1 else self.pick(Encoding.UNDECIDED, Encoding.SPIKES),
            bias=self.pick(np.zeros((), np.int64), self.rng.integers(-level, level, sizes)),
            reset=self.pick(Reset.SUBTRACT, Reset.VALUE, Reset.NONE) if max_count == 1 else Reset.SUBTRACT,
            v_reset=np.array(self.pick(0, -level // 3)),
            v_init=self.pick(np.zeros((), np.int64), self.rng.integers(-level, level, sizes)),
            clamp_low=self.pick(None, None, np.array(-level)),
            clamp_high=self.pick(None, None, np.array(3 * level)),
            stateless=self.pick(False, False, False, True),
            v_bits=self.pick(None, 40, 24),
            scale=np.array(0.5),
        )
        if self.pick(True, False):
            rounding = self.pick(*LeakRounding)
            p = replace(p, leak=self.rng.integers(10, 17, sizes), leak_shift=4, leak_rounding=rounding)
        name = f"neuron{len(self.nodes)}"
        node = Neuron(name=name, inputs=(wire,), parameters=p)
        self.last = name
        if not recurs:
            self.nodes.append(node)
            return
        back = f"{name}_back"
        late, early = self.pick((1, 0), (2, 0), (1, 1))
        scale = graph.edges["probe"].scale / p.scale
        loop = Dense(
            name=back,
            inputs=(Wire(name, early),),
            weight=np.minimum(self.weights(self.shape[0], self.shape[0]), 5),
            weight_scale=scale,
        )
        self.nodes += [replace(node, inputs=(wire, Wire(back, late))), loop]
