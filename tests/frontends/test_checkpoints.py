"""`load_module`: what is data arrives, and every refusal says why."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.errors import BadFile, BadInput
from snncc.frontends.checkpoints import load_module
from snncc.nn import IF, LIF, PLIF, QCFS, SFA, CubaLIF, RateEncoder, Rectangle, Sigmoid


class Foreign(nn.Module):
    """A class of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("mask", torch.ones(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


def network() -> nn.Module:
    torch.manual_seed(0)
    surrogate = Rectangle(2.0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        LIF(torch.full((4, 1, 1), 0.5), theta=0.25, surrogate=surrogate),
        PLIF(reset="zero", surrogate=surrogate),
        CubaLIF(),
        QCFS(4, 2.0),
        SFA(4, carry=True),
        nn.Flatten(),
        nn.Linear(64, 3),
        IF(theta=0.1, strict=True, surrogate=Sigmoid(3.0)),
    ).eval()


def trained(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [model(x) for _ in range(3)]


def test_a_whole_module_comes_back(file: Path) -> None:
    model, x = network(), torch.rand(2, 2, 6, 6) * 3
    torch.save(model, file)
    loaded = load_module(file)
    assert repr(loaded) == repr(model)
    assert not loaded.training
    assert all(map(torch.equal, trained(loaded, x), trained(model, x)))
    assert loaded[2].surrogate == Rectangle(2.0)  # type: ignore[index]
    assert loaded[2].surrogate is loaded[3].surrogate  # type: ignore[index]


MODULES: dict[str, Callable[[], nn.Module]] = {
    "transformer": lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True),
    "lstm": lambda: nn.LSTM(3, 4, 2),
    "list": lambda: nn.ModuleList([nn.ReLU(), nn.Identity()]),
    "dict": lambda: nn.ModuleDict({"a": nn.PReLU()}),
    "parameters": lambda: nn.ParameterList([nn.Parameter(torch.ones(2))]),
    "parameter dict": lambda: nn.ParameterDict({"a": nn.Parameter(torch.ones(2))}),
    "same": lambda: nn.Conv2d(3, 3, 3, padding="same", dtype=torch.bfloat16),
    "frozen": lambda: nn.Linear(2, 2).requires_grad_(False),
    "multi-step": lambda: nn.Sequential(SFA(3, step_mode="m"), QCFS(step_mode="m")),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES.keys())
def test_modules_of_torch(make: Callable[[], nn.Module], file: Path) -> None:
    model = make()
    torch.save(model, file)
    loaded = load_module(file)
    assert repr(loaded) == repr(model)
    assert vars(loaded).keys() == vars(model).keys()
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for (name, have), (_, want) in zip(loaded.named_parameters(), model.named_parameters(), strict=True):
        assert torch.equal(have, want), name
        assert (type(have), have.dtype, have.requires_grad) == (type(want), want.dtype, want.requires_grad)


def test_shared_modules_and_parameters_stay_shared(file: Path) -> None:
    layer, twin = nn.Linear(2, 2), nn.Linear(2, 2)
    twin.weight = layer.weight
    torch.save(nn.ModuleList([layer, layer, twin]), file)
    loaded: Any = load_module(file)
    assert loaded[0] is loaded[1]
    assert loaded[0].weight is loaded[2].weight


def test_a_random_encoder_goes_on_where_it_was(file: Path) -> None:
    encoder, x = RateEncoder(5, seed=3), torch.rand(2, 4)
    encoder(x)
    torch.save(encoder, file)
    assert torch.equal(load_module(file)(x), encoder(x))


def test_what_the_user_allowed_is_left_alone(file: Path) -> None:
    torch.save(network(), file)
    with torch.serialization.safe_globals([nn.Linear, Foreign]):
        before = set(torch.serialization.get_safe_globals())
        load_module(file)
        assert set(torch.serialization.get_safe_globals()) == before
        torch.save(Foreign(), file)
        with pytest.raises(BadFile, match="Foreign"):
            load_module(file)


@pytest.mark.parametrize("old", [False, True])
def test_state_dict(file: Path, factory: str, old: bool) -> None:
    weights = nn.Sequential(nn.Linear(3, 2)).state_dict()
    torch.save(weights, file, _use_new_zipfile_serialization=not old)
    loaded = load_module(file, factory=f"{factory}:small")
    assert torch.equal(loaded.state_dict()["0.weight"], weights["0.weight"])


WRAPPED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "entry": lambda state: {"state_dict": state, "epoch": 3, "best": 0.5},
    "optimizer": lambda state: {"net": state, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{}]}},
    "lightning": lambda state: {
        "state_dict": {f"model.{k}": v for k, v in state.items()},
        "pytorch-lightning_version": "2",
    },
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "foreign beside it": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1)},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED.keys())
def test_wrapped_state_dicts(wrap: Callable[[dict[str, Tensor]], Any], file: Path, factory: str) -> None:
    weights = nn.Sequential(nn.Linear(3, 2)).state_dict()
    torch.save(wrap(weights), file)
    loaded = load_module(file, factory=f"{factory}:small")
    assert torch.equal(loaded.state_dict()["0.weight"], weights["0.weight"])


