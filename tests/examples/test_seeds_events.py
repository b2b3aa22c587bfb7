"""The experiments on events and on masked pre-training run, tiny, and what must hold at any size holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.digits.data import load
from examples.seeds import asa, masked, razor
from examples.seeds.common import Size, options_of
from examples.seeds.events import SIZE, TIMESTEPS, EventCamera, seen, trains_of, with_results
from snncc.nn import MaskedBatchNorm2d, set_mask

Main = Callable[[Sequence[str]], None]


def page_of(main: Main, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What *main* prints in the quick configuration for one seed; it writes the same."""
    main(["--quick", "--seeds", "1", "-o", str(path)])
    printed = capsys.readouterr()
    assert printed.out == path.read_text(encoding="utf-8")
    assert "seed 0: " in printed.err
    assert "A quick run" in printed.out
    assert f"--quick --seeds 1 -o {path}`" in printed.out, "the command that made it"
    assert " 0 numbers differ in the exact stages" in printed.out
    return printed.out


def rows_of(page: str) -> list[str]:
    """The names in the first columns of the tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [line.split(" | ")[0].removeprefix("| ") for line in lines]


def test_asa(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(asa.main, tmp_path / "results" / "asa.md", capsys)
    attended = [text for name in (asa.SA, asa.ASA) for text in (name, f"{name}, static (approximate)")]
    assert rows_of(page) == ["network", asa.PLAIN, *attended, "network", *attended]
    waits = {line.split(" | ")[0]: line.split(" | ")[-1] for line in page.split("Against")[0].splitlines()}
    assert waits[f"| {asa.ASA}"] == f"{3 * TIMESTEPS} |", "two whole trains are waited for"
    assert waits[f"| {asa.ASA}, static (approximate)"] == f"{TIMESTEPS} |"


def test_razor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(razor.main, tmp_path / "razor.md", capsys)
    swept = [razor.row(name, t) for name in razor.READINGS for t in razor.QUICK_THRESHOLDS]
    compiled = [
        razor.row(name, t) for name in razor.READINGS for t in razor.QUICK_THRESHOLDS if t in razor.COMPILED
    ]
    head = "gain: threshold"
    assert rows_of(page) == [head, razor.PLAIN, *swept, head, razor.PLAIN, *compiled]


def test_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(masked.main, tmp_path / "masked.md", capsys)
    names = [
        masked.row(name, n) for n in masked.QUICK_LABELLED for name in (masked.SCRATCH, masked.PRETRAINED)
    ]
    assert rows_of(page) == ["network", *names]
    assert "Explicit address table of the first sparse convolution: " in page


def test_events_are_binary_and_the_same_for_the_same_seed() -> None:
    images = load().test_x[:6]
    first, again, other = seen(images, 3), seen(images, 3), seen(images, 4)
    assert first.shape == (TIMESTEPS, 6, 2, SIZE, SIZE)
    assert set(np.unique(first)) == {0, 1}
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_camera_at_rest_and_a_dark_image_send_nothing() -> None:
    images = torch.from_numpy(load().test_x[:6])
    assert EventCamera(0, noise=0.0)(images).any()
    assert not EventCamera(0, noise=0.0, reach=0.0)(images).any()
    assert not EventCamera(0, noise=0.0)(torch.zeros_like(images)).any()


def test_on_and_off_are_changes_of_the_light() -> None:
    """Without noise, ON events follow a rise above the threshold since the reference, OFF events a fall."""
    camera = EventCamera(5, noise=0.0, threshold=0.4)
    images = torch.from_numpy(load().test_x[:6])
    light = torch.log(0.1 + EventCamera(5).frames(images))
    train = camera(images)
    rise = (light[1] - light[0])[:, 0]
    assert torch.equal(train[0, :, 0].bool(), rise > 0.4)
    assert torch.equal(train[0, :, 1].bool(), rise < -0.4)
    assert not (train[:, :, 0] * train[:, :, 1]).any(), "no pixel sends both"


def test_more_frames_are_dropped_by_a_higher_threshold() -> None:
    torch.manual_seed(0)
    model = razor.GatedNet(width=4, gated=True)
    trains = trains_of(Size(4, 1, 16, 8, 1).digits())
    model.eval()
    shares = [float(razor.frames(model.read("none", t), trains)[0].mean()) for t in (-1, 0.4, 2.0, 9.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[-1] == 0


def test_settled_gates_learn_nothing() -> None:
    model = razor.GatedNet(width=4, gated=True)
    model.settled = True
    assert not any(gate.training for gate in model.train().gates)
    model.settled = False
    assert all(gate.training for gate in model.train().gates)


def test_hidden_patches_are_not_seen() -> None:
    """What lies in hidden patches changes no reconstruction, and the encoder's features there are 0."""
    torch.manual_seed(0)
    model = masked.Reconstruction(masked.Encoder(4), 4).eval()
    for layer in model.modules():
        if isinstance(layer, MaskedBatchNorm2d):
            torch.nn.init.constant_(layer.weight, 5.0)  # so that neurons spike, and not always alike
            torch.nn.init.ones_(layer.bias)
    maps = masked.random_maps(3, masked.KEPT, torch.Generator().manual_seed(0))
    assert maps.flatten(1).sum(1).tolist() == [masked.KEPT] * 3
    keep = maps.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None].float()
    set_mask(model, maps)
    x, other = torch.rand(2, 1, 3, 1, 8, 8)
    with torch.no_grad():
        features = model.encoder(x * keep)
        assert torch.equal(model(x, keep), model(keep * x + (1 - keep) * other, keep))
        assert not torch.equal(model(x, keep), model(other, keep))
    assert features.any()
    assert not (features * (1 - keep)).any()


def test_few_labels_are_of_all_classes_alike() -> None:
    some = masked.few(load(), 50, 0)
    assert np.bincount(some.train_y).tolist() == [5] * 10
    assert len(some.test_y) == 599


def test_a_full_run_writes_to_the_results() -> None:
    assert with_results(options_of("", []), "asa").output == Path("examples/seeds/results/asa.md")
    assert with_results(options_of("", ["--quick"]), "asa").output is None
    assert with_results(options_of("", ["-o", "there.md"]), "asa").output == Path("there.md")
