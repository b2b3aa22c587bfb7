"""The other side: SANA-FE in its own environment, its chip file from our numbers, networks as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sanafe_cases import BINARY, LEAKY, SCALE, Case
from snncc.chips import Chip, Cost
from snncc.ir import Neuron
from snncc.mapping import Placement, Role

Ints = NDArray[np.int64]
VERSION = "2.2.9"
VARIABLE = "SNNCC_SANAFE_PYTHON"
WORKER = Path(__file__).with_name("sanafe_worker.py")
FAR = -1e12
PICO = 1e-12
MANY = 10**6
HOW_TO = f"""SANA-FE {VERSION} (GPL-3) is not part of snncc; it runs in an environment of its own:
  python3.11 -m venv /tmp/sanafe-env && /tmp/sanafe-env/bin/pip install sanafe=={VERSION}
  export {VARIABLE}=/tmp/sanafe-env/bin/python   (or --sanafe-python)"""

# With these energies the joules of a step are counts: each field has the bits up to the next one.
FIELDS = {
    "soma": {"access": 0, "update": 17, "spike": 34},
    "network": {"east_west": 0, "north_south": 20, "message_in": 40},
    "synapse": {"conv": 0, "dense": 20, "sparse": 40},
}


def interpreter(given: str | None = None) -> str | None:
    """The Python of the environment with SANA-FE, if it is there and has the version compared with."""
    python = given or os.environ.get(VARIABLE)
    if not python or not Path(python).exists():
        return None
    ask = "import importlib.metadata as m; print(m.version('sanafe'))"
    done = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=False)
    return python if done.stdout.strip() == VERSION else None


def their_core(chip: Chip, core: int) -> int:
    """Tiles of SANA-FE are numbered column by column, ours row by row."""
    fabric = chip.fabric
    tile, offset = divmod(core, fabric.cores_per_tile)
    row, column = divmod(tile, fabric.columns)
    return (column * fabric.rows + row) * fabric.cores_per_tile + offset


def counted(unit: str, name: str) -> float:
    """The energy in pJ that makes a count of an event of `FIELDS`."""
    return 2.0 ** FIELDS[unit][name] / PICO


def architecture(
    chip: Chip, inputs: Mapping[int, int], *, count: bool = False, buffer: int | None = None
) -> str:
    """The file of *chip* for SANA-FE, with as many units for *inputs* as each core needs (its numbers).

    With *count* energies are those that count; *buffer* replaces the slots of a link. Input neurons are on
    cores and cost what other neurons cost that nothing has reached: an access, and a spike. (The file that
    comes with SANA-FE has 1,024 units for inputs on each core, without any cost.)
    """
    o, fabric, unit = chip.operations, chip.fabric, chip.time_unit

    def cost(what: str, one: Cost, of: str = "", kind: str = "") -> str:
        energy = counted(of, kind) if count and of else 0.0 if count else one.energy
        return f"energy_{what}: {energy * PICO!r}, latency_{what}: {one.time * unit!r}"

    def hops(kind: str, *ways: str) -> str:
        link = getattr(fabric, kind)
        one = Cost(link.latency, link.energy)
        return ", ".join(cost(f"{way}_hop", one, "network", kind) for way in ways)

    def soma(update: str) -> str:
        access = cost("access_neuron", o.access, "soma", "access")
        return f"{access}, {update}, {cost('spike_out', o.spike, 'soma', 'spike')}"

    synapses = [
        f"{{name: {kind}, attributes: {{model: current_based, "
        f"{cost('process_spike', o.synapse[kind], 'synapse', kind)}}}}}"
        for kind in ("dense", "sparse", "conv")
    ]
    lif = soma(cost("update_neuron", o.update, "soma", "update"))
    untouched = soma(cost("update_neuron", Cost(0, 0.0)))
    slots = max(core.neurons or MANY for core in chip.cores)

    def core_of(number: int) -> str:
        many = inputs.get(number, 0)
        units = f"""
            - {{name: "input[0..{many - 1}]", attributes: {{model: input, {untouched}}}}}"""
        return f"""
        - name: core{number}
          attributes: {{buffer_position: soma, buffer_inside_unit: false, max_neurons_supported: {slots}}}
          axon_in: [{{name: in, attributes: {{{cost("message_in", o.message_in, "network", "message_in")}}}}}]
          soma:
            - {{name: lif, attributes: {{model: leaky_integrate_fire, {lif}}}}}{units if many else ""}
          dendrite:
            - {{name: dendrite, attributes: {{model: accumulator, energy_update: 0.0, latency_update: 0.0}}}}
          synapse: [{", ".join(synapses)}]
          axon_out: [{{name: out, attributes: {{{cost("message_out", o.message_out)}}}}}]"""

    def tile_of(number: int) -> str:
        first = number * fabric.cores_per_tile
        cores = "".join(core_of(first + k) for k in range(fabric.cores_per_tile))
        return f"""
    - name: tile{number}
      attributes: {{{hops("east_west", "east", "west")}, {hops("north_south", "north", "south")}}}
      core:{cores}"""

    sync = ", ".join(f"{tiles}: {time * unit!r}" for tiles, time in chip.barrier)
    return f"""architecture:
  name: {chip.name}
  attributes: {{topology: mesh, width: {fabric.columns}, height: {fabric.rows},
    link_buffer_size: {buffer or fabric.east_west.capacity}, sync_model: table, latency_sync: {{{sync}}}}}
  tile:{"".join(tile_of(number) for number in range(fabric.columns * fabric.rows))}
