"""Networks of the papers at published width: compiled, or refused with all that is in the way at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import snncc
from snncc.backends.target import DoesNotFit
from snncc.errors import SnnccError
from snncc.mapping import DoesNotFitChip
from snncc.nn.models import asa_3layer, espikeformer_t, vgg_snn
from tests.nn.test_espikeformer import livened

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Published:
    """A network, the shape of its data, and how often each obstacle stands, by target; None: it compiles."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    loihi: dict[str, int] | None
    speck: dict[str, int]


CASES = {
    "ASA-SNN, 3 layers": Published(asa_3layer, (4, 2, 2, 32, 32), None, {"leak": 5, "memory of one core": 3}),
    "HSD, VGG-SNN": Published(
        vgg_snn,
        (1, 1, 2, 48, 48),
        {"cores": 5, "synapse_bits": 5},
        {"an output of potentials": 1, "memory of one core": 9},
    ),
    "E-SpikeFormer T": Published(
        espikeformer_t,
        (1, 3, 224, 224),
        {"product of two trains": 16, "pooling of currents": 1, "cores": 1, "neurons": 1, "synapse bits": 1},
        {
            "input": 1,
            "map that enters": 1,
            "pooling of currents": 1,
            "reshaping of currents": 1,
            "an output of potentials": 1,
            "cores": 1,
            "readers of its currents": 5,
            "map of neurons": 6,
            "spikes of a timestep": 105,
            "groups": 12,
            "currents added before a neuron": 32,
            "destinations": 8,
            "reshaping": 40,
            "operation": 32,
            "a neuron without synapses": 8,
            "memory of one core": 72,
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_compiles_or_says_all(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    is_train = len(case.shape) == 5
    x = (torch.rand(*case.shape) < 0.2).float() if is_train else torch.randn(*case.shape)
    model = livened(case.make(), x)
    graph = snncc.trace(
        model, x, layout="TB" if is_train else "B", input_kind="spike" if is_train else "analog"
    )
    for target, expected in (("loihi", case.loihi), ("speck", case.speck)):
        if expected is None:
            program = snncc.compile(graph, target=target, calibration=x.numpy())
            spikes = program.run(x.numpy()).run.spikes
            assert all(spikes[node.name].sum() > 0 for node in program.graph.neurons)
            continue
        with pytest.raises(SnnccError) as caught:
            snncc.compile(graph, target=target, calibration=x.numpy())
        assert obstacles(caught.value) == expected


def obstacles(error: SnnccError) -> dict[str, int]:
    """How often each stands in a refusal; each says where, need, have, and what to do."""
    if isinstance(error, DoesNotFitChip):
        assert error.hint
        assert all(one.where and one.have is not None and one.need > one.have for one in error.usages)
        return dict(Counter(one.resource for one in error.usages))
    assert isinstance(error, DoesNotFit)
    assert all(one.where and one.need and one.have and one.hint for one in error.problems)
    assert len({(one.where, one.what) for one in error.problems}) == len(error.problems)
    return dict(Counter(one.what.partition(":")[0] for one in error.problems))
