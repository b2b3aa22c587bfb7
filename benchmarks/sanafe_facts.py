"""The numbers of SANA-FE's own chip file against ours."""

from __future__ import annotations

import re
import subprocess

from snncc.chips import Chip


def facts(python: str, chip: Chip) -> list[tuple[str, float, float]]:
    """(name, SANA-FE's, ours) of the numbers of its file for Loihi, which pip has installed."""
    ask = "import os, sanafe; print(open(os.path.dirname(sanafe.__file__) + '/examples/loihi.yaml').read())"
    text = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True).stdout
    found: dict[str, dict[str, float]] = {}
    for section in re.split(r"- name: ", text)[1:]:
        pairs = re.findall(r"^\s+(\w+): ([-\d.e]+)\s*$", section, re.MULTILINE)
        found[section.split()[0].split("[")[0]] = {key: float(value) for key, value in pairs}
    o, fabric, unit = chip.operations, chip.fabric, chip.time_unit
    rows: list[tuple[str, float, float]] = []

    def both(name: str, what: str, energy: float, ticks: int) -> None:
        rows.append((f"{name}: energy_{what}", found[name][f"energy_{what}"], energy * 1e-12))
        rows.append((f"{name}: latency_{what}", found[name][f"latency_{what}"], ticks * unit))

    for kind, cost in o.synapse.items():
        if f"loihi_{kind}_synapse" in found:
            both(f"loihi_{kind}_synapse", "process_spike", cost.energy, cost.time)
    for what, one in (("access_neuron", o.access), ("update_neuron", o.update), ("spike_out", o.spike)):
        both("loihi_lif", what, one.energy, one.time)
    both("loihi_in", "message_in", o.message_in.energy, o.message_in.time)
    both("loihi_out", "message_out", o.message_out.energy, o.message_out.time)
    for way, link in (("east", fabric.east_west), ("west", fabric.east_west)):
        both("loihi_tile", f"{way}_hop", link.energy, link.latency)
    for way, link in (("north", fabric.north_south), ("south", fabric.north_south)):
        both("loihi_tile", f"{way}_hop", link.energy, link.latency)
    for key, number in (("width", fabric.columns), ("height", fabric.rows)):
        rows.append((key, number_after(text, key), number))
    for link in (fabric.east_west, fabric.north_south):
        rows.append(("link_buffer_size", number_after(text, "link_buffer_size"), float(link.capacity or 0)))
    (listed,) = re.findall(r"^\s+latency_sync: \{(.*)\}", text, re.MULTILINE)
    ours_ = dict(chip.barrier)
    for tiles, seconds in re.findall(r"(\d+): ([-\d.e]+)", listed):
        rows.append((f"latency_sync, {tiles} tiles", float(seconds), ours_.get(int(tiles), 0) * unit))
    return rows


def number_after(text: str, key: str) -> float:
    """The number of an entry of a YAML file that occurs once."""
    (number,) = re.findall(rf"^\s+{key}: ([-\d.e]+)", text, re.MULTILINE)
    return float(number)
