"""``snncc simulate --engine lava`` when something is wrong: one clear line, exit code 1, nothing left behind.

Stand-ins take the place of Lava's Python: small scripts that say that they have Lava.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snncc.backends import child
from snncc.backends.loihi import engine
from snncc.cli import main
from tests.backends.loihi.chains import compiled
from tests.backends.loihi.engine_stand_ins import (
    COPY,
    ONLY_READS,
    arguments,
    fails,
    stand_in,
    without_engine_python,
)
from tests.backends.loihi.live import hear_interrupts


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds; a zombie has."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("place", ["out", "else where/out"])
def test_a_program_that_runs(
    place: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from a folder that was moved, named by a relative path."""
    target = folder / place
    target.parent.mkdir(exist_ok=True)
    if target != folder / "out":
        shutil.move(folder / "out", target)
    body = "assert open(script).read(9) == '#!/usr/bi'; print('sample 1 of 3')\n"
    python = stand_in(folder, body + COPY.format(folder=str(folder)))
    monkeypatch.chdir(target.parent)
    call = ["out" if word == str(folder / "out") else word for word in arguments(folder, python)]
    assert main(call) == 0
    assert "3 samples on lava" in capsys.readouterr().out
    with np.load(folder / "saved.npz") as have, np.load(folder / "result.npz") as need:
        assert all(np.array_equal(have[name], need[f"real.{name}"]) for name in ("y", "z"))
        assert need["spikes.nb"].any()
    assert not list((folder / "tmp").iterdir())


def test_samples_done_are_shown(folder: Path) -> None:
    program, x = compiled(1)
    body = "for n in (1, 2, 3):\n    print(f'sample {n} of 3', flush=True)\n    time.sleep(0.4)\n"
    python = stand_in(folder, body + COPY.format(folder=str(folder)))
    seen: list[tuple[int, int]] = []
    program.run_engine("lava", x, python=str(python), progress=lambda *samples: seen.append(samples))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_missing_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(folder, folder / "no-python", capsys)
    assert "no-python: is no program that can be run" in message
    assert "lava/bin/pip install lava-nc==0.10.0" in message


