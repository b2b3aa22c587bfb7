"""Runs of the script on a live Lava: that they leave nothing behind, and say what went wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.backends.loihi.definition import run_definition
from tests.backends.loihi.live import command, hear_interrupts, lava_python, run_live
from tests.backends.loihi.networks import Draft, draw

pytestmark = pytest.mark.slow


def test_folder_may_lie_anywhere_beside_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lava's compiler would execute every file beside a process's own."""
    draft = draw(8)
    folder = draft.write(tmp_path / "some where" / "else")
    for name in ("bomb", "none"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'went_off')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    results = run_live(folder)
    assert not (folder / "went_off").exists()
    assert np.array_equal(results["output.out0"], run_definition(folder, draft.x).results["output.out0"])


def test_options(tmp_path: Path) -> None:
    draft = draw(2)
    folder = draft.write(tmp_path)
    data = json.loads((folder / "network.json").read_text())
    results = run_live(folder, "--samples", "2", "--timesteps", "11", "--quiet")
    time_first = data["layout"] == "TB"
    x = draft.x["x"][:11, :2] if time_first else draft.x["x"][:2, :11]
    want = run_definition(folder, {"x": x}).results
    names = {name for name in want if name.partition(".")[0] in ("output", "real", "spikes")}
    assert set(results) == names
    assert all(np.array_equal(results[name], want[name]) for name in names)


def test_separate_networks_in_one_folder(tmp_path: Path) -> None:
    """Lava runs only what is connected with each other."""
    draft = Draft("separate", np.random.default_rng(3), timesteps=10)
    for _ in range(2):
        x = draft.input([6])
        hidden = draft.population([5])
        draft.connect(x, hidden)
        draft.connect(hidden, draft.readout([3]))
    draft.input([4])  # to nobody
    draft.x = {f"in{index}": x for index, x in enumerate(draft.x.values())}
    folder = draft.write(tmp_path)
    results, want = run_live(folder), run_definition(folder, draft.x).results
    assert want["spikes.n0"].any()
    assert want["spikes.n1"].any()
    assert all(np.array_equal(results[name], want[name]) for name in results)


PLAIN = """
import sys
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF
from lava.proc.monitor.process import Monitor
from lava.utils.weightutils import SignMode

folder, steps = sys.argv[1], int(sys.argv[2])
weights, x = np.load(folder + "/weights.npz"), np.load(folder + "/x.npz")["x"][:, 0]
source = RingBuffer(data=x.T.astype(int))
port, layers, monitors = source.s_out, [], []
for connection, settings in zip(("c0", "c1"), eval(sys.argv[3])):
    synapses = Dense(weights=weights[connection + ".weight"], sign_mode=SignMode.MIXED)
    neurons = LIF(**settings)
    port.connect(synapses.s_in)
    synapses.a_out.connect(neurons.a_in)
    for variable in (neurons.v, neurons.s_out):
        monitors.append(Monitor())
        monitors[-1].probe(variable, steps)
    layers.append(neurons)
    port = neurons.s_out
layers[0].run(RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
found = {}
for layer, (v, s) in enumerate(zip(monitors[::2], monitors[1::2])):
    for name, monitor in (("v", v), ("s", s)):
        (variables,) = monitor.get_data().values()
        (found[f"{name}{layer}"],) = variables.values()
layers[0].stop()
np.savez(folder + "/plain.npz", **found)
"""


def test_a_plain_program_of_lava_gives_the_definition(tmp_path: Path) -> None:
    """Nothing of ours, and Lava's own monitors: layer n is n steps late."""
    draft = draw(13, timesteps=200)
    folder, names = draft.write(tmp_path), ("n0", "n1")
    settings = [
        {"shape": tuple(p["shape"])} | {key: p[key] for key in ("du", "dv", "vth")} for p in draft.populations
    ]
    call = [lava_python(), "-c", PLAIN, str(folder), "203", repr(settings)]
    subprocess.run(call, check=True, timeout=120, cwd=tmp_path)
    want = run_definition(folder, draft.x).results
    assert want["spikes.n1"].any()
    with np.load(folder / "plain.npz") as found:
        for start, name in enumerate(names, start=1):
            assert np.array_equal(found[f"v{start - 1}"][start:][:200], want[f"v.{name}"][:, 0])
            assert np.array_equal(found[f"s{start - 1}"][start:][:200], want[f"train.{name}"][:, 0, 0])


