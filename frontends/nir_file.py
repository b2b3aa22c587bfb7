"""What a ``.nir`` file says: units, edges and the version, before anything is made of them.

The layout is that of `nir.write`: ``/version``, and ``/node``, a group with ``type``, the fields of that
type, and perhaps ``metadata``; a graph has ``nodes`` and ``edges``. Entries of the metadata that begin with
``snncc.`` are ours (`snncc.frontends.nir_notes`); those of others mean nothing to us.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from snncc.errors import BadFile
from snncc.frontends.archive import shortened
from snncc.frontends.nir_hdf5 import Damage, Group, Stored, Tree, read_bytes
from snncc.frontends.nir_values import Value, Values
from snncc.ir import Shape

NEURON = ("r", "v_threshold")
FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Identity": ((), ("shape", "input_type")),
    "Affine": (("weight", "bias"), ()),
    "Linear": (("weight",), ()),
    "Scale": (("scale",), ()),
    "Conv1d": (("weight", "bias", "stride", "padding", "dilation", "groups"), ("input_shape",)),
    "Conv2d": (("weight", "bias", "stride", "padding", "dilation", "groups"), ("input_shape",)),
    "SumPool2d": (("kernel_size", "stride", "padding"), ()),
    "AvgPool2d": (("kernel_size", "stride", "padding"), ()),
    "Flatten": (("start_dim", "end_dim"), ("input_type",)),
    "Delay": (("delay",), ()),
    "Threshold": (("threshold",), ()),
    "I": (("r",), ()),
    "IF": (NEURON, ("v_reset",)),
    "LI": (("tau", "r", "v_leak"), ()),
    "LIF": (("tau", "v_leak", *NEURON), ("v_reset",)),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": (("tau_syn", "tau_mem", "v_leak", *NEURON), ("v_reset", "w_in")),
}
"""The fields that each type of node must have, and those that it may have."""
PREFIX = "snncc."
DOORS = ("Input", "Output")
MOST_EDGES = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One node of a NIR graph: its *fields* and our *notes*, by name."""

    name: str
    kind: str
    fields: Mapping[str, Value]
    notes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """How a diagnostic names it."""
        return f"{self.name} (NIR {self.kind})"


@dataclass(frozen=True, slots=True, eq=False)
class NirGraph:
    """A graph without nesting: the nodes of a nested graph ``a`` are called ``a.name``."""

    version: str
    units: Mapping[str, Unit]
    edges: tuple[tuple[str, str], ...]
    notes: Mapping[str, Value] = field(default_factory=dict)


def read_nir(path: Path) -> NirGraph:
    """The graph in *path*. Raises `BadFile` for whatever is wrong with the file."""
    data = read_bytes(path)
    try:
        tree = Tree(data)
        return Reader(Values(tree)).graph(tree.root())
    except Damage as problem:
        raise BadFile(f"{path}: {problem}", hint=problem.hint) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, MemoryError, RecursionError) as problem:
        raise BadFile(f"{path}: is damaged ({shortened(problem)})") from None


