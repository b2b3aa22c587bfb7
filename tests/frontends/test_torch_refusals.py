"""What cannot be traced is refused with its place and a way out, never with a bare traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snncc.nn
from snncc.errors import BadInput, CannotTrace
from snncc.frontends.from_torch import trace
from snncc.frontends.neurons import register_neuron
from tests.frontends.torch_networks import Apply, noise

GENERATOR = torch.Generator().manual_seed(9)
VECTOR = noise(GENERATOR, 4, 6)
TOKENS = noise(GENERATOR, 4, 5, 6)
IMAGE = noise(GENERATOR, 4, 4, 9, 8)

MODULES: dict[str, tuple[Callable[[], nn.Module], Tensor, str, str]] = {
    "relu": (nn.ReLU, VECTOR, "1: relu is no spiking neuron", "snncc.nn.SFA or snncc.nn.QCFS"),
    "gelu": (nn.GELU, VECTOR, "1: gelu is an activation without spikes", "snncc.nn.SFA"),
    "sigmoid": (nn.Sigmoid, VECTOR, "1: sigmoid is a nonlinear function", "only neurons"),
    "softmax": (lambda: nn.Softmax(-1), VECTOR, "1: softmax is a softmax", "leave it away"),
    "layer norm": (
        lambda: nn.LayerNorm(6),
        VECTOR,
        "1: native_layer_norm computes statistics",
        "batch normal",
    ),
    "group norm": (lambda: nn.GroupNorm(2, 4), IMAGE, "1: native_group_norm computes stat", "batch normal"),
    "instance norm": (
        lambda: nn.InstanceNorm2d(4),
        IMAGE,
        "1: normalizes with statistics of the batch",
        "running",
    ),
    "batch norm without statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        IMAGE,
        "1: normalizes with statistics",
        "running",
    ),
    "transposed convolution": (
        lambda: nn.ConvTranspose2d(4, 2, 3),
        IMAGE,
        "1: convolution: is a transposed",
        "upsample",
    ),
    "three dimensions": (lambda: nn.Conv3d(4, 2, 1), IMAGE[..., None], "1: convolution: .* 3 dimensions", ""),
    "uneven maxima": (
        lambda: nn.AdaptiveMaxPool2d(4),
        IMAGE,
        "1: .*windows of different sizes",
        "divides the map",
    ),
    "lstm": (lambda: nn.LSTM(6, 2), TOKENS, "1: ", ""),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    make, x, words, hint = MODULES[name]
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(nn.Sequential(nn.Identity(), make()), x)
    assert hint in caught.value.hint


def branch(x: Tensor) -> Tensor:
    return x if float(x[0, 0]) > 0 else -x


def hard_coded(x: Tensor) -> Tensor:
    return x.reshape(4, 6) * 2


def through_numpy(x: Tensor) -> Tensor:
    return x + torch.from_numpy(x.numpy() * 2)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Any], Tensor, str]] = {
    "functional relu": (lambda x: F.relu(x), VECTOR, "relu is no spiking neuron"),
    "clamp": (lambda x: x.clamp(0, 1), VECTOR, "clamp is no spiking neuron"),
    "comparison": (lambda x: (x > 0.5).float(), VECTOR, "gt compares or rounds a signal"),
    "rounding": (lambda x: torch.round(x), VECTOR, "round compares or rounds a signal"),
    "absolute value": (lambda x: x.abs(), VECTOR, "abs is a nonlinear function"),
    "square": (lambda x: x**2, VECTOR, "pow is a nonlinear function"),
    "division of signals": (lambda x: x / (x + 1), VECTOR, "div: divides by a signal"),
    "attention": (lambda x: x @ x.transpose(1, 2), TOKENS, "one is no spikes or counts"),
    "stack of matrices": (
        lambda x: torch.einsum("bnc,nco->bno", x, torch.arange(60.0).view(5, 6, 2).to(x)),
        TOKENS,
        "different matrices|finds data",
    ),
    "branch on data": (branch, VECTOR, "looks at the value of a signal .data-dependent control flow."),
    "random numbers": (lambda x: x + torch.randn(6), VECTOR, r"draws random numbers \(randn\)"),
    "functional dropout": (lambda x: F.dropout(x, 0.5, True), VECTOR, "dropout left in training mode"),
    "batch in data": (
        lambda x: x.reshape(1, -1) * torch.arange(x.numel()).to(x),
        VECTOR,
        "differs between samples",
    ),
    "mean over the batch": (lambda x: x - x.mean(0), VECTOR, "reduces over the samples"),
    "batch mates": (lambda x: x + x.flip(0), VECTOR, "combines different timesteps or samples"),
    "one sample": (lambda x: x[:1] * 2, VECTOR, "some samples of the batch alone"),
    "constant output": (lambda x: torch.ones(len(x), 2), VECTOR, "output: nothing of the input reaches"),
    "no tensor": (lambda x: "text", VECTOR, "the model returns str, not tensors"),
    "half a tensor": (lambda x: (x, None), VECTOR, "the model returns tuple, not tensors"),
    "integers": (lambda x: x.long(), VECTOR, "converts the signal to torch.int64"),
    "infinite constant": (lambda x: x * float("inf"), VECTOR, "NaN or infinite"),
    "through numpy": (through_numpy, VECTOR, "constant that differs between samples"),
    "scatter": (lambda x: x.clone().index_put_((torch.tensor([0]),), x[:1]), VECTOR, "by index"),
    "sorting": (lambda x: x.sort(1)[0], VECTOR, "sort orders values"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function, x, words = FUNCTIONS[name]
    with pytest.raises(CannotTrace, match=words):
        trace(Layered(function), x)


class Layered(Apply):
    """With a layer inside it is probed for no neuron."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.unused = nn.Linear(1, 1)


