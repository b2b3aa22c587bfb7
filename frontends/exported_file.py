"""What is in a ``.pt2`` file, read without torch's own loader.

`torch.export.load` runs code from the file in several ways: it unpickles sample inputs and custom
objects, evaluates symbolic sizes and guards as Python, looks up operators by attribute anywhere below
``torch``, and loads compiled libraries. But the program itself is JSON and the weights are plain bytes:
here both are read as data, and every part that is not understood is refused by name.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from snncc.errors import BadFile, CannotTrace
from snncc.frontends.archive import ZIP, checked_path, entries, first_bytes, read, shortened
from snncc.frontends.exported_arguments import (
    STRIDED,
    Ref,
    argument,
    output_name,
    scalar_type,
    structured,
    whole,
)
from snncc.frontends.exported_guards import Guard, parse_guard
from snncc.frontends.exported_ops import Function, function_named

MAJOR_VERSION = 8
MAXIMUM_PROGRAM = 1 << 29
SLACK = 1 << 28


@dataclass(frozen=True, slots=True)
class Step:
    """One call; *outputs* name what it returns. *path* and *line* say where in the model it was."""

    function: Function
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[str | tuple[str, ...], ...]
    path: str
    line: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an input: a fixed size, or free from *low* to *high*."""

    low: int
    high: float

    @property
    def is_fixed(self) -> bool:
        return self.low == self.high


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """An exported program. *inputs* are the user's; *output* is a tree of `Ref`s and plain values."""

    inputs: Mapping[str, tuple[Axis, ...]]
    steps: tuple[Step, ...]
    output: Any
    guards: tuple[Guard, ...]
    weights: Mapping[str, str]
    """Names in the program -> names in the model."""
    tensors: Mapping[str, Tensor]
    """Names in the model -> tensors."""


def read_program(path: Path) -> Program:
    """The program in *path*. Raises `BadFile`, or `CannotTrace` for what cannot be compiled."""
    checked_path(path, (".pt2",), "exported programs")
    if not first_bytes(path, 4).startswith(ZIP):
        raise BadFile(f"{path}: is no exported program of torch.export.save")
    names = entries(path)
    check_entries(path, names)
    (model,) = (name for name in names if name.startswith("models/"))
    if names[model].file_size > MAXIMUM_PROGRAM:
        raise BadFile(
            f"{path}: its program has {names[model].file_size} bytes; snncc reads at most {MAXIMUM_PROGRAM}"
        )
    try:
        whole = json.loads(read(path, names[model]))
        version = whole["schema_version"]["major"]
        if version != MAJOR_VERSION:
            raise BadFile(
                f"{path}: has version {version} of the format; snncc reads version {MAJOR_VERSION}",
                hint="export it again, with the PyTorch that snncc is installed with",
            )
        title = Path(model).stem
        tensors = {
            name: tensor
            for kind in ("weights", "constants")
            for name, tensor in read_tensors(path, names, kind, title).items()
        }
        return parse(whole, tensors)
    except (BadFile, CannotTrace) as problem:
        where = str(path)
        if not problem.message.startswith(where):
            raise type(problem)(f"{where}: {problem.message}", hint=problem.hint) from None
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        OverflowError,
        RecursionError,
    ) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None


def check_entries(path: Path, names: Mapping[str, zipfile.ZipInfo]) -> None:
    """Raise `BadFile` unless the archive holds one program, and nothing that only code could read."""
    if "archive_format" not in names:
        old = "version" in names or "serialized_exported_program.json" in names
        if "data.pkl" in names:
            raise BadFile(f"{path}: is a checkpoint of torch.save", hint="give it a name that ends in .pt")
        hint = "export it again, with the PyTorch that snncc is installed with" if old else ""
        raise BadFile(f"{path}: is no exported program of torch.export.save", hint=hint)
    compiled = [name for name in names if name.startswith(("data/aotinductor/", "data/executorch/"))]
    if compiled:
        raise BadFile(f"{path}: holds compiled code ({compiled[0]})", hint="save it with torch.export.save")
    programs = [name for name in names if name.startswith("models/")]
    if len(programs) != 1 or not programs[0].endswith(".json"):
        raise BadFile(f"{path}: holds {len(programs)} programs instead of one")


def read_tensors(
    path: Path, names: Mapping[str, zipfile.ZipInfo], kind: str, title: str
) -> dict[str, Tensor]:
    """The tensors of *kind*, weights or constants, by their names in the model."""
    config = f"data/{kind}/{title}_{kind}_config.json"
    if config not in names:
        raise BadFile(f"{path}: has no {config}", hint="export it again, with a newer PyTorch")
    stored: dict[str, bytearray] = {}
    result: dict[str, Tensor] = {}
    for name, payload in json.loads(read(path, names[config]))["config"].items():
        entry = f"data/{kind}/{payload['path_name']}"
        if payload["use_pickle"] or payload["tensor_meta"] is None:
            raise BadFile(f"{path}: {name} is pickled, which could run code; snncc reads plain tensors only")
        if entry not in stored:
            stored[entry] = bytearray(read(path, names[entry]))
        result[name] = as_tensor(name, stored[entry], payload["tensor_meta"])
    return result


