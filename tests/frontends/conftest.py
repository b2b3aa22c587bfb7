"""A file to write to, and a file with factories."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


@pytest.fixture
def factory(tmp_path: Path) -> str:
    """A file with factories: good ones and bad ones."""
    path = tmp_path / "build.py"
    path.write_text(
        "import torch\n"
        "from torch import nn\n"
        "def small():\n"
        "    return nn.Sequential(nn.Linear(3, 2))\n"
        "def broken():\n"
        "    widths = {}\n"
        "    return nn.Linear(widths['first'], 2)\n"
        "def quits():\n"
        "    raise SystemExit('usage: build.py')\n"
        "def number():\n"
        "    return 3\n"
        "def needs(width):\n"
        "    return nn.Linear(width, 2)\n"
        "class Foreign(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(3, 2)\n"
        "constant = 3\n"
    )
    return str(path)
