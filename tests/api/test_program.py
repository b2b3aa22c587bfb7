"""Compiling, running, saving and loading programs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.api.program import Program
from snncc.backends.target import DoesNotFit
from snncc.errors import BadFile, BadInput, InvalidGraph, SnnccError, UnknownName
from snncc.ir import Add, Neuron, SpikeGraph, wires
from tests.api.networks import images, lif_graph, sequences, sfa_graph


@pytest.fixture(scope="module")
def program() -> Program:
    return snncc.compile(sfa_graph(), calibration=images())


def spikes_everywhere(program: Program, x: np.ndarray) -> bool:
    result = program.run(x)
    return all(one.rate > 0 and one.spikes < 4 * one.neurons for one in result.counts.layers if one.neurons)


def test_the_networks_under_test_spike(program: Program) -> None:
    assert spikes_everywhere(program, images())
    assert spikes_everywhere(snncc.compile(lif_graph(), calibration=sequences()), sequences())


@pytest.mark.parametrize("precision", ["integer", "float"])
def test_a_batch_gives_what_its_samples_give_alone_in_any_order(precision: str) -> None:
    x = sequences()
    program = snncc.compile(lif_graph(), calibration=x, precision=precision)
    whole = program.run(x)
    order = np.random.default_rng(3).permutation(x.shape[1])
    rounding = 0 if precision == "integer" else 1e-12  # a matrix product may sum in another order
    assert np.allclose(program.run(x[:, order]).output, whole.output[order], rtol=0, atol=rounding)
    for k in range(x.shape[1]):
        alone = program.run(x[:, k : k + 1])
        assert np.allclose(alone.output, whole.output[k : k + 1], rtol=0, atol=rounding)
        assert all(np.array_equal(alone.spikes[n], whole.spikes[n][k : k + 1]) for n in whole.spikes)


def test_a_second_run_equals_the_first_on_one_and_two_threads(program: Program) -> None:
    first = program.run(images(), threads=1, record=["n1"])
    again = program.run(images(), threads=2, record=["n1"])
    assert np.array_equal(first.output, again.output)
    assert np.array_equal(first.records["n1"].train, again.records["n1"].train)
    assert first.counts == again.counts


def test_counts_of_the_simulator_are_those_of_the_reference(program: Program) -> None:
    from snncc.reference import run
    from snncc.simulator.costs import costs

    need = costs(program.graph, run(program.graph, images(), timesteps=1))
    assert need == program.run(images()).counts


def test_more_samples_than_a_batch_are_joined() -> None:
    program = snncc.compile(sfa_graph(), precision="float")
    x = images(150)
    result = program.run(x, record=["n0"])
    assert result.records["n0"].train.shape[1] == 150
    assert np.array_equal(result.output[140:], program.run(x[140:]).output)


@pytest.mark.parametrize("precision", ["integer", "float"])
def test_state_goes_on_where_it_is_given(precision: str) -> None:
    x = sequences(count=70, timesteps=6)
    program = snncc.compile(lif_graph(), precision=precision, calibration=x)
    whole = program.run(x, record=["n2"])
    first = program.run(x[:2], timesteps=2, record=["n2"], keep_state=True)
    second = program.run(x[2:], timesteps=4, record=["n2"], state=first.run.state)
    joined = np.concatenate([first.records["n2"].train, second.records["n2"].train])
    assert np.array_equal(joined, whole.records["n2"].train)


def test_a_state_that_was_not_kept_is_refused() -> None:
    x = sequences()
    program = snncc.compile(lif_graph(), calibration=x)
    with pytest.raises(BadInput, match="keep_state=True"):
        program.run(x, state=program.run(x).run.state)


def test_data_of_another_length_is_not_cut_unless_asked() -> None:
    x = sequences(timesteps=6)
    program = snncc.compile(lif_graph(timesteps=4), calibration=x[:4])
    for attempt in (program.run, lambda data: snncc.verify(program, None, data)):
        with pytest.raises(BadInput, match="has 6 timesteps, the network was traced with 4"):
            attempt(x)
    with pytest.raises(BadInput, match="has 6 timesteps"):
        snncc.compile(lif_graph(timesteps=4), calibration=x)
    assert np.array_equal(program.run(x, timesteps=4).output, program.run(x[:4]).output)
    with pytest.raises(BadInput, match="at least one timestep and one thread"):
        program.run(x, timesteps=-3)
    with pytest.raises(BadInput, match="at least one timestep and one thread"):
        program.run(x[:4], threads=-1)


def test_layout_bt_is_tb_with_its_axes_swapped() -> None:
    x = sequences()
    graph = lif_graph()
    tb = snncc.compile(graph, calibration=x)
    bt = snncc.compile(replace(graph, layout=snncc.ir.Layout.BT), calibration=np.swapaxes(x, 0, 1))
    assert np.array_equal(tb.run(x).output, bt.run(np.swapaxes(x, 0, 1)).output)


def test_a_saved_program_runs_and_verifies_the_same(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    loaded = snncc.load_program(tmp_path / "out")
    assert np.array_equal(loaded.run(images()).output, program.run(images()).output)
    assert [s.name for s in loaded.stages] == [s.name for s in program.stages]
    assert str(snncc.verify(loaded, None, images())) == str(snncc.verify(program, None, images()))
    loaded.save(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_manifest_cannot_call_an_exact_pass_approximate(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    manifest = tmp_path / "out" / "program.json"
    manifest.write_text(manifest.read_text().replace('"exact"', '"approximate"'))
    kept = [s.made_by.preserves for s in snncc.load_program(tmp_path / "out").stages if s.made_by]
    assert kept == [s.made_by.preserves for s in program.stages if s.made_by]
    assert "exact" in kept


def test_saving_refuses_a_folder_with_something_else(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(BadFile, match="is no snncc program"):
        program.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


def test_saving_keeps_what_was_added_to_a_program(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    (tmp_path / "out" / "report.html").write_text("mine")
    with pytest.raises(BadFile, match="is no snncc program"):
        program.save(tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_text() == "mine"


def test_saving_below_a_file_says_what_is_wrong(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="cannot be written"):
        program.save(tmp_path / "file" / "out")


def test_an_interrupted_save_leaves_the_old_program(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.save(tmp_path / "out")
    before = (tmp_path / "out" / "program.json").read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snncc.api.folder.save_graph", interrupted)
    with pytest.raises(KeyboardInterrupt):
        program.save(tmp_path / "out")
    assert (tmp_path / "out" / "program.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def damage(folder: Path, what: str) -> None:
    manifest = folder / "program.json"
    text = json.loads(manifest.read_text())
    match what:
        case "missing":
            manifest.unlink()
        case "cut":
            manifest.write_text(manifest.read_text()[:40])
        case "newer":
            manifest.write_text(json.dumps({**text, "version": 99}))
        case "outside":
            text["stages"][0]["file"] = "../evil.snn"
            manifest.write_text(json.dumps(text))
        case "stage":
            stage = folder / text["stages"][-1]["file"]
            stage.write_bytes(stage.read_bytes()[:-9])
        case "claim":
            text["stages"][1]["preserves"] = "peace"
            manifest.write_text(json.dumps(text))
        case "deep":
            manifest.write_text("[" * 100_000)
        case "target":
            manifest.write_text(json.dumps({**text, "target": "brain"}))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "is no program folder"),
        ("cut", "is damaged"),
        ("newer", "reads up to 2"),
        ("outside", "outside its folder"),
        ("stage", "damaged"),
        ("target", "unknown target 'brain'; known: loihi, sim, speck"),
        ("claim", "is damaged"),
        ("deep", "is damaged"),
    ],
)
def test_damaged_programs_are_refused(program: Program, tmp_path: Path, what: str, words: str) -> None:
    program.save(tmp_path / "out")
    damage(tmp_path / "out", what)
    with pytest.raises(SnnccError, match=words):
        snncc.load_program(tmp_path / "out")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 1, 5, 6)), r"needs data \[B, \*shape\] = B x 1 x 6 x 6, has shape \(3, 1, 5, 6\)"),
        (np.zeros((0, 1, 6, 6)), "the data is empty"),
        (np.full((2, 1, 6, 6), np.nan), "NaN or infinite, the first at index"),
        (np.zeros((2, 1, 6, 6), complex), "needs numbers"),
        (np.full((2, 1, 6, 6), "a"), "needs numbers"),
        (np.zeros(()), "needs data"),
    ],
)
@pytest.mark.parametrize("precision", ["integer", "float"])
def test_bad_data_is_refused_in_words(x: np.ndarray, words: str, precision: str) -> None:
    program = snncc.compile(sfa_graph(), calibration=images(), precision=precision)
    with pytest.raises(BadInput, match=words):
        program.run(x)


def test_unknown_names_list_the_known(program: Program) -> None:
    with pytest.raises(UnknownName, match=r"unknown node 'n7'; known: .*n1"):
        program.run(images(), record=["n7"])
    with pytest.raises(UnknownName, match="unknown target 'speckk'; known: loihi, sim, speck"):
        snncc.compile(sfa_graph(), target="speckk")
    for option in ("encoding", "fold", "rounding", "precision", "bias", "overflow"):
        with pytest.raises(BadInput, match=f"unknown {option} 'x'; known: "):
            snncc.compile(sfa_graph(), calibration=images(), **{option: "x"})  # type: ignore[arg-type]


def test_an_analog_input_without_a_range_names_the_way_out() -> None:
    with pytest.raises(BadInput, match=r"--calibration x.npz"):
        snncc.compile(sfa_graph())
    program = snncc.compile(sfa_graph(), input_range=(0, 1))
    assert (
        np.abs(
            program.run(images()).output - snncc.compile(sfa_graph(), precision="float").run(images()).output
        ).max()
        < 1
    )


def unbounded(graph: SpikeGraph) -> SpikeGraph:
    nodes = [
        replace(n, parameters=replace(n.parameters, max_count=None)) if isinstance(n, Neuron) else n
        for n in graph.nodes
    ]
    return graph.with_nodes(nodes)


def test_every_misfit_is_reported_at_once() -> None:
    graph = unbounded(sfa_graph())
    problems = snncc.check(graph, "sim")
    assert [p.where.split()[0] for p in problems] == ["n0", "n1", "last"]
    with pytest.raises(DoesNotFit, match="3 problems") as caught:
        snncc.compile(graph, calibration=images())
    assert str(caught.value).count("give the neuron a max_count") == 3
    assert snncc.check(sfa_graph(), "sim") == []


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    class DropHead:
        name = "drop-head"
        preserves = snncc.passes.Preserves.EXACT

        def __call__(self, graph: SpikeGraph) -> SpikeGraph:
            return graph.with_nodes(node for node in graph.nodes if node.name != "head")

        def __repr__(self) -> str:
            return "DropHead()"

    with pytest.raises(InvalidGraph, match=r"(?s)y .*reads 'head', which is no node.*after DropHead\(\)"):
        snncc.compile(sfa_graph(), passes=[DropHead()])


def test_a_program_is_independent_of_the_folder_it_came_from(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "out")
    loaded = snncc.load_program(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert np.array_equal(loaded.run(images()).output, program.run(images()).output)


def test_clipped_input_is_reported_everywhere() -> None:
    program = snncc.compile(sfa_graph(), calibration=images())
    assert program.run(images()).notes == ()
    (note,) = program.run(images() * 100).notes
    assert "of the input lies outside the calibrated range" in note
    assert snncc.verify(program, None, images() * 100).notes[-1].startswith("WARNING")
    report = snncc.evaluate(program, images() * 100, np.arange(24) % 5)
    assert report.scores[0].notes == (note,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_range": (1, 0)}, "must be LOW < HIGH"),
        ({"input_range": (1,)}, r"must be \(LOW, HIGH\)"),
        ({"input_range": (0, float("nan"))}, "must be LOW < HIGH"),
        ({"input_range": (0, 1), "calibration": images()}, "give one of them"),
        ({"calibration": images() * 0}, "zero everywhere"),
        ({"precision": "float", "encoding": "stream", "flush": -1}, "0 or more flush ticks"),
    ],
)
def test_ranges_and_options_that_say_nothing_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        snncc.compile(sfa_graph(), **options)  # type: ignore[arg-type]


def test_labels_beyond_the_classes_are_refused() -> None:
    program = snncc.compile(sfa_graph(), calibration=images())
    with pytest.raises(BadInput, match=r"labels y must be 0\.\.4, but go from 100 to 123"):
        snncc.evaluate(program, images(), np.arange(24) + 100)


def test_a_silent_layer_is_noted() -> None:
    program = snncc.compile(sfa_graph(), precision="float")
    quiet = images() * 0 - 50
    silent = [name for name, spikes in program.run(quiet).spikes.items() if not spikes.any()]
    notes = snncc.verify(program, None, quiet).notes
    assert [f"note: {name} never fires on this data" in notes for name in silent] == [True] * len(silent)


def test_synapses_that_the_compiler_added_are_no_layers_of_the_ann() -> None:
    graph = sfa_graph()
    nodes = list(graph.nodes)
    at = next(k for k, node in enumerate(nodes) if node.name == "add1")
    nodes[at] = Add(name="add1", inputs=wires("n1", "norm1"))
    graph = graph.with_nodes(nodes)
    x = images()
    real, integer = (
        snncc.compile(graph, **options).run(x) for options in ({"precision": "float"}, {"calibration": x})
    )
    (skip,) = (layer for layer in integer.counts.layers if layer.name == "add1.skip0")
    assert skip.ac > 0
    assert skip.formula_ac == 0
    assert integer.counts.ann_macs == real.counts.ann_macs
