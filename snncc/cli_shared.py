"""What several groups of commands need: the flags of a model, lists of numbers, the progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any


def model_flags(one: argparse.ArgumentParser) -> None:
    one.add_argument("--factory", metavar="PACKAGE.MODULE:FUNCTION", help="builds the model of a state dict")
    one.add_argument(
        "--trust", action="store_true", help="run code from the file: only for a file of your own"
    )


def integers(text: str) -> tuple[int, ...]:
    """A list of integers such as 1,28,28."""
    return tuple(int(part) for part in text.split(","))


def reals(text: str) -> tuple[float, ...]:
    """A list of numbers such as 0,1."""
    return tuple(float(part) for part in text.split(","))


class progress_bar:  # noqa: N801
    """A progress bar on a terminal, nothing in a pipe; gives a callable (done, total)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        if not sys.stderr.isatty():
            return lambda done, total: None
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True), transient=True)
        self.bar.start()
        task = self.bar.add_task(self.text, total=None)
        return lambda done, total: self.bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
