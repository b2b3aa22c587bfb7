from __future__ import annotations

import pytest

from snncc.chips import parse_chip
from tests.chips.texts import EXAMPLE, changed, line_number, problem, problems

NEURONS = 'neurons = { value = 256, unit = "count", status = "assumed", source = "plan" }'
LINE = line_number(EXAMPLE, NEURONS)


def neurons(value: str) -> str:
    return changed(NEURONS, NEURONS.replace("256", value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("true", "needs a number, has true"),
        ('"256"', "needs a number, has '256'"),
        ("[]", "needs a number, has an empty array"),
        ("{}", "needs a number, has an empty table"),
        ("2024-01-01", "needs a number, has datetime.date(2024, 1, 1)"),
        ("nan", "needs a finite number of a sensible size, has NaN"),
        ("inf", "needs a finite number of a sensible size, has Infinity"),
        ("-inf", "needs a finite number of a sensible size, has -Infinity"),
        ("1e999999999999", "needs a finite number of a sensible size, has 1E+999999999999"),
        ("1e99999999999999999999", "needs a finite number of a sensible size, has Infinity"),
        ("0x" + "f" * 9000, "needs a finite number of a sensible size, has a number of more than 40 digits"),
        ("2.5", "needs a whole number, has 2.5"),
        ("0", "needs at least 1, has 0 count"),
        ("-3", "needs at least 1, has -3 count"),
        ("1e20", "needs at most 1099511627776 count, has 1e+20 count"),
    ],
)
def test_bad_values(value: str, text: str) -> None:
    assert problem(neurons(value)) == f"x:{LINE}: cores[0].neurons.value: {text}"


@pytest.mark.parametrize(
    ("value", "count"), [("256.0", 256), ("2.56e2", 256), ("0x100", 256), ("1_000", 1000)]
)
def test_ways_to_write_a_count(value: str, count: int) -> None:
    assert parse_chip(neurons(value), "x").cores[0].neurons == count


def test_bounds_belong_to_the_range() -> None:
    text = changed("value = 16", "value = 64", after="state_bits")
    assert (
        parse_chip(changed("value = 8", "value = 1", text, after="weight_bits"), "x").limits.state_bits == 64
    )


@pytest.mark.parametrize(
    ("new", "text"),
    [
        (
            "neurons = 256",
            "cores[0].neurons: needs a number with its source, "
            '{ value = ..., unit = "count", status = "...", source = "..." }, has 256',
        ),
        ("neurons = {}", "cores[0].neurons: missing keys: value, unit, status, source"),
        (NEURONS.replace("unit =", "units ="), "cores[0].neurons.units: no such key; did you mean 'unit'?"),
        (
            NEURONS.replace(', source = "plan"', ""),
            "cores[0].neurons: missing keys: source",
        ),
        (
            NEURONS.replace('"count"', '"pJ"'),
            "cores[0].neurons.unit: needs a unit of a count (count), has 'pJ'",
        ),
        (
            NEURONS.replace('"count"', "[]"),
            "cores[0].neurons.unit: needs a unit of a count (count), has an empty array",
        ),
        (
            NEURONS.replace('"assumed"', '"asumed"'),
            'cores[0].neurons.status: needs "measured" or "simulated" or "derived" or "assumed", '
            "has 'asumed'; did you mean 'assumed'?",
        ),
        (
            NEURONS.replace('"plan"', '"plans"'),
            "cores[0].neurons.source: needs a name of [sources] (plan, synthesis), has 'plans'",
        ),
        (
            NEURONS.replace('"plan"', '["plan"]'),
            "cores[0].neurons.source: needs a name of [sources] (plan, synthesis), has an array",
        ),
        (NEURONS.replace(" }", ", note = 3 }"), "cores[0].neurons.note: needs a text, has 3"),
        (
            NEURONS.replace('"assumed"', '"derived"'),
            'cores[0].neurons: a derived number needs a note = "..." that shows how',
        ),
    ],
)
def test_bad_numbers(new: str, text: str) -> None:
    assert problem(changed(NEURONS, new)) == f"x:{LINE}: {text}"


