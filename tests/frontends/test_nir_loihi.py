"""The neuron that the NIR authors ran on a Loihi 2 chip: from the file to the chip's own steps.

One LIF neuron, tau = 2.5 ms, r = 1, threshold 0.1, dt = 0.1 ms, under one input train of 1000 steps; its
reset is to zero, which the file (version 0.1.1) does not say. On the chip: weight mantissa 10 and threshold
mantissa 25, both << 6, dv = 163, du = 4095, a synapse of one step. The trains stand here as facts; where the
recorded files are present they are compared as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.backends.loihi.target import Loihi
from snncc.cli import main
from snncc.ir import (
    Affine,
    Array,
    Dense,
    Input,
    Kind,
    LeakRounding,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    Overflow,
    Reset,
    SpikeGraph,
    Wire,
    wires,
)
from snncc.reference import run
from tests.frontends.nir_files import unit, write

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "nir_lif"
ARRIVALS = [60, 220, 270, 310, 320, 350, 370, 400, 410, 430, 440, 450, 460, 470, 480, 490, 500, 510]
ARRIVALS += [520, 530, 670, 680, 690, 700, 710, 720, 730, 740, 750, 760, 770, 780, 840, 850]
ON_CHIP = [461, 511, 711, 761]
T = 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The same content as the recorded file."""
    one = np.ones(1, np.float32)
    nodes = {
        "input": unit("Input", shape=np.array([1])),
        "0": unit("Affine", weight=np.ones((1, 1), np.float32), bias=0 * one),
        "1": unit("LIF", tau=0.0025 * one, r=one, v_leak=0 * one, v_threshold=np.float32(0.1) * one),
        "output": unit("Output", shape=np.array([1])),
    }
    edges = [("input", "0"), ("0", "1"), ("1", "output")]
    return write(tmp_path / "lif.nir", nodes, edges, version="0.1.1", gzip=False)


def train() -> Array:
    x = np.zeros((T, 1, 1))
    x[ARRIVALS] = 1
    return x


def loaded(file: Path) -> SpikeGraph:
    return snncc.load(file, reset="zero", dt=1e-4, timesteps=T, input_kind="spike")


def on_loihi(graph: SpikeGraph) -> SpikeGraph:
    """*graph* in the registers of the recording: 250 weight units are 1."""
    dense, gain, neuron = graph["0"], graph["1.gain"], graph["1"]
    assert isinstance(dense, Dense)
    assert isinstance(gain, Affine)
    assert isinstance(neuron, Neuron)
    p = neuron.parameters
    weight = np.rint(250 * dense.weight * gain.gain).astype(np.int64)
    theta, dv = int(np.rint(250 * p.theta)), int(4096 * (1 - p.leak))
    assert (weight.tolist(), theta, dv) == ([[10]], 25, 163)
    chip = NeuronParameters(
        theta=np.array(theta << 6),
        strict=True,
        leak=np.array(4096 - dv),
        leak_shift=12,
        leak_rounding=LeakRounding.ZERO,
        reset=Reset.VALUE,
        v_reset=np.array(0),
        v_bits=24,
        i_bits=24,
        overflow=Overflow.SATURATE,
    )
    nodes = (
        Input(name="input", shape=(1,), kind=Kind.SPIKE),
        Dense(name="0", inputs=(Wire("input", 1),), weight=weight, shift=6),
        Neuron(name="1", inputs=wires("0"), parameters=chip),
        Output(name="output", inputs=wires("1")),
    )
    return SpikeGraph(nodes, Numbers.INTEGER, timesteps=T)


def membrane(weight: int = 10, theta: int = 25, dv: int = 163) -> tuple[list[int], Array]:
    """The chip in plain integers, one step after another, as its manual says; a synapse takes one step."""
    v, fired, trace = 0, [], []
    for t in range(T):
        v = (v * (4096 - dv) >> 12) + ((weight << 6) if t - 1 in ARRIVALS else 0)
        if v > theta << 6:
            fired.append(t)
            v = 0
        trace.append(v)
    return fired, np.array(trace)


