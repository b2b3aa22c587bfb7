"""Whatever stands in a NIR file: a clear error, or what the file says; in little time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import snncc
from snncc.errors import BadFile, SnnccError
from snncc.frontends.nir_file import read_nir
from snncc.frontends.nir_hdf5 import Group, Stored, Tree, read_bytes
from snncc.frontends.nir_layers import undone
from snncc.frontends.nir_notes import DIGEST, digest
from snncc.frontends.nir_values import Values
from snncc.frontends.nir_write import write_nir
from snncc.ir import Array, Conv, Dense, SpikeGraph, dump, wires
from tests.frontends.nir_files import RECORDED, chain, ends_of, outputs, unit, write
from tests.frontends.nir_networks import HARD, conv_graph, data, layer
from tests.mutations import in_a_process

MOST_MEMORY = 64 << 20
OPTIONS: dict[str, Any] = {"dt": 1e-4, "timesteps": 20}


def ours() -> bytes:
    path = Path(tempfile.gettempdir()) / f"snncc-damage-{os.getpid()}.nir"
    snncc.save_nir(layer(HARD), path)
    content = path.read_bytes()
    path.unlink()
    return content


GOOD = {"ours": ours(), "recorded": RECORDED.read_bytes()}


def mutated(content: bytes, seed: int) -> bytes:
    """Some bytes changed, mostly where the structure is; sometimes cut off, or a piece moved."""
    rng = np.random.default_rng(seed)
    broken = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        at = int(rng.integers(len(broken)))
        if rng.random() < 0.7:  # where something stands
            at = next((k for k in range(at, len(broken)) if broken[k]), at)
        broken[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, broken[at] ^ (1 << int(rng.integers(8)))]))
    if rng.random() < 0.1:
        broken = broken[: int(rng.integers(len(broken)))]
    if rng.random() < 0.1:
        a, b, n = (int(v) for v in rng.integers(0, len(broken) // 2 + 1, 3))
        broken[a : a + n % 200] = broken[b : b + n % 200]
    return bytes(broken)


def attempt(path: Path, options: dict[str, Any]) -> SpikeGraph | None:
    """The graph, or None for a clear refusal; anything else is our fault."""
    graph, text = None, f"{path}: "
    tracemalloc.start()
    try:
        graph = snncc.load(path, **options)
    except SnnccError as problem:
        text = str(problem)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert text.startswith(f"{path}: ")
    assert len(text) < 1200
    return graph


def fuzz(which: str, seeds: range, folder: Path) -> tuple[int, int]:
    """How many mutated files were refused, and how many gave a graph."""
    path, options = folder / "m.nir", {} if which == "ours" else OPTIONS
    path.write_bytes(GOOD[which])
    whole = dump(snncc.load(path, **options))
    counts = [0, 0]
    for seed in seeds:
        path.write_bytes(mutated(GOOD[which], seed))
        graph = attempt(path, options)
        counts[graph is not None] += 1
        if graph is None:
            continue
        if which == "ours":  # a digest: nothing but what was written
            assert dump(graph) == whole, seed
            np.testing.assert_array_equal(outputs(graph, data()), outputs(layer(HARD), data()))
        else:
            graph.verify()
    return counts[0], counts[1]


@pytest.mark.parametrize("which", GOOD)
def test_mutated(which: str, tmp_path: Path) -> None:
    refused, read = fuzz(which, range(150), tmp_path)
    assert refused > 50
    assert read > 0


@pytest.mark.slow
@pytest.mark.parametrize("which", GOOD)
def test_many_mutated(which: str, tmp_path: Path) -> None:
    counts = in_a_process(fuzz, (which, range(1000, 3000), tmp_path), (which, range(20), tmp_path))
    assert sum(counts) == 2000


@pytest.mark.parametrize("which", GOOD)
def test_truncated(which: str, tmp_path: Path) -> None:
    content, path = GOOD[which], tmp_path / "t.nir"
    for length in [0, 1, 7, 8, 40, 95, 96, *range(100, len(content), 1009), len(content) - 1]:
        path.write_bytes(content[:length])
        assert attempt(path, OPTIONS if which == "recorded" else {}) is None


def refusal(path: Path) -> str:
    with pytest.raises(BadFile) as caught:
        snncc.load(path, **OPTIONS)
    return str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.nir")
    (tmp_path / "folder.nir").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.nir")
    path = tmp_path / "x.nir"
    path.write_bytes(b"PK\x03\x04 no graph")
    assert "is no HDF5 file" in refusal(path)
    with h5py.File(path, "w") as file:
        file["weights"] = np.ones(3)
    assert "is an HDF5 file, but no NIR graph" in refusal(path)
    with h5py.File(path, "w", libver="latest") as file:
        file["version"] = "1.0.8"
    assert "superblock version" in refusal(path)
    assert "without libver" in refusal(path)
    newer = chain(path, [1], unit("Scale", scale=np.ones(1)), out=[1], version="2.0.0")
    assert "has NIR version 2.0.0; snncc reads those before 2" in refusal(newer)


def bomb(path: Path, size: int) -> None:
    """Few bytes that claim and hold a large array of zeros."""
    nodes = {**ends_of(1), "w": unit("Scale")}
    write(path, nodes, [("input", "w"), ("w", "output")])
    with h5py.File(path, "a") as file:
        group = file["node/nodes/w"]
        group.create_dataset("scale", shape=(size,), dtype="f8", chunks=(1 << 20,), compression="gzip")
        group["scale"][:1] = 1  # the rest of the blocks is never written


def test_claims_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "b.nir"
    bomb(path, 1 << 40)
    assert attempt(path, OPTIONS) is None
    assert "more than this file can hold" in refusal(path)
    bomb(path, 1 << 21)
    assert attempt(path, OPTIONS) is None
    assert "has 1 of 2 blocks" in refusal(path)


def test_links_are_refused(tmp_path: Path) -> None:
    path = chain(tmp_path / "l.nir", [1], unit("Scale", scale=np.ones(1)), out=[1])
    with h5py.File(path, "a") as file:
        file["node/nodes/again"] = file["node/nodes/a"]
    assert "hard link" in refusal(path)
    chain(path, [1], unit("Scale", scale=np.ones(1)), out=[1])
    with h5py.File(path, "a") as file:
        file["node/nodes/soft"] = h5py.SoftLink("/node/nodes/a")
    assert "symbolic link" in refusal(path)
    chain(path, [1], unit("Scale", scale=np.ones(1)), out=[1])
    with h5py.File(path, "a") as file:
        file["node/nodes/far"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "is damaged" in refusal(path) or "link" in refusal(path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    node: dict[str, Any] = {"type": "NIRGraph", "nodes": ends_of(1), "edges": [("input", "output")]}
    for _ in range(20):
        node = {
            "type": "NIRGraph",
            "nodes": {**ends_of(1), "g": node},
            "edges": [("input", "g"), ("g", "output")],
        }
    write(tmp_path / "d.nir", {**ends_of(1), "g": node}, [("input", "g"), ("g", "output")])
    assert "is more than 32 groups deep" in refusal(tmp_path / "d.nir")


def test_fans_of_identities_do_not_explode(tmp_path: Path) -> None:
    nodes, edges = dict(ends_of(1)), [("input", "a0"), ("input", "b0")]
    for k in range(40):
        nodes |= {f"{side}{k}": unit("Identity", shape=np.ones(1, int)) for side in "ab"}
        edges += [(f"{x}{k - 1}", f"{y}{k}") for x in "ab" for y in "ab" if k]
    write(tmp_path / "f.nir", nodes, [*edges, ("a39", "output")])
    assert "connections" in refusal(tmp_path / "f.nir")


FORGED: list[tuple[str, dict[str, Any], str]] = [
    ("lif", {"reset": "bogus"}, "its entry snncc.reset is damaged"),
    ("lif", {"theta": "high"}, "its entry snncc.theta is damaged"),
    ("lif", {"theta": np.zeros((7, 7))}, "does not broadcast"),
    ("lif", {"max_count": np.array(-5)}, "max_count >= 1"),
    ("lif", {"max_count": np.ones(3)}, "its entry snncc.max_count is damaged"),
    ("lif", {"rho": np.array(-1.0)}, "rho must be positive"),
    ("lif", {"theta": np.array(np.nan)}, "not finite"),
    ("lif", {"leak": np.array(0.0), "order": "integrate-first"}, "has no leak left"),
    ("lif", {"mood": np.array(1)}, "the entry snncc.mood, which this snncc does not know"),
    ("fc", {"mood": np.array(1)}, "the entry snncc.mood, which this snncc does not know"),
    ("in", {"kind": "sound"}, "is not a valid Kind"),
    ("out", {"over": "years"}, "is not a valid Over"),
    ("", {"timesteps": np.array(1e300)}, "at least one timestep"),
    ("", {"timesteps": "many"}, "the entry snncc.timesteps is no number"),
    ("", {"dt": np.array(np.nan)}, "its entry snncc.dt is nan"),
    ("", {"layout": "TBT"}, "is not a valid Layout"),
    ("", {"mood": np.array(1)}, "the entry snncc.mood, which this snncc does not know"),
    ("", {"kind:nobody": "spike"}, "has the entry snncc.kind:nobody, but no such node"),
]


@pytest.mark.parametrize(("where", "notes", "message"), FORGED)
def test_forged_notes(where: str, notes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Entries that agree with their digest, and are nonsense."""
    path = tmp_path / "f.nir"
    path.write_bytes(GOOD["ours"])
    whole = read_nir(path)
    units = dict(whole.units)
    if where:
        units[where] = replace(units[where], notes={**units[where].notes, **notes})
    forged = replace(whole, units=units, notes={**whole.notes, **({} if where else notes)})
    write_nir(replace(forged, notes={**forged.notes, DIGEST: digest(forged)}), path)
    with pytest.raises(SnnccError) as caught:
        snncc.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("weight", [np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2, 3, 3))])
