"""Runs SANA-FE, in an environment of its own: ``python -I benchmarks/sanafe_worker.py NETWORK.json``.

Nothing of snncc imports this file, and it imports nothing of snncc: a network comes in as JSON, a line of
standard input asks for one run of it, a line of JSON on standard output answers. ``-I`` keeps this folder,
whose `sanafe.py` is another module, from the search path.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import sanafe  # type: ignore[import-not-found]

WAY = (
    "timestep",
    "src_core_id",
    "dest_core_id",
    "src_neuron_group_id",
    "src_neuron_offset",
    "spikes",
    "hops",
)
LOG_COUNTS = ("energy", "sim_time", "spikes", "packets_sent", "neurons_updated", "neurons_fired")


def network_of(told: dict[str, Any], arch: Any) -> Any:
    """The network of *told*, mapped to the cores of *arch* in the order of its parts."""
    network, cores = sanafe.Network(), arch.cores()
    groups = {}
    for group in told["groups"]:
        is_input = "trains" in group
        groups[group["name"]] = made = network.create_neuron_group(
            group["name"],
            group["size"],
            model_attributes={} if is_input else group["attributes"],
            default_synapse_hw_name=group["synapse"],
            default_dendrite_hw_name="dendrite",
            soma_hw_name="" if is_input else "lif",
            log_spikes=True,
        )
        for address, train in enumerate(group.get("trains", ())):
            made[address].set_attributes(
                soma_hw_name=f"input[{group['slots'][address]}]",
                dendrite_hw_name="dendrite",
                log_spikes=True,
                model_attributes={"spikes": [bool(spike) for spike in train]},
            )
    for name, core, addresses in told["parts"]:
        for address in addresses:
            groups[name][address].map_to_core(cores[core])
    for one in told["connections"]:
        pairs = list(zip(one["pre"], one["post"], strict=True))
        groups[one["source"]].connect_neurons_sparse(groups[one["target"]], {"weight": one["weight"]}, pairs)
    return network


def least_of(m: dict[str, Any], hop: dict[str, float]) -> float:
    """The time of all hops of a message."""
    return hop["x"] * abs(m["src_x"] - m["dest_x"]) + hop["y"] * abs(m["src_y"] - m["dest_y"])


def critical(messages: list[dict[str, Any]], hop: dict[str, float]) -> dict[str, float]:
    """What the time of one timestep of the detailed model is made of, along its critical path."""
    sent, received = defaultdict(list), defaultdict(list)
    for m in messages:
        sent[m["src_core_id"]].append(m)
        if not m["placeholder"]:
            received[m["dest_core_id"]].append(m)
    parts = dict.fromkeys(("generation", "blocking", "hops", "congestion", "service"), 0.0)
    if not messages:
        return parts
    last = max(messages, key=lambda m: max(m["send_timestamp"], m["processed_timestamp"]))
    if last["processed_timestamp"] > last["send_timestamp"]:
        queue = sorted(received[last["dest_core_id"]], key=lambda m: m["processed_timestamp"])
        k = queue.index(last)
        while k and queue[k]["received_timestamp"] == queue[k - 1]["processed_timestamp"]:
            parts["service"] += queue[k]["processing_delay"]
            k -= 1
        last = queue[k]
        parts["service"] += last["processing_delay"]
        least = hop["x"] * abs(last["src_x"] - last["dest_x"]) + hop["y"] * abs(
            last["src_y"] - last["dest_y"]
        )
        parts["hops"] += least
        parts["congestion"] += last["network_delay"] - least
    for m in sent[last["src_core_id"]]:
        if m["send_timestamp"] <= last["send_timestamp"]:
            parts["generation"] += m["generation_delay"]
            parts["blocking"] += m["blocking_delay"]
    return parts


def replayed(messages: list[dict[str, Any]], hop: dict[str, float], rank: list[int] | None) -> float:
    """The time of a step if a message took its hops and waited for its receiver, and for nothing else.

    Receivers take messages in the order of sending, as SANA-FE does. With *rank* of the cores instead: in the
    order of arrival, and a neuron sends to its cores in the order of rank.
    """
    clocks: dict[int, float] = defaultdict(float)
    flights: list[tuple[float, float, int, dict[str, Any]]] = []
    by_core: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for m in sorted(messages, key=lambda m: (m["placeholder"], m["mid"])):
        by_core[m["src_core_id"]].append(m)
    for core, queue in by_core.items():
        bursts: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for m in queue:
            is_last = m["placeholder"]
            bursts[None if is_last else (m["src_neuron_group_id"], m["src_neuron_offset"])].append(m)
        for burst in bursts.values():
            ranked = sorted(burst, key=lambda m: rank[m["dest_core_id"]]) if rank else burst
            for paced, m in zip(burst, ranked, strict=True):
                clocks[core] += paced["generation_delay"]
                if not m["placeholder"]:
                    arrival = clocks[core] + least_of(m, hop)
                    flights.append((arrival if rank else clocks[core], arrival, core, m))
    free: dict[int, float] = defaultdict(float)
    for _, arrival, _, m in sorted(flights, key=lambda flight: flight[:3]):
        free[m["dest_core_id"]] = max(free[m["dest_core_id"]], arrival) + m["processing_delay"]
    return max([0.0, *clocks.values(), *free.values()])


def answer(result: dict[str, Any], job: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    """What is told of a run."""
    told = {key: result[key] for key in LOG_COUNTS}
    told["seconds"] = seconds
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    told["peak_kilobytes"] = int(status.split("VmHWM:")[1].split()[0])
    if job.get("trace"):
        told["perf"] = result["perf_trace"]
        told["fired"] = [[[a.group_name, a.neuron_offset] for a in step] for step in result["spike_trace"]]
    if job.get("messages"):
        steps = result["message_trace"]
        paths = [critical(step, job["hop"]) for step in steps]
        told["path"] = {key: sum(path[key] for path in paths) for key in paths[0]}
        told["replayed"] = sum(replayed(step, job["hop"], None) for step in steps)
        told["ranked"] = sum(replayed(step, job["hop"], job["rank"]) for step in steps)
        real = [m for step in steps for m in step if not m["placeholder"]]
        told["blocked"] = sum(m["blocking_delay"] > 0 for m in real)
        told["ways"] = [[m[key] for key in WAY] for m in real]
    return told


def run(told: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """One run of the network, from nothing."""
    times = [time.perf_counter()]
    arch = sanafe.load_arch(job["arch"])
    network = network_of(told, arch)
    times.append(time.perf_counter())
    chip = sanafe.SpikingChip(arch)
    chip.load(network)
    times.append(time.perf_counter())
    result = chip.sim(
        told["timesteps"],
        timing_model=job["model"],
        processing_threads=1,
        scheduler_threads=0,
        spike_trace=True if job.get("trace") else None,
        perf_trace=True if job.get("trace") else None,
        message_trace=True if job.get("messages") else None,
    )
    times.append(time.perf_counter())
    names = ("build", "load", "run")
    return answer(result, job, {n: b - a for n, a, b in zip(names, times, times[1:], strict=False)})


def main() -> int:
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the library writes to standard output, too
    for line in sys.stdin:
        out.write(json.dumps(run(told, json.loads(line))) + "\n")
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
