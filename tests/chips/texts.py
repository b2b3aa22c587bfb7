"""Texts of chip files that the tests start from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from snncc.chips import parse_chip
from snncc.errors import BadFile

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "chips.md").read_text(encoding="utf-8")
CHIP_FOLDER = ROOT / "snncc" / "chips"


def example() -> str:
    """The whole file on the documentation's page."""
    (text,) = re.findall(r"<!-- chip -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


EXAMPLE = example()


def changed(old: str, new: str, text: str = EXAMPLE, *, after: str = "") -> str:
    """*text* with the first *old* that follows *after* replaced by *new*."""
    at = text.index(old, text.index(after))
    return text[:at] + new + text[at + len(old) :]


def line_number(text: str, part: str, *, after: str = "") -> int:
    """The line of the first *part* that follows *after*."""
    return text[: text.index(part, text.index(after))].count("\n") + 1


def problems(text: str) -> list[str]:
    """The lines of the message with which *text*, called "x", is refused."""
    with pytest.raises(BadFile) as caught:
        parse_chip(text, "x")
    return caught.value.message.splitlines()


def problem(text: str) -> str:
    """The only line of that message."""
    (line,) = problems(text)
    return line
