"""Whatever stands in a file: a `BadFile`, or the graph that was written; never anything else."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snncc.errors import BadFile
from snncc.ir import Numbers, dump, load_graph, save_graph
from tests.ir.every_node import every_node
from tests.ir.files import Header, edited, written
from tests.ir.test_file import content

GRAPH = every_node(Numbers.INTEGER)
WHOLE = content(GRAPH)
SCRATCH = Path(tempfile.gettempdir()) / f"snncc-damage-{os.getpid()}.snn"


def saved() -> bytes:
    save_graph(GRAPH, SCRATCH)
    data = SCRATCH.read_bytes()
    SCRATCH.unlink()
    return data


GOOD = saved()


def is_harmless(data: bytes) -> bool:
    """Whether *data* is refused as a bad file (with one line that names it), or is the graph itself."""
    try:
        graph = load_graph(written(SCRATCH, data))
    except BadFile as problem:
        return str(problem).startswith(f"{SCRATCH}: ") and "\n" not in problem.message
    finally:
        SCRATCH.unlink()
    return content(graph) == WHOLE


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    assert dump(load_graph(written(tmp_path / "g.snn", GOOD))) == dump(GRAPH)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 1000, *range(2000, len(GOOD), 997), len(GOOD) - 1])
def test_truncated(length: int, tmp_path: Path) -> None:
    assert length < len(GOOD)
    with pytest.raises(BadFile, match=r"is truncated|is damaged"):
        load_graph(written(tmp_path / "g.snn", GOOD[:length]))


def test_something_appended(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="damaged"):
        load_graph(written(tmp_path / "g.snn", GOOD + b"\0"))


@pytest.mark.parametrize("position", [*range(8), *range(8, len(GOOD), 211)])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_flipped_bytes(position: int, flip: int) -> None:
    assert is_harmless(GOOD[:position] + bytes([GOOD[position] ^ flip]) + GOOD[position + 1 :])


def test_a_flipped_weight_is_found(tmp_path: Path) -> None:
    # Found in review: such a file gave another network, without a word.
    with pytest.raises(BadFile, match="is damaged: its content is not what was written"):
        load_graph(written(tmp_path / "g.snn", GOOD[:-1] + bytes([GOOD[-1] ^ 1])))


@settings(max_examples=300)
@given(st.data())
def test_mutated_files(data: st.DataObject) -> None:
    broken = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        some = data.draw(st.binary(max_size=6))
        broken[at : at + data.draw(st.integers(0, 6))] = some
    assert is_harmless(bytes(broken))


@given(st.binary(max_size=300))
@example(b"")
@example(struct.pack("<Q", 2) + b"{}")
@example(struct.pack("<Q", 4) + b"null")
@example(struct.pack("<Q", 2) + b"[]")
@example(b"PK\x03\x04" + bytes(100))
def test_other_files(data: bytes) -> None:
    assert is_harmless(data)


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    claim = struct.pack("<Q", 1 << 60) + GOOD[8:]
    with pytest.raises(BadFile, match=f"or is truncated: its header claims {1 << 60} bytes"):
        load_graph(written(tmp_path / "g.snn", claim))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = written(tmp_path / "g.snn", b"")
    os.truncate(path, (4 << 30) + 1)  # a hole, no bytes on the disk
    with pytest.raises(BadFile, match=r"has 4294967297 bytes; a \.snn file has at most 4294967296"):
        load_graph(path)


def test_a_newer_file(tmp_path: Path) -> None:
    newer = edited(GOOD, lambda header: header.update(version=99))
    with pytest.raises(BadFile, match="has format version 99; this snncc reads up to 1") as error:
        load_graph(written(tmp_path / "g.snn", newer))
    assert error.value.hint == "upgrade snncc"


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read: No such file or directory"):
        load_graph(tmp_path / "none.snn")
    with pytest.raises(BadFile, match="cannot be read: Is a directory"):
        load_graph(tmp_path)


def node(header: Header, name: str) -> Header:
    found: Header = next(item for item in header["nodes"] if item["name"] == name)
    return found


def setting(name: str, key: str, value: Any) -> Callable[[Header], Any]:
    def change(header: Header) -> None:
        node(header, name)[key] = value

    return change


def parameter(key: str, value: Any) -> Callable[[Header], Any]:
    def change(header: Header) -> None:
        node(header, "sfa")["parameters"][key] = value

    return change


BAD: dict[str, Callable[[Header], Any]] = {
    "unknown kind of node": setting("fc", "type", "Lambda"),
    "a class that is no node": setting("fc", "type", "Path"),
    "kind that is a list": setting("fc", "type", []),
    "one field more": setting("fc", "code", "import os"),
    "one field less": lambda header: node(header, "fc").pop("bias") and None,
    "text for a number": setting("fc", "shift", "2"),
    "a fraction for a number": setting("fc", "shift", 2.5),
    "a truth value for a number": setting("fc", "shift", True),
    "infinity for a number": setting("fc", "shift", float("inf")),
    "a number for a name": setting("fc", "name", 5),
    "nothing for a name": setting("fc", "name", None),
    "a list for a name": setting("fc", "name", [1]),
    "an object for a name": setting("fc", "name", {}),
    "a number for an array": setting("fc", "weight", 5),
    "nothing for an array": setting("fc", "weight", None),
    "an array that is not there": setting("fc", "weight", {"array": "nowhere"}),
    "an array without a name": setting("fc", "weight", {"array": []}),
    "an unknown choice": setting("map", "over", "median"),
    "a short tuple": setting("conv", "padding", [1, 1]),
    "text in a tuple": setting("conv", "padding", ["a", 0, 0, 0]),
    "infinity in a tuple": setting("conv", "padding", [float("inf"), 0, 0, 0]),
    "nothing for a tuple": setting("conv", "padding", None),
    "an empty tuple": setting("pooled", "kernel", []),
    "groups of zero": setting("conv", "groups", 0),
    "text for wires": setting("fc", "inputs", "sum"),
    "a wire without delay": setting("fc", "inputs", [{"source": "sum"}]),
    "a wire of text": setting("fc", "inputs", ["sum"]),
    "a wire to nowhere": setting("fc", "inputs", [{"source": "q", "delay": 0, "initial": None}]),
    "a negative delay": setting("fc", "inputs", [{"source": "sum", "delay": -1, "initial": None}]),
    "an unknown parameter": parameter("noise", 1),
    "an unknown reset": parameter("reset", "soft"),
    "a bad count": parameter("max_count", 0),
    "a width of text": parameter("v_bits", "16"),
    "parameters of text": setting("sfa", "parameters", "IF"),
    "a shape beyond all memory": setting("image", "shape", [1 << 40, 1 << 20]),
    "a huge reshape": lambda header: (
        setting("tallies", "shape", [1 << 45])(header),
        setting("flat", "inputs", [{"source": "tallies", "delay": 0, "initial": None}])(header),
        setting("flat", "shape", [1 << 45])(header),
        None,
    )[-1],
    "no nodes": lambda header: header.update(nodes=[]),
    "nodes of nothing": lambda header: header.update(nodes=None),
    "nodes of numbers": lambda header: header.update(nodes=[1, 2]),
    "two nodes of one name": lambda header: header["nodes"].append(header["nodes"][0]),
    "an unknown kind of numbers": lambda header: header.update(numbers="complex"),
    "an unknown layout": lambda header: header.update(layout="BTB"),
    "infinite timesteps": lambda header: header.update(timesteps=float("inf")),
    "no timesteps": lambda header: header.update(timesteps=0),
    "timesteps of nothing": lambda header: header.update(timesteps=None),
    "extra that is a number": lambda header: header.update(extra=5),
    "extra that is missing": lambda header: header.pop("extra") and None,
    "no version": lambda header: header.pop("version") and None,
    "a version of text": lambda header: header.update(version="1"),
    "a list for the header": lambda _: [1],
    "a text for the header": lambda _: "snncc",
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_header_that_was_written_by_somebody_else(change: Callable[[Header], Any], tmp_path: Path) -> None:
    path = written(tmp_path / "g.snn", edited(GOOD, change))
    assert path.read_bytes() != GOOD
    with pytest.raises(BadFile) as error:
        load_graph(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("depth", [200, 500, 900, 980, 200_000])
def test_a_header_that_is_nested(depth: int, tmp_path: Path) -> None:
    metadata = {"snncc": '{"version": 1, "nodes": ' + "[" * depth + "]" * depth + "}"}
    text = json.dumps({"__metadata__": metadata}).encode()
    with pytest.raises(BadFile, match=r"damaged"):
        load_graph(written(tmp_path / "g.snn", struct.pack("<Q", len(text)) + text))
