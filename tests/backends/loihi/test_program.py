"""The script of a Loihi program folder, without Lava: what it reads, refuses, sends and reports."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.backends.loihi.definition import run_definition
from tests.backends.loihi.networks import SCRIPT, Draft, draw

ALLOWED = {"lava", "numpy", "scipy"} | sys.stdlib_module_names


def load() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("lava_program", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lava_program"] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    return module


PROGRAM = load()


def folder_with(draft: Draft, folder: Path, **changes: Any) -> Path:
    """The folder of *draft*; *changes*: values in it by `list__index__key`, or in the whole."""
    draft.write(folder)
    path = folder / "network.json"
    data = json.loads(path.read_text())
    for where, value in changes.items():
        *way, key = where.split("__")
        entry = data[way[0]][int(way[1])] if way else data
        entry[key] = value
    path.write_text(json.dumps(data))
    return folder


def test_script_says_what_it_needs() -> None:
    text = SCRIPT.read_text()
    match = re.search(r"^# /// script\n(.*?)^# ///$", text, re.M | re.S)
    assert match is not None
    assert match[1] == '# requires-python = "==3.10.*"\n# dependencies = ["lava-nc==0.10.0"]\n'


def test_script_is_alone_and_imports_nothing_of_ours() -> None:
    assert [path.name for path in SCRIPT.parent.glob("*.py")] == ["run.py"]
    for node in ast.walk(ast.parse(SCRIPT.read_text(), feature_version=(3, 10))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= ALLOWED


def test_script_does_not_import_lava_by_itself() -> None:
    assert "lava" not in {name.partition(".")[0] for name in sys.modules}


@pytest.mark.parametrize("number", range(15))
def test_random_networks_are_read(number: int, tmp_path: Path) -> None:
    network = PROGRAM.read_network(draw(number, 3).write(tmp_path))
    assert network.name == draw(number, 3).name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "not a 'snncc lava program' of version 1"),
        ({"populations__0__process": "Izhikevich"}, "n0: there is no process 'Izhikevich'"),
        ({"populations__0__vth": 1 << 17}, "n0: vth has 17 bits and bias_exp 3"),
        ({"populations__0__bias_exp": 8}, "n0: vth has 17 bits and bias_exp 3"),
        ({"populations__1__du": 4096}, "n1: du is 0 to 4095 and dv 0 to 4096"),
        ({"populations__1__fire": 7}, "n1: fires at 7, but its window ends elsewhere"),
        ({"populations__0__window": 2}, "n0: a window of 2 and 1 ticks in a frame of 1 steps"),
        ({"frame": 2}, "n0: Lava's LIF updates in each of the 2 steps of a frame"),
        ({"connections__0__weight_exp": 8}, "c0: weight_exp is 8, not -8 to 7"),
        ({"connections__1__delay": 1}, "c1: n0 must be LIFHeld, or samples would mix"),
        ({"connections__0__delay": 64}, "c0: a delay of 64: Lava has up to 63 extra steps"),
        ({"depth": 1}, "n1: fires after the 1 extra steps of a sample"),
        ({"depth": 2}, "out0: starts after the 2 extra steps of a sample"),
        ({"inputs__0__kind": "analog"}, "c0: in0 sends numbers: message_bits is needed"),
    ],
)
def test_refused_folders(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PROGRAM.ProgramError, match=f"{re.escape(message)}$"):
        PROGRAM.read_network(folder_with(draw(0), tmp_path, **changes))


@pytest.mark.parametrize(
    ("number", "changes", "need"),
    [
        (8, {"low": -8, "high": 7}, 4),
        (8, {"low": -9, "high": 7}, 5),
        (8, {"low": -8, "high": 8}, 5),
        (8, {"low": 0, "high": 255}, 8),
        (10, {"max_count": 255}, 8),
        (10, {"max_count": None, "theta": 9000, "rho": 9000}, 10),
        (10, {"max_count": None, "theta": 2**23 - 1, "rho": 1}, 1),
        (10, {"max_count": None, "theta": 2**23 - 2, "rho": 1}, 2),
    ],
)
def test_messages_hold_the_numbers_sent(
    number: int, changes: dict[str, Any], need: int, tmp_path: Path
) -> None:
    """One bit less is refused, with the connection, the sender, what is needed and what there is."""
    data = draw(number).finish()
    which = "inputs" if number == 8 else "populations"
    sender = data[which][0]["name"]
    index = next(k for k, c in enumerate(data["connections"]) if c["source"] == sender)
    edits = {f"{which}__0__{key}": value for key, value in changes.items()}
    bits = f"connections__{index}__message_bits"
    PROGRAM.read_network(folder_with(draw(number), tmp_path / "enough", **edits, **{bits: need}))
    few = need - 1
    message = f"^c{index}: {sender} sends numbers of {need} bits, message_bits is {few}$"
    message = message if few else f"^c{index}: {sender} sends numbers: message_bits is needed$"
    with pytest.raises(PROGRAM.ProgramError, match=message):
        PROGRAM.read_network(folder_with(draw(number), tmp_path / "few", **edits, **{bits: few}))


def test_numbers_without_any_bound_are_refused(tmp_path: Path) -> None:
    message = "^n0: rho is 0 and max_count null: nothing bounds its numbers$"
    with pytest.raises(PROGRAM.ProgramError, match=message):
        PROGRAM.read_network(folder_with(draw(10), tmp_path, populations__0__rho=0))


@pytest.mark.parametrize("weight", [3, 256, 255, -258, 1.0])
def test_weights_that_lava_would_change_are_refused(weight: float, tmp_path: Path) -> None:
    draft = draw(0)
    array = draft.arrays["c1.weight"].astype(type(weight))
    array[0, 0] = weight
    draft.arrays["c1.weight"] = array
    with pytest.raises(PROGRAM.ProgramError, match=r"^c1: (Lava would change weights|weights are float64)"):
        PROGRAM.read_network(draft.write(tmp_path))


@pytest.mark.parametrize("weight", [-256, 254, 0])
def test_extreme_weights_are_taken(weight: int, tmp_path: Path) -> None:
    draft = draw(0)
    draft.arrays["c1.weight"][0, 0] = weight
    PROGRAM.read_network(draft.write(tmp_path))


def test_unmatched_skip_is_refused(tmp_path: Path) -> None:
    draft = draw(6)
    assert draft.finish()["connections"][3]["delay"] == 1
    with pytest.raises(PROGRAM.ProgramError, match=r"^c3: spikes arrive outside of the window of n2$"):
        PROGRAM.read_network(folder_with(draw(6), tmp_path, connections__3__delay=0))


def test_loop_without_rest_is_refused(tmp_path: Path) -> None:
    """Lava's own LIF spikes on after a sample, and its last spike would reach the next."""
    message = "^c1: n0 must be LIFHeld, or samples would mix$"
    with pytest.raises(PROGRAM.ProgramError, match=message):
        PROGRAM.read_network(
            folder_with(draw(4), tmp_path, populations__0__process="LIFReset", populations__0__vth=200)
        )


