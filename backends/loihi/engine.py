"""Running an emitted program on Lava, in the environment that Lava needs: Python 3.10 of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from snncc.backends.child import AGAIN, execute, read_result, scratch_folder, writing
from snncc.backends.loihi.emit import SCRIPT
from snncc.backends.target import Progress
from snncc.errors import EngineFailed
from snncc.ir import Array, Layout, Over, Presence, SpikeGraph
from snncc.reference import Record, Run

VARIABLE = "SNNCC_LAVA_PYTHON"
HINT = (
    "install lava-nc 0.10.0 for Python 3.10 (python3.10 -m venv lava; lava/bin/pip install lava-nc==0.10.0) "
    f"and name it: --lava-python lava/bin/python, or {VARIABLE}"
)
UV_HINT = f"let UV_PYTHON name a Python 3.10 for uv; or {HINT}"
PROGRAM, PREFIX = "the Lava program", "snncc-lava-"
PROBE_SECONDS = 60.0
NEEDED = "3.10"


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
    if uv is None:
        raise EngineFailed("no Python 3.10 with Lava was found", hint=HINT)
    if "UV_PYTHON" in os.environ:
        return [uv, "run", "--script"]
    bases = (found for found in (*candidates(), *of_pyenv()) if version_of(found) == NEEDED)
    return [uv, "run", *(word for base in islice(bases, 1) for word in ("--python", base)), "--script"]


def candidates() -> Iterator[str]:
    """Interpreters on the PATH that may have Lava: the first of a name may be one that does not run."""
    folders = dict.fromkeys(os.path.realpath(folder) for folder in os.get_exec_path())
    for name in ("python3.10", "python3", "python"):
        for folder in folders:
            found = shutil.which(name, path=folder)
            if found is not None:
                yield found


def of_pyenv() -> Iterator[str]:
    """Pythons 3.10 of pyenv: what it puts on the PATH in their place may not run, and uv stops at it."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(root.glob("versions/3.10*/bin/python3.10")))


def version_of(python: str) -> str:
    """The version of *python*, such as 3.10; empty where it is none that runs."""
    found = probed(python)
    return "" if isinstance(found, str) else found[0]


def without_lava(python: str) -> str:
    """Why *python* cannot run Lava; empty: it can."""
    found = probed(python)
    if isinstance(found, str):
        return found
    version, has_lava = found
    if version != NEEDED:
        return f"it is Python {version}, Lava 0.10.0 needs {NEEDED}"
    return "" if has_lava else "it has no package lava"


def probed(python: str) -> tuple[str, bool] | str:
    """The version of *python*, and whether it has Lava; or why it cannot be asked."""
    probe = "import sys, importlib.util as u; v = sys.version_info; "
    probe += "print(v.major, v.minor, u.find_spec('lava') is not None)"
    try:
        done = subprocess.run(
            [python, "-c", probe],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except OSError as problem:
        return problem.strerror or str(problem)
    except subprocess.TimeoutExpired:
        return f"it does not answer within {PROBE_SECONDS:g} s"
    words = done.stdout.split()
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"it ends with exit code {done.returncode}"])[-1]
    if len(words) != 3:
        return "it is no Python"
    return f"{words[0]}.{words[1]}", words[2] == "True"


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
    progress: Progress | None,
) -> Run:
    """Run the program in *folder* on *x*, by input name, time first. Raises `EngineFailed`."""
    start = command(python)
    is_swapped = graph.layout is Layout.BT
    timed = {node.name for node in graph.inputs if node.presence is Presence.SEQUENCE}
    x = {name: value.swapaxes(0, 1) if is_swapped and name in timed else value for name, value in x.items()}
    with scratch_folder(PREFIX) as scratch:
        data, result = scratch / "x.npz", scratch / "result.npz"
        with writing(data):
            np.savez(data, **x)  # type: ignore[arg-type]
        arguments = [*start, str((folder / SCRIPT).resolve()), str(data), "-o", str(result), "--progress"]
        arguments += ["--timesteps", str(timesteps)]
        arguments += ["--record", *record] if record else []
        # What a killed program leaves behind goes with our own folder.
        environment = {"UV_PYTHON_DOWNLOADS": "never", **os.environ, "TMPDIR": str(scratch)}
        execute(arguments, environment, progress, PROGRAM, hint=UV_HINT if start[-1] == "--script" else "")
        found = read_result(result, PROGRAM)
    return as_run(graph, found, timesteps, record)


def as_run(graph: SpikeGraph, found: Mapping[str, Array], timesteps: int, record: Collection[str]) -> Run:
    """What the program wrote, as a run of *graph*. Raises `EngineFailed` where it is of another one."""
    wanted = [f"real.{node.name}" for node in graph.outputs] + [f"spikes.{n.name}" for n in graph.neurons]
    wanted += [f"{kind}.{name}" for name in record for kind in ("train", "v")]
    missing = [key for key in wanted if key not in found]
    if missing:
        raise EngineFailed(
            f"the Lava program wrote no {missing[0]!r}: the folder is of another network", hint=AGAIN
        )
    outputs = {node.name: found[f"real.{node.name}"] for node in graph.outputs}
    for node in graph.outputs:
        if node.over is Over.SEQUENCE and graph.layout is Layout.BT:
            outputs[node.name] = outputs[node.name].swapaxes(0, 1)
    for name, output in outputs.items():
        shape = graph.edges[name].shape
        if output.shape[output.ndim - len(shape) :] != shape:
            have, need = list(output.shape), list(shape)
            problem = f"{name}: the Lava program gives {have}, the network samples of {need}"
            raise EngineFailed(f"{problem}: the folder is of another network", hint=AGAIN)
    spikes = {n.name: found[f"spikes.{n.name}"][:, :, None] for n in graph.neurons}
    records = {
        name: Record(found[f"train.{name}"], None, found[f"v.{name}"].astype(np.int64)) for name in record
    }
    batch = next(iter(spikes.values())).shape[0]
    return Run(timesteps, batch, outputs, spikes, {}, {}, records, {})
