from __future__ import annotations

from importlib import resources

from snncc.chips import parse_chip
from tests.chips.texts import EXAMPLE, changed, line_number, problem, problems

SECOND = "[[barrier]]\ntiles = { value = 2"


def test_counts_of_cores() -> None:
    text = changed("value = 4", "value = 5", after="[[cores]]")
    line = line_number(text, "[[cores]]")
    assert problem(text) == (
        f"x:{line}: cores: the counts must sum to columns x rows x cores_per_tile = 4, but sum to 5"
    )


def test_too_few_cores() -> None:
    assert problem(changed("value = 4", "value = 3", after="[[cores]]")).endswith("= 4, but sum to 3")


def test_far_too_many_cores() -> None:
    text = changed("value = 2", "value = 100000000000", after="columns")
    text = changed("value = 2", "value = 100000000000", text, after="rows")
    assert "fabric: needs at most 4096 cores, has 10000000000000000000000" in problems(text)[0]


def test_finite_queues_need_credit() -> None:
    text = changed("value = 1", "value = 0", after="credit")
    found = problems(text)
    assert len(found) == 5
    line = line_number(text, "capacity", after="[fabric.eject]")
    need = "is finite, so fabric.credit needs at least 1 time unit, has 0"
    assert f"x:{line}: fabric.eject.capacity: {need}" in found
    assert f"x:{line_number(text, 'in_queue')}: cores[0].in_queue: {need}" in found


def test_barrier_must_rise() -> None:
    text = changed("value = 2", "value = 1", after=SECOND)
    line = line_number(EXAMPLE, SECOND) + 1
    assert problem(text) == (f"x:{line}: barrier[1].tiles: needs more than the 1 of the entry before, has 1")
    text = changed('value = 60, unit = "ns"', 'value = 1, unit = "cycles"')
    assert problem(text).endswith("barrier[1].time: needs at least the time of the entry before, has less")


def test_barrier_may_stay_the_same() -> None:
    text = changed('value = 60, unit = "ns"', 'value = 2, unit = "cycles"')
    assert parse_chip(text, "x").barrier == ((1, 2), (2, 2))


def test_barrier_must_not_be_empty() -> None:
    cut = EXAMPLE[: EXAMPLE.index("[[barrier]]")] + EXAMPLE[EXAMPLE.index("[static.per_chip]") :]
    text = changed("[sources]", "barrier = []\n[sources]", cut)
    line = line_number(text, "barrier = []")
    assert problem(text) == (f"x:{line}: barrier: needs at least one table [[barrier]], has an empty array")


def test_barrier_has_no_more_tiles_than_the_chip() -> None:
    text = changed("value = 2", "value = 5", after=SECOND)
    assert problem(text).endswith("barrier[1].tiles: needs at most the 4 tiles of the chip, has 5")


def test_power_range() -> None:
    text = changed("value = 40", "value = 91", after="[static.per_core]")
    line = line_number(text, "[static.per_core]")
    assert problem(text) == f"x:{line}: static.per_core: low (9.1e-05 W) is above high (9e-05 W)"


def test_graded_spikes_need_products() -> None:
    text = changed("value = 0", "value = 4", after="payload_bits")
    missing = "operations.synapse: missing keys: mac (as limits.payload_bits is not 0)"
    assert problem(text).endswith(missing)


def test_unused_source() -> None:
    text = changed("[fabric]", 'extra = "A book"\n[fabric]')
    line = line_number(text, "extra")
    assert problem(text) == f"x:{line}: sources.extra: no number has this source"


def test_full_queues_stall_where_there_is_a_barrier() -> None:
    text = changed('overflow = "stall"', 'overflow = "drop"')
    line = line_number(text, "overflow")
    need = "needs to be 'stall' with the discipline 'barrier', is 'drop'"
    assert problem(text) == f"x:{line}: overflow: {need}"


def test_a_loop_of_events_must_take_time() -> None:
    text = resources.files("snncc.chips").joinpath("speck2f.toml").read_text("utf-8")
    line = line_number(text, "time", after="[operations.message_in]")
    lines = text.splitlines()
    lines[line - 1] = lines[line - 1].replace("value = 0.1", "value = 0")
    need = "needs at least 1 time unit on a self-timed chip, has 0: a loop of events must take time"
    assert problem("\n".join(lines)) == f"x:{line}: operations.message_in.time: {need}"
