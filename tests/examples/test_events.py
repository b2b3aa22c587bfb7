"""The simulated recordings of the event example, and the network that was trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import examples.digits.train as script
from examples.digits.data import Digits, load
from examples.digits.networks import Network, event_stream
from examples.digits.train import activity, main, train
from examples.events.data import NOISE, TIMESTEPS, Saccades, events_of, streams
from examples.events.train import recipes


@pytest.fixture(scope="module")
def network() -> Network:
    return event_stream()


def few() -> Digits:
    digits = load()
    return Digits(digits.train_x[:128], digits.train_y[:128], digits.test_x[:16], digits.test_y[:16])


def test_recordings_are_events_of_both_polarities(network: Network) -> None:
    assert network.x.shape == (TIMESTEPS, 599, 2, 16, 16)
    assert set(np.unique(network.x)) == {0, 1}
    on, off = network.x[:, :, 0].mean(), network.x[:, :, 1].mean()
    assert min(on, off) > 10 * NOISE
    assert max(on, off) < 0.2


def test_recordings_never_change() -> None:
    again = streams()
    np.testing.assert_array_equal(again.test_x, streams().test_x)
    assert not np.array_equal(events_of(load().test_x[:4], 5), events_of(load().test_x[:4], 6)), "noise"


def test_the_path_is_closed_and_the_same_for_all() -> None:
    path = Saccades(0).path(5)
    assert path.shape == (TIMESTEPS + 1, 5, 2)
    assert torch.equal(path, Saccades(1).path(1).expand(-1, 5, -1))
    torch.testing.assert_close(path[0], path[-1])
    steps = path.diff(dim=0)[:, 0].norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(TIMESTEPS))


def test_a_dark_image_gives_noise_alone() -> None:
    events = events_of(np.zeros((64, 1, 8, 8), np.float32), 0)
    assert events.mean() == pytest.approx(NOISE, rel=0.1)


def test_shipped_weights_are_accurate_and_small(network: Network) -> None:
    with torch.no_grad():
        answers = network.model(torch.from_numpy(network.x)).argmax(1).numpy()
    assert (answers == network.y).mean() >= 0.975
    weights = Path(script.__file__).parents[1] / "events" / "events.pt"
    assert weights.stat().st_size < 100_000


def test_every_layer_spikes(network: Network) -> None:
    layers = activity(recipes()["events"], network.model, torch.from_numpy(load().test_x[:64]))
    assert len(layers) == 4
    assert all(0.03 < layer.active < 0.3 for layer in layers.values()), layers


def test_training_depends_on_the_seed_alone() -> None:
    first, again, other = (
        train(recipes()["events"], few(), seed=seed, epochs=1, quiet=True).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_script_writes_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "load", few)
    path = tmp_path / "weights.pt"
    main(["events", "--epochs", "1", "-o", str(path)], recipes())
    recipes()["events"].factory().load_state_dict(torch.load(path, weights_only=True))
    assert "of 16 held-out images wrong" in capsys.readouterr().out
