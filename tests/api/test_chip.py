"""Programs on chips: placed, timed, saved; and what does not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc.api.program import Program
from snncc.api.report_chip import chip_part
from snncc.api.tables import chip_table, report_table, unknown_limits, usage_table
from snncc.api.timeline import write_timeline
from snncc.chips import CoreLimits, Entry, load_chip
from snncc.chips.model import Limits
from snncc.errors import BadFile, BadInput, CannotLower, SnnccError, UnknownName
from snncc.ir import Conv, Input, Kind, Node, Numbers, Output, Over, SpikeGraph, wires
from tests.api.networks import attended_graph, images, lif_graph, pooled_graph, sequences, sfa_graph
from tests.joules import joules


@pytest.fixture(scope="module")
def program() -> Program:
    return snncc.compile(sfa_graph(), calibration=images(), chip="mesh", cores=4)


@pytest.mark.parametrize("timing", ["analytic", "cycle", "reserved"])
def test_a_timing_changes_nothing_but_adds_time_and_energy(program: Program, timing: str) -> None:
    plain, timed = program.run(images()), program.run(images(), timing=timing)
    assert plain.chip is None
    assert np.array_equal(plain.output, timed.output)
    assert plain.counts == timed.counts
    chip = timed.chip
    assert chip is not None
    assert (chip.times > 0).all()
    assert chip.seconds.shape == (len(images()),)
    assert sum(chip.layers.values()) == joules(chip.energy)
    assert sum(chip.kinds.values()) == joules(chip.energy)
    # a current that several layers read is summed in each of them
    done = {layer.name: layer.ac + layer.mac for layer in plain.counts.layers}
    assert program.placement is not None
    nodes = [connection.node for connection in program.placement.network.connections]
    synapses = sum(chip.count(kind) for kind in ("dense", "conv", "sparse", "mac"))
    assert synapses == pytest.approx(sum(done[node.name] for node in nodes if node is not None))


def test_what_a_chip_run_says_of_itself(program: Program) -> None:
    chip = program.run(images(), timing="cycle").chip
    assert chip is not None
    document = json.loads(json.dumps(chip.as_dict()))
    assert document["chip"] == "mesh"
    assert document["time"]["seconds"] == pytest.approx(float(chip.times.mean()) * 1e-9)
    assert document["energy"]["static"][0] <= document["energy"]["static"][1]
    assert chip.busy[chip.critical] == max(chip.busy.values()) <= 1
    assert all(n <= 8 for name, n in chip.deepest.items() if not name.startswith("synapse unit"))
    text = chip_table(chip)
    assert "on mesh, 4 cores" in text
    assert chip.critical in text
    assert "not comparable with other accountings" in text


def test_slices_of_a_batch_take_what_the_batch_takes(program: Program) -> None:
    whole = program.run(images(), timing="cycle").chip
    alone = program.run(images()[2:3], timing="cycle", threads=1).chip
    assert whole is not None
    assert alone is not None
    assert whole.times[2] == alone.times[0]


def test_schedules_give_the_same_result_in_another_time() -> None:
    times = []
    outputs = []
    for schedule in ("pipelined", "layered"):
        one = snncc.compile(lif_graph(), calibration=sequences(), chip="mesh", schedule=schedule)
        result = one.run(sequences(), timing="cycle")
        assert result.chip is not None
        times.append(result.chip.steps)
        outputs.append(result.output)
    assert np.array_equal(outputs[0], outputs[1])
    assert times[0] < times[1]


def test_a_saved_program_keeps_its_chip_and_placement(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    again = snncc.load_program(tmp_path / "out")
    assert again.placement is not None
    assert again.placement.chip == load_chip("mesh")
    first, second = (one.run(images(), timing="cycle").chip for one in (program, again))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.times, second.times)
    assert first.energy == second.energy


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("placement.json", lambda text: text[: len(text) // 2], "is damaged"),
        ("placement.json", lambda text: text.replace('"core": ', '"core": 99'), "on core 99"),
        ("placement.json", lambda text: text.replace('"population": "', '"population": "no'), "is damaged"),
        ("placement.json", lambda text: text.replace("[[0, ", "[[-5, "), "is damaged"),
        ("placement.json", lambda text: text.replace("pipelined", "sideways"), "is damaged"),
        ("chip.toml", lambda text: text.replace("discipline", "disciplin"), "disciplin"),
    ],
)
def test_damaged_placements(program: Program, tmp_path: Path, file: str, change: object, words: str) -> None:
    program.save(tmp_path / "out")
    path = tmp_path / "out" / file
    assert callable(change)
    path.write_text(change(path.read_text()))
    with pytest.raises(SnnccError, match=words):
        snncc.load_program(tmp_path / "out").run(images(), timing="cycle")


def test_missing_files_of_a_placement(program: Program, tmp_path: Path) -> None:
    for file in ("placement.json", "chip.toml"):
        program.save(tmp_path / file)
        (tmp_path / file / file).unlink()
        with pytest.raises(BadFile, match=file):
            snncc.load_program(tmp_path / file)


def test_a_chip_that_was_changed_in_python_is_not_saved(tmp_path: Path) -> None:
    chip = load_chip("mesh")
    changed = replace(chip, time_unit=2e-9)
    program = snncc.compile(sfa_graph(), calibration=images(), chip=changed)
    assert program.run(images(), timing="analytic").chip is not None
    with pytest.raises(BadInput, match="changed in Python"):
        program.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_loaded_placement_keeps_the_limits_of_its_chip(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    path = tmp_path / "out" / "chip.toml"
    path.write_text(path.read_text().replace("neurons = { value = 8192", "neurons = { value = 1"))
    with pytest.raises(BadFile, match="breaks limits of mesh"):
        snncc.load_program(tmp_path / "out")


@pytest.mark.parametrize("chip", ["mesh", "loihi1-davies2018"])
def test_maxima_of_spikes_run_on_a_chip(chip: str) -> None:
    graph, x = pooled_graph()
    program = snncc.compile(graph, chip=chip)
    assert program.placement is not None
    plain, result = program.run(x, record=["top", "either"]), program.run(x, timing="cycle")
    assert result.chip is not None
    assert np.array_equal(plain.output, result.output)
    for name in ("top", "either"):
        fired = int(plain.records[name].train.sum())
        assert fired
        assert result.chip.layers[name] > 0
    assert snncc.check(graph, chip=chip) == []
    (problem,) = snncc.check(graph, chip="speck2f")
    assert "maximum" in problem.what
    assert "pool by sums" in problem.hint


@pytest.mark.parametrize("timing", ["analytic", "cycle", "reserved"])
def test_side_operations_run_on_the_host(timing: str, tmp_path: Path) -> None:
    graph, x = attended_graph()
    program = snncc.compile(graph, calibration=x, chip="mesh")
    program.save(tmp_path / "out")
    plain, result = program.run(x), snncc.load_program(tmp_path / "out").run(x, timing=timing)
    chip = result.chip
    assert chip is not None
    assert np.array_equal(plain.output, result.output)
    assert plain.output.any()
    assert plain.counts == result.counts
    # what the host makes is what is counted of the side operations and of the product, zeros too
    made = {name: cost.mac_dense for name, cost in plain.run.operations.items()}
    macs = made["gain"] + made["frames"] + made["gained"]
    assert [chip.count("host")] == [macs.mean()] == [macs[0]]
    assert chip.kinds["host"] == joules(4.6e-12 * macs[0])
    assert sum(chip.layers.values()) == joules(chip.energy)
    assert chip.busy["host"] * chip.times.sum() >= 3 * macs[0]
    for text in (chip_table(chip), chip_part(chip)):
        assert "host" in text
    assert json.loads(json.dumps(chip.as_dict()))["energy"]["kinds"]["host"] == chip.kinds["host"]


def test_a_timeline_shows_the_host(tmp_path: Path) -> None:
    graph, x = attended_graph()
    write_timeline(tmp_path / "t.json", snncc.compile(graph, calibration=x, chip="mesh"), x[:, :1])
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"eject host", "host"} <= names


def test_a_host_that_is_missing_is_named_with_what_it_would_do() -> None:
    graph, x = attended_graph()
    problems = snncc.check(graph, chip=replace(load_chip("mesh"), host=None))
    wheres = [(one.where, one.what, one.have) for one in problems]
    assert ("gain (SideOperation, attention.gain)", "host macs", "0") in wheres
    assert {one.where.split()[0] for one in problems} == {"gain", "gained", "frames", "gate"}
    assert all("attention='static'" in one.hint for one in problems)
    with pytest.raises(CannotLower, match="payload_bits"):
        snncc.compile(graph, calibration=x, chip="loihi1-davies2018")
    with pytest.raises(CannotLower, match="pipelining past the host"):
        snncc.compile(graph, calibration=x, chip="mesh", schedule="pipelined")
    with pytest.raises(CannotLower, match="events know no timesteps"):
        snncc.compile(graph, calibration=x, chip=replace(load_chip("speck2f"), **WIDE))


WIDE: dict[str, Any] = {"host": load_chip("mesh").host, "limits": Limits(), "entry": Entry.PORT}


def test_a_train_that_would_have_to_be_sent_twice_is_refused() -> None:
    graph, x = attended_graph()
    changed: list[Node] = []
    for node in graph.nodes:
        if node.name == "n":
            weight = np.ones((3, 2, 1, 1))
            changed += [
                Conv(name="skip", inputs=wires("x"), weight=weight),
                replace(node, inputs=wires("gained", "skip")),
            ]
        else:
            changed.append(node)
    again = graph.with_nodes(changed)
    assert snncc.compile(again, calibration=x).run(x).output.shape == (3, 5)
    with pytest.raises(CannotLower, match="it was sent in stage 0, and no core keeps it"):
        snncc.compile(again, calibration=x, chip="mesh")


def test_cores_that_cannot_be_used_are_an_error() -> None:
    with pytest.raises(BadInput, match="whole number"):
        snncc.compile(sfa_graph(), calibration=images(), chip="mesh", cores=2.5)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="name, a path, or a Chip"):
        snncc.compile(sfa_graph(), calibration=images(), chip=5)  # type: ignore[arg-type]


def test_a_timing_needs_a_chip(tmp_path: Path) -> None:
    bare = snncc.compile(sfa_graph(), calibration=images())
    with pytest.raises(BadInput, match="compiled for none"):
        bare.run(images(), timing="cycle")
    with pytest.raises(UnknownName, match="unknown timing"):
        bare.run(images(), timing="cycles")
    with pytest.raises(BadInput, match="compiled for none"):
        write_timeline(tmp_path / "t.json", bare, images())


def test_what_does_not_fit_is_named() -> None:
    chip = load_chip("mesh")
    tiny = replace(chip, cores=tuple(CoreLimits(neurons=1) for _ in chip.cores))
    with pytest.raises(CannotLower, match="does not fit mesh"):
        snncc.compile(sfa_graph(), calibration=images(), chip=tiny)
    with pytest.raises(CannotLower, match="payload_bits"):
        snncc.compile(sfa_graph(), calibration=images(), chip="loihi1-sanafe2025")
    with pytest.raises(UnknownName, match="unknown chip"):
        snncc.compile(sfa_graph(), calibration=images(), chip="loihi")
    with pytest.raises(UnknownName, match="unknown schedule"):
        snncc.compile(sfa_graph(), calibration=images(), chip="mesh", schedule="fast")
    with pytest.raises(BadInput, match="need a chip"):
        snncc.compile(sfa_graph(), calibration=images(), cores=4)
    with pytest.raises(BadInput, match="seed"):
        snncc.compile(sfa_graph(), calibration=images(), chip="mesh", seed=-1)
    with pytest.raises(CannotLower, match="floats"):
        snncc.compile(sfa_graph(), calibration=images(), chip="mesh", precision="float")


def test_check_lists_what_a_chip_lacks() -> None:
    (problem,) = snncc.check(sfa_graph(), chip="loihi1-sanafe2025")
    assert (problem.where, problem.what, problem.have) == ("x", "payload bits", "0")
    assert "bare spikes" in problem.hint
    assert snncc.check(sfa_graph(), chip="mesh") == []


@pytest.mark.parametrize("chip", ["mesh", "loihi1-sanafe2025", "speck2f"])
def test_a_network_of_nothing_but_its_input(chip: str) -> None:
    """There is nobody to send to: time passes, no message does."""
    nodes = Input(name="x", shape=(4,), kind=Kind.SPIKE), Output(name="y", inputs=wires("x"), over=Over.SUM)
    graph = SpikeGraph(nodes, Numbers.INTEGER, "bare", timesteps=3)
    program, x = snncc.compile(graph, chip=chip, passes=()), np.ones((3, 2, 4), np.uint8)
    result = program.run(x, timing="cycle")
    assert result.output.tolist() == [[3] * 4] * 2
    assert result.chip is not None
    assert not result.chip.loads
    assert sum(result.chip.layers.values()) == joules(result.chip.energy)


def test_evaluate_gives_time_and_energy_beside_accuracy(program: Program) -> None:
    labels = program.run(images()).output.argmax(axis=1)
    report = snncc.evaluate(program, images(), labels, timing="analytic")
    assert report.accuracy == 1
    chip = report.scores[0].chip
    assert chip is not None
    assert chip.energy > 0
    assert "time on mesh" in report_table(report)
    assert report.as_dict()["scores"][0]["chip"]["chip"] == "mesh"


def test_usage_names_what_each_core_needs(program: Program) -> None:
    assert program.placement is not None
    text = usage_table(program.placement)
    assert text.startswith("mesh, pipelined: needs / has")
    assert "/ 8,192" in text


def test_the_timeline_opens_as_a_chrome_trace(program: Program, tmp_path: Path) -> None:
    write_timeline(tmp_path / "t.json", program, images())
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    chip = program.run(images()[:1], timing="cycle").chip
    assert chip is not None
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["name"] for event in spans} >= {"step 0", "synchronization"}
    end = max(event["ts"] + event["dur"] for event in spans)
    assert end == pytest.approx(float(chip.seconds[0]) * 1e6)
    named = {event["tid"] for event in events if event["ph"] == "M" and event["name"] == "thread_name"}
    assert {event["tid"] for event in spans} <= named
    arrivals = [event for event in spans if "synapses" in event["args"]]
    assert len(arrivals) == chip.count("message_in")
    with pytest.raises(BadFile, match="cannot be written"):
        write_timeline(tmp_path / "none" / "t.json", program, images())
    with pytest.raises(BadInput, match="needs a sample"):
        write_timeline(tmp_path / "t.json", program, images()[:0])


def test_the_folder_of_a_program_on_a_chip_may_be_replaced(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    snncc.compile(sfa_graph(), calibration=images()).save(tmp_path / "out")
    assert snncc.load_program(tmp_path / "out").placement is None
    program.save(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")


def test_limits_that_nobody_publishes_are_named() -> None:
    assert unknown_limits(load_chip("loihi2")) == ["in axons", "out axons", "in queue", "fan out"]
    assert unknown_limits(load_chip("mesh")) == []
