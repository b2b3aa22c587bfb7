"""Our side of the comparison, as a process of its own that speaks as `peers_worker` does."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.workloads import WORKLOADS
from snncc import simulator


def main() -> None:
    with np.load(sys.argv[1]) as job:
        name, x, threads = str(job["name"]), job["data"], int(job["threads"])
    graph = WORKLOADS[name]().graph
    for line in sys.stdin:
        repeats = json.loads(line).get("repeats", 1)
        start = time.perf_counter()
        for _ in range(repeats):
            run = simulator.run(graph, x, timesteps=len(x), threads=threads)
        seconds = (time.perf_counter() - start) / repeats
        peak = int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])
        spikes = {node.name: int(run.spikes[node.name].sum()) for node in graph.neurons}
        print(json.dumps({"seconds": seconds, "kilobytes": peak, "spikes": spikes}), flush=True)


if __name__ == "__main__":
    main()