def test_spikes_of_the_chip(file: Path) -> None:
    graph = on_loihi(loaded(file))
    fired, trace = membrane()
    assert fired == ON_CHIP
    slow, fast = (
        run(graph, train(), timesteps=T, record=["1"]),
        Loihi().run(graph, train(), timesteps=T, record=["1"]),
    )
    for one in (slow, fast):
        assert np.flatnonzero(one.outputs["output"]).tolist() == ON_CHIP
        np.testing.assert_array_equal(one.records["1"].u_post.ravel(), trace)  # type: ignore[union-attr]
    assert trace.max() == 1589  # the largest potential that was read from the chip


def test_spikes_in_real_numbers(file: Path) -> None:
    """As in norse: without the synapse's step."""
    out = run(loaded(file), train(), timesteps=T).output
    assert np.flatnonzero(out).tolist() == [t - 1 for t in ON_CHIP]


@pytest.fixture
def compiled(file: Path, tmp_path: Path) -> Path:
    """What the command line makes of the file, with the numbers that our quantizer picks."""
    how = ["--reset", "zero", "--dt", "1e-4", "--timesteps", str(T), "--input-kind", "spike"]
    assert main(["compile", str(file), "--target", "loihi", *how, "-o", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_spikes_with_the_scale_that_our_quantizer_picks(compiled: Path) -> None:
    """Spikes are said by timesteps; the program's layer works on the first of them in step 1 of the chip."""
    program = snncc.load_program(compiled)
    result = program.run(train(), record=["1"])
    (layer,), (synapse,) = program_of(compiled)["populations"], program_of(compiled)["connections"]
    steps = layer["fire"] + np.flatnonzero(result.output)
    assert steps.tolist() == ON_CHIP
    # the same from the numbers of the program alone: no timesteps, and every synapse takes one step
    weight = int(np.load(compiled / "loihi" / "weights.npz")[f"{synapse['name']}.weight"].item())
    assert (weight, synapse["weight_exp"], synapse["delay"], layer["du"]) == (254, 0, 0, 4095)
    fired, trace = membrane(weight, layer["vth"], layer["dv"])
    assert fired == ON_CHIP
    potential = result.records["1"].u_post
    assert potential is not None
    np.testing.assert_array_equal(potential.ravel()[: -layer["fire"]], trace[layer["fire"] :])
    # in the units of the recording
    assert np.abs(trace * 25 / layer["vth"] - membrane()[1]).max() <= 128


def program_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "loihi" / "network.json").read_text())
    return found


needs_recording = pytest.mark.skipif(
    not (RECORDED / "lif_norse.nir").exists(), reason=f"the recorded files are not at {RECORDED}"
)


@needs_recording
def test_the_recorded_file(compiled: Path) -> None:
    graph = loaded(RECORDED / "lif_norse.nir")
    chip = np.loadtxt(RECORDED / "lif_lava_loihi_fixed.csv", delimiter=",")
    assert np.flatnonzero(chip[:, 0]).tolist() == ARRIVALS
    result = run(on_loihi(graph), chip[:, 0].reshape(T, 1, 1), timesteps=T, record=["1"])
    np.testing.assert_array_equal(result.output.ravel(), chip[:, 2])
    assert np.abs(result.records["1"].u_post.ravel() - chip[:, 1]).max() <= 128  # type: ignore[union-attr]
    layer = program_of(compiled)["populations"][0]
    ours = membrane(254, layer["vth"], layer["dv"])[1] * 25 / layer["vth"]
    assert np.abs(ours - chip[:, 1]).max() <= 128
    norse = np.loadtxt(RECORDED / "lif_norse.csv", delimiter=",")
    result = run(graph, train(), timesteps=T, record=["1"])
    np.testing.assert_array_equal(result.output.ravel(), norse[:, 2])
    np.testing.assert_allclose(result.records["1"].u_post.ravel(), norse[:, 1], atol=1e-7)  # type: ignore[union-attr]
