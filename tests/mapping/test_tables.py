"""Address tables: executing them is the layer."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given

from snncc.errors import BadInput
from snncc.ir import Conv, Dense
from snncc.mapping import active, executed, explicit, generated
from tests.mapping.table_cases import Case, cases, definition, open_positions


@given(cases)
def test_executing_a_table_is_the_weighted_sum(case: Case) -> None:
    x = case.counts()
    for table in case.tables:
        assert (table.shape, table.out) == (case.shape, case.out)
        sums = executed(table, x)
        assert sums.dtype == np.int64
        assert np.array_equal(sums, definition(case, x))
        assert np.array_equal(active(table, x), open_positions(case, x))
        assert np.array_equal(executed(table, x > 0), definition(case, x > 0))
        assert np.array_equal(executed(table, -x), -sums)


@given(cases)
def test_event_by_event(case: Case) -> None:
    """Two passes in Python's own loops, with nothing of the table but its two look-ups."""
    x = case.counts(1)[0].reshape(-1)
    for table in case.tables:
        events = [int(a) for a in np.flatnonzero(x)]
        is_open = [not table.mask.needs_center] * prod(table.out[-2:])
        for source in events if table.mask.needs_center else []:
            opened = int(table.opened(np.array([source]))[0])
            if opened >= 0:
                is_open[opened] = True
        sums = [0] * prod(table.out)
        for source in events:
            found = table.synapses(np.array([source]))
            assert not np.any(found.event)
            for target, weight in zip(found.target.tolist(), found.weight.tolist(), strict=True):
                if is_open[target % len(is_open)]:
                    sums[target] += int(x[source]) * int(table.weights[weight])
        whole = executed(table, x.reshape(1, *table.shape))
        assert whole.reshape(-1).tolist() == sums


def test_wide_sums_are_exact_or_refused() -> None:
    node = Dense(name="wide", weight=np.full((1, 4), -32768))
    count = 2**63 // (4 * 32768) - 1
    for table in (explicit(node, (4,)), generated(node, (4,))):
        assert table.weight_bits == 16
        assert executed(table, np.full((1, 4), count)).tolist() == [[-4 * 32768 * count]]
        for many in (np.full((1, 4), count + 1), np.full((1, 4), 2**63, np.uint64)):
            with pytest.raises(BadInput, match=r"wide: counts up to .* can leave the 64 bits of a sum"):
                executed(table, many)


def test_many_events_are_expanded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snncc.mapping.execute.CHUNK", 5)
    monkeypatch.setattr("snncc.mapping.lower.CHUNK", 5)
    case = Case(Conv(name="c", weight=np.ones((3, 2, 3, 3), int)), (2, 6, 6), {}, np.random.default_rng(0))
    x = case.counts()
    for table in case.tables:
        assert np.array_equal(executed(table, x), definition(case, x))
