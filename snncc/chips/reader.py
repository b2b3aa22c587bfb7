"""Reads the document of a chip file by the schema; collects all that is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from snncc.chips.lines import Path, dotted, line_of
from snncc.chips.model import Number, Status
from snncc.chips.schema import Choice, Citations, Flag, Key, Quantity, Table, Tables, Text
from snncc.chips.units import CYCLES, MOST, UNITS, WHOLE, Dimension, exact, plain, units_of
from snncc.errors import BadFile

UNBOUNDED = "unbounded"
SHOWN = 20
"""As many problems are listed."""
ENOUGH = 200
"""After as many nobody looks for more."""
NEEDED = ("value", "unit", "status", "source")

Word = TypeVar("Word", bound=StrEnum)


class Refused(Exception):
    """A value that cannot be read; never leaves this module."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


class Reader:
    """The *document* of a file, called *place* in messages, and what has been read of it."""

    def __init__(self, document: Mapping[str, Any], lines: Mapping[Path, int], place: str) -> None:
        self.document = document
        self.lines = lines
        self.place = place
        self.problems: list[tuple[int, str]] = []
        self.numbers: dict[str, Number] = {}
        self.sources: dict[str, str] = {}
        self.time_unit: Fraction | None = None

    def problem(self, path: Path, text: str) -> None:
        line = line_of(self.lines, path)
        name = f"{shortened(dotted(path))}: " if path else ""
        self.problems.append((line, f"{self.place}:{line}: {name}{text}"))
        if len(self.problems) >= ENOUGH:
            self.raise_problems()

    def raise_problems(self) -> None:
        """Raise one `BadFile` with every problem so far, if there is any."""
        if not self.problems:
            return
        texts = [text for _, text in sorted(self.problems)]
        more = [f"... and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
        raise BadFile("\n".join(texts[:SHOWN] + more), hint="docs/chips.md describes chip files")

    def table(self, path: Path, value: object, keys: Mapping[str, Key]) -> dict[str, Any]:
        """The values of the *keys* in a table; what cannot be read is None."""
        if not isinstance(value, dict):
            raise Refused(path, f"needs a table, has {shown(value)}")
        self.check_keys(path, value, keys)
        found = {k: key for k, key in keys.items() if k in value and self.applies(key) is not False}
        return {name: self.read((*path, name), value[name], key) for name, key in found.items()}

    def check_keys(self, path: Path, value: Mapping[str, Any], keys: Mapping[str, Key]) -> None:
        for name in value:
            if name not in keys:
                self.problem((*path, name), f"no such key{closest(name, keys)}")
            elif (key := keys[name].when) and self.applies(keys[name]) is False:
                self.problem((*path, name), f"has no effect unless {key[0]} is {one_of(key[1])}")
        missing = [name for name, key in keys.items() if name not in value and self.needs(key)]
        if missing:
            self.problem(path, f"missing keys: {', '.join(missing)}")

    def needs(self, key: Key) -> bool:
        return not key.optional and self.applies(key) is True

    def applies(self, key: Key) -> bool | None:
        """Whether the condition of *key* holds; None if the file does not tell."""
        if key.when is None:
            return True
        path, words = key.when
        value: Any = self.document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value in words if value in list(type(words[0])) else None

    def read(self, path: Path, value: object, key: Key) -> Any:
        try:
            return self.read_key(path, value, key)
        except Refused as refused:
            self.problem(refused.path, refused.text)
            return None

    def read_key(self, path: Path, value: object, key: Key) -> Any:
        match key:
            case Table():
                return self.table(path, value, key.keys)
            case Tables():
                return self.tables(path, value, key.keys)
            case Quantity():
                return self.quantity(path, value, key)
            case Choice():
                return word(path, value, key.words)
            case Citations():
                return self.citations(path, value)
            case Flag():
                if not isinstance(value, bool):
                    raise Refused(path, f"needs true or false, has {shown(value)}")
                return value
            case Text():
                return text_of(path, value)
            case _:
                raise TypeError(key)  # a key of the schema that nobody reads: our defect

    def tables(self, path: Path, value: object, keys: Mapping[str, Key]) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise Refused(path, f"needs at least one table [[{dotted(path)}]], has {shown(value)}")
        return [self.read((*path, k), row, Table(keys)) for k, row in enumerate(value)]

    def citations(self, path: Path, value: object) -> dict[str, str]:
        if not isinstance(value, dict) or not value:
            raise Refused(path, f'needs a table of sources, name = "full citation", has {shown(value)}')
        for name, text in value.items():
            self.sources[name] = self.read((*path, name), text, Text())
        return self.sources

    def quantity(self, path: Path, value: object, key: Quantity) -> int | float | None:
        """The number at *path*, converted; `Chip.numbers` gets it as it is written."""
        if not isinstance(value, dict):
            form = f'{{ value = ..., unit = "{units_of(key.dimension)[0]}", status = "...", source = "..." }}'
            raise Refused(path, f"needs a number with its source, {form}, has {shown(value)}")
        parts: dict[str, Any] = value
        for name in parts:
            if name not in (*NEEDED, "note"):
                raise Refused((*path, name), f"no such key{closest(name, (*NEEDED, 'note'))}")
        if missing := [name for name in NEEDED if name not in parts]:
            raise Refused(path, f"missing keys: {', '.join(missing)}")
        number = self.number(path, parts, key)
        self.numbers[dotted(path)] = number
        if number.value is None:
            return None
        return self.converted(path, magnitude((*path, "value"), parts["value"]), number.unit, key)

    def number(self, path: Path, parts: Mapping[str, Any], key: Quantity) -> Number:
        unit, source, note = parts["unit"], parts["source"], parts.get("note", "")
        if unit not in units_of(key.dimension):
            units = ", ".join(units_of(key.dimension))
            raise Refused((*path, "unit"), f"needs a unit of {key.dimension} ({units}), has {shown(unit)}")
        status = word((*path, "status"), parts["status"], Status)
        if not isinstance(source, str) or source not in self.sources:
            known = ", ".join(self.sources) or "none"
            raise Refused((*path, "source"), f"needs a name of [sources] ({known}), has {shown(source)}")
        if not isinstance(note, str):
            raise Refused((*path, "note"), f"needs a text, has {shown(note)}")
        if status is Status.DERIVED and not note.strip():
            raise Refused(path, 'a derived number needs a note = "..." that shows how')
        return Number(stated((*path, "value"), parts["value"], key), unit, status, source, note)

    def converted(self, path: Path, value: Fraction, unit: str, key: Quantity) -> int | float:
        """*value* as the model has it, once it is found to be in range."""
        timed = key.dimension is Dimension.TIME
        result = self.in_time_units(path, value, unit) if timed else value * UNITS[key.dimension][unit]
        whole = timed or key.dimension in WHOLE
        if whole and result.denominator != 1:
            raise Refused((*path, "value"), f"needs a whole number, has {plain(value)}")
        least, most = key.least, key.most or MOST[key.dimension]
        if result < least or (key.positive and result <= 0):
            need = "more than 0" if key.positive else f"at least {least}"
            raise Refused((*path, "value"), f"needs {need}, has {plain(value)} {unit}")
        if result > most:
            base = "time units" if timed else base_unit(key.dimension)
            raise Refused((*path, "value"), f"needs at most {most} {base}, has {plain(value)} {unit}")
        if key.dimension is Dimension.CLOCK:
            self.time_unit = result
        return int(result) if whole else float(result)

    def in_time_units(self, path: Path, value: Fraction, unit: str) -> Fraction:
        """A time as a whole count of the time unit (0 if that is not known)."""
        if unit == CYCLES:
            return value
        if self.time_unit is None:
            return Fraction(0)
        count = value * UNITS[Dimension.TIME][unit] / self.time_unit
        if count.denominator != 1:
            step = self.time_unit / UNITS[Dimension.TIME][unit]
            raise Refused(
                (*path, "value"),
                f"needs a whole number of time units ({plain(step)} {unit}), has {plain(value)} {unit}; "
                f"nearest: {plain(round(count) * step)} {unit}",
            )
        return count


def base_unit(dimension: Dimension) -> str:
    """The unit that the model counts in."""
    return next(name for name, factor in UNITS[dimension].items() if factor == 1)


def magnitude(path: Path, value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refused(path, f"needs a number, has {shown(value)}")
    result = exact(value)
    if result is None:
        raise Refused(path, f"needs a finite number of a sensible size, has {shown(value)}")
    return result


def stated(path: Path, value: object, key: Quantity) -> float | None:
    """The value as it is written; None if it is unbounded."""
    if value != UNBOUNDED:
        return float(magnitude(path, value))
    if not key.open:
        raise Refused(path, f'needs a number; "{UNBOUNDED}" has no meaning here')
    return None


def word(path: Path, value: object, words: type[Word]) -> Word:
    known = [one.value for one in words]
    if not isinstance(value, str) or value not in known:
        close = did_you_mean(value, known) if isinstance(value, str) else ""
        raise Refused(path, f"needs {one_of(known)}, has {shown(value)}{close}")
    return words(value)


def text_of(path: Path, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(path, f"needs a text, has {shown(value)}")
    return value


def closest(name: str, known: Iterable[str]) -> str:
    """A question with the known name that resembles *name* most, or the list of them."""
    names = list(known)
    return did_you_mean(name, names) or f"; known: {', '.join(names)}"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_of(words: Iterable[str]) -> str:
    return " or ".join(f'"{one}"' for one in words)


def shown(value: object) -> str:
    """A short text of *value*, whatever it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else "a number of more than 40 digits"
    if isinstance(value, dict | list):
        kind = ("a table", "an empty table") if isinstance(value, dict) else ("an array", "an empty array")
        return kind[not value]
    return shortened(str(value) if isinstance(value, Decimal) else repr(value))


def shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."
