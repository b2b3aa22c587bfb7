"""The README's Python runs, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from snncc.cli import parser

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"<!-- run -->\n```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}  # a block goes on from those before it
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "the proof holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "least"), [("README.md", 7), ("docs/speck.md", 3), ("docs/loihi.md", 7), ("docs/events.md", 4)]
)
def test_commands_parse(page: str, least: int) -> None:
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    commands = re.findall(r"^\$ snncc (.*)$", text.replace("\\\n", " "), re.MULTILINE)
    assert len(commands) >= least
    for command in commands:
        parser().parse_args(command.split())