"""


def attributes_of(case: Case, node: Neuron) -> dict[str, Any]:
    """The neuron of SANA-FE that computes what *node* does."""
    p = node.parameters
    theta = float(p.theta) / (SCALE if case.neuron == LEAKY else 1)
    found: dict[str, Any] = {"threshold": theta, "reset_mode": "soft", "reverse_threshold": FAR}
    if case.neuron == BINARY:
        found |= {"reset_mode": "hard", "reset": 0.0}
        found |= {"reverse_threshold": 0.0, "reverse_reset_mode": "hard", "reverse_reset": 0.0}
    if case.neuron == LEAKY:
        found |= {"leak_decay": float(p.leak) / 2**p.leak_shift, "force_update": True}
    return found


def told(case: Case, placement: Placement) -> dict[str, Any]:
    """The network and its mapping for the worker."""
    network, scale = placement.network, SCALE if case.neuron == LEAKY else 1
    groups: list[dict[str, Any]] = []
    for name, population in network.populations.items():
        kinds = {c.kind for c in network.into(name)}
        assert len(kinds) <= 1, f"{name}: SANA-FE's Python takes one kind of synapse for each neuron"
        group: dict[str, Any] = {"name": name, "size": population.size, "synapse": "".join(kinds)}
        if population.role is Role.INPUT:
            group["trains"] = case.x.reshape(case.timesteps, -1).T.tolist()
            slots = np.zeros(population.size, np.int64)
            for part in placement.parts_of(name):
                slots[part.addresses] = np.arange(len(part.addresses))
            group["slots"] = slots.tolist()
        else:
            node = case.graph.by_name[name]
            assert isinstance(node, Neuron)
            group["attributes"] = attributes_of(case, node)
        groups.append(group)
    connections = []
    for c in network.connections:
        found = [c.synapses(source) for source in range(c.sources)]
        pre = np.repeat(np.arange(c.sources), [len(targets) for targets, _ in found])
        post, weight = (np.concatenate([one[k] for one in found]) for k in (0, 1))
        assert np.abs(weight).max() < 2**20
        ends = {"pre": pre.tolist(), "post": post.tolist(), "weight": (weight / scale).tolist()}
        connections.append({"source": c.source, "target": c.target, **ends})
    chip = placement.chip
    parts = [[p.population, their_core(chip, p.core), p.addresses.tolist()] for p in placement.parts]
    return {"timesteps": case.timesteps, "groups": groups, "parts": parts, "connections": connections}


@dataclass(frozen=True, slots=True)
class Oracle:
    """SANA-FE with one network; every run begins anew."""

    process: subprocess.Popen[str]
    folder: Path
    chip: Chip
    inputs: Mapping[int, int]

    def run(
        self,
        model: str,
        *,
        count: bool = False,
        buffer: int | None = None,
        everywhere: bool = False,
        **wanted: bool,
    ) -> Any:
        """What SANA-FE tells about a run with the timing *model*; *wanted*: ``trace``, ``messages``.

        *everywhere*: all cores have 1,024 units for inputs, as in its own file.
        """
        file = self.folder / f"chip-{count}-{buffer}-{everywhere}.yaml"
        inputs = dict.fromkeys(range(self.chip.fabric.cores), 1024) if everywhere else self.inputs
        file.write_text(architecture(self.chip, inputs, count=count, buffer=buffer), encoding="utf-8")
        fabric, unit = self.chip.fabric, self.chip.time_unit
        hop = {"x": fabric.east_west.latency * unit, "y": fabric.north_south.latency * unit}
        cores = range(fabric.cores)
        rank = sorted(cores, key=lambda core: their_core(self.chip, core))
        job = {"arch": str(file), "model": model, "hop": hop, "rank": rank, **wanted}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"SANA-FE ended; see {self.folder / 'errors'}")
        return json.loads(line)


@contextmanager
def oracle(python: str, case: Case, placement: Placement) -> Iterator[Oracle]:
    """SANA-FE with *case* on the chip of *placement*."""
    with tempfile.TemporaryDirectory(prefix="sanafe-") as name:
        folder = Path(name)
        file = folder / "network.json"
        network = told(case, placement)
        inputs = {
            their_core(placement.chip, part.core): len(part.addresses)
            for part in placement.parts
            if placement.network.populations[part.population].role is Role.INPUT
        }
        file.write_text(json.dumps(network), encoding="utf-8")
        with (
            open(folder / "errors", "w", encoding="utf-8") as errors,
            subprocess.Popen(
                [python, "-I", str(WORKER), str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            ) as process,
        ):
            yield Oracle(process, folder, placement.chip, inputs)
            assert process.stdin
            process.stdin.close()


def decoded(perf: Mapping[str, Any]) -> dict[str, int]:
    """How often everything happened, from a run with energies that count."""
    found: dict[str, int] = {}
    for unit, fields in FIELDS.items():
        joules = [round(value) for value in perf[f"{unit}_energy"]]
        names = sorted(fields, key=lambda name: fields[name])
        for name, above in zip(names, [*names[1:], ""], strict=True):
            bits = fields[above] - fields[name] if above else 53
            found[name] = sum((one >> fields[name]) & ((1 << bits) - 1) for one in joules)
    return found
