"""Networks for other frameworks: the Neuromorphic Intermediate Representation (NIR), and ONNX."""

from __future__ import annotations

from pathlib import Path

from snncc.api.loading import need_onnx
from snncc.api.program import Program, load_program
from snncc.errors import BadFile
from snncc.frontends import to_nir
from snncc.ir import SpikeGraph, load_graph


def save_nir(
    network: SpikeGraph | Program,
    path: str | Path,
    *,
    dt: float | None = None,
    lossy: bool = False,
    version: str = to_nir.VERSIONS[0],
) -> tuple[str, ...]:
    """Write *network* to the NIR file *path*; of a program the graph from which it was compiled.

    A timestep becomes *dt* seconds (default: as the network was read from NIR, else 1e-4), and time constants
    are in proportion to it. *version* is that of NIR, "1.0.8" (a spike resets to v_reset) or "1.0.4" (it
    subtracts the threshold; what Sinabs reads). What NIR cannot say is refused, or, with *lossy*, kept in
    notes that snncc alone reads, and returned: other frameworks compute another network. Raises `CannotLower`
    with every such part, `BadInput`, `BadFile`, `MissingDependency`.
    """
    path = Path(path)
    if path.suffix != ".nir":
        raise BadFile(f"{path}: NIR graphs have names that end in .nir")
    return to_nir.save_nir(traced(network), path, dt=dt, lossy=lossy, version=version)


def save_onnx(network: SpikeGraph | Program, path: str | Path) -> None:
    """Write the dense equivalent of *network*, a program or its integer graph, to the ONNX file *path*.

    Counts stand for spikes, so one run of the model is one inference. Raises `CannotLower` for what has no
    dense equivalent: timesteps, neurons with a memory, streams; `BadFile`, `MissingDependency`.
    """
    need_onnx()
    from snncc.frontends.to_onnx import save_onnx as save

    save(network.graph if isinstance(network, Program) else network, path)


def traced(network: SpikeGraph | Program) -> SpikeGraph:
    """The graph before any pass."""
    return network.stages[0].graph if isinstance(network, Program) else network


def read_network(path: str | Path) -> SpikeGraph:
    """The graph of a ``.snn`` file, or the one from which the program in a folder was compiled."""
    path = Path(path)
    return load_graph(path) if path.suffix == ".snn" else traced(load_program(path))
