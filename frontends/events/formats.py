"""The formats of recordings: one table, and the function that reads by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snncc.errors import BadFile
from snncc.frontends.archive import checked_path, first_bytes
from snncc.frontends.events import tables
from snncc.frontends.events.aedat2 import read_aedat2
from snncc.frontends.events.aedat3 import read_aedat3
from snncc.frontends.events.aedat4 import read_aedat4
from snncc.frontends.events.events import Events, Gathering
from snncc.frontends.events.evt import read_evt
from snncc.frontends.events.nmnist import read_nmnist
from snncc.frontends.events.options import Options

Reader = Callable[[Path, Options], tuple[Gathering, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: names end in one of *suffixes*, files begin with *magic*; *needs* is what they do not say."""

    name: str
    suffixes: Sequence[str]
    read: Reader
    needs: str
    magic: bytes = b""


FORMATS = (
    Format("NumPy", (".npz",), tables.read_npz, "sensor, unless it has `width` and `height`"),
    Format("HDF5", (".h5", ".hdf5"), tables.read_h5, "sensor; extra `events`"),
    Format("CSV", (".csv",), tables.read_csv, "sensor"),
    Format("N-MNIST, N-Caltech101", (".bin",), read_nmnist, "sensor"),
    Format(
        "AEDAT 2.0", (".aedat", ".aedat2"), read_aedat2, "camera, unless `# AEChip:` says it", b"#!AER-DAT2.0"
    ),
    Format(
        "AEDAT 3.1", (".aedat", ".aedat3"), read_aedat3, "sensor, unless a camera is named", b"#!AER-DAT3.1"
    ),
    Format(
        "AEDAT 4.0", (".aedat", ".aedat4"), read_aedat4, "extra `events`, if it is packed", b"#!AER-DAT4.0"
    ),
    Format("EVT 2.0, EVT 3.0", (".raw",), read_evt, "sensor, unless its header says it", b"% "),
)
"""What can be read, in the order in which it is tried."""

SUFFIXES = tuple(dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes))


def load_events(
    path: str | Path, *, width: int | None = None, height: int | None = None, camera: str | None = None
) -> Events:
    """The events of a recording: .npz, .h5, .csv, .bin (N-MNIST), .aedat (2.0, 3.1, 4.0), .raw (EVT 2, 3).

    *width* and *height* of the sensor are needed where the file does not say them; where it does they must
    agree. *camera* (``dvs128``, ``davis240``, ``davis346``, ``davis640``) is what an AEDAT 2.0 file was
    recorded with, where it does not say so. Raises `BadFile`, naming the event and its byte, for a recording
    that is cut off or damaged, that goes back in time or leaves the sensor: nothing is skipped or repaired.
    """
    path = Path(path)
    options = Options(width, height, camera)
    checked_path(path, SUFFIXES, "recordings")
    gathered, notes = format_of(path).read(path, options)
    try:
        columns = gathered.columns()
    except MemoryError:
        raise BadFile(f"{path}: its {gathered.count} events do not fit into memory") from None
    return Events(**columns, width=gathered.width, height=gathered.height, notes=notes)


def format_of(path: Path) -> Format:
    """The format of *path*, by its name and its first bytes. Raises `BadFile`."""
    named = [one for one in FORMATS if path.suffix.lower() in one.suffixes]
    longest = max(len(one.magic) for one in named)
    start = first_bytes(path, longest)
    found = next((one for one in named if start.startswith(one.magic)), None)
    if found is None:
        begins = " or ".join(repr(one.magic.decode()) for one in named)
        raise BadFile(
            f"{path}: must begin with {begins}, not {start.decode('latin-1')!r}",
            hint="the file is damaged, or of another version: convert it to .npz, .h5 or .csv",
        )
    return found


def is_recording(path: Path) -> bool:
    """Whether the name of *path* (of an .npz file, its arrays) says that it is a recording, not frames."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES and (suffix != ".npz" or tables.holds_events(path))
