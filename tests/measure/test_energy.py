"""The energy shift between two networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snncc.errors import BadInput
from snncc.measure import energy_shift
from tests.joules import joules
from tests.measure.networks import measured


def test_the_shift_is_the_difference_of_the_energies() -> None:
    before, after = measured("sfa")[1].counts, measured("lif")[1].counts
    there, back = energy_shift(before, after), energy_shift(after, before)
    assert before.total("ac") > after.total("ac") > 0
    assert there.macs_added == after.total("mac") - before.total("mac")
    assert there.acs_saved == before.total("ac") - after.total("ac")
    assert there.joules == joules(4.6e-12 * there.macs_added - 0.9e-12 * there.acs_saved)
    assert there.joules == joules(after.energy - before.energy)
    assert back.joules == joules(-there.joules)
    assert there.accounting == "paper"
    formula = energy_shift(before, after, formula=True)
    assert formula.joules == joules(after.formula_energy - before.formula_energy)
    assert formula.acs_saved != there.acs_saved
    assert energy_shift(before, before).joules == 0


def test_the_published_example() -> None:
    """ASA-1 adds 2,603,520 MACs to a layer; had it saved 30 million ACs, 15 uJ would be won."""
    counts = measured("lif")[1].counts
    layer = replace(counts.layers[0], ac=40e6, mac=0.0)
    before = replace(counts, layers=(layer,))
    after = replace(counts, layers=(replace(layer, ac=10e6, mac=2_603_520.0),))
    shift = energy_shift(before, after)
    assert (shift.macs_added, shift.acs_saved) == (2_603_520, 30e6)
    assert shift.joules == joules((4.6 * 2_603_520 - 0.9 * 30e6) * 1e-12)
    assert shift.joules < 0


def test_two_accountings_are_refused() -> None:
    counts = measured("lif")[1].counts
    other = replace(counts, accounting=replace(counts.accounting, name="chip"))
    with pytest.raises(BadInput, match="two accountings, paper and chip, whose figures are not comparable"):
        energy_shift(counts, other)
