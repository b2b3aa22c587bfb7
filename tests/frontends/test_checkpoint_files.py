"""`load_module`: files that are damaged, or something else."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from snncc.errors import BadFile
from snncc.frontends.checkpoints import load_module
from snncc.nn import LIF


def bad_zip(path: Path, **entries: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
        archive.writestr("m/version", "3")
        archive.writestr("m/byteorder", "little")


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\0" * (1 << 24))


def lying(path: Path) -> None:
    """An uncompressed entry whose sizes are made up."""
    bad_zip(path, m__data_pkl=b"." * 100)
    data = path.read_bytes()
    size = struct.pack("<II", 100, 100)
    path.write_bytes(data.replace(size, struct.pack("<II", 1 << 30, 1 << 30)))


def truncated(path: Path) -> None:
    torch.save(nn.Linear(30, 30), path)
    path.write_bytes(path.read_bytes()[:-300])


def cut_legacy(path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-1000])


def cut_pickle(path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:60])


def script(path: Path) -> None:
    bad_zip(path, m__data_pkl=b"\x80\x02}.", m__constants_pkl=b"\x80\x02).")


def old_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("storages")
        archive.addfile(info, io.BytesIO())


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps([1]))


def old_module(path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), path, _use_new_zipfile_serialization=False)


def expanded(path: Path) -> None:
    """A tensor of 4 GiB over four bytes."""
    torch.save({"a": torch.ones(1).expand(1 << 30)}, path)


def overlong(path: Path) -> None:
    """An old file with a tensor of 260 numbers over 4."""
    torch.save({"a": torch.ones(4)}, path, _use_new_zipfile_serialization=False)
    old, new = b"K\x04\x85q", b"M\x04\x01\x85q"  # the size (4,) becomes (260,)
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is empty"),
    "text": (lambda p: p.write_text("hello"), "is no checkpoint of torch.save"),
    "truncated": (truncated, "is truncated or damaged: File is not a zip file"),
    "other zip": (lambda p: bad_zip(p, a__b=b"x"), "is a zip archive, but no checkpoint of torch.save"),
    "bomb": (bomb, "its entry 'm/data.pkl' is compressed, which torch.save never does"),
    "lying": (lying, r"its entries claim 10737418.. bytes, the file has \d+"),
    "no pickle": (lambda p: bad_zip(p, m__data_pkl=b"\xff\xff"), "is truncated or damaged"),
    "half a pickle": (lambda p: bad_zip(p, m__data_pkl=b"\x80\x02}"), "is truncated or damaged"),
    "wrong pickle": (lambda p: bad_zip(p, m__data_pkl=b"\x80\x02h\x05."), "cannot be loaded: KeyError"),
    "stack": (lambda p: bad_zip(p, m__data_pkl=b"\x80\x02R."), "cannot be loaded: "),
    "script": (script, "is a TorchScript archive, in which the modules of the model are lost"),
    "exported": (lambda p: bad_zip(p, m__archive_format=b"pt2"), "is a zip archive"),
    "tar": (old_tar, "has the tar format of PyTorch before 0.1.10"),
    "pickle": (plain_pickle, "is a pickle, but not one of torch.save"),
    "legacy, cut": (cut_legacy, "cannot be loaded"),
    "legacy, cut early": (cut_pickle, "is truncated or damaged"),
    "legacy module": (old_module, "whole modules in the format before PyTorch 1.6 hold source code"),
    "expanded": (expanded, r"a claims the shape \(1073741824,\), more than the file holds"),
    "overlong": (overlong, "cannot be loaded: RuntimeError: storage has wrong byte size"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(name: str, file: Path) -> None:
    write, text = FILES[name]
    write(file)
    with pytest.raises(BadFile, match=text) as caught:
        load_module(file)
    assert str(file) in caught.value.message


def test_names_of_files(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none.pt: cannot be read: No such file or directory"):
        load_module(tmp_path / "none.pt")
    with pytest.raises(BadFile, match="is a folder, not a file"):
        load_module(tmp_path)
    other = tmp_path / "model.onnx"
    other.write_bytes(b"x")
    with pytest.raises(BadFile, match=r"checkpoints have names that end in .pt, .pth, .ckpt"):
        load_module(other)
    with pytest.raises(BadFile, match="cannot be read"):
        load_module("a\0b.pt")


def test_every_truncation_is_a_bad_file(file: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2), LIF()), file)
    whole = file.read_bytes()
    for end in range(1, len(whole), 97):
        file.write_bytes(whole[:end])
        with pytest.raises(BadFile):
            load_module(file)


def test_every_damage_is_a_bad_file_or_none(file: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2), LIF()), file)
    whole = file.read_bytes()
    start = whole.index(b"data.pkl") + 8
    for place in range(start, start + 2500, 23):
        for change in (1, 0x55):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            try:
                load_module(file)
            except BadFile:
                continue