def test_initial_state_needs_a_process_that_has_one(tmp_path: Path) -> None:
    with pytest.raises(PROGRAM.ProgramError, match=r"^n0: Lava's LIFReset starts at zero"):
        PROGRAM.read_network(folder_with(draw(9), tmp_path, populations__0__process="LIFReset"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "network.json").unlink(), "there is no network.json"),
        (lambda folder: (folder / "network.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "network.json").write_text("[]"), "not a 'snncc lava program'"),
        (lambda folder: (folder / "weights.npz").unlink(), "there is no such file"),
        (lambda folder: (folder / "weights.npz").write_text("no"), "not an .npz file of numbers"),
        (lambda folder: np.savez(folder / "weights.npz"), "'c0.weight' is missing"),
    ],
)
def test_damaged_folders(damage: Any, message: str, tmp_path: Path) -> None:
    folder = draw(0).write(tmp_path)
    damage(folder)
    with pytest.raises(PROGRAM.ProgramError, match=message):
        PROGRAM.read_network(folder)


def encoded(draft: Draft, folder: Path, samples: int | None = None, **x: Any) -> Any:
    return PROGRAM.encoded(PROGRAM.read_network(draft.write(folder)), x or draft.x, samples)


def test_analog_values_are_rounded_and_clipped(tmp_path: Path) -> None:
    (values,) = encoded(draw(8), tmp_path, x=np.array([[0, 0.124, 0.125, 0.376, -0.375, 9, -9, 1, 2]]))
    assert values[0, 0].tolist() == [0, 0, 0, 2, -2, 7, -8, 4, 7]  # scale 0.25, half to even