def test_weights_that_stand_for_no_affine_node(weight: Array) -> None:
    kind = Dense if weight.ndim == 2 else Conv
    with pytest.raises(BadFile, match=r"has the entry snncc\.diagonal, but other weights"):
        undone(kind(name="fc", inputs=wires("in"), weight=weight))


# -- the forms of HDF5 that h5py writes


def same_tree(ours: Group, theirs: Any, values: Values) -> int:
    """Compares everything; says how many data sets there are."""
    assert set(ours.members) == set(theirs)
    count = 0
    for name, member in ours.members.items():
        if isinstance(member, Group):
            count += same_tree(member, theirs[name], values)
            continue
        assert isinstance(member, Stored)
        mine, other = values.read(member), theirs[name][()]
        if isinstance(mine, str):
            assert mine == other.decode()
        elif isinstance(mine, tuple):
            assert mine == tuple(text.decode() for text in np.ravel(other))
        else:
            assert mine.shape == np.shape(other)
            np.testing.assert_array_equal(mine, other)
        count += 1
    return count


def read_both(path: Path) -> int:
    tree = Tree(read_bytes(path))
    with h5py.File(path, "r") as file:
        return same_tree(tree.root(), file, Values(tree))


def test_values_are_those_that_h5py_reads(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "v.nir"
    big = rng.normal(size=(37, 23, 5))
    with h5py.File(path, "w") as file:
        for kind in ("i1", "u2", ">i4", "<u8", "f2", "<f4", ">f8", "?"):
            file[f"types/{kind}"] = rng.integers(0, 2, (2, 3)).astype(kind)
        file["scalar"], file["empty"], file["text"] = 3.5, np.zeros((0, 4)), "grün"
        file["fixed"] = np.array([[b"ab", b"c"]], "S5")
        texts = np.array([["a", ""], ["longer text", "β"]], dtype=object)
        file.create_dataset("texts", data=texts, dtype=h5py.string_dtype())
        file.create_dataset("gzip", data=big, chunks=(10, 7, 5), compression="gzip")
        file.create_dataset("all", data=big, chunks=(8, 8, 2), compression=9, shuffle=True, fletcher32=True)
        file.create_dataset("plain", data=big, chunks=(3, 2, 1))  # so many blocks that their tree has levels
        for k in range(500):  # so many that the table of the group has levels
            file[f"many/node number {k}"] = k
        file["note"] = np.ones(2)
        file["note"].attrs["of"] = "somebody"
    assert read_both(path) == 517


def test_recorded_and_own_files(tmp_path: Path) -> None:
    assert read_both(RECORDED) > 10
    snncc.save_nir(conv_graph(), tmp_path / "o.nir")
    assert read_both(tmp_path / "o.nir") > 30


def test_unknown_compression_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "z.nir", {**ends_of(1), "w": unit("Scale")}, [("input", "w"), ("w", "output")])
    with h5py.File(path, "a") as file:
        file["node/nodes/w"].create_dataset("scale", data=np.ones(9), compression="lzf")
    assert "is compressed by the HDF5 filter 32000" in refusal(path)
    assert "compression='gzip'" in refusal(path)


def test_reading_needs_neither_h5py_nor_torch() -> None:
    code = f"""
import sys
sys.modules["h5py"] = sys.modules["nir"] = sys.modules["torch"] = None
import snncc
graph = snncc.load({str(RECORDED)!r}, dt=1e-4, timesteps=4)
print(len(graph.nodes))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
