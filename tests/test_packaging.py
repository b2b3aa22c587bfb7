"""What is installed, and what an import costs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("backends", "frontends", "simulator")  # the folders beside snncc/
HEAVY = {"lava", "matplotlib", "nir", "numba", "onnx", "scipy", "sinabs", "sklearn", "torch"}


def files_on_disk() -> set[str]:
    """Every file that belongs into a wheel, as its path there."""
    folders = {"snncc": ROOT / "snncc"} | {f"snncc/{name}": ROOT / name for name in BESIDE}
    return {
        f"{installed}/{path.relative_to(folder).as_posix()}"
        for installed, folder in folders.items()
        for path in folder.rglob("*")  # which does not enter the symlinks
        if path.suffix in {".html", ".md", ".py", ".toml", ".typed"}
    }


def test_package_list_equals_disk() -> None:
    listed: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)
    inits = {PurePosixPath(name) for name in files_on_disk() if name.endswith("/__init__.py")}
    assert set(listed) == {".".join(init.parent.parts) for init in inits}


@pytest.mark.parametrize("name", BESIDE)
def test_symlink_beside(name: str) -> None:
    link = ROOT / "snncc" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("symlinks", [True, False])
def test_wheel_is_complete(tmp_path: Path, symlinks: bool) -> None:
    """Every module and data file is in the wheel, also from a checkout without symlinks."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    for name in ("snncc", *BESIDE):
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    if not symlinks:
        for name in BESIDE:
            (source / "snncc" / name).unlink()
            (source / "snncc" / name).write_text(f"../{name}")  # as git does on such a system
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(tmp_path), str(source)],
        check=True,
    )
    (wheel,) = tmp_path.glob("snncc-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("snncc/")}
    assert packed == files_on_disk()


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after *code*."""
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_is_cheap() -> None:
    assert not HEAVY & loaded_by("import snncc")


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"]])
def test_help_is_cheap(arguments: list[str]) -> None:
    code = f"""
from snncc.cli import main
sys.argv = {["snncc", *arguments]!r}
try:
    status = main()
except SystemExit as stop:
    status = stop.code
assert not status, status
"""
    assert not HEAVY & loaded_by(code)


def test_ir_stands_on_numpy_and_safetensors() -> None:
    allowed = {"numpy", "snncc", *sys.stdlib_module_names}
    exact = {"safetensors", "safetensors.numpy"}
    for path in [ROOT / "snncc" / "errors.py", *(ROOT / "snncc" / "ir").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module)):
                    modules = [module]
                case _:
                    continue
            for name in modules:
                assert name in exact or name.partition(".")[0] in allowed, f"{path}: imports {name}"
