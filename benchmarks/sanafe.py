"""Our machine against SANA-FE 2.2.9, the simulator whose authors fitted the numbers of `loihi1-sanafe2025`.

``python -m benchmarks.sanafe`` writes ``benchmarks/SANAFE.md``. SANA-FE (GPL-3) is an oracle: it runs as
a process of its own, in an environment of its own (``--sanafe-python`` or SNNCC_SANAFE_PYTHON: its Python).
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.sanafe_cases import CASES, CHIP
from benchmarks.sanafe_compared import NINE_DIGITS, Compared, apart, compared
from benchmarks.sanafe_facts import facts
from benchmarks.sanafe_oracle import HOW_TO, VERSION, interpreter
from benchmarks.sanafe_speed import peak, timed
from benchmarks.sanafe_tables import equality, speed_table, stages_table
from benchmarks.sanafe_text import COMPARED, DIFFERENCES, SPEED, STAGES
from snncc.chips import load_chip

RESULTS = Path(__file__).with_name("SANAFE.md")
TIMED = ("W3", "W1-32")


def report(
    results: Sequence[Compared],
    speed: Mapping[str, Mapping[str, float]],
    numbers: Sequence[tuple[str, float, float]],
    about: str,
) -> str:
    """The whole page."""
    wrong = [row for row in numbers if apart(row[1], row[2]) > NINE_DIGITS]
    lines = [
        "# Results of `python -m benchmarks.sanafe`",
        "",
        f"{about}; SANA-FE {VERSION}; {datetime.date.today().isoformat()}. Chip `{CHIP}`.",
        "",
        f"Numbers of SANA-FE's own `loihi.yaml`, as pip installs it, against our chip file: {len(numbers)} "
        f"compared, {len(wrong)} differ.",
        *(f"- {name}: theirs {theirs:g}, ours {mine:g}" for name, theirs, mine in wrong),
        "",
        "## The same on both sides",
        "",
        COMPARED,
        *equality(results),
        DIFFERENCES,
        STAGES,
        *stages_table(results),
        *([SPEED, *speed_table(speed)] if speed else []),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sanafe", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(CASES)}; default all")
    parser.add_argument("--sanafe-python", help="the Python of the environment with SANA-FE")
    parser.add_argument("--rounds", type=int, default=7, help="how often speed is measured")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(peak(options.memory, options.idle))
        return 0
    python = interpreter(options.sanafe_python)
    if python is None:
        print(HOW_TO, file=sys.stderr)
        return 1
    about = f"{os.cpu_count()} CPUs: {machine()}"
    results = []
    for name in options.names or CASES:
        print(f"{name} ...", file=sys.stderr)
        results.append(compared(CASES[name](), python))
    speed = {r.case.name: timed(r.case, python, options.rounds) for r in results if r.case.name in TIMED}
    text = report(results, speed, facts(python, load_chip(CHIP)), about)
    if not options.names:
        RESULTS.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if all(r.is_equal for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
