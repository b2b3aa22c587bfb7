"""Where a key stands in the text of a TOML file, which tomllib does not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""A key from the root on; a number counts the tables of an array."""

TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\#[^\n]*)
    | (?P<string>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    | (?P<word>[^\s\[\]{}=,.\#"']+)
    | (?P<mark>[\[\]{}=,.\n])
    """,
    re.VERBOSE | re.DOTALL,
)

MARKS = frozenset("[]{}=,\n")


def dotted(path: Path) -> str:
    """*path* as people write it: ``cores[1].neurons``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def key_lines(text: str) -> dict[Path, int]:
    """The line of each key, table and entry of an array in *text*, which tomllib has read before."""
    scan = Scan(list(tokens(text)))
    while scan.more():
        scan.statement()
    return scan.lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of *path*, or of the nearest table around it that has one."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def long_key(text: str, most: int) -> int:
    """The line of the first key with more than *most* parts in *text*, which may be no TOML; 0 if none."""
    dots = 0
    for token, line in tokens(text):
        if token == ".":
            dots += 1
            if dots >= most:
                return line
        elif token in MARKS:
            dots = 0
    return 0


def tokens(text: str) -> list[tuple[str, int]]:
    """The marks, words and strings of *text*, each with its line."""
    found, line = [], 1
    for match in TOKEN.finditer(text):
        if match.lastgroup != "skip":
            found.append((match.group(), line))
        line += match.group().count("\n")
    return found


@dataclass
class Scan:
    """A walk over *tokens* that notes lines; *counts* numbers the tables of each array of tables."""

    tokens: list[tuple[str, int]]
    at: int = 0
    table: Path = ()
    lines: dict[Path, int] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)

    def more(self) -> bool:
        return self.at < len(self.tokens)

    def peek(self) -> str:
        return self.tokens[self.at][0] if self.more() else ""

    def take(self) -> tuple[str, int]:
        self.at += 1
        return self.tokens[self.at - 1]

    def statement(self) -> None:
        """A header, a key with its value, or an empty line."""
        match self.peek():
            case "\n":
                self.take()
            case "[":
                self.header()
            case _:
                self.pair(self.table)

    def header(self) -> None:
        line = self.take()[1]
        array = self.peek() == "["
        if array:
            self.take()
        path = self.inside(self.key())
        if array:
            self.counts[path] = self.counts.get(path, -1) + 1
            self.lines.setdefault(path, line)
            path = (*path, self.counts[path])
        self.lines[path] = line
        self.table = path
        while self.more() and self.peek() != "\n":
            self.take()

    def inside(self, key: Path) -> Path:
        """*key* of a header, with the number of the present table after the name of each array."""
        path: Path = ()
        line = self.tokens[self.at - 1][1]
        for k, part in enumerate(key):
            path = (*path, part)
            if k + 1 < len(key):
                self.lines.setdefault(path, line)
                path = (*path, self.counts[path]) if path in self.counts else path
        return path

    def key(self) -> Path:
        parts: Path = ()
        while self.more() and self.peek() not in {"=", "]", "\n", ",", "}"}:
            token, _ = self.take()
            if token != ".":
                parts = (*parts, token[1:-1] if token[0] in "\"'" else token)
        return parts

    def pair(self, table: Path) -> None:
        line = self.tokens[self.at][1]
        for part in self.key():
            table = (*table, part)
            self.lines.setdefault(table, line)
        if self.more():
            self.take()  # the sign =
        self.value(table)

    def value(self, path: Path) -> None:
        match self.peek():
            case "{":
                self.take()
                self.inline(path)
            case "[":
                self.take()
                self.array(path)
            case _:
                while self.more() and self.peek() not in {",", "]", "}", "\n"}:
                    self.take()

    def inline(self, path: Path) -> None:
        while self.more() and self.peek() != "}":
            if self.peek() in {",", "\n"}:
                self.take()
            else:
                self.pair(path)
        self.at += 1

    def array(self, path: Path) -> None:
        count = 0
        while self.more() and self.peek() != "]":
            if self.peek() in {",", "\n"}:
                self.take()
                continue
            self.lines[*path, count] = self.tokens[self.at][1]
            before = self.at
            self.value((*path, count))
            self.at = max(self.at, before + 1)
            count += 1
        self.at += 1