def test_no_python_at_all(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert main(without_engine_python(folder)) == 1
    assert "no Python 3.10 with Lava was found" in capsys.readouterr().err


def test_wrong_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    assert f"cannot run Lava: it is Python {here}, Lava 0.10.0 needs 3.10" in fails(
        folder, sys.executable, capsys
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\necho 3 10 False\n", "it has no package lava"),
        ("#!/bin/sh\ntrue\n", "it is no Python"),
        ("#!/bin/sh\nexit 127\n", "it ends with exit code 127"),
        ("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2; exit 127\n", "command not found"),
        ("no program", "Exec format error"),
        ("#!/nowhere/python\n", "No such file or directory"),
    ],
)
def test_paths_that_are_no_python(
    text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = stand_in(folder, "", text)
    error = fails(folder, python, capsys)
    assert f"{python}: cannot run Lava: " in error
    assert message in error


def test_python_that_never_answers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PROBE_SECONDS", 0.5)
    python = stand_in(folder, "", "#!/bin/sh\nexec sleep 60\n")
    assert "it does not answer within 0.5 s" in fails(folder, python, capsys)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "weights.npz").unlink(), "weights.npz: there is no such file"),
        (lambda f: cut(f / "weights.npz"), "weights.npz: not an .npz file of numbers"),
        (lambda f: (f / "network.json").write_text("{"), "network.json: not JSON"),
        (lambda f: (f / "run.py").unlink(), "No such file or directory"),
        (lambda f: (f / "run.py").write_text("def\n"), "SyntaxError"),
        (lambda f: (f / "run.py").write_text("import nothing_of_this_name\n"), "ModuleNotFoundError"),
        (lambda f: (f / "run.py").write_text("import sys; sys.exit(3)"), "(exit code 3): it said nothing"),
        (lambda f: (f / "run.py").write_text("pass"), "ended without a result\n  hint: compile again"),
    ],
)
def test_damaged_folders(
    damage: Callable[[Path], object], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "out" / "loihi")
    assert message in fails(folder, stand_in(folder, ONLY_READS), capsys)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("open(result, 'wb').write(b'half')", "what the Lava program wrote cannot be read"),
        ("open(result, 'wb').close()", "what the Lava program wrote cannot be read"),
        ("import numpy; numpy.savez(result, a=1)", "wrote no 'real.y': the folder is of another network"),
        (
            "import numpy as n; old = dict(n.load({folder!r} + '/result.npz'))\n"
            "n.savez(result, **old | {{'real.y': n.zeros((70, 3, 5))}})",
            "y: the Lava program gives [70, 3, 5], the network samples of [4]",
        ),
    ],
)
def test_damaged_results(body: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in fails(folder, stand_in(folder, body.format(folder=str(folder))), capsys)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_killed_in_the_middle(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Processes that it had started end, too, and its temporary files go."""
    pids = folder / "pids"
    pids.touch()
    body = "pathlib.Path(os.environ['TMPDIR'], 'lava-run').mkdir(); open(result, 'w').write('half')\n"
    body += "other = subprocess.Popen(['sleep', '100'])\n"
    body += f"open({str(pids)!r}, 'w').write(str(other.pid))\nos.kill(os.getpid(), signal.{name})"
    error = fails(folder, stand_in(folder, body), capsys)
    assert f"the Lava program was killed ({name})" in error
    assert ("enough memory" in error) == (name == "SIGKILL")
    assert gone(int(pids.read_text()))


@pytest.mark.parametrize("stubborn", [False, True])
def test_hanging_program_is_ended(
    stubborn: bool, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that does not end when it is asked to."""
    monkeypatch.setattr(child, "PATIENCE", 1.0)
    monkeypatch.setattr(child, "GRACE", 0.5)
    pids = folder / "pids"
    pids.touch()
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    body += f"open({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"
    began = time.monotonic()
    error = fails(folder, stand_in(folder, body), capsys)
    assert time.monotonic() - began < 30
    assert "the Lava program hangs: no sample was done for 1 s, so it was ended" in error
    assert gone(int(pids.read_text()))


def test_slow_program_that_goes_on_is_not_ended(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PATIENCE", 2.0)
    body = "for n in range(8):\n    print(f'sample {n} of 8', flush=True)\n    time.sleep(0.5)\n"
    assert main(arguments(folder, stand_in(folder, body + COPY.format(folder=str(folder))))) == 0
    capsys.readouterr()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ctrl_c(folder: Path, number: signal.Signals) -> None:
    """The program is asked to end, cleans up, and nothing is left; so it is when we are asked to end."""
    pids = folder / "pids"
    body = "def stop(*_):\n    print('cleaned', file=open({file!r}, 'a'), flush=True)\n    sys.exit(1)\n"
    body += "signal.signal(signal.SIGTERM, stop)\n"
    body += "open({file!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(100)"
    python = stand_in(folder, body.format(file=str(pids)))
    call = [sys.executable, "-m", "snncc", *arguments(folder, python)]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    process = subprocess.Popen(
        call,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=hear_interrupts,
    )
    until = time.monotonic() + 60
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (1, "", "interrupted\n")
    pid, said = pids.read_text().splitlines()
    assert said == "cleaned"
    assert gone(int(pid))
    assert not (folder / "saved.npz").exists()
    assert not list((folder / "tmp").iterdir())


def test_disc_full_in_the_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script's own way of saying so; half of its result is there."""
    body = "open(result, 'w').write('half')\n"
    body += "print('error: r.npz: cannot be written: No space left on device', file=sys.stderr)\nsys.exit(1)"
    message = "the Lava program failed (exit code 1): r.npz: cannot be written: No space left on device"
    assert message in fails(folder, stand_in(folder, body), capsys)


def test_disc_full_for_the_data(folder: Path) -> None:
    """A real limit on the size of files, in a process of its own."""
    python = stand_in(folder, COPY.format(folder=str(folder)))
    code = "import sys, resource, snncc.cli as cli, snncc.backends.loihi.engine\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\nsys.exit(cli.main(sys.argv[1:]))"
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    call = [sys.executable, "-c", code, *arguments(folder, python)]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "x.npz: cannot be written: File too large\n  hint: let TMPDIR name a folder with space" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not list((folder / "tmp").iterdir())


def test_no_temporary_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    assert "no temporary folder: No such file" in fails(folder, stand_in(folder, "pass"), capsys)


def test_output_that_cannot_be_written_is_said_before_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = folder / "ran"
    python = stand_in(folder, f"open({str(marker)!r}, 'w')\n" + COPY.format(folder=str(folder)))
    call = [
        str(folder / "no" / "o.npz") if word.endswith("saved.npz") else word
        for word in arguments(folder, python)
    ]
    assert main(call) == 1
    assert "no/o.npz: there is no such folder" in capsys.readouterr().err
    assert not marker.exists()
    call[-1] = str(folder / "tmp")
    assert main(call) == 1
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    assert not list((folder / "tmp").iterdir())
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []
