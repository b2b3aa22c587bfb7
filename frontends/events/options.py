"""What the user says about a recording, and what the file itself says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from snncc.errors import BadInput, UnknownName
from snncc.frontends.events.events import checked_sensor

CAMERAS = {
    "dvs128": (128, 128),
    "davis240": (240, 180),
    "davis346": (346, 260),
    "davis640": (640, 480),
}
"""Width and height of iniVation's cameras."""


@dataclass(frozen=True, slots=True)
class Options:
    """The sensor's size and the camera, where the user gave them."""

    width: int | None = None
    height: int | None = None
    camera: str | None = None

    def __post_init__(self) -> None:
        if self.camera is not None and self.camera not in CAMERAS:
            raise UnknownName("camera", self.camera, CAMERAS)

    def sensor(self, path: Path, found: tuple[int, int] | None = None) -> tuple[int, int]:
        """The sensor's width and height: *found* in the file, given, or both and equal. Raises `BadInput`."""
        if found is None and self.camera is not None:
            found = CAMERAS[self.camera]
        if self.width is None and self.height is None and found is not None:
            return checked_sensor(path, *found)
        if self.width is None or self.height is None:
            raise BadInput(
                f"{path}: does not say how large the sensor is",
                hint="give width=... and height=... in pixels",
            )
        given = checked_sensor(path, self.width, self.height)
        if found is not None and found != given:
            raise BadInput(
                f"{path}: needs a sensor of {given[0]} x {given[1]} (width x height), has one of "
                f"{found[0]} x {found[1]}",
                hint="nothing is cropped or scaled: convert the recording, or build the network for its size",
            )
        return given

    def named(self, path: Path, text: str) -> str | None:
        """The camera that the file calls *text*, or the one given; None where nothing names a known one."""
        plain = text.rpartition(".")[2].lower()
        found = next((name for name in CAMERAS if re.match(rf"{name}(?!\d)", plain)), None)
        if found is not None and self.camera is not None and found != self.camera:
            raise BadInput(f"{path}: is of a {text}, not of a {self.camera}")
        return found or self.camera


def notes(*counted: tuple[int, str]) -> tuple[str, ...]:
    """Sentences for the counts that are not zero."""
    return tuple(f"{count} {text}" for count, text in counted if count)
