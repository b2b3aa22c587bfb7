"""The folder of a program: every stage as a graph, and a manifest of the passes that made them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snncc.api.describe import PASSES
from snncc.api.placing import CHIP_FILE, PLACEMENT_FILE, on_chip, read_placement, write_placement
from snncc.backends.table import target_named
from snncc.errors import BadFile, BadInput
from snncc.ir import Encoding, SpikeGraph, load_graph, save_graph
from snncc.mapping import Placement
from snncc.passes import ExpandCounts, Preserves, Stage

FORMAT = "snncc program"
VERSION = 1
CHIP_VERSION = 2
"""Of programs with a placement, which readers of version 1 would lose."""
EXACT = {one.name for one in PASSES if one.preserves is Preserves.EXACT} - {ExpandCounts.name}


@dataclass(frozen=True, slots=True)
class PassNote:
    """What is known of a pass when its program comes from a folder."""

    name: str
    preserves: Preserves
    text: str

    def __repr__(self) -> str:
        return self.text

    def __call__(self, graph: SpikeGraph) -> SpikeGraph:
        raise BadInput(f"the pass {self.text} was applied when the program was compiled")


def save_stages(
    folder: str | Path,
    target: str,
    stages: Sequence[Stage],
    placement: Placement | None = None,
    settings: Mapping[str, int] | None = None,
    emit: Callable[[Path], None] | None = None,
    measured: Sequence[str] = (),
) -> None:
    """Write a program to *folder*, whole or not at all; an earlier program there is replaced.

    *settings* are the target's; *emit* writes what the target loads into the empty folder that it is given:
    the subfolder *target*; *measured* goes into the manifest. Raises `BadFile` when the folder cannot be
    written or holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not is_ours(folder):
        raise BadFile(f"{folder}: exists and is no snncc program", hint="choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as problem:
        raise BadFile(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    try:
        write(scratch, target, stages, placement, settings or {}, emit, measured)
        scratch.chmod(0o755)
        old = scratch / "old"
        if folder.exists():
            folder.replace(folder.with_name(f"{scratch.name}.old"))
            old = folder.with_name(f"{scratch.name}.old")
        scratch.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as problem:
        raise BadFile(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write(
    folder: Path,
    target: str,
    stages: Sequence[Stage],
    placement: Placement | None,
    settings: Mapping[str, int],
    emit: Callable[[Path], None] | None,
    measured: Sequence[str],
) -> None:
    """Write stages, placement, manifest and what *emit* emits into an empty *folder*."""
    emitted = folder / target
    if emit is not None:
        emitted.mkdir()
        emit(emitted)
        if not any(emitted.iterdir()):
            emitted.rmdir()
    names = []
    for k, stage in enumerate(stages):
        file = f"{k}-{stage.name}.snn"
        save_graph(stage.graph, folder / file)
        made = stage.made_by
        names.append(
            {
                "file": file,
                "pass": None if made is None else made.name,
                "preserves": None if made is None else made.preserves.value,
                "text": repr(made),
            }
        )
    manifest = {
        "format": FORMAT,
        "version": VERSION if placement is None else CHIP_VERSION,
        "target": target,
        "settings": dict(settings),
        "chip": None if placement is None else placement.chip.name,
        "emitted": emitted.is_dir(),
        "stages": names,
        "measured": list(measured),
    }
    if placement is not None:
        write_placement(folder, placement)
    (folder / "program.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def note_of(stage: Mapping[str, Any]) -> PassNote | None:
    """The pass of a manifest's entry."""
    if stage["pass"] is None:
        return None
    return PassNote(str(stage["pass"]), Preserves(stage["preserves"]), str(stage["text"]))


def promised(note: PassNote, graph: SpikeGraph) -> PassNote:
    """*note* with what its pass promises, whatever the manifest says: editing that must not hide an error."""
    streams = any(node.parameters.encoding is Encoding.STREAM for node in graph.neurons)
    is_exact = note.name in EXACT or (note.name == ExpandCounts.name and not streams)
    return replace(note, preserves=Preserves.EXACT) if is_exact else note


def is_ours(folder: Path) -> bool:
    """Whether *folder* is empty, or holds a program and nothing else."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    try:
        manifest = json.loads((folder / "program.json").read_text(encoding="utf-8"))
        ours = {"program.json", CHIP_FILE, PLACEMENT_FILE, *(stage["file"] for stage in manifest["stages"])}
        if manifest.get("emitted"):
            ours.add(manifest["target"])
        return bool(manifest["format"] == FORMAT and names <= ours)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def load_stages(
    folder: str | Path,
) -> tuple[str, dict[str, int], tuple[Stage, ...], Placement | None, tuple[str, ...]]:
    """Target, its settings, stages, placement and measured losses of the program in *folder*.

    Raises `BadFile` for what is wrong with it.
    """
    folder = Path(folder)
    path = folder / "program.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
        items = [(str(s["file"]), note_of(s)) for s in manifest["stages"]]
        target, chip = str(manifest["target"]), manifest.get("chip")
        measured = tuple(str(line) for line in manifest.get("measured", ()))
        settings = {str(name): int(value) for name, value in manifest.get("settings", {}).items()}
    except OSError as problem:
        what = "is no program folder" if not path.exists() else f"cannot be read: {problem.strerror}"
        raise BadFile(f"{folder}: {what}", hint="make one with: snncc compile MODEL -o FOLDER") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise BadFile(f"{path}: is damaged ({type(problem).__name__}: {problem})") from None
    if not isinstance(version, int) or version > CHIP_VERSION:
        raise BadFile(
            f"{path}: has version {version!r}; this snncc reads up to {CHIP_VERSION}", hint="upgrade snncc"
        )
    if not items or any(Path(file).name != file for file, _ in items):
        raise BadFile(f"{path}: names stages outside its folder, or none")
    stages = []
    for file, note in items:
        graph = load_graph(folder / file)
        stages.append(Stage(None if note is None else promised(note, graph), graph))
    placement = None
    if chip is not None:
        placement = read_placement(folder, on_chip(target_named(target), stages[-1].graph))
    return target, settings, tuple(stages), placement, measured
