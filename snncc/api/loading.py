"""From a model, or a file, to a graph."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from snncc.errors import BadFile, BadInput, MissingDependency
from snncc.ir import Layout, Output, Over, SpikeGraph, load_graph

if TYPE_CHECKING:
    import torch

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".pt2")
MAX_SIGNALS = 2**28
"""Inputs with more numbers than this are a typing error."""
KNOWN_SUFFIXES = (".snn", ".nir", ".onnx", *TORCH_SUFFIXES)


def trace(
    model: torch.nn.Module,
    example_input: ArrayLike | torch.Tensor,
    timesteps: int | None = None,
    layout: str | None = None,
    *,
    over: str | None = None,
    **options: Any,
) -> SpikeGraph:
    """Trace a trained PyTorch *model* into a spike graph by recording one execution on *example_input*.

    *layout* is ``B`` (the model takes one timestep [B, ...], called *timesteps* times), ``TB`` ([T, B, ...])
    or ``BT``. *over* says how outputs of a model that takes one timestep are reduced over time: ``sequence``
    (the default for several timesteps), ``mean`` (for one), ``sum``, ``last``, ``maximum``. *input_kind*
    (``analog``, ``spike``, ``count``) says what the input holds, *presence* (``sequence``, ``constant``,
    ``first``) when. The model, its state and the random generators are left as found. Raises `CannotTrace`
    with module path and source line for what has no image in the IR.
    """
    need_torch()
    from snncc.frontends.from_torch import trace as trace_torch

    if isinstance(example_input, np.ndarray) and not example_input.flags.writeable:
        example_input = example_input.copy()
    graph = trace_torch(model, example_input, timesteps, layout, **options)
    axis = {"TB": 0, "BT": 1}.get(layout or "B")
    steps = (timesteps or 1) if axis is None else int(np.shape(example_input)[axis])
    graph = replace(graph, timesteps=steps, layout=Layout(layout or "B"))
    if over is not None and any(node.over is not Over.SEQUENCE for node in graph.outputs):
        ways = ", ".join(f"{node.name}: {node.over}" for node in graph.outputs)
        raise BadInput(f"the model reduces its outputs over time itself ({ways}); leave out over={over!r}")
    if over is None:
        over = "mean" if axis is None and steps == 1 else "sequence"
    return reduced(graph, over)


def reduced(graph: SpikeGraph, over: str) -> SpikeGraph:
    """*graph* with its sequence outputs reduced *over* time. Raises `BadInput` for an unknown way."""
    try:
        way = Over(over)
    except ValueError:
        known = ", ".join(one.value for one in Over)
        raise BadInput(f"unknown reduction over time {over!r}; known: {known}") from None
    return graph.with_nodes(
        replace(node, over=way) if isinstance(node, Output) and node.over is Over.SEQUENCE else node
        for node in graph.nodes
    )


def load(
    path: str | Path,
    *,
    input_shape: tuple[int, ...] | None = None,
    timesteps: int | None = None,
    layout: str | None = None,
    factory: str | None = None,
    trust: bool = False,
    reset: str | None = None,
    dt: float | None = None,
    **options: Any,
) -> SpikeGraph:
    """Read a graph from ``.snn``, ``.nir`` or ``.onnx``, or trace the model in ``.pt``, ``.pth`` or ``.pt2``.

    A NIR graph needs *timesteps*, *dt* in seconds, and, where the file does not say it, *reset*:
    ``subtract``, ``zero``, ``value`` or ``none`` (`snncc.frontends.nir_neurons` has the equations).

    An ``.onnx`` model is one timestep, and needs *input_shape* only where the file leaves sizes open. A
    traced model needs *input_shape*, per sample and timestep, and *layout*. Code in a file never runs:
    *factory* (``package.module:function``) builds the model for a state dict; *trust* unpickles a file of
    one's own. Raises `BadFile`, `BadInput`, `CannotTrace`.
    """
    path = Path(path)
    if path.suffix == ".nir":
        if input_shape is not None:
            raise BadInput(
                f"{path}: a NIR graph says the shape of its input", hint="leave out the input shape"
            )
        return read_nir(path, reset=reset, dt=dt, timesteps=timesteps, layout=layout, **options)
    if reset is not None or dt is not None:
        raise BadInput(f"{path}: a reset and a step dt belong to NIR graphs (.nir)", hint="leave them out")
    if path.suffix == ".snn":
        return load_graph(path)
    if path.suffix == ".onnx":
        return load_onnx(path, input_shape, timesteps, layout)
    model = load_model(path, factory=factory, trust=trust)
    if input_shape is None:
        raise BadInput(
            f"{path}: tracing needs the shape of the input, per sample and timestep",
            hint="give input_shape=(1, 28, 28), or --input-shape 1,28,28",
        )
    if layout in ("TB", "BT") and timesteps is None:
        raise BadInput(
            f"{path}: a model that takes whole trains ({layout}) needs the number of timesteps",
            hint="give timesteps=8, or --timesteps 8",
        )
    if timesteps is not None and timesteps < 1:
        raise BadInput(f"a network has at least one timestep, not {timesteps}")
    example = example_of(input_shape, timesteps, layout, options.get("input_kind", "analog"))
    return trace(model, example, timesteps, layout, **options)


def load_onnx(
    path: Path, input_shape: tuple[int, ...] | None, timesteps: int | None, layout: str | None
) -> SpikeGraph:
    """The graph of an ONNX model."""
    need_onnx()
    if timesteps not in (None, 1) or layout not in (None, "B"):
        raise BadInput(f"{path}: an ONNX model is one timestep of layout B", hint="leave out both options")
    from snncc.frontends.from_onnx import load_onnx as load

    return load(path, input_shape)


def read_nir(path: Path, *, over: str | None = None, **options: Any) -> SpikeGraph:
    """The graph in a ``.nir`` file, its outputs reduced *over* time where that is given."""
    from snncc.frontends.from_nir import load_nir

    graph = load_nir(path, **options)
    return graph if over is None else reduced(graph, over)


def load_model(path: str | Path, *, factory: str | None = None, trust: bool = False) -> torch.nn.Module:
    """The PyTorch module in *path*, safely. Raises `BadFile`."""
    path = Path(path)
    if path.suffix in KNOWN_SUFFIXES and path.suffix not in TORCH_SUFFIXES:
        raise BadFile(f"{path}: holds a graph, not a PyTorch model")
    if path.suffix not in TORCH_SUFFIXES:
        known = ", ".join(KNOWN_SUFFIXES)
        raise BadFile(f"{path}: unknown kind of file {path.suffix!r}; known: {known}")
    need_torch()
    if path.suffix == ".pt2":
        from snncc.frontends.exported import load_exported

        return load_exported(path)
    from snncc.frontends.checkpoints import load_module

    return load_module(path, factory=factory, trust=trust)


def example_of(
    shape: tuple[int, ...], timesteps: int | None, layout: str | None, input_kind: str
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Made-up data of the right shape: tracing records what is computed, not what comes out."""
    if not shape or min(shape) < 1 or np.prod(shape, dtype=float) * (timesteps or 1) > MAX_SIGNALS:
        raise BadInput(f"the input shape {shape} must have positive sizes, {MAX_SIGNALS} signals at most")
    lead = {"TB": (timesteps or 1, 2), "BT": (2, timesteps or 1)}.get(layout or "B", (2,))
    rng = np.random.default_rng(0)
    if input_kind == "analog":
        return rng.uniform(0, 1, (*lead, *shape)).astype(np.float32)
    return rng.integers(0, 2, (*lead, *shape)).astype(np.float32)


def need_torch() -> None:
    """Raise `MissingDependency` where PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingDependency("torch", "torch")


def need_onnx() -> None:
    """Raise `MissingDependency` where onnx is not installed."""
    if find_spec("onnx") is None:
        raise MissingDependency("onnx", "onnx")


def load_oracle(
    path: str | Path, *, factory: str | None = None, trust: bool = False
) -> torch.nn.Module | Path:
    """What `verify` takes as the model in *path*: a module, or the path of an ONNX or NIR file."""
    path = Path(path)
    return path if path.suffix in (".onnx", ".nir") else load_model(path, factory=factory, trust=trust)
