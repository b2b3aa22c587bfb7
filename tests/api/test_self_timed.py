"""Programs on self-timed chips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import ir
from snncc.api.program import Program
from snncc.api.tables import chip_table, cost_table
from snncc.api.timeline import write_timeline
from snncc.chips import Overflow, load_chip
from snncc.errors import BadInput, CannotLower, UnknownName
from snncc.ir import (
    Conv,
    Dense,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Numbers,
    Output,
    Over,
    SpikeGraph,
    wires,
)
from tests.api.networks import images, sfa_graph
from tests.joules import joules

T = 6


def graph(leak: bool = False) -> SpikeGraph:
    """Integrate-and-fire neurons: a convolution, then a dense layer."""
    rng = np.random.default_rng(5)
    plain = NeuronParameters(theta=np.array(40), rho=np.array(40), v_bits=16)
    second = replace(plain, leak=np.array(15), leak_shift=4) if leak else plain
    return SpikeGraph(
        name="events",
        timesteps=T,
        numbers=Numbers.INTEGER,
        nodes=(
            Input(name="x", shape=(2, 8, 8), kind=Kind.SPIKE),
            Conv(
                name="conv",
                inputs=wires("x"),
                weight=rng.integers(-20, 40, (4, 2, 3, 3)).astype(np.int8),
                stride=(2, 2),
                padding=(1, 1, 1, 1),
            ),
            Neuron(name="n1", inputs=wires("conv"), parameters=plain),
            snncc.ir.Reshape(name="flat", inputs=wires("n1"), shape=(64,)),
            Dense(name="head", inputs=wires("flat"), weight=rng.integers(-20, 30, (10, 64)).astype(np.int8)),
            Neuron(name="n2", inputs=wires("head"), parameters=second),
            Output(name="y", inputs=wires("n2"), over=Over.SUM),
        ),
    )


def spikes() -> np.ndarray:
    return (np.random.default_rng(6).random((T, 3, 2, 8, 8)) < 0.2).astype(np.uint8)


def compiled(chip: object = "speck2f", **leak: bool) -> Program:
    return snncc.compile(graph(**leak), chip=chip, passes=())  # type: ignore[arg-type]


@pytest.mark.parametrize("overflow", [ir.Overflow.SATURATE, ir.Overflow.WRAP])
def test_saturations_are_counted_by_layer(overflow: ir.Overflow) -> None:
    """The dense layer has 8 bits; strong weights of either sign drive it beyond them. The first has 16."""
    whole = graph()
    weight = np.random.default_rng(7).integers(-120, 30, (10, 64)).astype(np.int8)
    nodes = [
        replace(node, parameters=replace(node.parameters, v_bits=8, overflow=overflow))
        if isinstance(node, Neuron) and node.name == "n2"
        else replace(node, weight=weight)
        if isinstance(node, Dense)
        else node
        for node in whole.nodes
    ]
    narrow = replace(whole, nodes=tuple(nodes))
    program = snncc.compile(narrow, chip="speck2f", passes=())
    costs = snncc.compile(narrow, passes=()).run(spikes()).counts
    word = {ir.Overflow.SATURATE: "saturated", ir.Overflow.WRAP: "wrapped around"}[overflow]
    times = int(costs.total("saturations"))
    assert f"WARNING: states {word} {times} times;" in cost_table(costs)
    result = program.run(spikes(), timing="cycle", drops="count")
    assert result.chip is not None
    counts = result.chip.saturations
    assert counts["n1"] == 0 < counts["n2"]
    assert result.chip.as_dict()["saturations"] == counts
    assert f"n2: potentials left their width {counts['n2']} times" in result.notes
    assert compiled().run(spikes(), timing="cycle").chip.saturations == {"n1": 0, "n2": 0}  # type: ignore[union-attr]


def test_a_self_timed_chip_says_by_how_much_its_spikes_differ() -> None:
    result = compiled().run(spikes(), timing="cycle")
    chip = result.chip
    assert chip is not None
    assert (chip.times > 0).all()
    layers = chip.differing[0]
    assert layers.keys() == {"n1", "n2"}
    assert all(layer.spikes > 10 for layer in layers.values())
    assert sum(layer.timesteps for sample in chip.differing for layer in sample.values()) > 0
    (note,) = result.notes
    assert "is self-timed" in note
    assert sum(chip.kinds.values()) == joules(chip.energy)
    assert sum(chip.layers.values()) == joules(chip.energy)
    assert "on speck2f" in chip_table(chip)
    assert chip.as_dict()["differing"][0]["n1"][0] == layers["n1"].spikes


def test_a_chain_of_single_cores_fires_in_the_canonical_order() -> None:
    chip = compiled().run(spikes(), timing="cycle").chip
    assert chip is not None
    assert all(layer.order == 0 for sample in chip.differing for layer in sample.values())


def test_a_period_stretches_the_run() -> None:
    program = compiled()
    fast, slow = (program.run(spikes(), timing="cycle", period=period).chip for period in (0.0, 1e-3))
    assert fast is not None
    assert slow is not None
    assert (slow.seconds >= (T - 1) * 1e-3).all()
    assert (fast.seconds < slow.seconds).all()


def test_lost_events_are_an_error_unless_they_are_counted() -> None:
    speck = load_chip("speck2f")
    cores = tuple(replace(core, in_queue=1) for core in speck.cores)
    program = compiled(replace(speck, overflow=Overflow.DROP, cores=cores))
    with pytest.raises(BadInput, match="events of a sample were dropped"):
        program.run(spikes(), timing="cycle")
    result = program.run(spikes(), timing="cycle", drops="count")
    assert result.chip is not None
    assert result.chip.dropped > 0
    assert result.chip.energy > 0
    assert sum(result.chip.layers.values()) == joules(result.chip.energy)
    assert any("dropped" in note for note in result.notes)


def test_a_timeline_of_a_self_timed_chip(tmp_path: Path) -> None:
    """Every spike, every message that a unit takes, and nothing after the end."""
    program, period = compiled(), 1e-3
    write_timeline(tmp_path / "t.json", program, spikes(), period=period)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    chip = program.run(spikes()[:, :1], timing="cycle", period=period).chip
    assert chip is not None
    spans = [event for event in events if event["ph"] == "X"]
    marks = [event for event in events if event["ph"] == "i"]
    end = max(event["ts"] + event.get("dur", 0) for event in (*spans, *marks))
    assert end == pytest.approx(float(chip.seconds[0]) * 1e6)
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert [event["name"] for event in spans if threads[event["tid"]] == "timesteps"] == [
        f"timestep {t}" for t in range(T)
    ]
    taken = [event for event in spans if threads[event["tid"]].startswith("synapse unit")]
    assert len(taken) == chip.count("message_in")
    fired = [event for event in marks if event["name"].endswith("fires")]
    assert len(fired) == chip.count("spike") > 100
    assert all({"population", "neuron"} == event["args"].keys() for event in fired)
    starts = {event["args"]["timestep"]: event["ts"] for event in spans if "timestep" in event["args"]}
    assert starts[T - 1] == pytest.approx((T - 1) * period * 1e6)


def test_what_has_no_meaning_on_a_self_timed_chip() -> None:
    program = compiled()
    with pytest.raises(BadInput, match="has no level 'analytic'"):
        program.run(spikes(), timing="analytic")
    with pytest.raises(UnknownName, match="treatment of drops"):
        program.run(spikes(), timing="cycle", drops="some")
    with pytest.raises(BadInput, match="period"):
        program.run(spikes(), timing="cycle", period=-1.0)
    for period in (1e300, 1e9, 3e-11):
        with pytest.raises(BadInput, match="whole number"):
            program.run(spikes(), timing="cycle", period=period)
    with pytest.raises(BadInput, match="for a timing"):
        program.run(spikes(), period=1e-3)
    state = program.run(spikes(), keep_state=True).run.state
    with pytest.raises(BadInput, match="initial state"):
        program.run(spikes(), timing="cycle", state=state)
    with pytest.raises(CannotLower, match="leak"):
        compiled(leak=True)
    assert [problem.where for problem in snncc.check(graph(leak=True), chip="speck2f")] == ["n2 (Neuron)"]
    assert snncc.check(graph(), chip="speck2f") == []
    on_mesh = snncc.compile(sfa_graph(), calibration=images(), chip="mesh")
    with pytest.raises(BadInput, match="self-timed chip"):
        on_mesh.run(images(), timing="cycle", period=1.0)
