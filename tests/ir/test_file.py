"""The ``.snn`` file: what is written is what is read, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from snncc.errors import BadFile
from snncc.ir import Array, Layout, Numbers, SpikeGraph, dump, load_graph, save_graph
from snncc.ir.file import encode, header_of, load_graph_and_extra
from snncc.reference import run
from tests.graphs import Case, graphs
from tests.ir.every_node import TIMESTEPS, data, every_node
from tests.ir.files import edited, written


def content(graph: SpikeGraph) -> dict[str, Any]:
    """Everything that a graph is, as plain values; arrays with their kind of number."""
    tensors: dict[str, Array] = {}
    nodes = [encode(node, node.name, tensors) for node in graph]
    arrays = {name: (array.dtype.str, array.tolist()) for name, array in tensors.items()}
    return {
        "nodes": nodes,
        "arrays": arrays,
        "rest": (graph.numbers, graph.name, graph.timesteps, graph.layout, graph.notes, graph.dt),
    }


@pytest.mark.parametrize("numbers", Numbers)
def test_round_trip_of_every_node(numbers: Numbers, tmp_path: Path) -> None:
    rest: dict[str, Any] = {"layout": Layout.BT, "name": "naïve ∑", "notes": ("one", "two"), "dt": 1e-4 / 3}
    graph = replace(every_node(numbers), **rest)
    save_graph(graph, tmp_path / "g.snn")
    back = load_graph(tmp_path / "g.snn")
    assert dump(back) == dump(graph)
    assert content(back) == content(graph)
    assert [type(node) for node in back] == [type(node) for node in graph]


@pytest.mark.parametrize("numbers", Numbers)
def test_a_read_graph_runs_equally(numbers: Numbers, tmp_path: Path) -> None:
    graph = every_node(numbers, executable=True)
    save_graph(graph, tmp_path / "g.snn")
    runs = [run(g, data(), timesteps=TIMESTEPS) for g in (graph, load_graph(tmp_path / "g.snn"))]
    assert all(runs[0].spikes[name].sum() > 0 for name in ("lif", "sfa"))
    for name, output in runs[0].outputs.items():
        assert output.any(), name
        assert np.array_equal(output, runs[1].outputs[name])
    assert all(np.array_equal(runs[0].spikes[n], runs[1].spikes[n]) for n in runs[0].spikes)


@settings(max_examples=25)
@given(graphs())
def test_round_trip_of_random_graphs(case: Case) -> None:
    path = Path(tempfile.gettempdir()) / f"snncc-test-{os.getpid()}.snn"
    try:
        save_graph(case.graph, path)
        back = load_graph(path)
    finally:
        path.unlink(missing_ok=True)
    assert dump(back) == dump(case.graph)
    assert content(back) == content(case.graph)
    runs = [run(g, case.x, timesteps=case.timesteps, count=False) for g in (case.graph, back)]
    assert all(np.array_equal(runs[0].outputs[n], runs[1].outputs[n]) for n in runs[0].outputs)


def test_what_a_graph_does_not_say_is_not_in_its_file(tmp_path: Path) -> None:
    """So older files are read by this snncc, and files without notes and dt by older ones: one version."""
    plain, full = every_node(Numbers.FLOAT), replace(every_node(Numbers.FLOAT), notes=("n",), dt=1e-3)
    keys = []
    for graph in (plain, full):
        save_graph(graph, tmp_path / "g.snn")
        keys.append(set(json.loads(header_of((tmp_path / "g.snn").read_bytes())["__metadata__"]["snncc"])))
    assert keys[1] - keys[0] == {"notes", "dt"}


@pytest.mark.parametrize("dt", [0, -1e-3, float("nan"), float("inf"), "soon", None, []])
def test_a_step_that_is_no_time(dt: Any, tmp_path: Path) -> None:
    save_graph(replace(every_node(Numbers.FLOAT), dt=1e-3), tmp_path / "g.snn")
    broken = edited((tmp_path / "g.snn").read_bytes(), lambda header: header.update(dt=dt))
    with pytest.raises(BadFile, match=r"a timestep of .* s; it must be more than 0|its header is damaged"):
        load_graph(written(tmp_path / "g.snn", broken))


def test_extra_is_kept_beside_the_graph(tmp_path: Path) -> None:
    extra = {"passes": ["fold"], "accuracy": 0.5, "nested": {"a": None}}
    save_graph(every_node(Numbers.FLOAT), tmp_path / "g.snn", extra)
    assert load_graph_and_extra(tmp_path / "g.snn")[1] == extra


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    # safetensors writes the entries of its metadata in any order.
    files = set()
    for _ in range(20):
        save_graph(every_node(Numbers.FLOAT), tmp_path / "g.snn")
        files.add((tmp_path / "g.snn").read_bytes())
    assert len(files) == 1


def test_saving_replaces(tmp_path: Path) -> None:
    path = tmp_path / "g.snn"
    path.write_bytes(b"an earlier file")
    save_graph(every_node(Numbers.FLOAT), path)
    assert load_graph(path).numbers is Numbers.FLOAT
    assert [p.name for p in tmp_path.iterdir()] == ["g.snn"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        save_graph(every_node(Numbers.FLOAT), tmp_path / "g.snn")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "g.snn").stat().st_mode) == 0o640


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BadFile, match=r"file/g\.snn: cannot be written: Not a directory"):
        save_graph(every_node(Numbers.FLOAT), tmp_path / "file" / "g.snn")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be written: No such file or directory"):
        save_graph(every_node(Numbers.FLOAT), tmp_path / "none" / "g.snn")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "g.snn").mkdir()
    with pytest.raises(BadFile, match=r"g\.snn: cannot be written"):
        save_graph(every_node(Numbers.FLOAT), tmp_path / "g.snn")
    assert [p.name for p in tmp_path.iterdir()] == ["g.snn"]


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), Interrupted()])
def test_an_interrupted_write_leaves_what_was_there(
    function: str, problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g.snn"
    save_graph(every_node(Numbers.FLOAT), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        expected = BadFile if isinstance(problem, OSError) else Interrupted
        with pytest.raises(expected) as error:
            save_graph(every_node(Numbers.INTEGER), path)
    if isinstance(problem, OSError):
        assert str(error.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["g.snn"]
