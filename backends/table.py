"""The targets: a literal table, and what other packages add through the entry point ``snncc.targets``."""

from __future__ import annotations

from importlib.metadata import entry_points

from snncc.backends.loihi.target import Loihi
from snncc.backends.sim.target import Simulator
from snncc.backends.speck.target import Speck
from snncc.backends.target import Target
from snncc.errors import BadInput, UnknownName

TARGETS: dict[str, Target] = {target.name: target for target in (Simulator(), Loihi(), Speck())}


def targets() -> dict[str, Target]:
    """Every known target by name. An entry point gives an object that follows `Target`."""
    found = dict(TARGETS)
    for entry in entry_points(group="snncc.targets"):
        target: Target = entry.load()
        if entry.name in TARGETS:
            raise BadInput(f"{entry.value}: the target name {entry.name!r} is taken by snncc")
        found[entry.name] = target
    return found


def target_named(name: str) -> Target:
    """The target called *name*. Raises `UnknownName`."""
    known = targets()
    if name not in known:
        raise UnknownName("target", name, known)
    return known[name]