@pytest.mark.parametrize("layout", ["TB", "BT"])
def test_layouts(layout: str, tmp_path: Path) -> None:
    draft = Draft("layout", np.random.default_rng(0), timesteps=5, layout=layout)
    x = draft.input([2, 3], samples=4)
    hidden = draft.population([3])
    draft.connect(x, hidden)
    draft.connect(hidden, draft.readout([2], "sequence"))
    (values,) = encoded(draft, tmp_path)
    assert values.shape == (4, 5, 2, 3)
    assert np.array_equal(values[3, 1], draft.x["x"][(1, 3) if layout == "TB" else (3, 1)])
    network = PROGRAM.read_network(tmp_path)
    integers, real = PROGRAM.output(network, network.readouts[0], np.arange(40).reshape(4, 5, 2))
    assert integers.shape == ((5, 4, 2) if layout == "TB" else (4, 5, 2))
    assert np.array_equal(real, integers * 0.125)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((20, 3, 8)), "in0: an array of shape [20, 3, 8], not [T, B, 9]"),
        (np.full((20, 3, 9), 0.5), "in0: spikes must be whole numbers, 0 or more"),
        (np.full((20, 3, 9), 2), "in0: spikes are at most 1"),
        (np.full((20, 3, 9), -1), "in0: spikes must be whole numbers, 0 or more"),
        (np.full((20, 3, 9), np.nan), "in0: values are not finite"),
        (np.full((20, 3, 9), "a"), "in0: values of type <U1 are no numbers"),
        (np.zeros((20, 0, 9)), "there are no samples"),
    ],
)
def test_refused_inputs(x: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PROGRAM.ProgramError, match=f"^{re.escape(message)}$"):
        encoded(draw(0), tmp_path, x=x)


def test_counts_without_a_bound_are_at_most_what_a_message_holds(tmp_path: Path) -> None:
    draft = draw(8)
    folder = folder_with(draft, tmp_path, inputs__0__kind="count", inputs__0__high=None)
    network = PROGRAM.read_network(folder)
    bits = network.connections[0]["message_bits"]
    for most, is_taken in ((2**bits - 1, True), (2**bits, False)):
        x = {"x": np.full((1, *network.inputs[0]["shape"]), most)}
        if is_taken:
            assert (PROGRAM.encoded(network, x, None)[0] == most).all()
            continue
        with pytest.raises(PROGRAM.ProgramError, match=f"^in0: counts are at most {2**bits - 1}$"):
            PROGRAM.encoded(network, x, None)


def test_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(PROGRAM.ProgramError, match=r"^the input file has no array 'in0'$"):
        encoded(draw(0), tmp_path, y=np.zeros(3))
    with pytest.raises(PROGRAM.ProgramError, match=r"^the input file has no array 'in1'$"):
        encoded(draw(11), tmp_path, in0=np.zeros((3, 6)))


def test_lengths(tmp_path: Path) -> None:
    network = PROGRAM.read_network(draw(0).write(tmp_path / "0"))
    inputs = PROGRAM.encoded(network, draw(0).x, 2)
    assert PROGRAM.job_for(network, inputs, None) == PROGRAM.Job(2, 20, 20 + network.depth, 1)
    assert PROGRAM.job_for(network, inputs, 7).timesteps == 7
    for wrong, message in (
        (21, "21 timesteps: the input has 20"),
        (-1, "-1 timesteps: it must be 1 or more"),
    ):
        draft = draw(0 if wrong > 0 else 8)
        network = PROGRAM.read_network(draft.write(tmp_path / str(wrong)))
        with pytest.raises(PROGRAM.ProgramError, match=message):
            PROGRAM.job_for(network, PROGRAM.encoded(network, draft.x, 2), wrong)


def test_lif_without_reset_runs_one_sample_only(tmp_path: Path) -> None:
    network = PROGRAM.read_network(draw(13).write(tmp_path))
    with pytest.raises(PROGRAM.ProgramError, match=r"run one sample, with --samples 1$"):
        PROGRAM.job_for(network, [np.zeros((2, 20, 9), int)], None)


def test_clock() -> None:
    """A window of 3 steps in a frame of 4, two timesteps, from step 2 on; samples of 11 steps."""
    clock = PROGRAM.Clock(PROGRAM.Job(2, 2, 11, 4), 2, 3)
    assert [clock.receives(step) for step in (0, 1, 2, 5, 6, 9, 10, 12)] == [
        None, None, (0, 0, 0), (0, 0, 3), (0, 1, 0), (0, 1, 3), None, None,
    ]  # fmt: skip
    assert clock.receives(13) == (1, 0, 0)
    assert clock.receives(24) is None
    assert [clock.sends(step) for step in (3, 4, 7, 8, 11, 12)] == [
        None, (0, 0, 0), (0, 0, 3), (0, 1, 0), (0, 1, 3), None,
    ]  # fmt: skip


