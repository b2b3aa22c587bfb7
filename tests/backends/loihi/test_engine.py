"""``snncc simulate --engine lava`` when something is wrong: one clear line, exit code 1, nothing left behind.

Stand-ins take the place of Lava's Python: small scripts that say that they have Lava.
"""

from __future__ import annotations

import json
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

from snncc.backends.loihi import child, engine
from snncc.cli import main
from tests.backends.loihi.chains import compiled
from tests.backends.loihi.live import hear_interrupts

STAND_IN = """#!{python}
import sys
if sys.argv[1] == "-c":
    print("3 10 True")
    sys.exit()
import os, pathlib, signal, subprocess, time
script, data, result = sys.argv[1], sys.argv[2], sys.argv[sys.argv.index("-o") + 1]
"""
ONLY_READS = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
"""The script itself, in this Python, where it goes as far as it can without Lava."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program in ``out``, data, and ``result.npz`` as its script would write it."""
    folder = tmp_path_factory.mktemp("saved")
    program, x = compiled(1)
    program.save(folder / "out")
    np.savez(folder / "x.npz", x=x)
    run = program.run(x).run
    found = {f"real.{name}": value for name, value in run.outputs.items()}
    found |= {f"spikes.{name}": value[:, :, 0] for name, value in run.spikes.items()}
    np.savez(folder / "result.npz", **found)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, with a folder ``tmp`` for temporary files, which must be empty in the end."""
    shutil.copytree(saved, tmp_path / "w")
    (tmp_path / "w" / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "w" / "tmp"))
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    return tmp_path / "w"


def stand_in(folder: Path, body: str, head: str = STAND_IN) -> Path:
    path = folder / "python-lava"
    path.write_text(head.format(python=sys.executable) + body)
    path.chmod(0o755)
    return path


def arguments(folder: Path, python: Path | str) -> list[str]:
    call = ["simulate", str(folder / "out"), "--input", str(folder / "x.npz"), "--engine", "lava"]
    return [*call, "--engine-python", str(python), "--save-output", str(folder / "saved.npz")]


def fails(folder: Path, python: Path | str, capsys: pytest.CaptureFixture[str]) -> str:
    """The error message of the command, which left nothing behind."""
    before = {path for path in folder.rglob("*") if path.name != "__pycache__"}
    assert main(arguments(folder, python)) == 1
    assert {path for path in folder.rglob("*") if path.name != "__pycache__"} == before
    assert not list((folder / "tmp").iterdir())
    out, err = capsys.readouterr()
    assert not out
    assert "Traceback" not in err
    assert err.startswith("error: ")
    return err


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


COPY = "import shutil; shutil.copy({folder!r} + '/result.npz', result)"


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


def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """A folder with *programs*, which is all of the PATH."""
    place = folder / "bin"
    place.mkdir()
    for name, text in programs.items():
        path = place / name.replace("_", ".")
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setenv("PYENV_ROOT", str(folder / "pyenv"))
    monkeypatch.delenv("UV_PYTHON", raising=False)
    return place


def without_engine_python(folder: Path) -> list[str]:
    return [word for word in arguments(folder, "-") if word not in ("-", "--engine-python")]


SHIM = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2; exit 127\n"
BARE = "#!/bin/sh\necho 3 10 False\n"
UV = """#!{python}
import json, os, shutil, sys
given = sys.argv[1:]
open({seen!r}, "w").write(json.dumps([given, os.environ["UV_PYTHON_DOWNLOADS"]]))
shutil.copy({folder!r} + "/result.npz", given[given.index("-o") + 1])
"""


@pytest.mark.parametrize("base", ["nothing", "on the PATH", "of pyenv", "UV_PYTHON"])
def test_uv_makes_the_environment(base: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given a Python that runs: at a broken one, such as pyenv's of versions not chosen, it stops."""
    uv = UV.format(python=sys.executable, seen=str(folder / "seen"), folder=str(folder))
    place = on_path(folder, monkeypatch, uv=uv, python3_10=BARE if base == "on the PATH" else SHIM)
    wanted = []
    if base == "on the PATH":
        wanted = ["--python", str(place / "python3.10")]
    elif base == "of pyenv":
        python = folder / "pyenv" / "versions" / "3.10.13" / "bin" / "python3.10"
        python.parent.mkdir(parents=True)
        python.write_text(BARE)
        python.chmod(0o755)
        wanted = ["--python", str(python)]
    elif base == "UV_PYTHON":
        monkeypatch.setenv("UV_PYTHON", "3.10")
    assert not engine.can_run()
    assert main(without_engine_python(folder)) == 0
    given, downloads = json.loads((folder / "seen").read_text())
    script, data, option, result, *rest = given[len(wanted) + 2 :]
    assert given[: len(wanted) + 2] == ["run", *wanted, "--script"]
    assert (script, Path(data).name, option) == (str(folder / "out" / "loihi" / "run.py"), "x.npz", "-o")
    assert Path(result).name == "result.npz"
    assert rest == ["--progress", "--timesteps", "70"]
    assert downloads == "never"


def test_uv_fails(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "#!/bin/sh\necho 'Downloading' >&2\n"
    text += "printf 'error: Request failed after 3 retries\\n  cause: no route\\n' >&2; exit 2\n"
    on_path(folder, monkeypatch, uv=text)
    assert main(without_engine_python(folder)) == 1
    error = capsys.readouterr().err
    assert (
        "the Lava program failed (exit code 2): Request failed after 3 retries\n  cause: no route\n" in error
    )
    assert "hint: let UV_PYTHON name a Python 3.10 for uv; or install lava-nc 0.10.0 for Python 3.10" in error
    assert not list((folder / "tmp").iterdir())


def test_python_on_the_path_behind_one_that_does_not_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = on_path(folder, monkeypatch, python3_10=SHIM, uv="#!/bin/sh\nexit 9\n")
    other = folder / "other"
    other.mkdir()
    shutil.move(stand_in(folder, COPY.format(folder=str(folder))), other / "python3.10")
    monkeypatch.setenv("PATH", f"{place}:{other}")
    assert engine.command(None) == [str(other / "python3.10")]
    assert main(without_engine_python(folder)) == 0
    assert "3 samples on lava" in capsys.readouterr().out


@pytest.mark.slow
def test_live_uv(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNNCC_UV names a uv that finds a Python 3.10 and an index of packages, or has them already."""
    uv = os.environ.get("SNNCC_UV")
    if not uv:
        pytest.skip("SNNCC_UV names no uv")
    monkeypatch.setattr(tempfile, "tempdir", None)  # pytest's would be too long for sockets
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(uv)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert engine.command(None)[:2] == [str(tmp_path / "bin" / "uv"), "run"]
    assert main(without_engine_python(folder)) == 0
    with np.load(folder / "saved.npz") as have, np.load(folder / "result.npz") as need:
        assert all(np.array_equal(have[name], need[f"real.{name}"]) for name in ("y", "z"))


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


def test_ctrl_c(folder: Path) -> None:
    """The program is asked to end, cleans up, and nothing is left."""
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
    process.send_signal(signal.SIGINT)
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
