"""The folder that a user takes away: a Lava program that needs nothing of snncc."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from snncc.backends.loihi.lower import Program
from snncc.backends.loihi.netx import NET, NoNet, layers_of, net_file

SCRIPT, STRUCTURE, WEIGHTS, README = "run.py", "network.json", "weights.npz", "README.md"


def emit(program: Program, folder: Path) -> None:
    """Write *program* into the empty *folder*."""
    script = files("snncc.backends.loihi") / "program" / SCRIPT
    (folder / SCRIPT).write_bytes(script.read_bytes())
    text = json.dumps(program.structure, indent=1)
    (folder / STRUCTURE).write_text(text + "\n", encoding="utf-8")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **program.arrays)  # type: ignore[arg-type]
    (folder / WEIGHTS).write_bytes(buffer.getvalue())
    try:
        (folder / NET).write_bytes(net_file(layers_of(program)))
        remark = netx(program)
    except NoNet as problem:
        remark = f"No `{NET}` for lava-dl's NetX: {problem}."
    (folder / README).write_text(readme(program, remark), encoding="utf-8")


def netx(program: Program) -> str:
    """How to read the file for NetX."""
    s = program.structure
    bits = s["connections"][0]["message_bits"]
    numbers = f", input_message_bits={bits}" if bits else ""
    what = "numbers as `run.py` sends them" if bits else "spikes"
    text = NETX.format(per_sample=s["timesteps"] + s["depth"], numbers=numbers, what=what, **s)
    if any(one["of"] is None for one in s["readouts"]):
        text += SUMS
    return text


def readme(program: Program, remark: str) -> str:
    """What the folder is, how to run it, and what of it silicon has; *remark* is about NetX."""
    s = program.structure
    per_sample = s["timesteps"] * s["frame"] + s["depth"]
    layers = "\n".join(
        f"| {p['name']} | {'x'.join(map(str, p['shape']))} | {p['process']} | {p['start']} | {p['fire']} |"
        for p in s["populations"]
    )
    own = sorted({p["process"] for p in s["populations"]} & set(SILICON))
    remarks = "\n".join(f"- `{name}`: {SILICON[name]}" for name in own)
    return TEXT.format(
        name=s["name"],
        per_sample=per_sample,
        layers=layers,
        netx=remark,
        remarks=remarks or "- all: stock Lava.",
        **{key: s[key] for key in ("timesteps", "frame", "depth")},
    )


SILICON = {
    "Phased": "a process of this script, for Lava's CPU models. Loihi 1 has no circuit for it; Loihi 2 needs "
    "microcode, which Lava's public part cannot write.",
    "LIFHeld": "Lava's LIF, which begins each sample at its initial state and rests between samples; on "
    "silicon the host does that by writing u and v.",
}
TEXT = """# {name} for Loihi, as a Lava program

Made by snncc. Needs Python 3.10 and lava-nc 0.10.0 (declared in the head of `run.py`), nothing of snncc:

    uv run run.py x.npz -o result.npz

or, in an environment with `pip install lava-nc==0.10.0`, `python run.py x.npz -o result.npz`. `x.npz` holds
an array `x`, real values as the model takes them. Keep this folder free of other Python files: Lava
executes all that lie beside a process.

A sample has {timesteps} timesteps of {frame} chip steps, and {depth} more until its last layer has
answered: {per_sample} chip steps. Every synapse takes one chip step, so a layer works later the deeper it
lies; shorter ways have delays.

| layer | shape | process | first step | first spike |
|---|---|---|---|---|
{layers}

Processes:

{remarks}

Sums of a last layer without neurons are read by the host from the synapses. On silicon that needs neurons
that never fire, whose potential is read.

{netx}
"""
NETX = """`network.net` is the same network for NetX of lava-dl:

    from lava.lib.dl import netx
    net = netx.hdf5.Network("network.net", reset_interval={per_sample}, reset_offset=1{numbers})

A sample is {timesteps} steps of {what} and {depth} steps of nothing; layer n answers n + 1 steps late."""
SUMS = """
The last layer has no neurons of its own: its `v`, divided by 64, is the sum of a step, without a bias."""
