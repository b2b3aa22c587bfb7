"""Outputs of a part of the timesteps, and what loops over time add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
import snncc.nn
from snncc.errors import BadInput, CannotTrace
from snncc.frontends.from_torch import trace
from snncc.ir import Affine, Over
from tests.frontends.test_torch_time import net
from tests.frontends.torch_networks import assert_alive, assert_traced, execute, noise

GENERATOR = torch.Generator().manual_seed(5)
TRAIN = noise(GENERATOR, 5, 3, 6, low=-1, high=3)

PARTS: dict[str, tuple[Callable[..., Any], Over]] = {
    "without the first": (lambda s, h: h(s)[5:].mean(0), Over.MEAN),
    "the sum of some": (lambda s, h: h(s)[2:7].sum(0), Over.SUM),
    "the last three": (lambda s, h: h(s[-3:].mean(0)), Over.MEAN),
    "every other": (lambda s, h: h(s)[::2].mean(0), Over.MEAN),
    "one": (lambda s, h: h(s)[5], Over.SUM),
    "a layer behind one": (lambda s, h: h(s[0]), Over.SUM),
    "spikes": (lambda s, h: s[3:].sum(0), Over.SUM),
    "whether there was a spike": (lambda s, h: s[3:].amax(0), Over.MAXIMUM),
    "two parts": (lambda s, h: h(s[2:].mean(0)) + h(s[6:].mean(0)), Over.MEAN),
    "of a list": (lambda s, h: torch.stack([h(s[t]) for t in range(len(s))][4:]).mean(0), Over.MEAN),
    "some of a list": (
        lambda s, h: torch.stack([s[t] for t in range(len(s)) if t % 4 == 1]).sum(0),
        Over.SUM,
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_timesteps_is_a_gate_before_the_output(name: str) -> None:
    """Down to the simulator, and for no other number of timesteps."""
    function, over = PARTS[name]
    x, model = noise(GENERATOR, 9, 3, 6, low=-1, high=3), net(function)
    graph = assert_traced(model, x, layout="TB")
    (output,) = graph.outputs
    assert output.over is over
    gates = [node for node in graph if isinstance(node, Affine) and node.per_timestep]
    assert all(len(gate.gain) == 9 and 0 < np.count_nonzero(gate.gain) < 9 for gate in gates)
    assert gates
    assert_alive(graph, execute(graph, x))
    program = snncc.compile(graph, calibration=x.numpy(), weight_bits=16, input_bits=16)
    snncc.verify(program, model, x.numpy()).check()
    near = program.run(x.numpy()).output
    np.testing.assert_allclose(near, execute(graph, x).output, atol=1e-3)
    with pytest.raises(BadInput, match="has numbers for 9 timesteps, but the run has 10"):
        program.run(noise(GENERATOR, 10, 3, 6).numpy(), timesteps=10)


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda s: s[5:], "the output of the model works on 4 timesteps, 5 to 8 of 0 to 8 alone"),
        (lambda s: s[5:].amax(0), "amax: takes the maximum of 4 timesteps, 5 to 8 of 0 to 8 alone"),
        (lambda s: s[[5, 5, 6]].sum(0), "sum: reduces over some timesteps more than once"),
    ],
)
def test_a_part_of_the_timesteps_is_said_in_the_model_s_own(cut: Callable[..., Any], words: str) -> None:
    with pytest.raises(CannotTrace, match=words) as caught:
        trace(net(lambda s, h: cut(h(s))), noise(GENERATOR, 9, 2, 6), layout="TB")
    assert (
        "take the part behind the program" in caught.value.hint or "each timestep once" in caught.value.hint
    )


class Loop(nn.Module):
    """Adds up what its last layer sends in a loop over time, in one of the manners that people have."""

    def __init__(self, manner: str) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc, self.lif, self.head = nn.Linear(6, 8), snncc.nn.LIF(0.5, 0.5), nn.Linear(8, 3)
        self.manner = manner

    def forward(self, x: Tensor) -> Tensor:
        acc: Any = 0
        if "buffer" in self.manner:
            acc = torch.ones(len(x[0]), 3) if "ones" in self.manner else x.new_zeros(len(x[0]), 3)
        kept: list[Tensor] = []
        for t, one in enumerate(x):
            out = self.head(self.lif(self.fc(one)))
            kept.append(out)
            if "late" in self.manner and t < 2:
                continue
            match self.manner.split()[-1]:
                case "place":
                    acc += out
                case "turned":
                    acc = out + acc
                case "decay":
                    acc = 0.9 * acc + out
                case "twice":
                    acc = acc + out + out
                case "again":
                    acc = acc + out
                    acc = acc + out
                case "neighbors":
                    acc = out if t == 0 else kept[t - 1] + out
                case _:
                    acc = acc + out
        match self.manner.split()[0]:
            case "mean":
                return acc / len(x)
            case "list":
                return sum(kept) / len(kept)  # type: ignore[return-value]
        return acc


@pytest.mark.parametrize(
    ("manner", "over", "parts"),
    [
        ("sum", Over.SUM, 0),
        ("mean", Over.MEAN, 0),
        ("list", Over.MEAN, 0),
        ("sum turned", Over.SUM, 0),
        ("buffer in place", Over.SUM, 0),
        ("late sum", Over.SUM, 1),
        ("late buffer in place", Over.SUM, 1),
        ("neighbors", Over.SUM, 1),
    ],
)
def test_what_a_loop_adds_up(manner: str, over: Over, parts: int) -> None:
    graph = assert_traced(Loop(manner), TRAIN, layout="TB")
    (output,) = graph.outputs
    assert output.over is over
    assert sum(isinstance(node, Affine) and node.per_timestep for node in graph) == parts
    assert_alive(graph, execute(graph, TRAIN))


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("sum twice", "different timesteps"),
        ("sum again", "different timesteps"),
        ("buffer of ones in place", "writes a signal into a constant"),
    ],
)
def test_other_sums_of_a_loop_are_refused(manner: str, words: str) -> None:
    with pytest.raises(CannotTrace, match=words):
        trace(Loop(manner), TRAIN, layout="TB")
