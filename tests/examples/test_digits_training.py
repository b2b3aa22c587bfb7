"""The networks that the digits example ships, and the script that trained them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import examples.digits.train as script
from examples.digits.data import LEVELS, Digits, augment, events_of, load, split
from examples.digits.model import LARGEST, IFNet, divided, waiting
from examples.digits.train import RECIPES, activity, errors, main, predict, train

FOLDER = Path(script.__file__).parent
KINDS = sorted(RECIPES)


def shipped(kind: str) -> nn.Module:
    model = RECIPES[kind].factory()
    model.load_state_dict(torch.load(FOLDER / f"{kind}.pt", weights_only=True))
    return model.eval()


def few() -> Digits:
    digits = load()
    return Digits(digits.train_x[:128], digits.train_y[:128], digits.test_x[:16], digits.test_y[:16])


def test_split_is_a_partition() -> None:
    labels = load_digits().target
    train_at, test_at = split(labels)
    assert sorted([*train_at, *test_at]) == list(range(1797))
    assert len(test_at) == 599
    shares = np.bincount(labels[test_at]) / np.bincount(labels)
    assert np.all(np.abs(shares - 1 / 3) < 0.01)


def test_no_image_is_in_both_parts() -> None:
    digits = load()
    seen = {image.tobytes() for image in digits.train_x}
    assert not any(image.tobytes() in seen for image in digits.test_x)


def test_split_never_changes() -> None:
    # the shipped weights must never have seen a held-out image
    _, test_at = split(load_digits().target)
    assert test_at[:8].tolist() == [1400, 1566, 364, 1697, 1150, 1053, 899, 1691]


def test_images_are_exact_sixteenths() -> None:
    digits = load()
    for images, labels in ((digits.train_x, digits.train_y), (digits.test_x, digits.test_y)):
        assert images.dtype == np.float32
        assert images.shape == (len(labels), 1, 8, 8)
        assert set(np.unique(images * 16)) == set(range(17))


def test_augment_moves_but_keeps_the_range() -> None:
    images = torch.from_numpy(load().train_x[:64])
    moved = augment(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert 0 <= float(moved.min()) < float(moved.max()) <= 1
    assert not torch.equal(moved, images)
    # what leaves at one edge is little: the digits stay digits
    assert float(moved.sum() / images.sum()) == pytest.approx(1, abs=0.1)


def test_a_pixel_is_that_many_events_evenly_spread() -> None:
    images = torch.from_numpy(load().test_x[:32])
    events = events_of(images)
    assert events.shape == (LEVELS, *images.shape)
    assert set(np.unique(events.numpy())) == {0, 1}
    assert torch.equal(events.sum(0), LEVELS * images)
    due = torch.arange(1, LEVELS + 1).reshape(-1, 1, 1, 1, 1) * images
    assert (events.cumsum(0) - due).abs().max() < 1


def test_a_divided_timestep_has_the_same_events() -> None:
    torch.manual_seed(0)
    events = events_of(torch.from_numpy(load().test_x[:8]))
    parts = divided(events, 3)
    assert torch.equal(parts.reshape(LEVELS, 3, *events.shape[1:]).sum(1), events)
    shares = parts.reshape(LEVELS, 3, -1).sum(dim=(0, 2)) / events.sum()
    assert (shares - 1 / 3).abs().max() < 0.05
    assert torch.equal(divided(events, 1), events)


def test_timesteps_are_divided_in_training_alone() -> None:
    model, lengths = IFNet(), list[int]()
    model.conv1.register_forward_hook(lambda _, inputs, __: lengths.append(len(inputs[0])))
    events = events_of(torch.from_numpy(load().test_x[:2]))
    torch.manual_seed(0)
    for _ in range(16):
        model.train()(events)
    assert set(lengths) == {LEVELS, 2 * LEVELS, 3 * LEVELS}
    lengths.clear()
    model.eval()(events)
    assert lengths == [LEVELS]


def test_spikes_that_wait_are_counted() -> None:
    # a current of 3 and then nothing: 3 spikes are due, one a timestep is sent
    currents, spikes = torch.tensor([3.0, 0, 0, 0]), torch.tensor([1.0, 1, 1, 0])
    assert waiting(currents, spikes).item() == pytest.approx(1 / 4)
    assert waiting(torch.ones(4), torch.ones(4)).item() == 0


def test_the_network_for_events_is_what_a_chip_without_timesteps_takes() -> None:
    model = shipped("if")
    assert all(name.endswith("weight") for name, _ in model.named_parameters()), "no bias"
    largest = max(float(weight.detach().abs().max()) for weight in model.parameters())
    assert largest == pytest.approx(LARGEST)


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_weights_are_accurate(kind: str) -> None:
    digits = load()
    assert errors(RECIPES[kind], shipped(kind), digits) / len(digits.test_y) <= 0.015


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_spikes_and_not_every_neuron(kind: str) -> None:
    layers = activity(RECIPES[kind], shipped(kind), torch.from_numpy(load().test_x))
    assert len(layers) == {"sfa": 6, "lif": 4, "if": 4}[kind]
    for name, layer in layers.items():
        assert {"if": 0.03}.get(kind, 0.1) < layer.active < 0.6, name
        assert layer.active <= layer.mean, name


def test_activations_of_sfa_use_all_counts() -> None:
    model, counts = shipped("sfa"), set[float]()
    model.get_submodule("head_neuron").register_forward_hook(
        lambda _, __, out: counts.update((4 * out).unique().tolist())
    )
    predict(RECIPES["sfa"], model, torch.from_numpy(load().test_x))
    assert counts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_weights_are_small_and_float32(kind: str) -> None:
    path = FOLDER / f"{kind}.pt"
    assert path.stat().st_size < 300_000
    for name, tensor in torch.load(path, weights_only=True).items():
        assert tensor.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_training_depends_on_the_seed_alone(kind: str) -> None:
    digits = few()
    first, again, other = (
        train(RECIPES[kind], digits, seed=seed, epochs=1, quiet=True).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_script_writes_weights(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "load", few)
    path = tmp_path / "out" / "weights.pt"
    main([kind, "--epochs", "1", "-o", str(path)])
    RECIPES[kind].factory().load_state_dict(torch.load(path, weights_only=True))
    assert "of 16 held-out images wrong" in capsys.readouterr().out
