"""Running an emitted program on Lava, in the environment that Lava needs: Python 3.10 of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from snncc.backends.loihi.emit import SCRIPT
from snncc.errors import EngineFailed
from snncc.ir import Array, Layout, Over, Presence, SpikeGraph
from snncc.reference import Record, Run

VARIABLE = "SNNCC_LAVA_PYTHON"
HINT = (
    "install lava-nc 0.10.0 for Python 3.10 (python3.10 -m venv lava; lava/bin/pip install lava-nc==0.10.0) "
    f"and name it: --lava-python lava/bin/python, or {VARIABLE}"
)
PROBE_SECONDS = 60


def command(python: str | None) -> list[str]:
    """How to run a script that needs Lava: *python*, what the environment names, uv, or a python3.10.

    Raises `EngineFailed` where none of them has Lava.
    """
    named = python or os.environ.get(VARIABLE)
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise EngineFailed(f"{named}: is no program that can be run", hint=HINT)
        problem = without_lava(found)
        if problem:
            raise EngineFailed(f"{named}: cannot run Lava: {problem}", hint=HINT)
        return [found]
    for found in candidates():
        if not without_lava(found):
            return [found]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "run", "--script"]
    raise EngineFailed("no Python 3.10 with Lava was found", hint=HINT)


def candidates() -> Iterator[str]:
    """Interpreters on the PATH that may have Lava."""
    for name in ("python3.10", "python3", "python"):
        found = shutil.which(name)
        if found is not None:
            yield found


def without_lava(python: str) -> str:
    """Why *python* cannot run Lava; empty: it can."""
    probe = "import sys, importlib.util as u; v = sys.version_info; "
    probe += "print(v.major, v.minor, u.find_spec('lava') is not None)"
    try:
        done = subprocess.run(
            [python, "-c", probe], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    words = done.stdout.split()
    if done.returncode or len(words) != 3:
        return (done.stderr.strip().splitlines() or ["it does not start"])[-1]
    if words[:2] != ["3", "10"]:
        return f"it is Python {words[0]}.{words[1]}, Lava 0.10.0 needs 3.10"
    return "" if words[2] == "True" else "it has no package lava"


def can_run(python: str | None = None) -> bool:
    """Whether Lava is at hand without installing anything."""
    try:
        return command(python)[-1] != "--script"
    except EngineFailed:
        return False


def run_lava(
    graph: SpikeGraph,
    folder: Path,
    x: Mapping[str, Array],
    *,
    timesteps: int,
    record: Collection[str],
    python: str | None,
) -> Run:
    """Run the program in *folder* on *x*, by input name, time first. Raises `EngineFailed`."""
    start = command(python)
    is_swapped = graph.layout is Layout.BT
    timed = {node.name for node in graph.inputs if node.presence is Presence.SEQUENCE}
    x = {name: value.swapaxes(0, 1) if is_swapped and name in timed else value for name, value in x.items()}
    with tempfile.TemporaryDirectory(prefix="snncc-lava-") as scratch:
        data, result = Path(scratch) / "x.npz", Path(scratch) / "result.npz"
        np.savez(data, **x)  # type: ignore[arg-type]
        arguments = [*start, str(folder / SCRIPT), str(data), "-o", str(result), "--quiet"]
        arguments += ["--timesteps", str(timesteps)]
        arguments += ["--record", *record] if record else []
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
        if done.returncode or not result.exists():
            lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
            raise EngineFailed(f"the Lava program failed: {lines[-1]}")
        with np.load(result) as archive:
            found = {key: archive[key] for key in archive.files}
    return as_run(graph, found, timesteps, record)


def as_run(graph: SpikeGraph, found: Mapping[str, Array], timesteps: int, record: Collection[str]) -> Run:
    """What the program wrote, as a run of *graph*."""
    outputs = {node.name: found[f"real.{node.name}"] for node in graph.outputs}
    for node in graph.outputs:
        if node.over is Over.SEQUENCE and graph.layout is Layout.BT:
            outputs[node.name] = outputs[node.name].swapaxes(0, 1)
    spikes = {n.name: found[f"spikes.{n.name}"][:, :, None] for n in graph.neurons}
    records = {
        name: Record(found[f"train.{name}"], None, found[f"v.{name}"].astype(np.int64)) for name in record
    }
    batch = next(iter(spikes.values())).shape[0]
    return Run(timesteps, batch, outputs, spikes, {}, {}, records, {})
