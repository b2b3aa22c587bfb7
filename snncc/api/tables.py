"""Results as tables for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from snncc.api.evaluation import Report
from snncc.api.proof import Proof
from snncc.chips import Chip, Status
from snncc.mapping import Placement, usage
from snncc.simulator.costs import Costs
from snncc.simulator.timing import EVENTS

if TYPE_CHECKING:
    from snncc.simulator.machine import ChipRun

PREFIXES = ((1e-15, "f"), (1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""))


def joules(value: float) -> str:
    """An energy with a unit prefix.

    >>> joules(2.5e-7), joules(0.0)
    ('250 nJ', '0 J')
    """
    if value == 0:
        return "0 J"
    factor, prefix = next((p for p in reversed(PREFIXES) if abs(value) >= p[0]), PREFIXES[0])
    return f"{value / factor:.4g} {prefix}J"


def number(value: float) -> str:
    """A count, with separators, and a fraction only where it is small.

    >>> number(12345.6), number(0.25), number(3)
    ('12,346', '0.25', '3')
    """
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def text_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in plain text; all columns but the first are set to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for k, name in enumerate(head):
        table.add_column(Text(name), justify="left" if k == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=io.StringIO(), width=400, no_color=True)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    return "\n".join([title, *lines] if title else lines)


def cost_rows(costs: Costs) -> list[list[str]]:
    """One row a layer, and the total."""
    rows = [
        [
            layer.name,
            layer.kind.lower(),
            number(layer.neurons) if layer.neurons else "",
            number(layer.spikes) if layer.neurons else "",
            f"{layer.rate:.3f}" if layer.neurons else "",
            number(layer.ac) if layer.synapses else "",
            number(layer.mac) if layer.synapses else "",
            joules(layer.energy) if layer.synapses or layer.energy else "",
            f"{layer.saturations} {OVERFLOWS[layer.overflow]}" if layer.saturations else "",
        ]
        for layer in costs.layers
    ]
    total = [number(costs.total(what)) for what in ("neurons", "spikes")]
    rows.append(
        [
            "total",
            "",
            *total,
            "",
            number(costs.total("ac")),
            number(costs.total("mac")),
            joules(costs.energy),
            str(int(costs.total("saturations"))),
        ]
    )
    return rows


COST_HEAD = ("layer", "kind", "neurons", "spikes", "rate", "AC", "MAC", "energy", "overflows")
OVERFLOWS = {"saturate": "saturated", "wrap": "wrapped around"}
"""What became of states that left their width, in words."""


def cost_table(costs: Costs) -> str:
    """Costs of one inference: layers, totals, what they compare with."""
    lines = [text_table("one inference, mean over samples", COST_HEAD, cost_rows(costs)), summary(costs)]
    return "\n".join(lines)


def summary(costs: Costs) -> str:
    """The totals in words, with the accounting's name."""
    ticks = costs.latency.ticks
    steps = costs.latency.timesteps
    lines = [
        f"energy ({costs.accounting.name} accounting: {costs.accounting.summary}): {joules(costs.energy)} "
        f"from counted operations, {joules(costs.formula_energy)} by the literature's formula; "
        "not comparable with other accountings",
        f"the same layers as a conventional network: {number(costs.ann_macs)} MAC, "
        f"{joules(costs.ann_energy)}",
        f"latency: {steps} timestep{'s' * (steps != 1)}, {ticks} tick{'s' * (ticks != 1)} "
        "(seconds: on a chip, with a timing)",
        f"footprint {number(costs.footprint)} bytes, connection sparsity {costs.connection_sparsity:.3f}, "
        f"activation sparsity {costs.activation_sparsity:.3f}",
    ]
    if costs.parts.total > costs.parts.ops:
        lines.append(parts_table(costs))
    for overflow, word in OVERFLOWS.items():
        times = sum(layer.saturations for layer in costs.layers if layer.overflow == overflow)
        if times:
            lines.append(f"WARNING: states {word} {times} times; quantize with a wider state (state_bits)")
    return "\n".join(lines)


def parts_table(costs: Costs) -> str:
    """What the energy of each layer is spent on."""
    found = [(layer.name, layer.parts) for layer in costs.layers if layer.energy]
    rows = [
        [name, *(joules(value) for value in (one.ops, one.memory, one.addressing, one.total))]
        for name, one in (*found, ("total", costs.parts))
    ]
    title = f"energy of one inference, {costs.accounting.name} accounting"
    return text_table(title, ("layer", "ops", "memory", "addressing", "energy"), rows)


def seconds(value: float) -> str:
    """A time with a unit prefix.

    >>> seconds(0.0000025), seconds(0.0)
    ('2.5 µs', '0 s')
    """
    return joules(value).removesuffix("J") + "s"


EVENT_HEAD = ("event", "count", "energy", "share")


def event_rows(run: ChipRun) -> list[list[str]]:
    """One row for each kind of event that took energy, and the total, of one inference."""
    rows = [
        [
            name,
            number(run.count(name)) if name in EVENTS else "",
            joules(energy),
            f"{energy / run.energy:.1%}",
        ]
        for name, energy in run.kinds.items()
        if energy
    ]
    return [*rows, ["total", "", joules(run.energy), ""]]


