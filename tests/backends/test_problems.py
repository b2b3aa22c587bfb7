"""Targets that refuse the same thing say the same of it: what is needed, and what they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.backends.target import Problem
from snncc.ir import (
    Dense,
    Emit,
    Input,
    Kind,
    Neuron,
    NeuronParameters,
    Node,
    Output,
    Over,
    Presence,
    Rectifier,
    Reset,
    SpikeGraph,
    wires,
)

COUNTS = NeuronParameters(theta=np.array(0.5), max_count=4, scale=np.array(0.25), stateless=True)


def network(parameters: NeuronParameters) -> SpikeGraph:
    return SpikeGraph(
        (
            Input(name="x", shape=(4,), presence=Presence.CONSTANT),
            Dense(name="w", inputs=wires("x"), weight=np.eye(4)),
            Neuron(name="n", inputs=wires("w"), parameters=parameters),
            Dense(name="last", inputs=wires("n"), weight=np.eye(4)),
            Output(name="y", inputs=wires("last"), over=Over.SUM),
        )
    )


def said(parameters: NeuronParameters, target: str, encoding: str, what: str) -> Problem:
    problems = snncc.check(network(parameters), target, encoding=encoding)
    (found,) = (p for p in problems if p.what == what and p.where.startswith("n "))
    assert found.hint
    return replace(found, hint="")


@pytest.mark.parametrize(
    ("parameters", "targets", "encoding", "what", "need", "have"),
    [
        (
            *(replace(COUNTS, max_count=None), ("sim", "loihi"), "spikes"),
            *("spikes in a timestep", "any number", "a bound"),
        ),
        (
            *(replace(COUNTS, emit=Emit.RELU), ("sim", "loihi"), "spikes"),
            *("output of the neuron", "real numbers", "spikes"),
        ),
        (
            *(replace(COUNTS, steps=np.array([0.5, 1.0, 2.0, 2.5])), ("sim", "speck"), "stream"),
            *("streaming", "a staircase of explicit steps", "plain integrators"),
        ),
    ],
)
def test_same_words(
    parameters: NeuronParameters, targets: tuple[str, ...], encoding: str, what: str, need: str, have: str
) -> None:
    found = [said(parameters, target, encoding, what) for target in targets]
    assert {(p.need, p.have) for p in found} == {(need, have)}
    assert len({p.where for p in found}) == 1


@pytest.mark.parametrize("target", ["loihi", "speck"])
def test_rectifiers_that_change_spikes_are_all_listed_beside_the_rest(target: str) -> None:
    """The pass stops at the first. At theta = 0.5 a rectifier changes nothing."""
    hard = NeuronParameters(rectifier=Rectifier.MPR, theta=np.array(0.8), reset=Reset.VALUE)
    layers = {"a": hard, "b": replace(hard, theta=np.array(0.5)), "c": hard, "d": replace(hard, refractory=2)}
    nodes: list[Node] = [Input(name="x", shape=(4,), kind=Kind.SPIKE)]
    for name, parameters in layers.items():
        nodes.append(Dense(name=f"w{name}", inputs=wires(nodes[-1].name), weight=np.eye(4)))
        nodes.append(Neuron(name=name, inputs=wires(nodes[-1].name), parameters=parameters))
    graph = SpikeGraph((*nodes, Output(name="y", inputs=wires("d"))), timesteps=3)
    found = [(one.where, one.what) for one in snncc.check(graph, target)]
    assert found == [
        *((f"{name} (Neuron)", "rectifier") for name in "acd"),
        ("d (Neuron)", "refractory time"),
    ]
