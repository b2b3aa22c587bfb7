"""SFA and QCFS networks as streams, outputs of potentials as spikes: asked for, measured, equal on Sinabs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import snncc
import snncc.nn as ours
from snncc.backends.speck.readout import SpikingReadout
from snncc.backends.speck.stream import UnrollTicks
from snncc.backends.target import DoesNotFit
from snncc.cli import main
from snncc.errors import BadInput, UnknownName
from snncc.ir import Array, BiasTicks, Conv, Encoding, Input, Output, Over, Presence, Reset, SpikeGraph, wires
from snncc.ir.file import save_graph
from snncc.passes import ExpandCounts, FoldThresholds, run_passes
from snncc.reference import run as run_reference
from tests.backends.speck.limits import conv, network, neuron
from tests.backends.speck.networks import chain, emitted
from tests.backends.speck.networks import data as events

KINDS: dict[str, Callable[[], nn.Module]] = {
    "SFA": lambda: ours.SFA(4),
    "SFA with one spike's worth 1": lambda: ours.SFA(3, norm=1),
    "QCFS": lambda: ours.QCFS(4, 2.0),
}


def model(kind: str, *, is_linear: bool = True) -> nn.Sequential:
    """Two layers with counts and a head, that fire."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3), KINDS[kind](), nn.AvgPool2d(2), nn.Conv2d(6, 8, 2), KINDS[kind]()]
    layers += [nn.Flatten(), nn.Linear(8 * 4, 5), *([] if is_linear else [KINDS[kind]()])]
    made = nn.Sequential(*layers)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            parameter.data *= 4
    return made


def graph_of(made: nn.Module) -> SpikeGraph:
    return snncc.trace(made, torch.zeros(1, 1, 8, 8), layout="B", input_kind="count")


def pixels(seed: int = 0, batch: int = 6) -> Array:
    return np.random.default_rng(seed).integers(0, 3, (batch, 1, 8, 8))


def folded_stages(graph: SpikeGraph, bias: BiasTicks, flush: int = 0) -> tuple[SpikeGraph, SpikeGraph]:
    """The stream, and the same in timesteps."""
    passes = (FoldThresholds(), ExpandCounts(Encoding.STREAM, flush, bias), UnrollTicks())
    return tuple(stage.graph for stage in run_passes(graph, passes)[-2:])  # type: ignore[return-value]


@pytest.mark.parametrize("bias", list(BiasTicks))
@pytest.mark.parametrize("kind", KINDS)
def test_timesteps_are_the_ticks_of_a_stream(kind: str, bias: BiasTicks) -> None:
    """Train by train, by the definition of streams; outputs up to the rounding of a divided bias."""
    stream, plain = folded_stages(graph_of(model(kind)), bias)
    names = [node.name for node in stream.neurons]
    assert plain.timesteps == stream.neurons[0].parameters.ticks > 1
    timed = UnrollTicks()(replace(stream, dt=1e-3))
    assert timed.dt is not None
    assert timed.dt * timed.timesteps == pytest.approx(1e-3)
    x = pixels()
    one = run_reference(stream, x, timesteps=1, record=names)
    other = run_reference(plain, x, timesteps=plain.timesteps, record=names)
    for name in names:
        ticks = one.records[name].train[0].swapaxes(0, 1)
        assert ticks.any()
        np.testing.assert_array_equal(other.records[name].train[:, :, 0], ticks)
    np.testing.assert_allclose(other.outputs["output"], one.outputs["output"], atol=1e-12)


