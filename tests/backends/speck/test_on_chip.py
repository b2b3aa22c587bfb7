"""``--target speck --chip speck2f``: one program for Sinabs, the chip's configuration, and our chip model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.api.report import write_report
from snncc.backends.speck.config import configuration
from snncc.backends.speck.events import distances, operations_per_event, run_by_events
from snncc.backends.speck.mapped import mapped
from snncc.chips import load_chip, parse_chip
from snncc.cli import main
from snncc.errors import BadInput
from snncc.ir import Input, Kind
from snncc.ir.file import save_graph
from tests.backends.speck.networks import chain, data, drawn
from tests.joules import joules

SEEDS = (0, 3, 8, 11)


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_are_on_the_cores_of_the_configuration(seed: int) -> None:
    program = snncc.compile(drawn(seed), target="speck", chip="speck2f")
    assert program.placement is not None
    emitted = configuration(mapped(program.graph))["cnn_layers"]
    assert {part.population: str(part.core) for part in program.placement.parts} == {
        fields["layer"]: core for core, fields in emitted.items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_the_chip_runs_the_model_event(seed: int) -> None:
    """Spikes of every layer are those of `run_by_events`, timed; the distances are those of both orders."""
    graph = drawn(seed)
    x = data(graph, seed)
    program = snncc.compile(graph, target="speck", chip="speck2f")
    names = [node.name for node in graph.neurons]
    result = program.run(x, timing="cycle", record=names)
    assert result.chip is not None
    assert set(result.records) == set(names)
    timed, _ = run_by_events(program.graph, x, timesteps=len(x), order="timed")
    canonical, _ = run_by_events(program.graph, x, timesteps=len(x))
    step = {name: result.records[name].train[:, :, 0] for name in names}
    by_verify = {one.layer: one for one in distances(program.graph, canonical, step)}
    for name in names:
        own = step[name].reshape(*timed[name].shape)
        for sample, found in enumerate(result.chip.differing):
            assert found[name].spikes == timed[name][:, sample].sum() > 0
            for other, have in ((canonical[name], found[name].order), (own, found[name].timesteps)):
                apart = timed[name][:, sample].sum(axis=0) - other[:, sample].sum(axis=0)
                assert np.abs(apart).sum() == have
        assert by_verify[name].event == canonical[name].sum()


def test_a_folder_keeps_the_chip(tmp_path: Path) -> None:
    graph = drawn(8)
    x = data(graph, 8)
    program = snncc.compile(graph, target="speck", chip="speck2f")
    program.save(tmp_path / "out")
    again = snncc.load_program(tmp_path / "out")
    one, other = program.run(x, timing="cycle"), again.run(x, timing="cycle")
    assert one.chip is not None
    assert other.chip is not None
    assert one.chip.as_dict() == other.chip.as_dict()
    assert one.output.any()
    np.testing.assert_array_equal(one.output, other.output)
    np.testing.assert_array_equal(again.run_engine("sinabs", x).output, one.output)
    assert not one.records
    assert snncc.verify(again, None, x, engine="sinabs").holds


def test_energy_by_hand() -> None:
    """Every pixel fires: an event costs the operations of its kernel, less those beyond the border."""
    graph = chain(theta=np.array(4.0), rho=np.array(4.0))
    program = snncc.compile(graph, target="speck", chip="speck2f")
    x = np.ones((5, 1, 2, 8, 8))
    chip = program.run(x, timing="cycle").chip
    assert chip is not None
    first, _ = mapped(program.graph).layers
    windows = 5 * 2 * (6 * 6 * 3 * 3) * 4  # timesteps, channels, windows that hold a pixel, features
    assert chip.energies[0].layers["n1"] == joules(windows * 26.5e-12)
    assert windows < 5 * 128 * operations_per_event(first)


def test_operations_a_second_are_told_of_every_core(tmp_path: Path) -> None:
    """128 events of a timestep with 36 operations each: 4608 take 46.1 us of a core with 1e8 a second."""
    graph = chain(theta=np.array(4.0), rho=np.array(4.0))
    program = snncc.compile(graph, target="speck", chip="speck2f")
    result = program.run(np.ones((5, 1, 2, 8, 8)), timing="cycle")
    told = [note for note in result.notes if "synaptic operations in a timestep" in note]
    assert len(told) == len(mapped(program.graph).layers)
    assert "core 0, n1: up to 4,608 synaptic" in told[0]
    assert "timesteps of 46.1 us and longer (at 100,000,000 a second, quoted)" in told[0]
    write_report(tmp_path / "r.html", program, result)
    assert all(note in (tmp_path / "r.html").read_text() for note in told)


def test_other_chips_are_refused() -> None:
    with pytest.raises(BadInput, match="runs on a chip with Speck's nine cores"):
        snncc.compile(chain(), target="speck", chip="mesh")
    with pytest.raises(BadInput, match="cores: this target chooses the core of each layer"):
        snncc.compile(chain(), target="speck", chip="speck2f", cores=3)
    with pytest.raises(BadInput, match="schedule and profile"):
        snncc.compile(chain(), target="speck", chip="speck2f", schedule="layered", profile=data(chain(), 0))


def test_a_chip_file_with_the_same_cores_is_taken() -> None:
    text = load_chip("speck2f").text.replace('title = "Speck 2f', 'title = "Another Speck')
    program = snncc.compile(chain(), target="speck", chip=parse_chip(text, "mine"))
    assert program.placement is not None
    assert program.placement.chip.name == "mine"


def test_counts_without_a_bound_are_at_most_16_events() -> None:
    graph = chain()
    unbounded = graph.with_nodes(
        replace(node, kind=Kind.COUNT, max_count=None) if isinstance(node, Input) else node
        for node in graph.nodes
    )
    program = snncc.compile(unbounded, target="speck", chip="speck2f")
    x = data(graph, 0, batch=1)
    one, other = program.run(x * 2, timing="cycle").chip, program.run(x, timing="cycle").chip
    assert one is not None
    assert other is not None
    assert one.count("port") == 2 * other.count("port") == 2 * x.sum()
    with pytest.raises(BadInput, match="17 events in a timestep; the port of the chip sends at most 16"):
        program.run(x * 17, timing="cycle")
    assert program.run(x * 17).output.any()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = chain()
    save_graph(graph, tmp_path / "model.snn")
    np.savez(tmp_path / "x.npz", x=data(graph, 0))
    program, x = str(tmp_path / "out"), str(tmp_path / "x.npz")
    options = ["--target", "speck", "--chip", "speck2f"]
    assert main(["check", str(tmp_path / "model.snn"), *options]) == 0
    assert main(["compile", str(tmp_path / "model.snn"), *options, "-o", program]) == 0
    assert "speck2f, pipelined: needs / has" in capsys.readouterr().out
    assert main(["simulate", program, "--input", x, "--timing", "cycle", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chip"]["chip"] == "speck2f"
    assert any("differ from those of the graph's timesteps" in note for note in found["notes"])
    assert main(["simulate", program, "--input", x, "--engine", "sinabs"]) == 0
    assert main(["verify", program, "--input", x, "--engine", "sinabs"]) == 0
