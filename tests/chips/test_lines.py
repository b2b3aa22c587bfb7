from __future__ import annotations

import tomllib

import pytest

from snncc.chips import chip_names, load_chip
from snncc.chips.lines import dotted, key_lines, line_of, long_key
from tests.chips.texts import CHIP_FOLDER

TEXT = '''\
# [not.a.table]
a = 1
b.c = "x = 2" # d = 3
"q r" = { inner = 1, "deep" = { most = 2 } }

[table]
text = """
fake = 1
[fake]
"""
more = \'\'\'
fake = 2\'\'\'
list = [
  1, # a ] b
  { here = 1 },
  "]",
]
after = 2024-01-01T00:00:00Z

[table.sub]
x = 1
[[rows]]
x = 1
[rows.sub]
y = 1
[[rows]]
x = 2
z = { x = 1 }
  [[rows.nested]]
  k = 1
  [[ rows . nested ]]
  k = 2
[outer.inner]
k = 3
'''

LINES = {
    ("a",): 2,
    ("b", "c"): 3,
    ("q r",): 4,
    ("q r", "inner"): 4,
    ("q r", "deep", "most"): 4,
    ("table",): 6,
    ("table", "text"): 7,
    ("table", "more"): 11,
    ("table", "list"): 13,
    ("table", "list", 0): 14,
    ("table", "list", 1): 15,
    ("table", "list", 1, "here"): 15,
    ("table", "list", 2): 16,
    ("table", "after"): 18,
    ("table", "sub", "x"): 21,
    ("rows",): 22,
    ("rows", 0): 22,
    ("rows", 0, "x"): 23,
    ("rows", 0, "sub"): 24,
    ("rows", 0, "sub", "y"): 25,
    ("rows", 1): 26,
    ("rows", 1, "x"): 27,
    ("rows", 1, "z", "x"): 28,
    ("rows", 1, "nested", 0, "k"): 30,
    ("rows", 1, "nested", 1): 31,
    ("rows", 1, "nested", 1, "k"): 32,
    ("outer",): 33,
    ("outer", "inner", "k"): 34,
}


def test_lines() -> None:
    tomllib.loads(TEXT)  # it is TOML
    lines = key_lines(TEXT)
    assert {path: lines.get(path) for path in LINES} == LINES
    assert not any("fake" in path for path in lines)


def test_lines_with_carriage_returns() -> None:
    lines = key_lines(TEXT.replace("\n", "\r\n"))
    assert {path: lines.get(path) for path in LINES} == LINES


def test_line_of_unknown_key_is_that_of_its_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("table", "sub", "missing", "deeper")) == 20
    assert line_of(lines, ("nowhere",)) == 1
    assert line_of(lines, ()) == 1


@pytest.mark.parametrize("name", chip_names())
def test_every_number_of_a_shipped_chip_is_on_its_line(name: str) -> None:
    text = (CHIP_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    rows, lines = text.splitlines(), key_lines(text)
    by_name = {dotted(path): (path, line) for path, line in lines.items()}
    for key, number in load_chip(name).numbers.items():
        path, line = by_name[key]
        assert rows[line - 1].startswith(f"{path[-1]} = ")
        assert f'source = "{number.source}"' in rows[line - 1]
        header = [row for row in rows[:line] if row.startswith("[")]
        table = [part for part in path[:-1] if isinstance(part, str)]
        assert not table or header[-1].strip("[]").split(".") == table
        assert lines[*path, "value"] == line


def test_dotted() -> None:
    assert dotted(("cores", 1, "neurons")) == "cores[1].neurons"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [("a.b.c = 1", 1), ("x = 1.5\ny = { a.b.c = 1 }", 2), ("\n\n[a.b.c.d]", 3), ("a.b = [1.5, 1.5, 1.5]", 0)],
)
def test_long_keys(text: str, line: int) -> None:
    assert long_key(text, 2) == line
