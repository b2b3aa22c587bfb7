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
    one.add_argument("--dt", type=float, metavar="S", help="of a timestep (default: as read, else 1e-4)")
    one.add_argument(
        "--nir-version", metavar="V", help="of the file (default: the newest); an unknown one lists them"
    )


def export_command(options: argparse.Namespace) -> int:
    import snncc
    from snncc.api import NIR_VERSIONS, read_network, step_of

    network = read_network(options.network)
    dt = step_of(network) if options.dt is None else options.dt
    version = options.nir_version or NIR_VERSIONS[0]
    losses = snncc.save_nir(network, options.output, dt=dt, lossy=options.lossy, version=version)
    if options.json:
        said = {"output": str(options.output), "dt": dt, "network_dt": network.dt, "losses": list(losses)}
        print(json.dumps(said))
        return 0
    for loss in losses:
        print(f"lost to others: {loss}")
    print(f"exported as NIR {version}, {said_step(dt, network.dt)}: {options.output}")
    return 0


def said_step(dt: float, read: float | None) -> str:
    """The step *dt* of a file, beside that with which the network was *read*."""
    text = f"a timestep of {dt:g} s"
    if read is None:
        return f"{text} (--dt)"
    if dt == read:
        return f"{text}, as it was read"
    return f"{text} (--dt); it was read with {read:g} s, so time constants are {dt / read:g} times as long"
