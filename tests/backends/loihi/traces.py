"""Recorded runs of Lava, one .npz each: the program folder, its input and all that it did.

    SNNCC_LAVA_PYTHON=... python -m tests.backends.loihi.traces

records them anew.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.backends.loihi.live import run_live
from tests.backends.loihi.networks import FAMILIES, Draft, draw

FOLDER = Path(__file__).parent / "traces"


def small(array: NDArray[Any]) -> NDArray[Any]:
    """The same integers in the smallest type."""
    if array.dtype.kind not in "iu":
        return array
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return array.astype(next(kind for kind in kinds if np.array_equal(array.astype(kind), array)))


def record(draft: Draft) -> None:
    """Run *draft* on Lava and keep what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = draft.write(Path(name) / "program")
        results = run_live(folder, record=[population["name"] for population in draft.populations])
        network: Any = np.array((folder / "network.json").read_text())
    parts = {"weights": draft.arrays, "input": draft.x, "result": results}
    arrays: dict[str, Any] = {
        f"{part}/{key}": small(value) for part, found in parts.items() for key, value in found.items()
    }
    np.savez_compressed(FOLDER / f"{draft.name}.npz", network=network, **arrays)


def restore(trace: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Put the program of *trace* into *folder*; its input and results."""
    parts: dict[str, dict[str, Any]] = {"weights": {}, "input": {}, "result": {}}
    with np.load(trace) as file:
        (folder / "network.json").write_text(json.dumps(json.loads(str(file["network"]))))
        for name in file.files:
            part, _, key = name.partition("/")
            if key:
                parts[part][key] = file[name]
    np.savez(folder / "weights.npz", **parts["weights"])
    return parts["input"], parts["result"]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for number in range(len(FAMILIES)):
        record(draw(number))
