"""One static HTML file with the tables and plots of a simulation: nothing is loaded from outside."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from snncc.api.markup import STYLE, bars, drawing, html_table, tiles
from snncc.api.program import Program, Result
from snncc.api.report_chip import chip_part
from snncc.api.tables import COST_HEAD, cost_rows, joules, number, summary
from snncc.ir.write import replace_file


def write_report(path: str | Path, program: Program, result: Result, title: str = "") -> None:
    """Write the report of *result* to *path*. Raises `BadFile` when it cannot be written."""
    replace_file(Path(path), html_report(program, result, title).encode("utf-8"))


def html_report(program: Program, result: Result, title: str = "") -> str:
    """The report as HTML."""
    costs, graph = result.counts, program.graph
    name = escape(title or f"{graph.name} on {program.target.name}")
    totals = [
        (joules(costs.energy), f"energy, {costs.accounting.name} accounting"),
        (number(costs.total("spikes")), "spikes"),
        (number(costs.total("ac")), "synaptic operations (AC)"),
        (number(costs.total("mac")), "multiply-accumulates (MAC)"),
        (f"{costs.latency.timesteps} / {costs.latency.ticks}", "latency, timesteps / ticks"),
        (joules(costs.ann_energy), "same layers as ANN"),
    ]
    synapses = [layer for layer in costs.layers if layer.synapses]
    neurons = [layer for layer in costs.layers if layer.neurons]
    energy = bars([(one.name, one.energy, joules(one.energy), one.mac > one.ac) for one in synapses])
    spikes = bars([(one.name, one.spikes, spike_text(one.spikes, one.rate), False) for one in neurons])
    told = (*program.measured, *result.notes)
    notes = "".join(f'<p class="note">Note: {escape(note)}.</p>\n' for note in told)
    chip = "" if result.chip is None else chip_part(result.chip)
    passes = "".join(
        f"<tr><td>{escape(s.name)}</td><td>{s.made_by.preserves}</td></tr>"
        for s in program.stages
        if s.made_by is not None
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name}</title><style>{STYLE}</style></head><body>
<h1>{name}</h1>
<p class="note">One inference, mean over {result.run.batch} samples. {escape(costs.accounting.source)}.</p>
{notes}{tiles(totals)}
<h2>Layers</h2>
<div class="wide">{html_table(COST_HEAD, cost_rows(costs))}</div>
<h2>Energy of each layer</h2>
<figure>{energy}
<figcaption>From counted operations; orange: mostly MAC, blue: mostly AC.</figcaption></figure>
<h2>Spikes of each layer</h2>
<figure>{spikes}
<figcaption>Spikes of one inference; rate: spikes / (neurons x timesteps).</figcaption></figure>
<h2>Spikes over time</h2>
<figure>{over_time(result)}
<figcaption>All layers laid over one another, each in the ticks of its own phase; mean over
samples.</figcaption></figure>
{chip}<h2>How it was compiled</h2>
<table><tr><th>pass</th><th>preserves</th></tr>{passes}</table>
<pre>{escape(summary(costs))}</pre>
<details><summary>The graph that ran</summary><pre>{escape(str(graph))}</pre></details>
</body></html>
"""


def spike_text(spikes: float, rate: float) -> str:
    return f"{number(spikes)}, rate {rate:.3f}"


def over_time(result: Result) -> str:
    """Spikes in each tick of each timestep, all layers together."""
    ticks = max((s.shape[2] for s in result.spikes.values()), default=1)
    steps = result.run.timesteps
    total = np.zeros((steps, ticks))
    for spikes in result.spikes.values():
        total[:, : spikes.shape[2]] += spikes.mean(axis=0)
    values = total.reshape(-1)
    if len(values) > 400:
        values = total.sum(axis=1)
    width, height = 640, 120
    step = width / max(len(values), 1)
    top = values.max(initial=0) or 1.0
    parts = [
        f'<rect class="bar" x="{40 + k * step:.1f}" y="{height - height * v / top + 4:.1f}" '
        f'width="{max(step - 1.5, 0.5):.1f}" height="{height * v / top:.1f}"><title>{v:.6g}</title></rect>'
        for k, v in enumerate(values)
    ]
    axis = (
        f'<text class="value" x="36" y="14" text-anchor="end">{number(float(top))}</text>'
        f'<text class="value" x="36" y="{height + 4}" text-anchor="end">0</text>'
        f'<text class="value" x="40" y="{height + 20}">timesteps: {steps}, ticks in each: {ticks}</text>'
    )
    return drawing(width + 50, height + 28, [axis, *parts])
