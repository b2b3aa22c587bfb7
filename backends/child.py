"""A program of others in a process of its own: watched to its end, and ended with us."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import numpy as np

from snncc.backends.target import Progress
from snncc.errors import EngineFailed
from snncc.ir import Array

SPACE = "let TMPDIR name a folder with space"
AGAIN = "compile again"
PATIENCE = 3600.0
"""Seconds without a finished sample after which a run counts as hung."""
GRACE = 15.0
"""Seconds that a program has to clean up when it is asked to end."""
ORPHANS = 3.0
"""Seconds in which what it started notices that it is gone."""
POLL = 0.1
MOST_LINES = 12
"""Of an error."""
SAMPLE = re.compile(r"sample (\d+) of (\d+)$")


class Output:
    """What the program prints: its last lines, and the samples done."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=50)
        self.samples: tuple[int, int] | None = None
        self.heard = time.monotonic()

    def read(self, stream: IO[str]) -> None:
        """Read *stream* to its end, and close it."""
        with stream:
            for line in map(str.strip, stream):
                match = SAMPLE.match(line)
                if match is not None:
                    self.samples, self.heard = (int(match[1]), int(match[2])), time.monotonic()
                elif line:
                    self.lines.append(line)

    def last(self) -> str:
        """The error of a program that failed: its last line, or all from where one begins that says so."""
        lines = list(self.lines)
        begins = [k for k, line in enumerate(lines) if line.startswith("error: ")]
        told = lines[begins[-1] :][:MOST_LINES] if begins else lines[-1:]
        return "\n  ".join(told).removeprefix("error: ") or "it said nothing"


def execute(
    command: Sequence[str],
    environment: Mapping[str, str],
    progress: Progress | None,
    what: str,
    hint: str = "",
) -> None:
    """Run *command* to its end; no process is left. Raises `EngineFailed` about *what*, with *hint*."""
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # Ctrl-C is for us: we end it, and wait until it has cleaned up
        )
    except OSError as problem:
        raise EngineFailed(f"{command[0]}: cannot be run: {problem.strerror or problem}", hint=hint) from None
    output = Output()
    assert child.stdout is not None
    reader = threading.Thread(target=output.read, args=(child.stdout,), daemon=True)
    reader.start()
    try:
        code = watched(child, output, progress, what)
    finally:
        end(child)
        reader.join(ORPHANS)
    if code < 0:
        memory = ": was there enough memory?" if -code == signal.SIGKILL else ""
        raise EngineFailed(f"{what} was killed ({signal.Signals(-code).name}){memory}")
    if code:
        raise EngineFailed(f"{what} failed (exit code {code}): {output.last()}", hint=hint)


def watched(child: subprocess.Popen[str], output: Output, progress: Progress | None, what: str) -> int:
    """The exit code of *child*. Raises `EngineFailed` when it hangs."""
    shown = None
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(POLL)
        if progress is not None and output.samples is not None and output.samples != shown:
            shown = output.samples
            progress(*shown)
        if time.monotonic() - output.heard > PATIENCE:
            problem = f"{what} hangs: no sample was done for {PATIENCE:g} s, so it was ended"
            raise EngineFailed(problem, hint="run fewer timesteps, or run the folder by itself")


def end(child: subprocess.Popen[str]) -> None:
    """End *child* and what it has started, so that they can clean up; at once when we are pressed."""
    try:
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        with suppress(OSError):  # there is no such group: all are gone
            until = time.monotonic() + ORPHANS
            while time.monotonic() < until:
                os.killpg(child.pid, 0)
                time.sleep(POLL / 2)
            os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder. Raises `EngineFailed`."""
    try:
        folder = tempfile.mkdtemp(prefix=prefix)
    except OSError as problem:
        raise EngineFailed(f"no temporary folder: {problem.strerror or problem}", hint=SPACE) from None
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises `EngineFailed` where *path* cannot be written."""
    try:
        yield
    except OSError as problem:
        raise EngineFailed(f"{path}: cannot be written: {problem.strerror or problem}", hint=SPACE) from None


def read_result(path: Path, what: str) -> dict[str, Array]:
    """The arrays that *what* wrote. Raises `EngineFailed`."""
    try:
        with np.load(path) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise EngineFailed(f"{what} ended without a result", hint=AGAIN) from None
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as problem:
        raise EngineFailed(f"what {what} wrote cannot be read: {problem}", hint=AGAIN) from None
