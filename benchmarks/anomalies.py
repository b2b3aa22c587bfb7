"""How often a slower link makes a run faster (`simulator/MACHINE.md`, 5.1), on random programs of the tests.

``python -m benchmarks.anomalies`` prints the counts that the page has.
"""

from __future__ import annotations

import argparse

from tests.simulator.machine.test_laws import counted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomalies", description=__doc__)
    parser.add_argument("programs", nargs="?", type=int, default=6000)
    count = counted(parser.parse_args().programs)
    print(
        f"{count.fixed + count.arbitrated} programs: {count.fixed} of fixed order, none faster; "
        f"{count.arbitrated} with arbitration, {count.anomalies} faster"
    )


if __name__ == "__main__":
    main()
