"""The fast kernels of the discipline `event` equal the slow definitions, bit for bit, errors included."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import given, settings

from snncc.errors import SnnccError
from snncc.simulator.event_run import EventRun
from snncc.simulator.machine.events import run_events
from snncc.simulator.slow.event_order import canonical
from snncc.simulator.slow.events import simulate_events
from tests.simulator.compare import assert_equal_events
from tests.simulator.event.programs import EventProgram, event_programs

EXAMPLES = 300 if os.environ.get("SNNCC_HYPOTHESIS") == "all" else 50
MOST = 60
"""Loops that excite themselves end early: the slow machine has to follow them."""


def outcome(run: Callable[[], EventRun]) -> EventRun | str:
    """What a run did, or its error."""
    try:
        return run()
    except SnnccError as error:
        return str(error)


def compare(slow: EventRun | str, fast: EventRun | str) -> None:
    if isinstance(slow, str) or isinstance(fast, str):
        assert slow == fast
    else:
        assert_equal_events(slow, fast)


@settings(max_examples=EXAMPLES)
@given(event_programs())
def test_canonical(program: EventProgram) -> None:
    given = program.graph, program.placement, program.inputs
    compare(
        outcome(lambda: canonical(*given, most=MOST)),
        outcome(lambda: run_events(*given, most=MOST)),
    )


@settings(max_examples=EXAMPLES)
@given(event_programs())
def test_timed(program: EventProgram) -> None:
    given = program.graph, program.placement, program.inputs
    compare(
        outcome(lambda: simulate_events(*given, period=program.period, most=MOST)),
        outcome(lambda: run_events(*given, "timed", program.period, most=MOST)),
    )