class Reader:
    """Collects the units and edges of all nested graphs."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.units: dict[str, Unit] = {}
        self.edges: list[tuple[str, str]] = []

    def graph(self, root: Group) -> NirGraph:
        """Everything. Raises `Damage`."""
        version, node = root.members.get("version"), root.members.get("node")
        if not isinstance(version, Stored) or not isinstance(node, Group):
            raise Damage("is an HDF5 file, but no NIR graph: it has no /version and /node")
        text = self.values.read(version)
        if not isinstance(text, str):
            raise Damage("is damaged: /version is no text")
        if self.kind_of(node, "/node") != "NIRGraph":
            raise Damage("holds a single node instead of a graph", "write nir.NIRGraph.from_list(node)")
        notes = self.nested(node, "")
        if not self.edges:
            raise Damage("is a graph without edges")
        return NirGraph(text, self.units, tuple(self.edges), self.handed_on(notes))

    def handed_on(self, notes: Mapping[str, Value]) -> Mapping[str, Value]:
        """The notes of the graph itself; those called ``note:name`` go to the node *name*."""
        own: dict[str, Value] = {}
        for key, value in notes.items():
            note, colon, name = key.partition(":")
            if not colon:
                own[key] = value
            elif name not in self.units:
                raise Damage(f"is damaged: has the entry snncc.{key}, but no such node")
            else:
                unit = self.units[name]
                self.units[name] = replace(unit, notes={**unit.notes, note: value})
        return own

    def kind_of(self, node: Group, where: str) -> str:
        kind = node.members.get("type")
        text = self.values.read(kind) if isinstance(kind, Stored) else None
        if not isinstance(text, str):
            raise Damage(f"is damaged: {where} has no type")
        return text

    def nested(self, node: Group, prefix: str) -> Mapping[str, Value]:
        """Take in the graph *node*; says its notes."""
        where = prefix.rstrip(".") or "the graph"
        unknown = set(node.members) - {"type", "nodes", "edges", "metadata", "input_type", "output_type"}
        nodes = node.members.get("nodes")
        if unknown or not isinstance(nodes, Group):
            raise Damage(f"is damaged: {where} has {', '.join(sorted(unknown)) or 'no nodes'}")
        doors: dict[str, tuple[list[str], list[str]]] = {}
        for name, member in nodes.members.items():
            full = prefix + checked_name(name, where)
            if not isinstance(member, Group):
                raise Damage(f"is damaged: {full} is no node")
            kind = self.kind_of(member, full)
            if kind == "NIRGraph":
                self.nested(member, f"{full}.")
                doors[name] = self.doors(member, full)
            else:
                self.unit(full, kind, member, is_inside=bool(prefix))
        self.edges += self.edges_of(node, prefix, set(nodes.members), doors)
        return self.notes(node, where)

    def unit(self, name: str, kind: str, node: Group, *, is_inside: bool) -> None:
        """Take in one node; the inputs and outputs of a nested graph only hand on."""
        if kind not in FIELDS:
            known = ", ".join(sorted(FIELDS))
            raise Damage(f"{name}: is a NIR node of the unknown type {kind!r}; known: {known}")
        if name in self.units:
            raise Damage(f"has two nodes {name}")
        needed, optional = FIELDS[kind]
        have = set(node.members) - {"type", "metadata"}
        if missing := [one for one in needed if one not in have]:
            raise Damage(f"is damaged: {name} (NIR {kind}) has no {missing[0]}")
        if unknown := sorted(have - {*needed, *optional}):
            raise Damage(f"{name} (NIR {kind}): has a field {unknown[0]!r}, whose meaning is unknown")
        fields = {one: self.value(node.members[one], f"{name}/{one}") for one in sorted(have)}
        if is_inside and kind in DOORS:
            kind = "Identity"
        self.units[name] = Unit(name, kind, fields, self.notes(node, name))

    def value(self, stored: Group | Stored, where: str) -> Value:
        if not isinstance(stored, Stored):
            raise Damage(f"is damaged: {where} is a group")
        return self.values.read(stored)

    def notes(self, node: Group, where: str) -> Mapping[str, Value]:
        """Our entries in the metadata, without their prefix; those of others are left unread."""
        group = node.members.get("metadata")
        if group is None:
            return {}
        if not isinstance(group, Group):
            raise Damage(f"is damaged: the metadata of {where} is no group")
        ours = {k: v for k, v in group.members.items() if k.startswith(PREFIX) and isinstance(v, Stored)}
        return {k.removeprefix(PREFIX): self.values.read(v) for k, v in ours.items()}

    def doors(self, node: Group, full: str) -> tuple[list[str], list[str]]:
        """The inputs and the outputs of a nested graph."""
        nodes = node.members["nodes"]
        assert isinstance(nodes, Group)
        kinds = {
            name: self.kind_of(member, name)
            for name, member in nodes.members.items()
            if isinstance(member, Group)
        }
        ins, outs = ([f"{full}.{n}" for n, k in kinds.items() if k == which] for which in ("Input", "Output"))
        return ins, outs

    def edges_of(
        self, node: Group, prefix: str, names: set[str], doors: Mapping[str, tuple[list[str], list[str]]]
    ) -> list[tuple[str, str]]:
        """The edges of one graph, those of nested ones led to their inputs and outputs."""
        where = prefix.rstrip(".") or "the graph"
        stored = node.members.get("edges")
        texts = self.values.read(stored) if isinstance(stored, Stored) else None
        if isinstance(texts, np.ndarray) and not texts.size:
            return []
        if not isinstance(texts, tuple) or len(texts) % 2 or len(texts) > 2 * MOST_EDGES:
            raise Damage(f"is damaged: {where} has no list of edges")
        pairs = list(zip(texts[::2], texts[1::2], strict=True))
        if len(set(pairs)) < len(pairs):
            twice = next(pair for pair in pairs if pairs.count(pair) > 1)
            raise Damage(f"{where}: has the edge {twice[0]} -> {twice[1]} twice")
        found = []
        for source, target in pairs:
            for end in (source, target):
                if end not in names:
                    raise Damage(f"{where}: has an edge {source} -> {target}, but no node {end!r}")
            found.append((self.end(source, 1, prefix, doors), self.end(target, 0, prefix, doors)))
        return found

    def end(self, name: str, side: int, prefix: str, doors: Mapping[str, tuple[list[str], list[str]]]) -> str:
        """Where an edge really ends that ends at *name*."""
        if name not in doors:
            return prefix + name
        found, what = doors[name][side], ("inputs", "outputs")[side]
        if len(found) != 1:
            raise Damage(
                f"{prefix}{name}: is a nested graph with {len(found)} {what}; an edge cannot say which",
                "give nested graphs one input and one output each",
            )
        return found[0]


def checked_name(name: str, where: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise Damage(f"{where}: {name!r} is no name for a node")
    return name


def version_of(text: str) -> tuple[int, ...] | None:
    """The numbers of a released version; None for any other.

    >>> version_of("1.0.8"), version_of("1.0.6.dev3")
    ((1, 0, 8), None)
    """
    return (
        tuple(int(part) for part in text.split("."))
        if re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,3}", text)
        else None
    )


def numbers(unit: Unit, name: str) -> np.ndarray[Shape, np.dtype[np.float64]]:
    """The field *name* of *unit* as reals. Raises `BadFile`."""
    value = unit.fields[name]
    if not isinstance(value, np.ndarray):
        raise BadFile(f"{unit.place}: its {name} is no number")
    if np.isnan(value).any():
        raise BadFile(f"{unit.place}: its {name} holds values that are not numbers (NaN)")
    return value.astype(np.float64)


def whole(unit: Unit, name: str, count: int) -> tuple[int, ...]:
    """The field *name* of *unit* as *count* integers; a single one stands for all."""
    value = unit.fields[name]
    if not isinstance(value, np.ndarray) or value.size not in (1, count) or value.ndim > 1:
        raise BadFile(f"{unit.place}: its {name} must be {count} integers")
    if np.any(value != np.floor(value)) or np.any(np.abs(value) >= 2**31):
        raise BadFile(f"{unit.place}: its {name} must be {count} integers, not {value.tolist()}")
    return tuple(int(v) for v in np.broadcast_to(value.reshape(-1), (count,)))


def shape_field(unit: Unit, name: str) -> Shape:
    """The field *name* of *unit* as a shape."""
    value = unit.fields[name]
    if not isinstance(value, np.ndarray) or value.ndim > 1 or value.size > 8:
        raise BadFile(f"{unit.place}: its {name} is no shape")
    shape = whole(unit, name, value.size)
    if not shape or min(shape) < 1:
        raise BadFile(f"{unit.place}: its {name} {shape} must have positive sizes")
    return shape