def test_the_place_is_the_module_and_the_line_of_the_user() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x)

    line = Block.forward.__code__.co_firstlineno + 1
    with pytest.raises(CannotTrace, match=rf"^features.1 \(test_torch_refusals.py:{line}\): tanh is"):
        trace(Outer(Block()), VECTOR)


class Outer(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 6), block)

    def forward(self, x: Tensor) -> Any:
        return self.features(x)


def test_a_hard_coded_batch_size_is_named() -> None:
    with pytest.raises(CannotTrace, match="the model fails on an input of shape") as caught:
        trace(Apply(hard_coded), VECTOR)
    assert "it runs with the 4 samples of the example: a batch size is hard-coded" in str(caught.value)
    with pytest.raises(CannotTrace, match=r"fails on an input of shape .*: RuntimeError") as caught:
        trace(Apply(lambda x: x.reshape(2, 6) * 2), VECTOR[:2])
    assert "another number of samples" in str(caught.value)


def test_an_error_of_the_model_keeps_its_words_and_its_line() -> None:
    def fails(x: Tensor) -> Tensor:
        raise KeyError("no such layer")

    line = fails.__code__.co_firstlineno + 1
    with pytest.raises(
        CannotTrace, match=rf"at test_torch_refusals.py:{line}: KeyError: 'no such layer'"
    ) as caught:
        trace(Apply(fails), VECTOR)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "hard-coded" not in str(caught.value)


def test_a_module_that_stays_in_training_mode_is_named() -> None:
    class Stubborn(nn.Dropout):
        def train(self, mode: bool = True) -> Stubborn:
            return super().train(True)

    with pytest.raises(CannotTrace, match=r"1 stays in training mode after model.eval"):
        trace(nn.Sequential(nn.Linear(6, 6), Stubborn()), VECTOR)


def test_an_output_needs_a_name_of_its_own() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"head": self.head(x)}

    with pytest.raises(CannotTrace, match="has the name 'head', as a module or another node has"):
        trace(Named(), VECTOR)


def test_modules_may_be_called_input_and_output() -> None:
    class Awkward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.output = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Any:
            return self.output(self.input(x))

    names = [node.name for node in trace(Awkward(), VECTOR)]
    assert names == ["input", "input.linear", "output.linear", "output"]


DATA: dict[str, tuple[Any, str]] = {
    "integers": (torch.ones(2, 6, dtype=torch.int64), "must be floating point, not torch.int64"),
    "NaN": (torch.full((2, 6), float("nan")), "12 of 12 numbers of the example are NaN or infinite"),
    "empty": (torch.ones(0, 6), "the example is empty"),
    "meta": (torch.ones(2, 6, device="meta"), "on the meta device"),
    "several": ((VECTOR, VECTOR), "one input tensor"),
    "dict": ({"x": VECTOR}, "one input tensor"),
    "text": ("x.npy", "is no tensor"),
    "no batch": (torch.ones(6), "needs a batch axis"),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_examples(name: str) -> None:
    x, words = DATA[name]
    with pytest.raises(BadInput, match=words):
        trace(nn.Linear(6, 2), x)


def test_arrays_are_examples_too() -> None:
    assert trace(nn.Linear(6, 2), np.ones((2, 6), np.float32)).edges["output"].shape == (2,)


def test_bad_options() -> None:
    model = nn.Linear(6, 2)
    with pytest.raises(BadInput, match="layout must be 'B', 'TB' or 'BT', not 'NCHW'"):
        trace(model, VECTOR, layout="NCHW")
    with pytest.raises(BadInput, match="timesteps must be a whole number of at least 1, not 0"):
        trace(model, VECTOR, 0, "B")
    with pytest.raises(BadInput, match="input_kind must be one of analog, count, spike, not 'event'"):
        trace(model, VECTOR, input_kind="event")
    with pytest.raises(BadInput, match="presence must be one of"):
        trace(model, VECTOR, presence="always")
    with pytest.raises(BadInput, match=r"input_kind='spike' allows 0 and 1 only, not 0.5"):
        trace(model, 0.5 * torch.ones(2, 6), input_kind="spike")
    with pytest.raises(BadInput, match="presence='first' needs layout='B'"):
        trace(model, TOKENS, layout="TB", presence="first")
    with pytest.raises(BadInput, match=r"with layout='TB' the example needs \[T, B"):
        trace(model, VECTOR, layout="TB")
    with pytest.raises(BadInput, match=r"trace takes a torch.nn.Module, not a function"):
        trace(lambda x: x, VECTOR)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "data"), [("spike", [[0.0, 1.0]]), ("count", [[0.0, 3.0]])])
def test_kinds_of_input(kind: str, data: list[list[float]]) -> None:
    graph = trace(nn.Sequential(snncc.nn.SFA(4)), torch.tensor(data), input_kind=kind)
    assert str(graph.edges["input"].kind) == kind


def test_a_description_that_is_none_and_a_script_module_are_refused() -> None:
    class Own(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    register_neuron(Own, lambda module: None)  # type: ignore[arg-type,return-value]
    model = nn.Sequential(nn.Linear(4, 4), Own())
    with pytest.raises(CannotTrace, match="its description is a NoneType, not a dict"):
        trace(model, torch.rand(3, 4), layout="B")
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        script = torch.jit.script(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(CannotTrace, match="is a TorchScript module"):
        trace(script, torch.rand(3, 4), layout="B")
