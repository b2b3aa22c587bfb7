"""What is not quantized, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snncc.errors import BadInput, CannotLower
from snncc.ir import (
    Emit,
    NeuronParameters,
    SpikeGraph,
)
from snncc.quantization import Quantize
from tests.quantization.small import CONV, FC, N, X, net, quantized

REFUSED: list[tuple[SpikeGraph, dict[str, Any], type[Exception], str]] = [
    (net(X, CONV, N), {"timesteps": None}, BadInput, "calibration needs the number of timesteps"),
    (
        net(X, CONV, replace(N, parameters=NeuronParameters(emit=Emit.RELU))),
        {},
        CannotLower,
        r"n \(Neuron\): a neuron that sends reals is not quantized yet",
    ),
    (
        net(X, CONV, N),
        {"calibration": None},
        BadInput,
        r"x \(Input\): quantization needs the range of this analog input",
    ),
    (
        net(X, CONV, N),
        {"calibration": None, "timesteps": None, "input_ranges": {"x": (0, 1)}},
        BadInput,
        "n .Neuron.: a neuron without leak has no static bound over unknown time",
    ),
    (
        net(X, CONV, replace(N, parameters=NeuronParameters(max_count=None)), FC),
        {"calibration": None, "input_ranges": {"x": (0, 1)}},
        BadInput,
        "n .Neuron.: sends any number of spikes in a timestep, so nothing bounds what reads it",
    ),
]


@pytest.mark.parametrize(("graph", "options", "error", "message"), REFUSED)
def test_refusals(graph: SpikeGraph, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quantized(graph, **options)


def test_hints() -> None:
    with pytest.raises(BadInput) as error:
        quantized(net(X, CONV, N), calibration=None)
    assert error.value.hint.startswith("give calibration data (calibration=, --calibration x.npz)")
    with pytest.raises(CannotLower, match="graph: is an integer graph already"):
        quantized(quantized(net(X, CONV, N)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bits": 1}, "weights have 2 to 16 bits, not 1"),
        ({"weight_bits": 17}, "weights have 2 to 16 bits, not 17"),
        ({"input_bits": 0}, "inputs have 2 to 16 bits, not 0"),
        ({"state_bits": 20}, "states have 16, 24, 32 bits, not 20"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Quantize(**options)


def test_bits_that_are_no_integers_are_refused() -> None:
    with pytest.raises(BadInput, match="numbers of bits are integers"):
        Quantize(weight_bits="8")  # type: ignore[arg-type]
