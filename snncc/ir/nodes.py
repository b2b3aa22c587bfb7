"""The nodes of the spike graph: a closed union of frozen dataclasses.

Every node has a *name*, its *inputs*, and an *origin*: the user's own name for it (module path, source
line). In a float graph arithmetic is done on real values; in an integer graph on carried numbers, and the
scales say what they stand for. Linear nodes keep the ticks of their input apart; a neuron sums over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from snncc.errors import InvalidGraph
from snncc.ir.arrays import Array, Shape, one, seal_fields, sealed, zero
from snncc.ir.edges import Kind
from snncc.ir.neuron import NeuronParameters


@dataclass(frozen=True, slots=True, eq=False)
class Wire:
    """The value of node *source* at timestep t - *delay*; before the first timestep, *initial*."""

    source: str
    delay: int = 0
    initial: Array | None = None

    def __post_init__(self) -> None:
        seal_fields(self, "initial")
        if self.delay < 0:
            raise InvalidGraph(f"a wire from {self.source} has delay {self.delay}; it must be >= 0")


def wires(*sources: str) -> tuple[Wire, ...]:
    """Undelayed wires from *sources*."""
    return tuple(Wire(source) for source in sources)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Base:
    """What every node has."""

    name: str
    inputs: tuple[Wire, ...] = ()
    origin: str = ""


class Presence(StrEnum):
    """When an input has its value."""

    SEQUENCE = "sequence"
    CONSTANT = "constant"
    """The same value repeated at every timestep."""
    FIRST = "first"
    """Present at t = 0, zero afterwards."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Input(Base):
    """Data from outside, shaped *shape* per sample and timestep.

    In an integer graph an analog input is ``clip(rint(x / scale), low, high)``.
    """

    shape: Shape
    kind: Kind = Kind.ANALOG
    presence: Presence = Presence.SEQUENCE
    scale: Array = field(default_factory=one)
    max_count: int | None = None
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        seal_fields(self, "scale")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Synapse(Base):
    """What dense, convolution and sparse nodes share.

    *bias* broadcasts to the output's shape and is added once per timestep (before the first tick).
    *delay*, when given, has one integer number of timesteps for each weight. In an integer graph the
    real weight is ``weight x weight_scale``, and the sum is shifted left by *shift* before the bias. One
    that the compiler *added* (``is_added``) costs operations, but is no layer of the user's network.
    """

    weight: Array
    bias: Array | None = None
    weight_scale: Array = field(default_factory=one)
    shift: int = 0
    delay: Array | None = None
    is_added: bool = False

    def __post_init__(self) -> None:
        seal_fields(self, "weight", "bias", "weight_scale", "delay")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dense(Synapse):
    """``weight [out, in]`` applied to the last axis."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Conv(Synapse):
    """Cross-correlation of [C, H, W] with ``weight [out, C/groups, kh, kw]``, as torch.nn.Conv2d.

    *padding* is (top, bottom, left, right).
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sparse(Synapse):
    """An explicit table: entry k adds ``weight[k] * input.flat[pre[k]]`` to ``output.flat[post[k]]``."""

    pre: Array
    post: Array
    shape: Shape

    def __post_init__(self) -> None:
        seal_fields(self, "weight", "bias", "weight_scale", "delay", "pre", "post")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pool(Base):
    """Sum over windows of the last two axes; *is_average* divides by the window through the scale.

    *padding* is (top, bottom, left, right), zeros that count as part of the window.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    is_average: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MaxPool(Base):
    """Maximum over windows of the last two axes: OR on spikes. Padding never wins."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Affine(Base):
    """``gain * x + offset``; with *per_timestep* both have a leading axis of timesteps.

    In an integer graph the real gain is ``gain x gain_scale``.
    """

    gain: Array = field(default_factory=one)
    offset: Array = field(default_factory=zero)
    gain_scale: Array = field(default_factory=one)
    per_timestep: bool = False

    def __post_init__(self) -> None:
        seal_fields(self, "gain", "offset", "gain_scale")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pad(Base):
    """Pads the last two axes by (top, bottom, left, right) with *value* (per channel, [C, 1, 1])."""

    padding: tuple[int, int, int, int]
    value: Array = field(default_factory=zero)

    def __post_init__(self) -> None:
        seal_fields(self, "value")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Maximum(Base):
    """Elementwise maximum of two signals: OR on spikes."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Mul(Base):
    """Elementwise product of two signals (gain, mask); they broadcast NumPy-wise."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Add(Base):
    """Sum of two or more signals of one shape; of spike or count edges of one scale, a count."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reshape(Base):
    """The same numbers in row-major order under another *shape*."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Transpose(Base):
    """Axis k of the output is axis ``axes[k]`` of the input."""

    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Concat(Base):
    """Inputs one after another along *axis*."""

    axis: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Slice(Base):
    """``input[start:stop:step]`` along *axis*; step >= 1."""

    axis: int
    start: int
    stop: int
    step: int = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Neuron(Base):
    """The one neuron (`snncc.ir.neuron`) on the sum of its inputs."""

    parameters: NeuronParameters = field(default_factory=NeuronParameters)


