"""Arguments and results of the operations in an exported program, from their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from snncc.errors import CannotTrace

SCALAR_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
STRIDED = 7


@dataclass(frozen=True, slots=True)
class Ref:
    """The value that a step, an input or the weights have under this name."""

    name: str


def whole(value: object) -> int:
    """*value*, which must be an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def scalar_type(code: object) -> torch.dtype:
    if not isinstance(code, int) or code not in SCALAR_TYPES:
        raise CannotTrace(f"has numbers of a type that snncc does not read ({code})")
    return SCALAR_TYPES[code]


def output_name(item: Mapping[str, Any]) -> str | tuple[str, ...]:
    match item:
        case {"as_tensor": {"name": str(name)}}:
            return name
        case {"as_tensors": list(parts)}:
            return tuple(str(part["name"]) for part in parts)
        case {"as_sym_int": {"as_name": str(name)}} | {"as_sym_bool": {"as_name": str(name)}}:
            return name
        case {"as_sym_float": {"as_name": str(name)}}:
            return name
    raise CannotTrace(f"an operation returns what is no tensor ({next(iter(item))})")


def argument(item: Mapping[str, Any]) -> Any:
    """An argument as a plain value, a `Ref` or a list of them."""
    ((kind, value),) = item.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return Ref(value["name"])
        case "as_tensors":
            return [Ref(part["name"]) for part in value]
        case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_strings" | "as_int_lists":
            return value
        case "as_float":
            return float(value)
        case "as_floats":
            return [float(part) for part in value]
        case "as_sym_int" | "as_sym_bool" | "as_sym_float" | "as_optional_tensor":
            return symbol(value)
        case "as_sym_ints" | "as_sym_bools" | "as_sym_floats" | "as_optional_tensors":
            return [symbol(part) for part in value]
        case "as_scalar_type":
            return scalar_type(value)
        case "as_memory_format":
            return MEMORY_FORMATS[value]
        case "as_layout" if value == STRIDED:
            return torch.strided
        case "as_device":
            if value["type"] != "cpu":
                raise CannotTrace(f"works on the device {value['type']}", hint="export the model on the CPU")
            return torch.device("cpu")
    raise CannotTrace(f"has an argument of a kind that snncc does not read ({kind})")


def symbol(item: Mapping[str, Any]) -> Any:
    ((kind, value),) = item.items()
    if kind == "as_name":
        return Ref(value)
    return argument(item)


def structured(spec: Mapping[str, Any], leaves: list[Any]) -> Any:
    """*leaves* in the tree of tuples, lists and dicts that *spec* says; it takes them from the list."""
    if spec["type"] is None:
        return leaves.pop(0)
    parts = [structured(child, leaves) for child in spec["children_spec"]]
    match spec["type"]:
        case "builtins.tuple":
            return tuple(parts)
        case "builtins.list":
            return parts
        case "builtins.dict":
            return dict(zip(map(str, json.loads(spec["context"])), parts, strict=True))
    raise CannotTrace(f"returns a {spec['type']}", hint="return a tensor, or a tuple or dict of tensors")
