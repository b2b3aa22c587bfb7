"""The README's Python runs, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from snncc.cli import parser
from snncc.frontends.cells import FRAMEWORKS, supported
from snncc.frontends.events.formats import FORMATS
from snncc.frontends.from_onnx import RULES
from snncc.frontends.nir_file import FIELDS
from snncc.frontends.onnx_file import OPSETS
from tests.frontends.frameworks import TITLES

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


def what_is_read() -> str:
    """The README's table, from the code."""
    rows = {"PyTorch": "layers of `torch.nn` and their functions, `snncc.nn`, neurons by their behavior"}
    for framework, title in TITLES.items():
        taken, _ = supported(framework)
        rows[title] = ", ".join(name for name in taken if name[0].isupper())  # classes, not options
    rows["NIR up to 1.x"] = ", ".join([*FIELDS, "NIRGraph"])
    rows["ONNX, opset {} to {}".format(*OPSETS)] = ", ".join(RULES)
    rows["recordings of events"] = ", ".join(one.name for one in FORMATS)
    lines = [f"| {source} | {taken} |" for source, taken in rows.items()]
    return "\n".join(["| from | what is read |", "|---|---|", *lines])


def test_the_table_of_what_is_read_is_the_code_s() -> None:
    assert set(TITLES) == set(FRAMEWORKS)
    (shown,) = re.findall(r"<!-- what is read -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert shown == what_is_read()