class Product(StrEnum):
    """How a dynamic synapse multiplies."""

    MATMUL = "matmul"
    ELEMENTWISE = "elementwise"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DynamicSynapse(Base):
    """Product of two spike or count edges; its result is a count with a static bound.

    A matrix product of the last two axes, or an elementwise one that broadcasts NumPy-wise between signals
    of as many axes. *first* is the operand (0 or 1) that must be complete before the other's spikes are
    applied: each of those then adds a row of the complete one (of counts, not of spikes). Product tick by
    tick, ``sum_d left_d right_d``, is not the product of the counts.
    """

    product: Product = Product.MATMUL
    transpose: tuple[bool, bool] = (False, False)
    first: int = 0


OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "advanced-spatial-attention": ("alpha", "gamma", "lam", "conv1", "conv2"),
    "spatial-attention": ("conv", "over_train"),
    "temporal-attention": ("shrink", "grow"),
    "channel-attention": ("shrink", "grow"),
    "razor-gain": ("embeddings", "kernel", "bias"),
    "razor-frames": ("embeddings", "kernel", "bias", "threshold", "has_gain"),
}
"""Side operations, and the constants that each needs (the first also takes fc0 and fc1)."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SideOperation(Base):
    """What a chip's host or MAC unit must do, in float64; *operation* is one of `OPERATIONS`.

    It yields gains (of kind analog, in an integer graph rounded to steps of *scale*) or a mask (of kind
    spike). A sequence operation reads the whole train of a sample, so it cuts the graph into stages.
    *constants* are its arrays by name.
    """

    operation: str
    shape: Shape
    constants: Mapping[str, Array] = field(default_factory=dict)
    is_sequence: bool = False
    scale: Array = field(default_factory=one)
    kind: Kind = Kind.ANALOG

    def __post_init__(self) -> None:
        seal_fields(self, "scale")
        object.__setattr__(self, "constants", {k: sealed(v) for k, v in self.constants.items()})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gate(Base):
    """The first input where the second, a spike(1) edge that broadcasts to it, is one; else nothing."""


class Over(StrEnum):
    """How an output is reduced over time."""

    SEQUENCE = "sequence"
    SUM = "sum"
    MEAN = "mean"
    LAST = "last"
    MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Output(Base):
    """A result, summed over its ticks and reduced over time."""

    over: Over = Over.SEQUENCE


Node = (
    Input
    | Dense
    | Conv
    | Sparse
    | Pool
    | MaxPool
    | Affine
    | Pad
    | Maximum
    | Mul
    | Add
    | Reshape
    | Transpose
    | Concat
    | Slice
    | Neuron
    | DynamicSynapse
    | SideOperation
    | Gate
    | Output
)

NODE_TYPES: tuple[type[Node], ...] = (
    *(Input, Dense, Conv, Sparse, Pool, MaxPool, Affine, Pad, Maximum, Mul, Add),
    *(Reshape, Transpose, Concat, Slice, Neuron, DynamicSynapse, SideOperation, Gate, Output),
)