def as_tensor(name: str, data: bytearray, meta: Mapping[str, Any]) -> Tensor:
    """The bytes *data* as a tensor; those of other views of the same storage share them."""
    dtype = scalar_type(meta["dtype"])
    sizes, strides = ([whole(item["as_int"]) for item in meta[key]] for key in ("sizes", "strides"))
    if meta["device"]["type"] != "cpu" or meta["layout"] != STRIDED:
        raise CannotTrace(
            f"{name} is a tensor on {meta['device']['type']}", hint="export the model on the CPU"
        )
    count: int = math.prod(sizes)
    if count * dtype.itemsize > len(data) + SLACK or (count and not data):
        raise BadFile(f"{name} claims the shape {tuple(sizes)}, more than its {len(data)} bytes hold")
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.as_strided(sizes, strides, whole(meta["storage_offset"]["as_int"]))


def parse(whole_program: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Program:
    module = whole_program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    ranges = whole_program["range_constraints"]
    inputs: dict[str, tuple[Axis, ...]] = {}
    weights: dict[str, str] = {}
    for spec in signature["input_specs"]:
        ((kind, item),) = spec.items()
        if kind == "user_input" and "as_tensor" in item["arg"]:
            name = item["arg"]["as_tensor"]["name"]
            inputs[name] = tuple(axis(size, ranges) for size in graph["tensor_values"][name]["sizes"])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            weights[item["arg"]["name"]] = item[f"{kind}_name"]
        else:
            raise CannotTrace(f"takes an input that is no tensor ({kind})", hint="export a model of tensors")
    missing = sorted(set(weights.values()) - set(tensors))
    if missing:
        raise BadFile(f"has no data for {', '.join(missing)}")
    outputs: list[Any] = []
    for spec in signature["output_specs"]:
        ((kind, item),) = spec.items()
        if kind != "user_output":
            changed = item.get("buffer_name") or item.get("parameter_name") or kind
            raise CannotTrace(f"changes {changed} as it runs", hint=STATEFUL)
        outputs.append(argument(item["arg"]))
    (entry,) = (e for e in module["module_call_graph"] if e["fqn"] == "")
    steps = tuple(step(node) for node in graph["nodes"])
    check_names([*inputs, *weights], steps, outputs)
    return Program(
        inputs=inputs,
        steps=steps,
        output=structured(json.loads(entry["signature"]["out_spec"])[1], outputs),
        guards=tuple(parse_guard(text) for text in whole_program["guards_code"]),
        weights=weights,
        tensors=tensors,
    )


def check_names(known: Iterable[str], steps: Iterable[Step], outputs: object) -> None:
    """Raise `BadFile` where a name is used before it has a value."""
    defined = set(known)
    for one in steps:
        for name in names_in([one.args, list(one.kwargs.values())]):
            if name not in defined:
                raise BadFile(f"uses {name!r} before it is computed")
        defined |= {name for names in one.outputs for name in ([names] if isinstance(names, str) else names)}
    unknown = [name for name in names_in(outputs) if name not in defined]
    if unknown:
        raise BadFile(f"returns {unknown[0]!r}, which is not computed")


def names_in(item: object) -> Iterator[str]:
    """The names that *item*, arguments or a list of them, refers to."""
    if isinstance(item, Ref):
        yield item.name
    elif isinstance(item, list | tuple):
        for part in item:
            yield from names_in(part)


STATEFUL = 'export the model in evaluation mode, model.eval(), and with neurons in step mode "m"'


def axis(size: Mapping[str, Any], ranges: Mapping[str, Any]) -> Axis:
    if "as_int" in size:
        return Axis(whole(size["as_int"]), size["as_int"])
    symbol = re.match(r"(?:Symbol\(')?(\w+)", size["as_expr"]["expr_str"])
    limits = ranges.get(symbol[1], {}) if symbol else {}
    low, high = limits.get("min_val") or 0, limits.get("max_val")
    # 2 is what torch writes for "neither 0 nor 1 was looked at"; its own guards let 1 pass
    return Axis(1 if low <= 2 else low, math.inf if high is None else high)


def step(node: Mapping[str, Any]) -> Step:
    target = str(node["target"])
    path, line = place(node["metadata"])
    function = function_named(target, path or line)
    args, kwargs = [], {}
    for item in node["inputs"]:
        value = argument(item["arg"])
        if item["name"] in ("train", "training") and value is True:
            raise CannotTrace(f"{target} is in training mode", hint=STATEFUL)
        if item.get("kind") == 2:
            kwargs[str(item["name"])] = value
        else:
            args.append(value)
    outputs = tuple(output_name(item) for item in node["outputs"])
    return Step(function, target, tuple(args), kwargs, outputs, path, line)


def place(metadata: Mapping[str, str]) -> tuple[str, str]:
    """The path of the innermost module, and ``file.py:12`` of the innermost line of the user's."""
    modules = str(metadata.get("nn_module_stack", "")).split(";")[-1].split(",")
    path = re.sub(r"@\d+$", "", modules[1]) if len(modules) > 2 else ""  # @1: called for the second time
    if path.startswith("_empty") or not re.fullmatch(r"\w+(\.\w+)*", path):
        path = ""
    frames = re.findall(r'File "([^"\n]*)", line (\d+)', str(metadata.get("stack_trace", "")))
    users = [frame for frame in frames if not re.search(r"(^|[/\\])(torch|snncc)[/\\]", frame[0])]
    if not users:
        return path, ""
    file, line = users[-1]
    return path, f"{PureWindowsPath(file).name}:{line}"
