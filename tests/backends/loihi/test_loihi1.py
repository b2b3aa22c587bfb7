"""Loihi 1 has bare spikes, one program for all cores, and limits of its own: what it refuses, and takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.backends.target import DoesNotFit
from snncc.ir import Dense, Input, Kind, Neuron, NeuronParameters, Output, Over, Reset, SpikeGraph, wires

CHIP = "loihi1-sanafe2025"
HARD = NeuronParameters(theta=np.array(0.5), reset=Reset.VALUE, leak=np.array(0.9))
SOFT = replace(HARD, reset=Reset.SUBTRACT, rho=np.array(0.5))
COUNTS = replace(SOFT, max_count=4)


def network(*layers: NeuronParameters, kind: Kind = Kind.SPIKE, size: int = 6, wide: int = 5) -> SpikeGraph:
    most = 7 if kind is Kind.COUNT else None
    nodes: list[Input | Dense | Neuron | Output] = [Input(name="x", shape=(size,), kind=kind, max_count=most)]
    last = "x"
    for k, parameters in enumerate(layers):
        rng, shape = np.random.default_rng(k), (wide, size if k == 0 else wide)
        nodes.append(Dense(name=f"w{k}", inputs=wires(last), weight=rng.uniform(-0.1, 0.6, shape)))
        nodes.append(Neuron(name=f"n{k}", inputs=wires(f"w{k}"), parameters=parameters))
        last = f"n{k}"
    nodes.append(Output(name="y", inputs=wires(last), over=Over.SUM))
    return SpikeGraph(tuple(nodes), timesteps=8)


def test_hard_resets_fit_and_run() -> None:
    graph = network(HARD, HARD)
    assert snncc.check(graph, "loihi", chip=CHIP) == []
    program = snncc.compile(graph, target="loihi", chip=CHIP)
    x = (np.random.default_rng(0).random((8, 3, 6)) < 0.5).astype(np.float64)
    result = program.run(x, timing="cycle")
    assert result.chip is not None
    assert all(spikes.sum() > 0 for spikes in result.run.spikes.values())


@pytest.mark.parametrize(("encoding", "kind"), [("spikes", Kind.SPIKE), ("graded", Kind.COUNT)])
def test_what_it_has_no_program_for_is_refused_at_once(encoding: str, kind: Kind) -> None:
    graph = network(HARD, SOFT, COUNTS, kind=kind)
    with pytest.raises(DoesNotFit) as caught:
        snncc.compile(graph, target="loihi", chip=CHIP, encoding=encoding)
    found = [(p.where.partition(" ")[0], p.what, p.need, p.have) for p in caught.value.problems]
    program, have = "program of the core", "only a hard reset to 0 of single spikes"
    numbers = [("x", "messages", "count numbers", "bare spikes")] if kind is Kind.COUNT else []
    assert found == [
        *numbers,
        ("n1", program, "a reset by subtract, or a clamp", have),
        ("n2", program, "up to 4 spikes in a timestep", have),
    ]
    assert all("--chip loihi2" in p.hint for p in caught.value.problems)
    assert snncc.check(graph, "loihi", chip=CHIP, encoding=encoding) == list(caught.value.problems)
    assert snncc.check(graph, "loihi", encoding=encoding) == []


@pytest.mark.parametrize(
    ("size", "wide", "found"),
    [
        (4096, 10, {}),
        (4097, 10, {"in axons": ("4097", "4096")}),
        (2, 140_000, {"cores": ("137", "128"), "neurons": ("140002", "131072")}),
    ],
)
def test_limits_of_its_cores(size: int, wide: int, found: dict[str, tuple[str, str]]) -> None:
    problems = {
        p.what: (p.need, p.have) for p in snncc.check(network(HARD, size=size, wide=wide), "loihi", chip=CHIP)
    }
    assert bool(problems) == bool(found)
    assert found.items() <= problems.items()
