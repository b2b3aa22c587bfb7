"""Single-step and multi-step execution, and the state between calls."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import snncc.nn
from snncc.errors import BadInput
from snncc.nn import IF, LIAF, LIF, PLIF, QCFS, SFA, SRIF, CubaLIF, Neuron
from tests.nn.strategies import SHAPE, T

MAKERS: dict[str, Callable[[], Neuron]] = {
    "IF": lambda: IF(0.9, v_init=0.2, scale=0.7),
    "IF per channel": lambda: IF(torch.tensor([0.3, 0.6, 0.9, 1.2]).reshape(4, 1, 1), reset="zero"),
    "LIF": lambda: LIF(0.7, 0.6, reset="value", v_reset=-0.1),
    "LIF decayed input": lambda: LIF(0.3, 0.6, decay_input=True, v_reset=0.1, reset="none"),
    "LIAF": lambda: LIAF(0.3, 0.3, reset="zero"),
    "PLIF": lambda: PLIF(0.3, 0.4),
    "CubaLIF": lambda: CubaLIF(0.2, 0.8, 0.7, strict=True),
    "SRIF": lambda: SRIF(),
    "SFA": lambda: SFA(4),
    "SFA carry": lambda: SFA(4, carry=True, decay=0.25, rounding="even"),
    "QCFS": lambda: QCFS(4, 2.0),
}
every = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS.keys())
remembering = {name: maker for name, maker in MAKERS.items() if maker()._states}
stateful = pytest.mark.parametrize("maker", remembering.values(), ids=remembering.keys())


def train(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((T, *SHAPE), generator=generator, dtype=dtype) * 3 - 1


def steps(module: Neuron, x: Tensor) -> Tensor:
    return torch.stack([module(x_t) for x_t in x])


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_multi_step_is_the_loop_of_single_steps(maker: Callable[[], Neuron], dtype: torch.dtype) -> None:
    x = train(dtype=dtype)
    single = steps(maker(), x)
    multi = snncc.nn.set_step_mode(maker(), "m")
    assert single.dtype == dtype
    assert 0 < int((single != 0).sum()) < single.numel()
    assert torch.equal(multi(x), single)
    assert torch.equal(multi(x), single), "a second call starts from the initial state"


@stateful
def test_reset_forgets(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train()
    model = nn.Sequential(nn.Flatten(), nn.Unflatten(1, SHAPE[1:]), module)
    first = torch.stack([model(x_t) for x_t in x])
    assert not torch.equal(torch.stack([model(x_t) for x_t in x]), first)
    snncc.nn.reset(model)
    assert torch.equal(torch.stack([model(x_t) for x_t in x]), first)


@stateful
def test_multi_step_leaves_the_kept_state_alone(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train()
    expected = steps(maker(), x)
    half = steps(module, x[: T // 2])
    module.step_mode = "m"
    module(train(1))
    module.step_mode = "s"
    assert torch.equal(torch.cat([half, steps(module, x[T // 2 :])]), expected)


@every
def test_copies_and_pickles_hold_the_state_without_its_graph(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train().requires_grad_()
    expected = steps(maker(), x)
    steps(module, x[: T // 2])
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for twin in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert torch.equal(steps(twin, x[T // 2 :]), expected[T // 2 :])
    assert torch.equal(steps(module, x[T // 2 :]), expected[T // 2 :]), "the original goes on undisturbed"


@every
def test_state_dict_holds_parameters_only(maker: Callable[[], Neuron]) -> None:
    module = maker()
    before = set(module.state_dict())
    steps(module, train())
    assert set(module.state_dict()) == before
    assert not before & {"v", "i", "h"}
    maker().load_state_dict(module.state_dict())


@stateful
def test_state_follows_the_type_of_the_module(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train()
    module(x[0])
    module.double()
    assert module(x[1].double()).dtype == torch.float64


@stateful
def test_detach_cuts_the_graph(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train().requires_grad_()
    module(x[0]).sum().backward()
    snncc.nn.detach_(module)
    module(x[1]).sum().backward()
    assert x.grad is not None
    assert int((x.grad[0] != 0).sum()) > 0


@stateful
def test_another_batch_needs_a_reset(maker: Callable[[], Neuron]) -> None:
    module, x = maker(), train()
    module(x[0])
    with pytest.raises(BadInput) as caught:
        module(x[0, :2])
    assert "(2, 4, 3, 2)" in str(caught.value)
    assert "(3, 4, 3, 2)" in str(caught.value)
    assert "snncc.nn.reset(model)" in str(caught.value)
    snncc.nn.reset(module)
    module(x[0, :2])


def test_learned_threshold_and_leak() -> None:
    theta, leak = nn.Parameter(torch.ones(4, 1, 1)), nn.Parameter(torch.tensor(0.5))
    module = LIF(leak, theta, step_mode="m")
    assert {name for name, _ in module.named_parameters()} == {"theta", "leak"}
    module(train()).sum().backward()
    assert theta.grad is not None
    assert leak.grad is not None
    assert bool((theta.grad < 0).all()), "a higher threshold means fewer spikes"


def test_parameters_do_not_change_the_type() -> None:
    module = LIF(torch.tensor(0.5, dtype=torch.float64), torch.ones(4, 1, 1, dtype=torch.float64))
    assert module(train()[0]).dtype == torch.float32
    assert module.get_buffer("v").dtype == torch.float32


def test_a_float_stays_the_same_number_in_float64() -> None:
    assert LIF(0.3, 0.7).float().describe()["leak"] == 0.3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: IF(float("nan")), "IF: theta must be finite"),
        (lambda: IF("1"), "IF: theta must be a number or a tensor, not str"),  # type: ignore[arg-type]
        (lambda: IF(reset="soft"), "IF: reset must be one of"),  # type: ignore[arg-type]
        (lambda: IF(step_mode="multi"), "IF: step_mode must be one of"),  # type: ignore[arg-type]
        (lambda: IF(v_reset=0.5), "v_reset has no effect under reset='subtract'"),
        (lambda: IF(reset="zero", reset_amount=2.0), "reset_amount has no effect under reset='zero'"),
        (lambda: LIF(1.5), r"LIF: leak must be in \[0, 1\], not 1.5"),
        (lambda: LIF(torch.tensor([0.5, -1.0])), r"LIF: leak must be in \[0, 1\], not -1 to 0.5"),
        (lambda: PLIF(1.0), r"PLIF: init_leak must be in \(0, 1\), not 1"),
        (lambda: SFA(0), "SFA: max_count must be a whole number of at least 1, not 0"),
        (lambda: SFA(norm=-1), "SFA: norm must be positive"),
        (lambda: SFA(rounding="up"), "SFA: rounding must be one of"),  # type: ignore[arg-type]
        (lambda: SFA(decay=0.25), "no effect without carry"),
        (lambda: QCFS(4, -1.0), "QCFS: lam must be positive"),
        (lambda: IF()(torch.ones(2, 3, dtype=torch.int64)), "must be floating point, not torch.int64"),
        (lambda: IF(step_mode="m")(torch.ones(3)), r"needs an input \[T, B, ...\], not of shape \(3,\)"),
        (lambda: IF(step_mode="m")(torch.ones(0, 3)), r"needs an input \[T, B, ...\], not of shape \(0, 3\)"),
        (lambda: IF(torch.ones(5))(torch.ones(2, 4)), r"theta has shape \(5,\), which does not broadcast"),
        (lambda: QCFS(4, torch.ones(2, 1))(torch.ones(2, 4)), r"lam has shape \(2, 1\), which does not"),
    ],
)
def test_errors(make: Callable[[], object], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        make()


def test_repr() -> None:
    assert repr(LIF(0.25, reset="zero")) == (
        "LIF(leak=0.25, theta=1, v_reset=0, v_init=0, scale=1, step_mode='s', reset='zero')"
    )
    assert repr(QCFS(4)) == "QCFS(levels=4, lam=tensor(), step_mode='s')"
