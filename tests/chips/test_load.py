from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snncc.chips import chip_names, load_chip, parse_chip
from snncc.errors import BadFile, UnknownName
from tests.chips.texts import CHIP_FOLDER, EXAMPLE, ROOT, changed, line_number


def refusal(path: Path) -> str:
    with pytest.raises(BadFile) as caught:
        load_chip(path)
    assert str(path) in caught.value.message
    return caught.value.message.replace(str(path), "FILE")


def test_names_equal_files() -> None:
    assert list(chip_names()) == sorted(path.stem for path in CHIP_FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", chip_names())
def test_shipped_by_name_and_by_path(name: str) -> None:
    chip = load_chip(name)
    assert chip.name == name
    assert chip == load_chip(CHIP_FOLDER / f"{name}.toml") == load_chip(str(CHIP_FOLDER / f"{name}.toml"))


def test_text_gives_the_chip_again() -> None:
    chip = load_chip("mesh")
    assert parse_chip(chip.text, "mesh") == chip


def test_unknown_name() -> None:
    with pytest.raises(UnknownName) as caught:
        load_chip("loihi1-sanafe2024")
    assert caught.value.message == f"unknown chip 'loihi1-sanafe2024'; known: {', '.join(chip_names())}"
    assert caught.value.hint == "did you mean 'loihi1-sanafe2025'?"


def test_name_that_resembles_nothing_may_be_a_path() -> None:
    with pytest.raises(UnknownName, match=r"hint: the path of a chip file ends in \.toml"):
        load_chip("???")


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(EXAMPLE)
    assert load_chip(path) == parse_chip(EXAMPLE, "small")
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode())
    assert load_chip(path) == parse_chip(EXAMPLE, "small")


def test_message_has_path_and_line(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(changed("[memory]", "[memories]"))
    line = line_number(EXAMPLE, "[memory]")
    assert f"FILE:{line}: memories: no such key; did you mean 'memory'?" in refusal(path)


def test_message_has_hint(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"hint: docs/chips\.md describes chip files"):
        parse_chip("", "x")


def test_absent(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.toml") == "FILE: cannot be read: No such file or directory"


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "dir.toml").mkdir()
    assert refusal(tmp_path / "dir.toml") == "FILE: is no file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    assert refusal(tmp_path / "pipe.toml") == "FILE: is no file"


def test_zero_in_path() -> None:
    with pytest.raises(BadFile, match=r"cannot be read: .*null"):
        load_chip("a\0b.toml")


def test_binary(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(bytes(range(256)))
    assert refusal(path) == "FILE: is no text in UTF-8"
    path.write_bytes(b"\0" * 100)
    assert refusal(path).startswith("FILE:1: is no TOML: ")


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"#" * 10_000_000)
    assert refusal(path) == "FILE: is too large: a chip file has at most 1048576 bytes"
    path.write_text(EXAMPLE + "#" * ((1 << 20) - len(EXAMPLE.encode())))
    assert load_chip(path).name == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\na ? b", "x:3: is no TOML: Expected '=' after a key in a key/value pair"),
        ("a = ", "x:1: is no TOML: Invalid value"),
        ('a = "', "x:1: is no TOML: Unterminated string"),
        ("a = 1\nb = 2\na = 3", "x:3: is no TOML: Cannot overwrite a value"),
        ("[a]\n[b]\n[a]\n", "x:3: is no TOML: Cannot declare ('a',) twice"),
        ("a = " + "9" * 5000, "x: is no TOML: Exceeds the limit (4300 digits)"),
        ("a = " + "[" * 5000 + "]" * 5000, "x: is nested too deeply"),
        ("\nb = { " + "a." * 5000 + "a = 1 }", "x:2: a key has more than 32 parts"),
    ],
)
def test_no_toml(text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        parse_chip(text, "x")
    assert caught.value.message.startswith(message)


def test_duplicate_key_in_place() -> None:
    text = changed('format = "tables"\n', 'format = "tables"\nformat = "tables"\n')
    with pytest.raises(BadFile, match=f"^x:{line_number(text, '[memory]') + 2}: is no TOML: "):
        parse_chip(text, "x")


def test_import_is_cheap() -> None:
    code = "import sys, snncc.chips as c; c.load_chip('mesh'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"numba", "torch", "numpy"}.isdisjoint(done.stdout.split())
