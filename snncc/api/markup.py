"""Pieces of HTML pages: style, tables, and drawings in SVG, which need neither scripts nor other files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from snncc.api.tables import short

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
svg .soft { fill: none; stroke: var(--line); } svg .edge { fill: none; stroke: var(--soft); }
svg .hot { fill: var(--fill); } svg .critical { fill: none; stroke: var(--ink); stroke-width: 3.5; }
svg text.over { fill: var(--paper); }
table.plain th:nth-child(2), table.plain td:nth-child(2) { text-align: right; }
pre { white-space: pre-wrap; color: var(--soft); font-size: .85rem; }
"""


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """A box for each (value, what it is)."""
    cells = (f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for v, k in values)
    return f'<div class="tiles">{"".join(cells)}</div>'


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, has_total: bool = True) -> str:
    """A table, whose last row is the total of the others unless it *has_total* False."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    end = len(lines) - has_total
    body = "".join(f"<tr>{line}</tr>" for line in lines[:end])
    body += "".join(f'<tr class="total">{line}</tr>' for line in lines[end:])
    return f"<table><tr>{top}</tr>{body}</table>"


Bar = tuple[str, float, str, bool]
"""Of a bar chart: name, value, text, and whether it is orange."""


def bars(rows: Sequence[Bar]) -> str:
    """A horizontal bar chart."""
    if not rows:
        return "<p>none</p>"
    rows = [(short(name, 40), value, text, orange) for name, value, text, orange in rows]
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


def drawing(width: float, height: float, parts: Sequence[str]) -> str:
    svg = f'<svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
    return f'<div class="wide">{svg}</div>'
