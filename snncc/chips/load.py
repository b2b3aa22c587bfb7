"""Chip files: shipped ones by name, others by path."""

from __future__ import annotations

import os
import pathlib
import re
import tomllib
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any

from snncc.chips.build import build_chip
from snncc.chips.check import check_relations
from snncc.chips.lines import Path, key_lines, long_key
from snncc.chips.model import Chip
from snncc.chips.reader import Reader
from snncc.chips.schema import SCHEMA
from snncc.errors import BadFile, UnknownName

CHIPS = ("loihi1-davies2018", "loihi1-sanafe2025", "loihi2", "mesh", "speck2f")
SUFFIX = ".toml"
MAX_BYTES = 1 << 20
MAX_PARTS = 32
"""tomllib takes time and memory that grow with the square of a key's parts."""

AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def chip_names() -> tuple[str, ...]:
    """The chips that come with snncc."""
    return CHIPS


def load_chip(name_or_path: str | os.PathLike[str]) -> Chip:
    """The shipped chip of that name, or the chip in the file if the text ends in ``.toml``.

    Raises `UnknownName`, or `BadFile` with every problem of the file.
    """
    text = os.fspath(name_or_path)
    if text.endswith(SUFFIX):
        return parse_chip(read_text(pathlib.Path(text)), pathlib.Path(text).stem, place=text)
    if text not in CHIPS:
        unknown = UnknownName("chip", text, CHIPS)
        unknown.hint = unknown.hint or f"the path of a chip file ends in {SUFFIX}"
        raise unknown
    return parse_chip(resources.files("snncc.chips").joinpath(text + SUFFIX).read_text("utf-8"), text)


def parse_chip(text: str, name: str, *, place: str = "") -> Chip:
    """The chip called *name* in the TOML *text*; messages call the text *place*."""
    document, lines = parse(text, place or name)
    reader = Reader(document, lines, place or name)
    values = reader.table((), document, SCHEMA.keys)
    reader.raise_problems()
    check_relations(reader, values)
    reader.raise_problems()
    return build_chip(name, values, reader.numbers, text)


def read_text(path: pathlib.Path) -> str:
    """The text of a file that may be anything."""
    try:
        if path.exists() and not path.is_file():
            raise BadFile(f"{path}: is no file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadFile(f"{path}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise BadFile(f"{path}: is too large: a chip file has at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise BadFile(f"{path}: is no text in UTF-8") from None


def parse(text: str, place: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The document in *text*, its real numbers as decimals, and the lines of its keys."""
    if line := long_key(text, MAX_PARTS):
        raise BadFile(f"{place}:{line}: a key has more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text, parse_float=decimal), key_lines(text)
    except RecursionError:
        raise BadFile(f"{place}: is nested too deeply") from None
    except ValueError as problem:
        raise BadFile(located(str(problem), place, text)) from None


def decimal(text: str) -> Decimal:
    """*text* as a decimal, and as infinity where its exponent is out of all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def located(message: str, place: str, text: str) -> str:
    """The *message* of tomllib as one of ours."""
    match = AT_LINE.search(message)
    if match is None:
        return f"{place}: is no TOML: {message.partition(';')[0]}"
    line = match[1] or text.count("\n") + 1
    return f"{place}:{line}: is no TOML: {message[: match.start()]}"