def test_weights_of_a_foreign_module_go_into_a_factory(file: Path, factory: str) -> None:
    model = Foreign()
    torch.save({"model": model}, file)
    loaded = load_module(file, factory=f"{factory}:Foreign")
    assert torch.equal(loaded.state_dict()["layer.weight"], model.layer.weight)


def test_trust(file: Path, factory: str) -> None:
    model, x = Foreign(), torch.rand(2, 3)
    torch.save({"model": model, "args": argparse.Namespace(lr=0.1)}, file)
    assert torch.equal(load_module(file, trust=True)(x), model(x))
    loaded: Any = load_module(file, factory=f"{factory}:Foreign", trust=True)
    assert torch.equal(loaded.layer.weight, model.layer.weight)
    torch.save(model, file, _use_new_zipfile_serialization=False)
    assert torch.equal(load_module(file, trust=True)(x), model(x))


def test_foreign_classes_are_listed(file: Path) -> None:
    torch.save(nn.Sequential(Foreign(), nn.Linear(2, 2)), file)
    with pytest.raises(BadFile) as caught:
        load_module(file)
    assert str(caught.value) == (
        f"{file}: needs classes or functions beyond torch.nn and snncc.nn, which snncc does not run: "
        f"{Foreign.__module__}.Foreign\n"
        "  hint: save the weights alone, torch.save(model.state_dict(), 'weights.pt'), and add --factory "
        "package.module:function, which names the function that builds the model; or add --trust, for a file "
        "of your own, which runs whatever code is in the file"
    )


def test_a_state_dict_alone(file: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), file)
    with pytest.raises(BadFile) as caught:
        load_module(file)
    assert str(caught.value) == (
        f"{file}: holds 2 tensors (a state dict), not the model that they belong to\n"
        "  hint: add --factory package.module:function, which names the function that builds the model"
    )


def test_several_state_dicts(file: Path, factory: str) -> None:
    weights = nn.Linear(3, 2).state_dict()
    torch.save({"model": weights, "ema": weights}, file)
    with pytest.raises(BadInput, match="holds several models or state dicts: 'model', 'ema'") as caught:
        load_module(file, factory=f"{factory}:small")
    assert "torch.save(torch.load('model.pt')['model'], 'weights.pt')" in str(caught.value)


def test_no_model(file: Path) -> None:
    torch.save({"epoch": 3, "loss": [0.5]}, file)
    with pytest.raises(BadFile, match="holds a dict with the entries 'epoch', 'loss', but no model"):
        load_module(file)
    torch.save(torch.ones(3), file)
    with pytest.raises(BadFile, match="holds a Tensor, but no model and no state dict"):
        load_module(file)