def test_orders_of_addresses() -> None:
    shape = (2, 3, 4)
    values = np.arange(24).reshape(shape)
    lava = values.ravel()[PROGRAM.addresses(shape)]
    assert np.array_equal(lava.reshape(4, 3, 2), values.transpose(2, 1, 0))
    assert np.array_equal(PROGRAM.unfolded(np.stack([lava, lava + 1]), shape), np.stack([values, values + 1]))


@pytest.mark.parametrize("number", range(20))
def test_convolution_as_matrix(number: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(number)
    draft = Draft("matrix", rng, timesteps=1)
    groups = int(rng.choice([1, 2]))
    pad = tuple(int(p) for p in rng.integers(0, 3, 4))
    stride, dilation = (tuple(int(p) for p in rng.integers(1, 3, 2)) for _ in range(2))
    x = draft.input([2, 6, 7], kind="count", presence="constant", samples=1)
    draft.conv(x, 4, kernel=(2, 3), stride=stride, padding=pad, dilation=dilation, groups=groups)  # type: ignore[arg-type]
    draft.readout(draft.end("n0")["shape"], of="n0")
    folder = draft.write(tmp_path)
    network = PROGRAM.read_network(folder)
    matrix = PROGRAM.convolution_matrix(network.connections[0], network.arrays["c0.weight"])
    largest = np.abs(matrix @ draft.x["x"].ravel()).max()
    assert largest == run_definition(folder, draft.x).largest_input > 0


def test_save_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.npz"
    PROGRAM.save(path, {"a": np.arange(3)})
    with pytest.raises(ValueError):
        PROGRAM.save(path, {"a": np.array([None]), "b": _Broken()})
    assert np.load(path)["a"].tolist() == [0, 1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.npz"]
    with pytest.raises(PROGRAM.ProgramError, match="cannot be written"):
        PROGRAM.save(tmp_path / "no" / "result.npz", {})


class _Broken:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ValueError


def call(folder: Path, *options: str) -> tuple[int, str]:
    """Exit code and standard error of the script, with this Python, which has no Lava."""
    done = subprocess.run(
        [sys.executable, "run.py", *options], cwd=folder, capture_output=True, text=True, check=False
    )
    assert not done.stdout
    return done.returncode, done.stderr


def test_errors_are_one_line(tmp_path: Path) -> None:
    folder = draw(0).write(tmp_path / "moved")
    here = ".".join(map(str, sys.version_info[:2]))
    assert call(folder, "x.npz", "-o", "r.npz") == (
        1,
        f"error: Lava 0.10.0 needs Python 3.10, this is {here}: start it with `uv run run.py`, "
        "or in a Python 3.10 with `pip install lava-nc==0.10.0`\n",
    )
    assert call(folder, "y.npz", "-o", "r.npz") == (1, "error: y.npz: there is no such file\n")
    assert call(folder, "x.npz", "-o", "no/r.npz") == (1, "error: no/r.npz: there is no such folder\n")
    code, message = call(folder, "network.json", "-o", "r.npz")
    assert code == 1
    assert message.startswith("error: network.json: not an .npz file of numbers")
    assert message.count("\n") == 1
    assert not (folder / "r.npz").exists()
    shutil.move(folder / "run.py", tmp_path)
    code, message = call(tmp_path, "moved/x.npz", "-o", "r.npz")
    assert (code, message.count("\n")) == (1, 1)
    assert "there is no network.json: is run.py still in its folder?" in message


@pytest.mark.parametrize("is_refused", [False, True])
def test_temporary_folders_too_deep_for_sockets(is_refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    length = PROGRAM.MOST_SOCKET - len("/pymp-a1b2c3d4/listener-a1b2c3d4") + is_refused
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (length - 1))
    if not is_refused:
        PROGRAM.check_sockets()
        return
    with pytest.raises(PROGRAM.ProgramError, match="x: too long a path for sockets: let TMPDIR name a sh"):
        PROGRAM.check_sockets()


def test_without_numpy(tmp_path: Path) -> None:
    folder = draw(0).write(tmp_path)
    code = f"import sys; sys.modules['numpy'] = None; exec(open({str(folder / 'run.py')!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: numpy is not installed: start it with `uv run run.py`")
    assert done.stderr.count("\n") == 1