@pytest.mark.parametrize(
    ("after", "old", "new", "text"),
    [
        (
            "[operations.access]",
            'unit = "cycles"',
            'unit = "pJ"',
            "operations.access.time.unit: needs a unit of time (s, ms, us, ns, ps, cycles), has 'pJ'",
        ),
        (
            "[operations.access]",
            'value = 1, unit = "cycles"',
            'value = 14.9, unit = "ns"',
            "operations.access.time.value: needs a whole number of time units (10 ns), has 14.9 ns; "
            "nearest: 10 ns",
        ),
        (
            "[operations.access]",
            "value = 1,",
            "value = 1.5,",
            "operations.access.time.value: needs a whole number, has 1.5",
        ),
        (
            "[operations.access]",
            'value = 1, unit = "cycles"',
            'value = 20000, unit = "s"',
            "operations.access.time.value: needs at most 2147483648 time units, has 20000 s",
        ),
        (
            "[operations.access]",
            "value = 1,",
            "value = -1,",
            "operations.access.time.value: needs at least 0, has -1 cycles",
        ),
        (
            "[operations.access]\ntime",
            "value = 2.5",
            "value = -2.5",
            "operations.access.energy.value: needs at least 0, has -2.5 pJ",
        ),
        (
            "[operations.access]\ntime",
            'value = 2.5, unit = "pJ"',
            'value = 2, unit = "J"',
            "operations.access.energy.value: needs at most 1000000000000 pJ, has 2 J",
        ),
        (
            "[operations.access]\ntime",
            "value = 2.5",
            'value = "unbounded"',
            'operations.access.energy.value: needs a number; "unbounded" has no meaning here',
        ),
        ("time_unit", "value = 10", "value = 0", "time_unit.value: needs more than 0, has 0 ns"),
        (
            "time_unit",
            'unit = "ns"',
            'unit = "cycles"',
            "time_unit.unit: needs a unit of the time unit (s, ms, us, ns, ps), has 'cycles'",
        ),
        (
            "",
            'topology = "mesh"',
            'topology = "torus"',
            'fabric.topology: needs "mesh" or "crossbar", has \'torus\'',
        ),
        ("", "multicast = false", 'multicast = "no"', "fabric.multicast: needs true or false, has 'no'"),
        ("", 'title = "Four small cores"', "title = 4", "title: needs a text, has 4"),
        ("", 'title = "Four small cores"', 'title = " "', "title: needs a text, has ' '"),
        ("columns", "value = 2", "value = 0", "fabric.columns.value: needs at least 1, has 0 count"),
        (
            "[limits]",
            "value = 8",
            "value = 65",
            "limits.weight_bits.value: needs at most 64 bits, has 65 bits",
        ),
        ("", 'plan = "Plan of the chip, version 3"', "plan = 3", "sources.plan: needs a text, has 3"),
    ],
)
def test_bad_places(after: str, old: str, new: str, text: str) -> None:
    bad = changed(old, new, after=after)
    line = line_number(bad, new, after=after)
    assert problem(bad) == f"x:{line}: {text}"


def test_slow_cores() -> None:
    """A group may say how much slower it is; most do not."""
    number = '{ value = 3, unit = "count", status = "assumed", source = "plan" }'
    text = changed("in_queue =", f"slowdown = {number}\nin_queue =", after="[[cores]]")
    assert {core.slowdown for core in parse_chip(EXAMPLE, "x").cores} == {1}
    assert {core.slowdown for core in parse_chip(text, "x").cores} == {3}
    bad = changed("value = 3", "value = 0", text, after="slowdown")
    line = line_number(bad, "slowdown")
    assert problem(bad) == f"x:{line}: cores[0].slowdown.value: needs at least 1, has 0 count"


