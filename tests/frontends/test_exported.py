"""`load_exported`: exported programs compute what their models do, neurons stay whole, nothing else runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snncc.api.loading import load, trace
from snncc.errors import BadInput, CannotTrace
from snncc.frontends.exported import NEURON, described, load_exported
from snncc.frontends.exported_place import current_place
from snncc.ir import dump
from snncc.nn import IF, LIAF, LIF, PLIF, QCFS, SFA, SRIF, CubaLIF, Neuron, Rectangle
from snncc.nn.export import flatten, rebuild

BATCH = ({1: torch.export.Dim("batch")},)

NEURONS: dict[str, Callable[[], Neuron]] = {
    "IF": lambda: IF(0.7, reset="value", v_reset=-0.1, v_init=0.3, scale=torch.tensor(0.3), step_mode="m"),
    "IF amount": lambda: IF(torch.tensor(0.7), reset_amount=0.2, strict=True, step_mode="m"),
    "SRIF": lambda: SRIF(step_mode="m", surrogate=Rectangle(3.0)),
    "LIF": lambda: LIF(torch.tensor([0.1, 0.5, 0.9]).reshape(3, 1), 0.3, decay_input=True, step_mode="m"),
    "LIF learned": lambda: LIF(nn.Parameter(torch.tensor(1 / 3)), 0.3, reset="zero", step_mode="m"),
    "LIAF": lambda: LIAF(0.5, reset="none", step_mode="m"),
    "PLIF": lambda: PLIF(w=torch.tensor(0.123), reset="zero", v_reset=0.0, step_mode="m"),
    "CubaLIF": lambda: CubaLIF(0.2, torch.tensor(0.7), step_mode="m"),
    "SFA": lambda: SFA(4, norm=3.0, rounding="even"),
    "SFA carry": lambda: SFA(4, carry=True, decay=0.25, detach_reset=True, step_mode="m"),
    "QCFS": lambda: QCFS(8, torch.rand(3, 4) + 1),
}


class Network(nn.Module):
    """Convolution, normalization and multi-step neurons, [T, B, 2, 6, 6] -> [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.running_mean)  # type: ignore[arg-type]
        self.fire = LIF(torch.full((4, 1, 1), 0.3), theta=0.25, step_mode="m")
        self.count = SFA(4, carry=True, step_mode="m")
        self.head = nn.Linear(64, 3)
        self.last = IF(step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        T, B = x.shape[:2]
        y = self.norm(self.conv(x.flatten(0, 1))).reshape(T, B, 4, 4, 4)
        y = self.count(self.fire(y) * 2).flatten(2)
        out: Tensor = self.last(self.head(y)).mean(0)
        return out


def saved(model: nn.Module, x: Tensor, path: Path, shapes: Any = BATCH) -> Path:
    torch.export.save(torch.export.export(model.eval(), (x,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.pt2"


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_is_one_node_with_equal_outputs(name: str, file: Path) -> None:
    torch.manual_seed(1)
    # as a whole model: torch.export fails on a root with buffers before and after one that is None
    neuron, x = nn.Sequential(NEURONS[name]()), torch.randn(6, 2, 3, 4) * 2
    loaded = load_exported(saved(neuron, x, file))
    (step,) = (s for s in loaded._program.steps if s.function is NEURON)
    wide = torch.randn(6, 5, 3, 4) * 2
    with torch.no_grad():
        assert torch.equal(loaded(x), neuron(x))
        assert torch.equal(loaded(wide), neuron(wide))
        assert torch.equal(loaded(wide.double()), neuron(wide.double()))
    program = torch.export.load(file).module()
    assert torch.equal(program(x), neuron(x))
    assert (step.path, step.line) == ("0", "")
    assert type(loaded.get_submodule("0")) is type(neuron[0])


@pytest.mark.parametrize("name", NEURONS)
def test_described(name: str) -> None:
    neuron = NEURONS[name]()
    fields = described((None, *flatten(neuron), neuron.step_mode))
    assert fields.keys() == neuron.describe().keys()
    for key, value in neuron.describe().items():
        assert np.array_equal(np.asarray(fields[key]), np.asarray(value)), key


def test_a_network(file: Path) -> None:
    model, x = Network(), torch.rand(5, 3, 2, 6, 6) * 3
    loaded = load_exported(saved(model, x[:, :2].clone(), file))
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
        assert torch.equal(loaded(x[:, :1]), model(x[:, :1]))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert [axis.is_fixed for axis in loaded.axes[0]] == [True, False, True, True, True]
    assert not loaded.training


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What a tracer sees."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: list[tuple[str, str]] = []
        self.neurons: list[dict[str, object]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.places.append(current_place())
        if func is NEURON:
            self.neurons.append(described(args))
        return func(*args, **(kwargs or {}))


def test_places(file: Path) -> None:
    model, x = Network(), torch.rand(5, 2, 2, 6, 6)
    loaded = load_exported(saved(model, x, file))
    with torch.no_grad(), Watch() as watch:
        loaded(x)
    lines = dict(watch.places)
    assert set(lines) == {"", "conv", "norm", "fire", "count", "head", "last"}
    assert all(line.startswith("test_exported.py:") for path, line in lines.items() if path)
    assert current_place() == ("", "")


def test_torch_runs_neurons_as_one_operation(file: Path) -> None:
    model, x = Network(), torch.rand(5, 2, 2, 6, 6)
    module = torch.export.load(saved(model, x, file)).module()
    with torch.no_grad(), Watch() as watch:
        module(x)
    assert [fields["theta"] for fields in watch.neurons] == [0.25, 0.5, 1.0]
    assert watch.neurons[1] == model.count.describe()


@pytest.mark.parametrize("free_time", [False, True])
def test_the_graph_is_that_of_the_model(file: Path, free_time: bool) -> None:
    model, x = Network().eval(), torch.rand(5, 2, 2, 6, 6)
    shapes = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    saved(model, x, file, shapes=(shapes if free_time else {1: shapes[1]},))
    graph = load(file, input_shape=(2, 6, 6), timesteps=5, layout="TB")
    lines = [text.split("  #")[0].split("graph")[-1].split() for text in dump(graph).splitlines()]
    wanted = [text.split("  #")[0].split() for text in dump(trace(model, x, layout="TB")).splitlines()]
    assert lines[1:] == wanted[1:]


def test_one_batch_size_is_not_enough_to_trace(file: Path) -> None:
    saved(Network(), torch.rand(5, 2, 2, 6, 6), file, shapes=None)
    with pytest.raises(CannotTrace, match=r"it was called with \(5, 3, 2, 6, 6\) \(axis 1 differs\)"):
        load(file, input_shape=(2, 6, 6), timesteps=5, layout="TB")


class Twice(nn.Module):
    """A neuron that is called twice, two that share a parameter, and one in a place of another name."""

    def __init__(self) -> None:
        super().__init__()
        self.fire = LIF(0.5, step_mode="m")
        self.check = LIF(nn.Parameter(torch.tensor(0.25)), step_mode="m")
        self.forward_ = LIF(self.check.leak, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fire(self.forward_(self.check(self.fire(x)) * 2) * 3)
        return out


def test_modules_that_are_used_twice(file: Path) -> None:
    model, x = Twice(), torch.rand(5, 2, 4) * 2
    loaded = load_exported(saved(model, x, file))
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
        assert bool(loaded(x).any())
    neurons = [path for path, module in loaded.named_modules() if isinstance(module, Neuron)]
    assert neurons == ["fire", "check", "forward_"]


class Parts(nn.Module):
    """Operations with lists, several results, constants, types and arithmetic on sizes."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        left, right = torch.split(x, 2, dim=2)
        values, places = x.max(2)
        rows = torch.stack(torch.cat([left, right], 2).unbind(0))[:, :, [0, 2]]
        half = x.reshape(x.shape[0] * x.shape[1] // 1, -1).to(torch.float64)
        return {"rows": rows, "both": (values, [half, torch.zeros(x.shape[1] + 1)]), "where": places}


def test_structures(file: Path) -> None:
    model, x = Parts(), torch.rand(3, 2, 4)
    loaded = load_exported(saved(model, x, file))
    wide = torch.rand(3, 6, 4)
    have, want = loaded(wide), model(wide)
    assert have.keys() == want.keys()
    assert torch.equal(have["rows"], want["rows"])
    assert torch.equal(have["both"][0], want["both"][0])
    assert torch.equal(have["both"][1][0], want["both"][1][0])
    assert have["both"][1][1].shape == (7,)
    assert torch.equal(have["where"], want["where"])


def test_one_batch_size_only(file: Path) -> None:
    x = torch.rand(5, 2, 2, 6, 6)
    loaded = load_exported(saved(Network(), x, file, shapes=None))
    loaded(x)
    with pytest.raises(CannotTrace) as caught:
        loaded(torch.rand(5, 3, 2, 6, 6))
    assert str(caught.value) == (
        f"{file}: was exported for an input x of shape (5, 2, 2, 6, 6); it was called with (5, 3, 2, 6, 6) "
        "(axis 1 differs)\n"
        "  hint: snncc needs another batch size to tell the axes apart; leave the batch axis free: "
        "torch.export.export(model, (x,), dynamic_shapes=({1: torch.export.Dim('batch')},))"
    )


def test_other_inputs(file: Path) -> None:
    loaded = load_exported(saved(Network(), torch.rand(5, 2, 2, 6, 6), file))
    with pytest.raises(CannotTrace, match=r"shape \(5, any, 2, 6, 6\); .* \(4, 2, 2, 6, 6\) \(axis 0"):
        loaded(torch.rand(4, 2, 2, 6, 6))
    with pytest.raises(BadInput, match=r"input x has 5 axes, not those of \(5, 2\)"):
        loaded(torch.rand(5, 2))
    with pytest.raises(BadInput, match="takes 1 inputs, not 2"):
        loaded(torch.rand(5, 2), torch.rand(5, 2))


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.shape[1] == 7 else x


def test_guards_and_ranges(file: Path) -> None:
    x = torch.rand(3, 2, 4)
    loaded = load_exported(saved(Branches(), x, file, shapes=({1: torch.export.Dim.AUTO},)))
    loaded(torch.rand(3, 6, 4))
    with pytest.raises(CannotTrace, match=r"exported for inputs with L\['x'\].size\(\)\[1\] != 7 only"):
        loaded(torch.rand(3, 7, 4))
    shapes = ({1: torch.export.Dim("batch", max=6)},)
    loaded = load_exported(saved(Branches(), x, file, shapes=shapes))
    loaded(torch.rand(3, 6, 4))
    with pytest.raises(CannotTrace, match="axis 1 differs"):
        loaded(torch.rand(3, 7, 4))


# what cannot be exported, or not be compiled


def test_a_state_between_calls_cannot_be_exported() -> None:
    with pytest.raises(CannotTrace) as caught:
        torch.export.export(nn.Sequential(nn.Linear(4, 4), LIF()), (torch.rand(2, 4),))
    assert str(caught.value) == (
        "torch.export: LIF keeps its state from call to call, which an exported program cannot\n"
        '  hint: snncc.nn.set_step_mode(model, "m"), and let the model take whole trains [T, B, ...]'
    )


def test_subclasses_cannot_be_exported() -> None:
    class Mine(IF):
        """With another equation, perhaps."""

    with pytest.raises(CannotTrace, match=r"torch.export: Mine is no neuron of snncc.nn itself"):
        torch.export.export(Mine(step_mode="m"), (torch.rand(2, 2, 4),))


def test_training_mode(file: Path) -> None:
    model, x = nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm1d(4)), torch.rand(3, 2, 4)
    torch.export.save(torch.export.export(model.train(), (x,)), file)
    with pytest.raises(CannotTrace, match=r"is in training mode") as caught:
        load_exported(file)
    assert caught.value.message.startswith(str(file))
    assert "model.eval()" in caught.value.hint


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x * self.calls


def test_a_model_that_changes_its_buffers(file: Path) -> None:
    x = torch.rand(3, 2, 4)
    with pytest.raises(CannotTrace, match="changes calls as it runs"):
        load_exported(saved(Counts(), x, file))(x)


class Quiet(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x * 2
        return y + 1


def test_a_program_with_another_program_inside(file: Path) -> None:
    saved(Quiet(), torch.rand(3, 2, 4), file, shapes=None)
    with pytest.raises(CannotTrace, match=r"calls torch.ops.higher_order.wrap_with_set_grad") as caught:
        load_exported(file)
    assert caught.value.hint == "leave torch.no_grad() out of the model's forward"


@pytest.mark.parametrize(
    "description",
    [
        "",
        "[]",
        "{}",
        '{"class": "IF"}',
        '{"class": "Neuron", "options": {}}',
        '{"class": "IF", "options": {"forward": 1}}',
        '{"class": "IF", "options": {"theta": {"tensor": 9}}}',
        '{"class": "IF", "options": {"theta": {"tensor": "a"}}}',
        '{"class": "IF", "options": {"strict": 1}}',
        '{"class": "IF", "options": {"theta": true}}',
        '{"class": "IF", "options": {"theta": NaN}}',
        '{"class": "IF", "options": {"theta": 1' + "0" * 400 + "}}",
        '{"class": "IF", "options": {"reset": ["zero"]}}',
        '{"class": "SFA", "options": {"max_count": 1.5}}',
        '{"class": "QCFS", "options": {"lam": -1}}',
        '{"class": "IF", "options": {}, "more": 1}',
        "[" * 100000,
    ],
)
def test_damaged_descriptions(description: str) -> None:
    with pytest.raises(BadInput):
        rebuild([], description, "m")


def test_a_state_needs_step_mode_m() -> None:
    with pytest.raises(BadInput, match='its step mode must be "m"'):
        rebuild([], '{"class": "IF", "options": {}}', "s")
