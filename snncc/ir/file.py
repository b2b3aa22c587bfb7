"""The ``.snn`` file: a JSON header inside a safetensors file, no code, versioned.

The header is the safetensors metadata entry ``snncc``; arrays are tensors named ``node/field``. Its
``sha256`` is the digest of all the rest, so that a damaged weight is found, too. Sizes are checked against
the file's length before anything is allocated.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from snncc.errors import BadFile, InvalidGraph
from snncc.ir.arrays import Array
from snncc.ir.graph import Layout, Numbers, SpikeGraph
from snncc.ir.neuron import NeuronParameters
from snncc.ir.nodes import NODE_TYPES, Node, Wire
from snncc.ir.write import replace_file

VERSION = 1
MAX_BYTES = 4 << 30
"""Files above 4 GiB are refused: no network that these chips hold comes near."""
MAX_HEADER = 64 << 20

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError, RecursionError)
"""What a header that somebody else wrote may cause."""

Item = TypeVar("Item", bound=Node | NeuronParameters)

TYPES: dict[str, type[Node]] = {kind.__name__: kind for kind in NODE_TYPES}


def save_graph(
    graph: SpikeGraph, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
) -> None:
    """Write *graph* to *path*, whole or not at all; *extra* is JSON kept beside it.

    Raises `BadFile` when the path cannot be written.
    """
    tensors: dict[str, Array] = {}
    nodes = [encode(node, f"{k}:{node.name}", tensors) for k, node in enumerate(graph.nodes)]
    header = {
        "version": VERSION,
        "name": graph.name,
        "numbers": graph.numbers.value,
        "timesteps": graph.timesteps,
        "layout": graph.layout.value,
        "nodes": nodes,
        "extra": dict(extra or {}),
    }
    if graph.notes:
        header["notes"] = list(graph.notes)
    if graph.dt is not None:
        header["dt"] = graph.dt
    if graph.seen is not None:
        header["seen"] = graph.seen
    tensors = {k: np.array(v, order="C") for k, v in tensors.items()}
    header["sha256"] = digest(header, tensors)
    # One entry: the order of several would differ from file to file.
    replace_file(Path(path), pack_tensors(tensors, metadata={"snncc": json.dumps(header)}))


def digest(header: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    """The SHA-256 of a header but for its own, and of every array: name, kind, shape, bytes."""
    total = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != "sha256"}).encode())
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def load_graph(path: str | os.PathLike[str]) -> SpikeGraph:
    """Read a graph from *path* and verify it. Raises `BadFile` for whatever is wrong with the file."""
    return load_graph_and_extra(path)[0]


def load_graph_and_extra(path: str | os.PathLike[str]) -> tuple[SpikeGraph, dict[str, Any]]:
    """The graph in *path*, and what `save_graph` was given to keep beside it."""
    data = read_checked(Path(path))
    try:
        tensors = parse_tensors(data)
        header = json.loads(header_of(data)["__metadata__"]["snncc"])
        version = header["version"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as problem:
        raise BadFile(f"{path}: is no .snn file, or is damaged ({shorten(problem)})") from None
    if not isinstance(version, int) or version > VERSION:
        raise BadFile(
            f"{path}: has format version {version!r}; this snncc reads up to {VERSION}", hint="upgrade snncc"
        )
    try:
        if header.get("sha256") != digest(header, tensors):
            raise BadFile(f"{path}: is damaged: its content is not what was written (SHA-256)")
        nodes = tuple(decode_node(item, tensors) for item in header["nodes"])
        graph = SpikeGraph(
            nodes,
            Numbers(header["numbers"]),
            str(header["name"]),
            int(header["timesteps"]),
            Layout(header["layout"]),
            tuple(str(note) for note in header.get("notes", ())),
            float(header["dt"]) if "dt" in header else None,
            int(header["seen"]) if "seen" in header else None,
        )
        extra = dict(header["extra"])
        graph.verify()
    except InvalidGraph as problem:
        raise BadFile(f"{path}: holds a graph that breaks an invariant: {problem.message}") from None
    except DAMAGE as problem:
        raise BadFile(f"{path}: its header is damaged ({shorten(problem)})") from None
    return graph, extra


def shorten(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:200]


def read_checked(path: Path) -> bytes:
    """The bytes of *path* after its length fields were found consistent."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadFile(f"{path}: has {size} bytes; a .snn file has at most {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as problem:
        raise BadFile(f"{path}: cannot be read: {problem.strerror or problem}") from None
    if len(data) < 8:
        raise BadFile(f"{path}: is truncated: {len(data)} bytes hold no header")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(len(data) - 8, MAX_HEADER):
        raise BadFile(f"{path}: is no .snn file, or is truncated: its header claims {length} bytes")
    return data


def header_of(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def encode(item: Node | NeuronParameters, prefix: str, tensors: dict[str, Array]) -> dict[str, Any]:
    """The fields of *item* as JSON; arrays go to *tensors* under ``prefix/field``."""
    result: dict[str, Any] = {"type": type(item).__name__}
    for field in fields(item):
        result[field.name] = encode_value(getattr(item, field.name), f"{prefix}/{field.name}", tensors)
    return result


def encode_value(value: Any, key: str, tensors: dict[str, Array]) -> Any:
    match value:
        case np.ndarray():
            tensors[key] = value
            return {"array": key}
        case NeuronParameters():
            return encode(value, key, tensors)
        case Wire():
            initial = None if value.initial is None else encode_value(value.initial, key, tensors)
            return {"source": value.source, "delay": value.delay, "initial": initial}
        case Enum():
            return value.value
        case tuple():
            return [encode_value(v, f"{key}/{k}", tensors) for k, v in enumerate(value)]
        case Mapping():
            return {str(k): encode_value(v, f"{key}/{k}", tensors) for k, v in value.items()}
        case _:
            return value


def decode_node(item: Mapping[str, Any], tensors: Mapping[str, Array]) -> Node:
    return decode(TYPES[item["type"]], item, tensors)


def decode(kind: type[Item], item: Mapping[str, Any], tensors: Mapping[str, Array]) -> Item:
    """An instance of *kind* from its JSON; unknown fields are an error, every field must be there."""
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}
    if set(item) - {"type"} != names:
        raise ValueError(f"{kind.__name__} has fields {sorted(set(item) ^ names - {'type'})}")
    return kind(**{name: decode_value(item[name], hints[name], tensors) for name in names})


def decode_value(value: Any, hint: Any, tensors: Mapping[str, Array]) -> Any:
    options = get_args(hint)
    if isinstance(value, dict) and set(value) == {"array"} and isinstance(value["array"], str):
        return tensors[value["array"]]
    if hint is NeuronParameters:
        return decode(NeuronParameters, value, tensors)
    if isinstance(value, list) and options and options[0] is Wire:
        return tuple(decode_wire(v, tensors) for v in value)
    if isinstance(value, list):
        return tuple(v if isinstance(v, bool) else int(v) for v in value)
    if isinstance(value, dict):
        return {k: decode_value(v, None, tensors) for k, v in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    allowed = options or (hint,)
    if type(value) not in allowed:
        raise ValueError(f"{value!r} is no {hint}")
    return value


def decode_wire(item: Mapping[str, Any], tensors: Mapping[str, Array]) -> Wire:
    initial = None if item["initial"] is None else tensors[item["initial"]["array"]]
    return Wire(str(item["source"]), int(item["delay"]), initial)
