"""Fixtures and options that all tests share.

``pytest --update-golden`` rewrites the golden files. ``SNNCC_HYPOTHESIS=all`` draws many more, and
each time other, examples for the property tests.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

# No deadline and no check for slowness: whether a test passes never depends on time.
settings.register_profile(
    "default",
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "all",
    max_examples=500,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("SNNCC_HYPOTHESIS", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-golden``."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files")


def pytest_configure(config: pytest.Config) -> None:
    """Ignore the three folders beside ``snncc/``: their modules are seen through it.

    Here and not as ``--ignore`` in pyproject.toml, which would be relative to the working directory.
    """
    beside = [str(config.rootpath / name) for name in ("backends", "frontends", "simulator")]
    config.option.ignore = [*(config.option.ignore or []), *beside]


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Keep torch to one thread where a test uses it: tests run side by side."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)`` compares *text* with ``tests/golden/<name>.txt``; a missing file fails."""
    update: bool = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            return
        shown = path.relative_to(ROOT)
        if not path.exists():
            pytest.fail(f"{shown} is missing; pytest --update-golden writes it:\n{text}", pytrace=False)
        expected = path.read_text(encoding="utf-8")
        if text != expected:
            lines = expected.splitlines(), text.splitlines()
            diff = "\n".join(difflib.unified_diff(*lines, str(shown), "now", lineterm=""))
            pytest.fail(f"{diff}\npytest --update-golden accepts it", pytrace=False)

    return compare


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets that are not part of the project; skips where it is absent."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the data folder ../shared/data is absent")
    return path
