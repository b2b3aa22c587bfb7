"""One static HTML file with the tables and plots of a simulation: nothing is loaded from outside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from snncc.api.program import Program, Result
from snncc.api.tables import COST_HEAD, cost_rows, joules, number, summary
from snncc.ir.write import replace_file

STYLE = """
:root { --ink: #1b1f24; --soft: #5b6470; --line: #d9dee5; --fill: #3465a4; --mac: #c4731c; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #9aa4b2; --line: #343b45; --fill: #6c9fdc;
          --mac: #e09a4f; --paper: #15181d; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p.note, figcaption { color: var(--soft); font-size: .9rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .6rem 1rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.3rem; font-weight: 600; }
.tile span { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; white-space: nowrap;
         border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.total td { font-weight: 600; border-bottom: none; } th { color: var(--soft); font-weight: 500; }
figure { margin: 1rem 0; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .value { fill: var(--soft); } svg .bar { fill: var(--fill); } svg .mac { fill: var(--mac); }
pre { white-space: pre-wrap; color: var(--soft); font-size: .85rem; }
"""


def write_report(path: str | Path, program: Program, result: Result, title: str = "") -> None:
    """Write the report of *result* to *path*. Raises `BadFile` when it cannot be written."""
    replace_file(Path(path), html_report(program, result, title).encode("utf-8"))


def html_report(program: Program, result: Result, title: str = "") -> str:
    """The report as HTML."""
    costs, graph = result.counts, program.graph
    name = escape(title or f"{graph.name} on {program.target.name}")
    tiles = [
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
    cells = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for v, k in tiles)
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
<div class="tiles">{cells}</div>
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
<h2>How it was compiled</h2>
<table><tr><th>pass</th><th>preserves</th></tr>{passes}</table>
<pre>{escape(summary(costs))}</pre>
<details><summary>The graph that ran</summary><pre>{escape(str(graph))}</pre></details>
</body></html>
"""


def spike_text(spikes: float, rate: float) -> str:
    return f"{number(spikes)}, rate {rate:.3f}"


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines[:-1]) + f'<tr class="total">{lines[-1]}</tr>'
    return f"<table><tr>{top}</tr>{body}</table>"


def bars(rows: Sequence[tuple[str, float, str, bool]]) -> str:
    """A horizontal bar chart: (name, value, text, is orange)."""
    if not rows:
        return "<p>none</p>"
    left, width, pitch = 8 * max(len(row[0]) for row in rows) + 10, 420, 22
    top = max((value for _, value, _, _ in rows), default=0.0) or 1.0
    parts = []
    for k, (name, value, text, orange) in enumerate(rows):
        y, length = k * pitch, width * value / top
        kind = "mac" if orange else "bar"
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{max(length, 1):.1f}" height="16" rx="2"/>'
            f'<text class="value" x="{left + length + 6:.1f}" y="{y + 15}">{escape(text)}</text>'
        )
    return drawing(left + width + 150, len(rows) * pitch + 4, parts)


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


def drawing(width: float, height: float, parts: Sequence[str]) -> str:
    svg = f'<svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
    return f'<div class="wide">{svg}</div>'
