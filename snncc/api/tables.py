"""Results as tables for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from snncc.api.evaluation import Report
from snncc.api.proof import Proof
from snncc.simulator.costs import Costs

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
            joules(layer.energy) if layer.synapses else "",
            str(layer.saturations) if layer.saturations else "",
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


COST_HEAD = ("layer", "kind", "neurons", "spikes", "rate", "AC", "MAC", "energy", "saturated")


def cost_table(costs: Costs) -> str:
    """Costs of one inference: layers, totals, what they compare with."""
    lines = [text_table("one inference, mean over samples", COST_HEAD, cost_rows(costs)), summary(costs)]
    return "\n".join(lines)


def summary(costs: Costs) -> str:
    """The totals in words, with the accounting's name."""
    ticks = costs.latency.ticks
    steps = costs.latency.timesteps
    saturated = int(costs.total("saturations"))
    lines = [
        f"energy ({costs.accounting.name} accounting: {costs.accounting.mac * 1e12:g} pJ/MAC, "
        f"{costs.accounting.ac * 1e12:g} pJ/AC): {joules(costs.energy)} from counted operations, "
        f"{joules(costs.formula_energy)} by the literature's formula",
        f"the same layers as a conventional network: {number(costs.ann_macs)} MAC, "
        f"{joules(costs.ann_energy)}",
        f"latency: {steps} timestep{'s' * (steps != 1)}, {ticks} tick{'s' * (ticks != 1)} "
        "(seconds need a chip file)",
        f"footprint {number(costs.footprint)} bytes, connection sparsity {costs.connection_sparsity:.3f}, "
        f"activation sparsity {costs.activation_sparsity:.3f}",
    ]
    if saturated:
        lines.append(f"WARNING: states saturated {saturated} times; quantize with a wider state (state_bits)")
    return "\n".join(lines)


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
        ]
        for score in report.scores
    ]
    head = ("timesteps", "accuracy", "correct", "spikes", "AC", "MAC", "energy", "ticks")
    return text_table("", head, rows)
