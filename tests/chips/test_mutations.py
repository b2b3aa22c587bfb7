"""No damage to a chip file causes anything but an error of ours."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given
from hypothesis import strategies as st

from snncc.chips import chip_names, parse_chip
from snncc.errors import BadFile
from tests.chips.texts import CHIP_FOLDER

TEXTS = {name: (CHIP_FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in chip_names()}

JUNK = [
    *(
        "0",
        "-1",
        "0.5",
        "nan",
        "-inf",
        "1e400",
        "1e-400",
        "true",
        "9" * 50,
        "0xff",
        "1_000",
        "",
        "}",
        "{",
        "[[",
    ),
    *(
        "[]",
        "{}",
        "[{}]",
        '""',
        '"unbounded"',
        '"x"',
        "'",
        '"""',
        "2024-01-01",
        "12:00:00",
        "a.b = 1",
        "#",
        "=",
    ),
    *(
        "\n",
        "\0",
        "\u2028",
        "[cores]",
        "[[cores]]",
        "[operations]",
        '"pJ"',
        '"cycles"',
        '"derived"',
        "1e99999999999",
    ),
]

names = st.sampled_from(list(TEXTS))
junk = st.one_of(st.sampled_from(JUNK), st.text(max_size=5))


def parse(text: str) -> None:
    with contextlib.suppress(BadFile):
        parse_chip(text, "x")


def pieces(text: str) -> list[str]:
    """*text* cut into words, strings, marks and the space between them."""
    return re.findall(r'"[^"\n]*"|[\w.+-]+|\s+|.', text)


@given(names, st.data())
def test_lines_deleted_doubled_and_moved(name: str, data: st.DataObject) -> None:
    lines = TEXTS[name].splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
        for _ in range(data.draw(st.integers(0, 2))):
            lines.insert(data.draw(st.integers(0, len(lines))), line)
    parse("\n".join(lines))


@given(names, st.data())
def test_words_become_junk(name: str, data: st.DataObject) -> None:
    parts = pieces(TEXTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        parts[data.draw(st.integers(0, len(parts) - 1))] = data.draw(junk)
    parse("".join(parts))


@given(names, st.data())
def test_values_become_junk(name: str, data: st.DataObject) -> None:
    """As above, but each time a value, so that the text mostly stays TOML."""
    places = [match.span(1) for match in re.finditer(r'= ("[^"\n]*"|[\w.+-]+)', TEXTS[name])]
    start, stop = data.draw(st.sampled_from(places))
    parse(TEXTS[name][:start] + data.draw(junk) + TEXTS[name][stop:])


@given(names, st.data())
def test_cut_anywhere(name: str, data: st.DataObject) -> None:
    parse(TEXTS[name][: data.draw(st.integers(0, len(TEXTS[name])))])


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    parse(text)
