"""The experiments on the seeds run, in a tiny configuration, and what must hold at any size holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from examples.digits.data import load
from examples.seeds import hsd, sfa, srif
from examples.seeds.common import ResidualNet, Size, fit, gains, options_of, spread, verdict
from snncc.nn import QCFS, SFA, DirectEncoder, RateEncoder

Main = Callable[[Sequence[str]], None]


def page_of(main: Main, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What *main* prints in the quick configuration for one seed; it writes the same."""
    main(["--quick", "--seeds", "1", "-o", str(path)])
    printed = capsys.readouterr()
    assert printed.out == path.read_text(encoding="utf-8")
    assert "seed 0: " in printed.err
    assert "A quick run" in printed.out
    assert f"--quick --seeds 1 -o {path}`" in printed.out, "the command that made it"
    return printed.out


def rows_of(page: str) -> list[str]:
    """The names in the first columns of the tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [line.split(" | ")[0].removeprefix("| ") for line in lines]


def test_sfa(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(sfa.main, tmp_path / "results" / "sfa.md", capsys)
    assert rows_of(page) == 2 * ["network", *sfa.KINDS]
    assert "NSFR of SFA does not increase from tick to tick: holds." in page
    assert "integer activations: 0 numbers differ" in page
    for other in ("IF", "LIF"):
        assert f"SFA is more accurate than {other}: " in page


def test_srif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(srif.main, tmp_path / "srif.md", capsys)
    assert rows_of(page) == ["network", *srif.KINDS]
    assert "6 layers of the traced one have it, 0 of the program (in every seed); 0 numbers differ" in page
    lowered = next(line for line in page.splitlines() if "lowers the quantization error" in line)
    assert "holds in the one seed" in lowered


def test_hsd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(hsd.main, tmp_path / "hsd.md", capsys)
    names = [hsd.TEACHER, hsd.TEACHER_SHORT, hsd.CONVERTED_LONG, hsd.CONVERTED, hsd.CONVERTED_RAW]
    assert rows_of(page) == ["network", *names, hsd.STEPWISE, hsd.PLAIN, hsd.DIRECT]
    assert "- 0 numbers differ" in page
    row = next(line for line in page.splitlines() if line.startswith(f"| {hsd.STEPWISE} "))
    assert row.split(" | ")[3] == str(6 * hsd.T2), "a tick for each layer and timestep"


def test_test_frames_depend_on_nothing_but_the_images() -> None:
    digits = Size(4, 1, 16, 8, 1).digits()
    first, again = hsd.Frames.of(digits), hsd.Frames.of(digits)
    assert (first.test == again.test).all()
    assert first.test.shape == (hsd.T1, 8, 1, 8, 8)
    assert set(first.test.reshape(-1)) == {0, 1}
    assert abs(float(first.test.mean() - digits.test_x.mean())) < 0.02


def test_the_teacher_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    teacher = ResidualNet(partial(QCFS, 4, 2.0, step_mode="m"), width=4)
    student, goal = hsd.student_of(teacher), hsd.frozen(teacher)
    before = {name: value.clone() for name, value in goal.state_dict().items()}
    digits = Size(4, 1, 64, 8, 1).digits()
    weights = [p.detach().clone() for p in student.parameters()]
    fit(student, digits, RateEncoder(hsd.T1), seed=0, epochs=1, loss=hsd.stepwise(student, goal))
    assert all(torch.equal(value, before[name]) for name, value in goal.state_dict().items())
    assert not all(torch.equal(p, w) for p, w in zip(student.parameters(), weights, strict=True))


def test_training_depends_on_the_seed_alone() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        model = ResidualNet(partial(SFA, 4, step_mode="m"), width=4)
        fit(model, Size(4, 1, 128, 8, 1).digits(), DirectEncoder(1), seed=seed, epochs=2)
        return model.state_dict()

    first, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_what_is_kept_for_backward() -> None:
    class Sigmoids(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10, 64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(x.flatten(2) @ self.weight.T).sum(0)

    kept = sfa.kept_for_backward(Sigmoids(), DirectEncoder(1), load())
    # the images (for the weight), the sigmoid's output, the log softmax of the loss and its labels and weight
    images, scores = 64 * 64 * 4, 64 * 10 * 4
    assert images + 2 * scores <= kept <= images + 3 * scores


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1.0, 2.0, 3.0], "holds in all 3 seeds"),
        ([-1.0, -2.0], "does not hold: the other way in all 2 seeds"),
        ([1.0, 0.0, -1.0], "not shown: so in 1 of 3 seeds, the other way in 1"),
        ([0.0], "not shown: so in 0 of 1 seeds, the other way in 0"),
        ([0.5], "holds in the one seed"),
    ],
)
def test_verdict(values: list[float], says: str) -> None:
    assert verdict(values) == says


def test_numbers() -> None:
    assert spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert spread([1234.5], 0) == "1,234"
    assert gains([3.0, 1.0], [1.0, 2.0]) == [2.0, -1.0]


def test_no_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of("", ["--seeds", "0"])
    assert "--seeds must be at least 1" in capsys.readouterr().err