def chip_table(run: ChipRun) -> str:
    """Time and energy of one inference on a chip, and where both went."""
    chip, low_high = run.placement.chip, run.static
    busy = sorted(run.busy.items(), key=lambda item: -item[1])[:5]
    loads = sorted(run.loads.items(), key=lambda item: -item[1])[:5]
    cores = {part.core for part in run.placement.parts}
    lines = [
        f"on {chip.name}, {len(cores)} cores, {run.placement.schedule.value}, timing {run.level.value}",
        f"time: {seconds(float(run.seconds.mean()))} an inference ({number(float(run.times.mean()))} x "
        f"{seconds(chip.time_unit)}, {run.steps} chip steps, {number(run.timings[0].barrier)} each to "
        f"synchronize), {seconds(run.time_per_timestep)} a timestep",
        text_table("", EVENT_HEAD, event_rows(run)),
        f"energy (accounting {chip.name}): {joules(run.energy)} of events, static power "
        f"{joules(low_high[0])} to {joules(low_high[1])}; not comparable with other accountings",
        f"busiest: {', '.join(f'{name} {share:.0%}' for name, share in busy)}",
        f"links: {', '.join(f'{name} {number(load)}' for name, load in loads) or 'none used'}",
    ]
    if run.deepest:
        name = max(run.deepest, key=lambda one: run.deepest[one])
        lines.append(
            f"deepest queue: {name}, {run.deepest[name]}; neuron units waited "
            f"{number(run.stalled)} x {seconds(chip.time_unit)} for slots"
        )
    return "\n".join(lines)


def usage_rows(placement: Placement) -> tuple[tuple[str, ...], list[list[str]]]:
    """What each core needs and has of what the chip limits: the heads, and one row a core or part."""
    found = [one for one in usage(placement) if one.have is not None]
    resources = list(dict.fromkeys(one.resource for one in found))
    cells: dict[str, dict[str, str]] = {}
    for one in found:
        cells.setdefault(one.where, {})[one.resource] = f"{number(one.need)} / {number(one.have or 0)}"
    rows = [[short(where), *(row.get(name, "") for name in resources)] for where, row in cells.items()]
    return ("core", *(name.replace("_", " ") for name in resources)), rows


def usage_table(placement: Placement) -> str:
    """What each core needs and has of what the chip limits."""
    heads, rows = usage_rows(placement)
    table = text_table(f"{placement.chip.name}, {placement.schedule.value}: needs / has", heads, rows)
    unknown = unknown_limits(placement.chip)
    return f"{table}\nnot published, so not checked: {', '.join(unknown)}" if unknown else table


def unknown_limits(chip: Chip) -> list[str]:
    """The limits of cores and messages that the makers of *chip* do not publish."""
    found = [
        key.rpartition(".")[2].replace("_", " ")
        for key, number in chip.numbers.items()
        if key.startswith(("cores", "limits"))
        and number.value is None
        and number.status is Status.ASSUMED
        and ("unpublished" in number.note or "not published" in number.note)
    ]
    return list(dict.fromkeys(found))


def short(text: str, width: int = 60) -> str:
    """*text*, its middle left out where it is wider than *width*.

    >>> short("core 0 (conv1, conv2, conv3)", 16)
    'core 0 ...onv3)'
    """
    if len(text) <= width:
        return text
    head = (width - 3) // 2 + (width - 3) % 2
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def proof_table(proof: Proof) -> str:
    """One table a stage, one row a layer, then the verdict."""
    parts = []
    for stage in proof.stages:
        rows = [
            [
                layer.layer,
                number(layer.compared),
                number(layer.differing),
                number(layer.near_ties) if layer.near_ties else "",
                "equal" if layer.differing == 0 else "near ties only" if layer.is_equal else "differs",
            ]
            for layer in stage.layers
        ]
        parts.append(text_table(str(stage), ("layer", "compared", "differing", "near ties", "verdict"), rows))
    verdict = str(proof).splitlines()[-1]
    firsts = [line for line in str(proof).splitlines() if line.startswith("first difference")]
    return "\n\n".join(parts) + "\n\n" + "\n".join([*proof.notes, *firsts, verdict])


def report_table(report: Report) -> str:
    """Accuracy and cost, one row for each number of timesteps."""
    rows = [
        [
            str(score.timesteps),
            f"{100 * score.accuracy:.2f} %",
            f"{score.correct}/{score.samples}",
            number(score.counts.total("spikes")),
            number(score.counts.total("ac")),
            number(score.counts.total("mac")),
            joules(score.counts.energy),
            str(score.counts.latency.ticks),
            *(
                []
                if score.chip is None
                else [seconds(float(score.chip.seconds.mean())), joules(score.chip.energy)]
            ),
        ]
        for score in report.scores
    ]
    head = ["timesteps", "accuracy", "correct", "spikes", "AC", "MAC", "energy", "ticks"]
    name = report.counts.accounting.name
    note = f"energy in the accounting {name}, not comparable with other accountings"
    chip = report.scores[-1].chip
    if chip is not None:
        on = chip.placement.chip.name
        head += [f"time on {on}", f"energy on {on}"]
        note += f"; on {on}: timing {chip.level.value}, events without static power"
    return "\n".join([text_table("", head, rows), note])