@pytest.mark.parametrize("bias", ["spread", "v0"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_linear", [True, False])
def test_the_emitted_module_equals_the_graph(
    kind: str, bias: str, tmp_path: Path, *, is_linear: bool
) -> None:
    """Spikes and potentials of every layer in every timestep; whatever the passes before have cost."""
    x = pixels()
    asked: dict[str, Any] = {"readout": "spikes"} if is_linear else {}
    program = snncc.compile(
        graph_of(model(kind, is_linear=is_linear)), target="speck", encoding="stream", bias=bias, **asked
    )
    names = [node.name for node in program.graph.neurons]
    mine = program.run(x, record=names)
    program.target.emit(program.graph, tmp_path)
    entry = np.zeros((program.timesteps, *x.shape), np.int64)
    entry[0] = x
    theirs = emitted(tmp_path).run(entry, record_states=True)
    for name in names:
        record = mine.records[name]
        assert record.train.any()
        assert record.u_post is not None
        np.testing.assert_array_equal(theirs[f"spikes/{name}"].ravel(), record.train.ravel())
        np.testing.assert_array_equal(theirs[f"potentials/{name}"].ravel(), record.u_post.ravel())


def test_a_stream_is_verified_on_sinabs() -> None:
    made, x = model("SFA"), pixels()
    program = snncc.compile(graph_of(made), target="speck", encoding="stream", readout="spikes")
    proof = snncc.verify(program, made, x, engine="sinabs")
    assert proof.holds
    assert proof.stages[-1].name == "integer graph -> sinabs"
    assert proof.stages[-1].differing == 0


def test_ticks_of_the_slow_clock_on_the_chip() -> None:
    """The port sends the events of the input, and in each timestep a tick to every core with a bias."""
    x = pixels(batch=1)
    for bias, ticks in (("spread", 4 * 2), ("v0", 0)):
        graph = graph_of(model("SFA", is_linear=False))
        program = snncc.compile(graph, target="speck", chip="speck2f", encoding="stream", bias=bias)
        chip = program.run(x, timing="cycle").chip
        assert chip is not None
        assert chip.count("port") == x.sum() + ticks
        assert chip.differing[0]["1"].spikes > 0


def test_the_loss_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `verify` measures it on the same data; in the manifest, in what is printed, and in the report."""
    made, x = model("SFA"), pixels(batch=8)
    graph = graph_of(made)
    program = snncc.compile(graph, target="speck", encoding="stream", readout="spikes", calibration=x)
    stages = {check.name: check for check in snncc.verify(program, None, x).stages}
    for name in ("expand-counts", "unroll-ticks", "spiking-readout", "multi-spike", "discretize"):
        (line,) = (line for line in program.measured if line.startswith(name))
        assert f"measured: {stages[name].differing} of" in line
    assert stages["expand-counts"].differing > 0
    assert stages["unroll-ticks"].differing == 0
    save_graph(graph, tmp_path / "model.snn")
    np.savez(tmp_path / "x.npz", x=x)
    out, data = str(tmp_path / "out"), str(tmp_path / "x.npz")
    options = ["--target", "speck", "--encoding", "stream", "--readout", "spikes"]
    assert main(["check", str(tmp_path / "model.snn"), *options]) == 0
    command = ["compile", str(tmp_path / "model.snn"), *options, "--calibration", data, "-o", out]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert all(line in told for line in program.measured)
    assert json.loads((tmp_path / "out/program.json").read_text())["measured"] == list(program.measured)
    assert snncc.load_program(out).measured == program.measured
    assert main(["simulate", out, "--input", data, "--report", str(tmp_path / "r.html")]) == 0
    assert program.measured[-1] in (tmp_path / "r.html").read_text()
    page = (tmp_path / "out/speck/README.md").read_text()
    assert "takes 4 timesteps, and the input enters in the first" in page
    assert "layers with a bias: 4, 6.readout" in page
    without = snncc.compile(graph, target="speck", encoding="stream", readout="spikes")
    assert without.measured == (
        "the loss was not measured: there is no calibration data (calibration=, --calibration)",
    )


def test_with_v0_no_slow_clock_is_needed(tmp_path: Path) -> None:
    program = snncc.compile(
        graph_of(model("QCFS")), target="speck", encoding="stream", bias="v0", readout="spikes"
    )
    program.save(tmp_path / "out")
    assert "no layer here has a bias" in (tmp_path / "out/speck/README.md").read_text()
    cores = json.loads((tmp_path / "out/speck/config.json").read_text())["cnn_layers"]
    assert not any(fields["leak_enable"] for fields in cores.values())


def test_streams_are_not_made_unasked() -> None:
    found = snncc.check(graph_of(model("SFA")), "speck")
    asked = [one.hint for one in found if one.what == "spikes of a timestep"]
    assert len(asked) == 2
    assert all("--encoding stream" in hint for hint in asked)
    (output,) = (one for one in found if one.what == "an output of potentials")
    assert "--readout spikes" in output.hint
    assert not snncc.check(graph_of(model("SFA")), "speck", encoding="stream", readout="spikes")


def test_what_cannot_stream() -> None:
    def said(graph: SpikeGraph, **options: Any) -> str:
        with pytest.raises(DoesNotFit) as caught:
            snncc.compile(graph, target="speck", readout="spikes", encoding="stream", **options)
        return str(caught.value)

    graph = graph_of(model("SFA"))
    assert "timesteps of a stream: needs 2, has 1" in said(graph, timesteps=2)
    assert "needs 1 ticks without a bias, has 0" in said(graph, flush=1)
    late = snncc.compile(graph, target="speck", readout="spikes", encoding="stream", flush=1, bias="v0")
    assert late.timesteps == 5
    assert "beside streams: needs a neuron without a bounded count, has none" in said(chain())
    text = said(
        graph.with_nodes(
            replace(node, presence=Presence.SEQUENCE) if isinstance(node, Input) else node
            for node in graph.nodes
        )
    )
    assert "input of a stream: needs a sequence, has given once" in text
    assert "spikes of a timestep" not in text
    even = nn.Sequential(nn.Conv2d(1, 4, 3), ours.SFA(4, rounding="even"))
    assert "--rounding half-up" in said(graph_of(even))
    half_up = snncc.compile(graph_of(even), target="speck", encoding="stream", rounding="half-up")
    assert [stage.name for stage in half_up.stages].count("round-half-up") == 1
    mixed = nn.Sequential(nn.Conv2d(1, 4, 3), ours.SFA(4), nn.Conv2d(4, 4, 3), ours.IF())
    assert "beside streams: needs a neuron without a bounded count" in said(
        snncc.trace(mixed, torch.zeros(1, 1, 8, 8), layout="B", timesteps=1, input_kind="count")
    )


@pytest.mark.parametrize("carry", [False, True])
def test_frames_as_samples_are_the_same_only_if_nothing_is_kept(carry: bool) -> None:
    """Several timesteps are refused, with a hint that says whether each frame can be a sample."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 8), ours.SFA(4, carry=carry), nn.Linear(8, 5), ours.SFA(4, carry=carry))
    for parameter in made.parameters():
        parameter.data *= 3
    frames = np.random.default_rng(0).integers(0, 3, (3, 4, 6)).astype(np.float64)
    graph = snncc.trace(
        made, torch.zeros(1, 6), layout="B", presence="sequence", timesteps=3, input_kind="count"
    )
    hints = {p.what: p.hint for p in snncc.check(graph, "speck", encoding="stream")}
    assert ("no neuron keeps anything" in hints["timesteps of a stream"]) is not carry
    assert ("forget what 1, 3 keep" in hints["timesteps of a stream"]) is carry
    names = [node.name for node in graph.neurons]
    whole = run_reference(graph, frames, timesteps=3, record=names)
    apart = [run_reference(graph, frame[None], timesteps=1, record=names) for frame in frames]
    same = []
    for name in names:
        each = np.concatenate([run.records[name].train for run in apart])
        assert each.any()
        same.append(np.array_equal(each, whole.records[name].train))
    assert all(same) is not carry


# --- outputs of potentials


def headed(over: Over = Over.SUM, *, is_positive: bool = False) -> SpikeGraph:
    """A layer of IF neurons and a linear head without."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.1, (3, 4, 6, 6)), rng.normal(0, 0.1, (3, 1, 1))
    if is_positive:
        weight, bias = np.abs(weight), np.abs(bias)
    head = Conv(name="c2", inputs=wires("n"), weight=weight, bias=bias)
    graph = network(conv("c", "x", 4, 2), neuron("n", "c"), head)
    return graph.with_nodes(
        replace(node, over=over) if isinstance(node, Output) else node for node in graph.nodes
    )


def test_a_readout_rounds_to_thresholds_and_cuts_at_zero() -> None:
    """Where nothing falls below the threshold again, the sum of spikes is the sum of currents, rounded."""
    graph = headed(is_positive=True)
    read = SpikingReadout()(graph)
    x = events(graph, 0)
    before, after = (run_reference(g, x, timesteps=3).outputs["y"] for g in (graph, read))
    head = graph.by_name["c2"]
    assert isinstance(head, Conv)
    step = float(head.weight.max())
    assert before.min() > 5 * step
    np.testing.assert_allclose(after, np.floor(before / step + 0.5) * step)


@pytest.mark.parametrize("over", [Over.SUM, Over.MEAN, Over.SEQUENCE])
def test_a_readout_on_sinabs(over: Over) -> None:
    graph = headed(over)
    x = events(graph, 1, batch=4)
    if over is Over.SEQUENCE:
        with pytest.raises(DoesNotFit, match="its sequence, has a sum or mean"):
            snncc.compile(graph, target="speck", readout="spikes")
        return
    program = snncc.compile(graph, target="speck", readout="spikes", calibration=x)
    assert program.run(x).output.any()
    assert snncc.verify(program, None, x, engine="sinabs").holds
    assert any(line.startswith("spiking-readout (approximate): measured") for line in program.measured)


def test_a_readout_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit, match="--readout spikes"):
        snncc.compile(headed(), target="speck")
    with pytest.raises(UnknownName, match="readout"):
        snncc.compile(headed(), target="speck", readout="spike")
    for target in ("sim", "loihi"):
        with pytest.raises(BadInput, match="spiking_readout"):
            snncc.compile(headed(), target=target, readout="spikes")
    program = snncc.compile(headed(), target="speck", readout="spikes")
    program.save(tmp_path / "out")
    assert snncc.load_program(tmp_path / "out").target.settings == {"spiking_readout": 1}


def test_a_network_with_neurons_at_its_end_has_no_use_for_it() -> None:
    graph = network(conv("c", "x", 4, 2), neuron("n", "c", reset=Reset.SUBTRACT))
    assert [node.name for node in SpikingReadout()(graph).nodes] == [node.name for node in graph.nodes]
