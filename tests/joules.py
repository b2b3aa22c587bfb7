"""Comparing energies."""

from __future__ import annotations

from typing import Any

import pytest


def joules(expected: Any) -> Any:
    """What equals *expected* to nine digits.

    `pytest.approx` alone lets differences of 1e-12 pass, and here these are whole events.
    """
    return pytest.approx(expected, rel=1e-9, abs=0)
