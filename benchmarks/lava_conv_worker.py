"""An emitted Loihi program, sample by sample: ``python -I benchmarks/lava_conv_worker.py FOLDER X.npz KIND``.

In Lava's own environment. As `peers_lava`: imports nothing of snncc and is imported by nothing of it.
KIND is ours, or stock for Lava's models of connections. Each line that it reads is one sample, of which it
answers the seconds; the processes are built before the first and stay. A line that names a file writes the
results of all samples to it and ends them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def script(folder: Path) -> Any:
    """The program's own run.py."""
    spec = importlib.util.spec_from_file_location("lava_program", folder / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def main() -> None:
    folder, data, kind = sys.argv[1:]
    run = script(Path(folder))
    import numpy as np
    from lava.magma.core.run_conditions import RunSteps  # type: ignore[import-not-found]

    network = run.read_network(Path(folder))
    inputs = run.encoded(network, run.read_arrays(Path(data)), None)
    job = run.job_for(network, inputs, None)
    with tempfile.TemporaryDirectory(prefix="lava-conv-") as name:
        storage = run.Storage(Path(name), job, {})
        process = run.built(network, inputs, storage, ())[0]
        process.create_runtime(run_cfg=run.run_config(kind == "stock"))
        for line in sys.stdin:
            path = json.loads(line).get("results")
            if path is not None:
                process.stop()
                np.savez(path, **dict(run.results(network, storage, ())))
                print("{}", flush=True)
                break
            begun = time.perf_counter()
            process.run(RunSteps(num_steps=job.steps))
            print(json.dumps({"seconds": time.perf_counter() - begun, "steps": job.steps}), flush=True)


if __name__ == "__main__":
    main()
