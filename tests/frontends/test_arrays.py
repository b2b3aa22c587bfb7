"""Arrays from .npz and .npy files: as NumPy reads them, and never more memory than the file justifies."""

from __future__ import annotations

import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from snncc.errors import BadFile
from snncc.frontends import arrays
from snncc.frontends.arrays import read_arrays

TYPES: list[Any] = ["i1", ">i2", "<u4", "i8", "f4", ">f8", "?", "c8", "S3", [("x", "i2"), ("t", "i8")]]
DTYPES: Any = st.sampled_from([np.dtype(one) for one in TYPES])


@given(
    drawn.arrays(DTYPES, drawn.array_shapes(min_dims=0, min_side=0)),
    st.booleans(),
    st.booleans(),
)
def test_as_numpy_reads_them(array: Any, fortran: bool, packed: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        (np.savez_compressed if packed else np.savez)(path, x=array, other=array[:0] if array.ndim else array)
        found = read_arrays(path)
        np.save(path.with_suffix(".npy"), array)
        alone = read_arrays(path.with_suffix(".npy"))
    assert list(found) == ["x", "other"]
    assert list(alone) == ["x"]
    for one in (found["x"], alone["x"]):
        assert one.dtype == array.dtype
        np.testing.assert_array_equal(one, array)


def header(shape: str, kind: str = "<i8", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header("(1099511627776,)"), "array 'x' claims (1099511627776,) of int64; the file has 129 bytes"),
        (header("(4294967296, 4294967296)"), "claims"),
        (header("(-1,)"), "claims"),
        (header("(3,)") + bytes(23), "array 'x' needs 24 bytes, 23 are there"),
        (header("(3,)", "|O"), "holds Python objects"),
        (header("(3,)", version=b"\x09\x00"), "is of format (9, 0)"),
        (header("(" * 60), "is no readable .npz or .npy file"),
        (b"\x80\x04cposix\nsystem\n", "is no readable .npz or .npy file"),
        (b"PK\x03\x04", "is no readable .npz or .npy file"),
        (b"", "is empty"),
    ],
)
def test_damage(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(BadFile) as caught:
            read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert words in str(caught.value)


def archive(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)
    return path


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = header("(3,)") + bytes(24)
    path = tmp_path / "a.npz"
    assert list(read_arrays(archive(path, [("../../x.npy", good)]))) == ["../../x"], "names are no paths"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(path, [("x.npy", good), ("x.npy", good)])
    for entries, words in (
        (None, "has two arrays 'x'"),
        ([("x.txt", good)], "its entry 'x.txt' is no array"),
        ([("x.npy", good + b"!")], "is followed by other bytes"),
        ([("x.npy", header("(99999999,)") + bytes(1000))], "claims"),
    ):
        with pytest.raises(BadFile, match=words):
            read_arrays(path if entries is None else archive(path, entries))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("x.npy", good)  # its header may ask for 4 GiB
    with pytest.raises(BadFile, match="is packed in a way that NumPy never writes"):
        read_arrays(path)
    bomb = archive(path, [(f"{k}.npy", header("(1000000,)", "|i1") + bytes(1000000)) for k in range(3)])
    assert bomb.stat().st_size < 10_000
    monkeypatch.setattr(arrays, "MAXIMUM_BYTES", 1 << 21)
    with pytest.raises(BadFile, match="would unpack to 3000387 bytes; at most 2097152 are read"):
        read_arrays(path)
    monkeypatch.setattr(arrays, "MAXIMUM_ARRAYS", 2)
    with pytest.raises(BadFile, match="has 3 arrays; at most 2 are read"):
        read_arrays(path)
