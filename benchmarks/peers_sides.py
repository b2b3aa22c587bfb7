"""Processes that run one network again and again, each when it is asked."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.peers_environments import PEERS


@dataclass(frozen=True, slots=True)
class Side:
    """A process with one network and its data; every line that it reads is one run."""

    process: subprocess.Popen[str]
    errors: Path

    def ask(self, **more: str | int) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(more) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"a peer ended: {self.errors.read_text(encoding='utf-8')[-2000:]}")


@contextmanager
def side(command: Sequence[str], folder: Path, name: str, threads: int) -> Iterator[Side]:
    errors = folder / f"{name}.errors"
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            cwd=ROOT,
            env={**os.environ, **limits},
        )
        try:
            yield Side(process, errors)
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.stdout:
                process.stdout.close()


def command_of(peer: str, python: str, job: Path) -> list[str]:
    return [python, "-I", str(Path(__file__).with_name(PEERS[peer].worker)), peer, str(job)]
