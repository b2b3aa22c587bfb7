"""Recordings of event cameras on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snncc.api import Program

Data = tuple[dict[str, Any], tuple[str, ...]]
"""The arrays of ``--input``, and notes on what of a recording is left out."""


def event_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--dt", type=duration, metavar="1000us", help="events: length of a timestep (us, ms, s)")
    one.add_argument(
        "--event-bins", choices=("counts", "spikes"), help="events: counts (default), or 0 and 1"
    )
    one.add_argument("--camera", metavar="NAME", help="AEDAT 2.0: dvs128, davis240, davis346 or davis640")


def duration(text: str) -> int:
    """Microseconds of a text such as 1000us, 1ms or 1s."""
    for unit, factor in (("us", 1), ("ms", 1000), ("s", 1_000_000)):
        if text.endswith(unit) and (number := text.removesuffix(unit)).isdecimal() and int(number):
            return int(number) * factor
    raise argparse.ArgumentTypeError(f"{text!r} is no time such as 1000us, 1ms or 1s")


def input_of(options: argparse.Namespace, program: Program, timesteps: int | None = None) -> Data:
    """The arrays of ``--input``, and what of a recording is left out."""
    from snncc.api import read_input
    from snncc.frontends.events import Bins, is_recording

    bins = None
    if options.dt is not None or options.event_bins is not None or is_recording(options.input):
        steps = program.timesteps if timesteps is None and options.dt is None else timesteps
        bins = Bins(steps, options.dt, options.event_bins or "counts")
    return read_input(program.graph, options.input, bins, options.camera)


def labeled_input_of(options: argparse.Namespace, program: Program) -> Data:
    """As `input_of`, and a .csv file is a list of recordings with labels."""
    from snncc.api import read_labeled
    from snncc.frontends.events import Bins

    if options.input.suffix.lower() != ".csv":
        return input_of(options, program)
    bins = Bins(program.timesteps, options.dt, options.event_bins or "counts")
    return read_labeled(program.graph, options.input, bins, options.camera)