def test_unknown_keys() -> None:
    bad = changed("max_delay =", "max_dealy =")
    line, table = line_number(bad, "max_dealy"), line_number(bad, "[limits]")
    assert problems(bad) == [
        f"x:{table}: limits: missing keys: max_delay",
        f"x:{line}: limits.max_dealy: no such key; did you mean 'max_delay'?",
    ]


def test_unknown_key_that_resembles_none_lists_them() -> None:
    bad = changed("[memory]\n", "[memory]\nzzz = 1\n")
    assert problem(bad).endswith(
        "memory.zzz: no such key; known: format, block_synapses, block_overhead, word_bits"
    )


def test_missing_keys_are_listed_at_once() -> None:
    text = "\n".join(
        line for line in EXAMPLE.splitlines() if not line.startswith(("energy", "title", "lanes"))
    )
    found = problems(text)
    assert found[0] == "x:1: missing keys: title"
    assert len(found) == 1 + 4 + 1 + 8
    line = line_number(text, "[operations.synapse.conv]")
    assert f"x:{line}: operations.synapse.conv: missing keys: energy" in found


def test_empty_file() -> None:
    assert problem("") == (
        "x:1: missing keys: title, summary, sources, time_unit, discipline, touch, entry, overflow, fabric, "
        "cores, memory, limits, operations, static"
    )


def test_many_problems_are_cut() -> None:
    guesses = EXAMPLE.count('"assumed"')
    found = problems(EXAMPLE.replace('"assumed"', '"guess"'))
    assert len(found) == 21
    assert found[-1] == f"... and {guesses - 20} more"


def test_tables_of_the_wrong_kind() -> None:
    assert "x:1: cores: needs at least one table [[cores]], has a table" in problems("[cores]\na = 1")
    assert "x:1: cores: needs at least one table [[cores]], has an empty array" in problems("cores = []")
    assert "x:1: cores[1]: needs a table, has 2" in problems("cores = [{}, 2]")
    assert "x:1: fabric: needs a table, has 3" in problems("fabric = 3")
    assert any("x:1: sources: needs a table of sources" in line for line in problems("sources = 3"))


def test_keys_without_effect() -> None:
    text = changed("[static.per_chip]", "[port.event]\n[static.per_chip]")
    line = line_number(text, "[port.event]")
    assert problems(text)[0] == f'x:{line}: port: has no effect unless entry is "port"'
    text = changed('format = "tables"', 'format = "kernels"')
    group = line_number(text, "[[cores]]")
    assert problems(text) == [
        f"x:{group}: cores[0]: missing keys: kernel_words, neuron_words",
        f"x:{line_number(text, 'synapse_bits')}: cores[0].synapse_bits: has no effect "
        'unless memory.format is "blocks" or "tables"',
    ]


def test_discipline_and_barrier_contradict() -> None:
    text = changed('discipline = "barrier"', 'discipline = "event"')
    line = line_number(text, "[[barrier]]")
    assert problem(text) == f'x:{line}: barrier: has no effect unless discipline is "barrier"'
    cut = EXAMPLE[: EXAMPLE.index("[[barrier]]")] + EXAMPLE[EXAMPLE.index("[static.per_chip]") :]
    assert problem(cut) == "x:1: missing keys: barrier"
    lone = changed('discipline = "barrier"', 'discipline = "event"', cut)
    need = "entry: needs to be 'port' with the discipline 'event', is 'cores'"
    assert problem(lone).endswith(need)  # and nothing of a barrier


def test_a_slip_in_a_word_is_one_problem() -> None:
    """What depends on the word is neither missing nor without effect, as nobody knows."""
    assert problem(changed('discipline = "barrier"', 'discipline = "barier"')).endswith(
        "discipline: needs \"barrier\" or \"event\", has 'barier'; did you mean 'barrier'?"
    )
    problem(changed('topology = "mesh"', 'topology = "torus"'))
    problem(changed('format = "tables"', "format = [[1]]"))


def test_long_names_are_shortened() -> None:
    (line,) = [line for line in problems("a" * 5000 + " = 1") if "no such key" in line]
    assert len(line) < 400
