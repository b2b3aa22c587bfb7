"""`load_exported`: nothing in an archive runs, whoever wrote it, and damage is told from defects of ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snncc.errors import BadFile, CannotTrace
from snncc.frontends.exported import load_exported
from snncc.frontends.exported_guards import parse_guard
from snncc.nn import IF

Json = dict[str, Any]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.fire = IF(0.5, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fire(self.layer(x)).reshape(x.shape[0], x.shape[1], 3)
        return out


class Touch:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt2"
    shapes = ({1: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(Model().eval(), (torch.rand(5, 2, 4),), dynamic_shapes=shapes), path
    )
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """*file* with other entries."""
    with zipfile.ZipFile(file) as archive:
        parts = {e.filename.partition("/")[2]: archive.read(e) for e in archive.infolist()}
    change(parts)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(f"model/{name}", data)


def edited(file: Path, change: Callable[[Json], None], entry: str = "models/model.json") -> None:
    """*file* with another program."""

    def edit(parts: dict[str, bytes]) -> None:
        program = json.loads(parts[entry])
        change(program)
        parts[entry] = json.dumps(program).encode()

    rewritten(file, edit)


def nodes(program: Json) -> list[Json]:
    found: list[Json] = program["graph_module"]["graph"]["nodes"]
    return found


def pickled(marker: Path) -> bytes:
    out = io.BytesIO()
    torch.save(Touch(marker), out)
    return out.getvalue()


def test_the_archive_loads_as_it_is(file: Path) -> None:
    rewritten(file, lambda parts: None)
    assert load_exported(file)(torch.rand(5, 2, 4)).shape == (5, 2, 3)


def test_pickled_sample_inputs_are_not_read(file: Path, marker: Path) -> None:
    rewritten(file, lambda parts: parts.update({"data/sample_inputs/model.pt": pickled(marker)}))
    load_exported(file)(torch.rand(5, 2, 4))
    assert not marker.exists()
    torch.load(io.BytesIO(pickled(marker)), weights_only=False)
    assert marker.exists(), "the attack itself must work"


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickled_weights(kind: str, file: Path, marker: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        name = f"data/{kind}/model_{kind}_config.json"
        config = json.loads(parts[name])
        path = {"weights": "weight_9", "constants": "opaque_obj_0"}[kind]
        payload = {"path_name": path, "is_param": False, "use_pickle": True, "tensor_meta": None}
        config["config"]["layer.extra"] = payload
        parts[name] = json.dumps(config).encode()
        parts[f"data/{kind}/{path}"] = pickled(marker)

    rewritten(file, change)
    with pytest.raises(BadFile, match=r"layer.extra is pickled, which could run code"):
        load_exported(file)
    assert not marker.exists()


def test_expressions_are_not_evaluated(file: Path, marker: Path) -> None:
    code = f"__import__('os').mkdir({str(marker)!r})"

    def change(program: Json) -> None:
        for meta in program["graph_module"]["graph"]["tensor_values"].values():
            for size in [*meta["sizes"], *meta["strides"]]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code

    edited(file, change)
    load_exported(file)(torch.rand(5, 2, 4))
    assert not marker.exists()
    with contextlib.suppress(Exception):
        torch.export.load(file)
    assert marker.exists(), "the attack itself must work"


def text_argument(marker: Path) -> list[Json]:
    return [{"name": "path", "arg": {"as_string": str(marker)}, "kind": 1}]


TARGETS = [
    "torch.os.mkdir",
    "torch.hub.load",
    "torch.ops.load_library",
    "torch.ops.aten.save.default",
    "torch.ops.aten.from_file.default",
    "torch.ops.aten._print.default",
    "torch.ops.aten.manual_seed.default",
    "torch.ops.aten.linear.__class__",
    "torch.ops.aten.__init__.default",
    "torch.ops.aten.nothing.default",
    "torch.ops.aten.linear.default.decompose",
    "torch.ops.prim.device.default",
    "torch.ops.higher_order.cond",
    "_operator.attrgetter",
    "_operator.pow",
    "math.prod",
    "#triton",
    "os.mkdir",
    "",
]


@pytest.mark.parametrize("target", TARGETS)
def test_only_operations_on_tensors_are_called(target: str, file: Path, marker: Path) -> None:
    def change(program: Json) -> None:
        nodes(program)[0] |= {"target": target, "inputs": text_argument(marker)}

    edited(file, change)
    with pytest.raises(CannotTrace) as caught:
        load_exported(file)
    assert f"calls {target}" in caught.value.message
    assert "which snncc does not run" in caught.value.message
    assert not marker.exists()


GUARDS = [
    "__import__('os').mkdir('marker')",
    "L['x'].size()[1] == (lambda: 1)()",
    "L['x'].size().__class__",
    "L['x'].size(1)[1] == 1",
    "[1 for _ in range(3)]",
    "2 ** 2 ** 100 == 1",
    "L['x'].size()[True is 1]",
    "1 if 1 else 2",
    "not",
    "1 in 2",
    "(" * 500,
    "1" * 2000,
]


@pytest.mark.parametrize("guard", GUARDS)
def test_guards_are_not_evaluated(guard: str, file: Path) -> None:
    edited(file, lambda program: program.update(guards_code=[guard]))
    with pytest.raises(CannotTrace, match="has a guard"):
        load_exported(file)


def test_guards() -> None:
    guard = parse_guard("L['x'].size()[0] * 2 + 1 <= L['y'].size()[1] and not L['x'].size()[0] % 3 == 1")
    assert guard.holds({"x": (3,), "y": (0, 7)})
    assert not guard.holds({"x": (3,), "y": (0, 6)})
    assert not guard.holds({"x": (1,), "y": (0, 7)})
    assert parse_guard("1 <= L['x'].size()[0] < 3").holds({"x": (2,)})


def remove(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        del parts[name]

    return change


ARCHIVES: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "compiled": (
        lambda parts: parts.update({"data/aotinductor/model/a.so": b"x"}),
        r"holds compiled code \(data/aotinductor/model/a.so\)",
    ),
    "two programs": (lambda parts: parts.update({"models/b.json": b"{}"}), "holds 2 programs instead of one"),
    "no program": (remove("models/model.json"), "holds 0 programs instead of one"),
    "no weights": (remove("data/weights/model_weights_config.json"), "has no data/weights/model_weights_con"),
    "no weight": (remove("data/weights/weight_0"), r"is damaged \(KeyError: 'data/weights/weight_0'\)"),
    "no format": (remove("archive_format"), "is no exported program of torch.export.save"),
    "no JSON": (lambda parts: parts.update({"models/model.json": b"{"}), r"is damaged \(JSONDecodeError"),
    "deep JSON": (lambda parts: parts.update({"models/model.json": b"[" * 10**5}), "is damaged"),
    "short weight": (
        lambda parts: parts.update({"data/weights/weight_0": b"1234"}),
        "is damaged .RuntimeError: ",
    ),
    "no bytes": (
        lambda parts: parts.update({"data/weights/weight_0": b""}),
        r"layer.\w+ claims the shape \(.*\), more than its 0 bytes hold",
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_other_archives(name: str, file: Path) -> None:
    change, text = ARCHIVES[name]
    rewritten(file, change)
    with pytest.raises(BadFile, match=text) as caught:
        load_exported(file)
    assert caught.value.message.startswith(str(file))


def set_version(program: Json) -> None:
    program["schema_version"]["major"] = 7


def huge(config: Json) -> None:
    meta = config["config"]["layer.weight"]["tensor_meta"]
    meta["sizes"], meta["strides"] = [{"as_int": 1 << 40}], [{"as_int": 0}]


def named(config: Json) -> None:
    config["config"]["forward"] = config["config"]["layer.weight"]


PROGRAMS: dict[str, tuple[Callable[[Json], None], str, str]] = {
    "version": (set_version, "models/model.json", "has version 7 of the format; snncc reads version 8"),
    "huge": (huge, "data/weights/model_weights_config.json", "more than its 48 bytes hold"),
    "name": (named, "data/weights/model_weights_config.json", r"is damaged \(KeyError"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_other_programs(name: str, file: Path) -> None:
    change, entry, text = PROGRAMS[name]
    edited(file, change, entry)
    with pytest.raises(BadFile, match=text):
        load_exported(file)


def test_other_files(file: Path, tmp_path: Path) -> None:
    for end in range(1, file.stat().st_size, 397):
        cut = tmp_path / "cut.pt2"
        cut.write_bytes(file.read_bytes()[:end])
        with pytest.raises(BadFile):
            load_exported(cut)
    torch.save(nn.Linear(2, 2).state_dict(), cut)
    with pytest.raises(BadFile, match=r"is a checkpoint of torch.save"):
        load_exported(cut)
    cut.write_text("hello")
    with pytest.raises(BadFile, match=r"is no exported program of torch.export.save"):
        load_exported(cut)
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        load_exported(tmp_path / "none.pt2")
    with pytest.raises(BadFile, match=r"exported programs have names that end in .pt2"):
        load_exported(file.rename(tmp_path / "model.pt"))


def test_every_field_may_be_anything(file: Path) -> None:
    """Each value of the program in turn becomes another: a refusal, or a program, but no other error."""
    original = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        program = json.loads(archive.read(name))
    places = [place for place in leaves(program) if "metadata" not in place and "tensor_values" not in place]
    for k, place in enumerate(places):
        file.write_bytes(original)
        other: Any = [None, -1, "x", [], {}, 1.5][k % 6]
        edited(file, lambda p, place=place, other=other: put(p, place, other))  # type: ignore[misc]
        try:
            load_exported(file)
        except (BadFile, CannotTrace):
            continue


def leaves(item: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    below = [leaf for key, child in children for leaf in leaves(child, (*place, key))]
    return [place, *below] if place else below


def put(item: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        item = item[key]
    item[place[-1]] = value
