"""Taking ``.snn`` files apart and putting changed ones together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import load, save

from snncc.ir.file import digest, header_of

Header = dict[str, Any]


def edited(data: bytes, change: Callable[[Header], Any]) -> bytes:
    """The file *data* with its header changed, and a digest that agrees with it."""
    header = json.loads(header_of(data)["__metadata__"]["snncc"])
    other = change(header)
    header, tensors = header if other is None else other, load(data)
    if isinstance(header, dict):
        header["sha256"] = digest(header, tensors)
    return bytes(save(tensors, metadata={"snncc": json.dumps(header)}))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
