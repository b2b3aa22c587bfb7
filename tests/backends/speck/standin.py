"""A stand-in for samna, the vendor's closed driver, just enough for sinabs's back end to be imported and to
write a configuration. It is put in place only where no samna is installed, and validates nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any


class Destination:
    def __init__(self) -> None:
        self.layer, self.enable, self.pooling = 0, False, 1


class CoreFields:
    """One core with defaults of our choice, which tests do not compare."""

    def __init__(self) -> None:
        self.dimensions: dict[str, Any] = {}
        self.weights: list[Any] = []
        self.biases: list[int] = []
        self.leak_enable = self.return_to_zero = self.monitor_enable = False
        self.neurons_initial_value: list[Any] = []
        self.threshold_high, self.threshold_low = 0, 0
        self.destinations = [Destination(), Destination()]


class SensorFields:
    def __init__(self) -> None:
        self.merge = self.mirror_diagonal = self.pass_sensor_events = self.monitor_enable = False
        self.mirror = SimpleNamespace(x=False, y=False)
        self.cut, self.origin = SimpleNamespace(x=127, y=127), SimpleNamespace(x=0, y=0)
        self.pooling = SimpleNamespace(x=1, y=1)
        self.destinations = [Destination(), Destination()]


class SpeckConfiguration:
    def __init__(self) -> None:
        self.cnn_layers = [CoreFields() for _ in range(9)]
        self.dvs_layer = SensorFields()
        self.readout = SimpleNamespace(enable=False)


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    for key, value in members.items():
        setattr(made, key, value)
    sys.modules[name] = made
    return made


def accepted(config: SpeckConfiguration) -> tuple[bool, str]:
    """Whatever it is: what the driver rejects is not known here."""
    return True, ""


def has_driver() -> bool:
    """Whether samna itself is installed."""
    made = sys.modules.get("samna")
    if made is not None:
        return made.__spec__ is not None
    return importlib.util.find_spec("samna") is not None


def install() -> None:
    """Put the stand-in in place, unless the driver itself is there."""
    if "samna" in sys.modules or has_driver():
        return
    samna = module("samna", device=SimpleNamespace(DeviceInfo=object, get_all_devices=list))
    for chip in ("speck2e", "speck2f"):
        fields = module(f"samna.{chip}.configuration", SpeckConfiguration=SpeckConfiguration)
        events = SimpleNamespace(Spike=SimpleNamespace)
        one = module(f"samna.{chip}", configuration=fields, event=events, validate_configuration=accepted)
        setattr(samna, chip, one)
    if importlib.util.find_spec("samnagui") is None:
        module("samnagui")


def sinabs_backend() -> Any:
    """The package sinabs.backend.dynapcnn, with its submodules."""
    install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("sinabs.backend.dynapcnn")
