"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from snncc.errors import BadFile


def replace_file(path: Path, data: bytes) -> None:
    """Write *data* to *path* through a temporary file beside it, so that no half file is ever seen.

    Raises `BadFile` when the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as problem:
        raise BadFile(f"{path}: cannot be written: {problem.strerror or problem}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~current_umask())
        os.replace(name, path)
    except OSError as problem:
        Path(name).unlink(missing_ok=True)
        raise BadFile(f"{path}: cannot be written: {problem.strerror or problem}") from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def current_umask() -> int:
    """The process's umask; asking for it means setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