def test_connections_without_weights_and_many_groups(tmp_path: Path) -> None:
    """Lava holds the number of groups in 8 bits."""
    draft = Draft("edges", np.random.default_rng(3), timesteps=10)
    x = draft.input([150, 3, 3], rate=0.5)
    first = draft.conv(x, 300, groups=150, bias=True)
    second, third = draft.population([4], bias=True), draft.population([3], vth=80)
    for source, target, kind in (
        (first, second, "sparse"),
        (second, third, "dense"),
        (first, third, "sparse"),
    ):
        wire = draft.connect(source, target, kind)
        for array in (draft.arrays.get(f"{wire}.data"), draft.arrays.get(f"{wire}.weight")):
            if array is not None and (source, kind) != (second, "dense"):
                array[:] = 0
    draft.connect(third, draft.readout([2]))
    folder = draft.write(tmp_path)
    results = run_live(folder, record=[first, second, third])
    want = run_definition(folder, draft.x).results
    assert want[f"spikes.{first}"].all()
    assert all(np.array_equal(results[name], want[name]) for name in want)


def test_unknown_population(tmp_path: Path) -> None:
    folder = draw(0).write(tmp_path)
    done = subprocess.run(
        command(folder, "--record", "n7"), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: there is no population 'n7'; there are: n0, n1\n")


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    folder = draw(0).write(tmp_path)
    terminal, end = os.openpty()
    assert subprocess.run(command(folder), stderr=end, timeout=60, check=False).returncode == 0
    os.close(end)
    assert os.read(terminal, 1000).decode().endswith("sample 3 of 3\r\n")
    os.close(terminal)
    done = subprocess.run(
        command(folder, "--progress"), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.startswith("sample 1 of 3\n")
    assert done.stderr.endswith("sample 3 of 3\n")


def children(parent: int) -> list[int]:
    """The processes that *parent* has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually_gone(pids: list[int]) -> bool:
    """Whether all *pids* end within a while."""
    for _ in range(150):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.1)
    return False


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A long run that has begun, and Lava's processes."""
    draft = Draft("long", np.random.default_rng(0), timesteps=1_000_000)
    x = draft.input([4], kind="analog", presence="constant")
    hidden = draft.population([4])
    draft.connect(x, hidden)
    draft.connect(hidden, draft.readout([4]))
    draft.write(folder)
    environment = os.environ | {"TMPDIR": str(folder / "t")}  # short: sockets lie there
    (folder / "t").mkdir()
    process = subprocess.Popen(
        command(folder),
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    try:
        for _ in range(300):
            if len(children(process.pid)) >= 7:  # its memory, a tracker of it, five processes, a service
                break
            time.sleep(0.1)
        time.sleep(1)
        yield process, children(process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def left_behind(folder: Path) -> set[str]:
    """Files that a run should not have left."""
    files = {path.name for path in folder.iterdir()} - {"run.py", "network.json", "weights.npz", "x.npz"}
    return (files - {"t", "__pycache__"}) | {path.name for path in (folder / "t").iterdir()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_interrupted_run(number: signal.Signals, tmp_path: Path) -> None:
    lava_python()
    with running(tmp_path) as (process, started):
        assert len(started) >= 6
        process.send_signal(number)
        _, message = process.communicate(timeout=30)
        assert (process.returncode, message) == (1, "error: interrupted\n")
        assert eventually_gone(started)
    assert left_behind(tmp_path) == set()


def test_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    lava_python()
    with running(tmp_path) as (process, started):
        assert len(started) >= 6
        process.kill()
        process.wait(30)
        assert eventually_gone(started)
    assert not (tmp_path / "result.npz").exists()


@pytest.mark.parametrize("which", [1, -1], ids=["memory", "worker"])
def test_run_ends_when_a_process_of_lava_dies(which: int, tmp_path: Path) -> None:
    lava_python()
    with running(tmp_path) as (process, started):
        os.kill(sorted(started)[which], signal.SIGKILL)
        _, message = process.communicate(timeout=60)
        assert process.returncode == 1
        assert re.match(
            "error: (a process of Lava died: was there enough memory and space for files[?]|Lava failed.*)\n",
            message,
        )
        assert eventually_gone(started)
    # A killed keeper of the memory cannot remove its own, empty folder.
    assert {name for name in left_behind(tmp_path) if not name.startswith("pymp-")} == set()
