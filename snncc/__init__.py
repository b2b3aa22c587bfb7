"""snncc: compile trained spiking networks for neuromorphic chips, and simulate them.

>>> import snncc
>>> sorted(snncc.targets())
['loihi', 'sim', 'speck']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snncc import measure
    from snncc.api import (
        Program,
        Proof,
        Report,
        Result,
        check,
        evaluate,
        load,
        load_model,
        load_program,
        save_nir,
        save_onnx,
        trace,
        verify,
    )
    from snncc.api import compile_graph as compile  # noqa: A004
    from snncc.backends.table import targets
    from snncc.errors import SnnccError
    from snncc.frontends.events import Events, load_events
    from snncc.frontends.neurons import register_neuron
    from snncc.ir import SpikeGraph

__version__ = "0.1.0.dev0"

PUBLIC = {
    "Events": ("snncc.frontends.events", "Events"),
    "Program": ("snncc.api", "Program"),
    "Proof": ("snncc.api", "Proof"),
    "Report": ("snncc.api", "Report"),
    "Result": ("snncc.api", "Result"),
    "SnnccError": ("snncc.errors", "SnnccError"),
    "SpikeGraph": ("snncc.ir", "SpikeGraph"),
    "check": ("snncc.api", "check"),
    "compile": ("snncc.api", "compile_graph"),
    "evaluate": ("snncc.api", "evaluate"),
    "load": ("snncc.api", "load"),
    "load_events": ("snncc.frontends.events", "load_events"),
    "load_model": ("snncc.api", "load_model"),
    "load_program": ("snncc.api", "load_program"),
    "save_onnx": ("snncc.api", "save_onnx"),
    "register_neuron": ("snncc.frontends.neurons", "register_neuron"),
    "save_nir": ("snncc.api", "save_nir"),
    "targets": ("snncc.backends.table", "targets"),
    "trace": ("snncc.api", "trace"),
    "verify": ("snncc.api", "verify"),
}
"""Where each public name lives: importing snncc loads none of it before it is used."""

PACKAGES = ("measure",)
"""Public packages, loaded on first use as well."""

__all__ = [
    "Events",
    "Program",
    "Proof",
    "Report",
    "Result",
    "SnnccError",
    "SpikeGraph",
    "check",
    "compile",
    "evaluate",
    "load",
    "load_events",
    "load_model",
    "load_program",
    "measure",
    "register_neuron",
    "save_nir",
    "save_onnx",
    "targets",
    "trace",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in PACKAGES:
        return import_module(f"snncc.{name}")
    if name not in PUBLIC:
        raise AttributeError(f"module 'snncc' has no attribute {name!r}")
    module, attribute = PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC, *PACKAGES})
