"""The part of the command line that knows NIR: reading its graphs, and exporting to them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def nir_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--reset", help="of .nir: subtract, zero, value or none, where the file does not say it")
    one.add_argument("--dt", type=float, metavar="S", help="of .nir: seconds of a timestep")


def export_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("network", type=Path, help="a program folder (its network before all passes), or a .snn")
    one.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.nir", help="the file")
    one.add_argument("--lossy", action="store_true", help="write what NIR says otherwise, too, and list it")
    one.add_argument("--dt", type=float, default=1e-4, metavar="S", help="of a timestep (default: 1e-4)")
    one.add_argument("--nir-version", default="1.0.8", help="1.0.8, or 1.0.4 (spikes subtract the threshold)")


def export_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api import read_network

    network = read_network(options.network)
    losses = snncc.save_nir(
        *(network, options.output), dt=options.dt, lossy=options.lossy, version=options.nir_version
    )
    if options.json:
        print(json.dumps({"output": str(options.output), "dt": options.dt, "losses": list(losses)}))
        return 0
    for loss in losses:
        print(f"lost to others: {loss}")
    print(f"exported as NIR {options.nir_version}, a timestep of {options.dt:g} s (--dt): {options.output}")
    return 0
