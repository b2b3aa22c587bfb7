"""Networks spread over a given number of cores."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.chips import CoreLimits
from snncc.mapping import DoesNotFitChip, map_network
from snncc.mapping.demand import Demands
from snncc.mapping.load import load_of
from snncc.mapping.scaled import effort
from snncc.mapping.schedule import check_parts
from snncc.mapping.traffic import spikes_of
from tests.mapping.cases import chain, conv, grid_chip


@pytest.mark.parametrize("cores", [1, 4, 16, 64])
def test_all_cores_are_used_and_have_about_as_much_to_do(cores: int) -> None:
    network, chip = conv(8, 16, 32), grid_chip(8, 8)
    placement = map_network(network, chip, cores=cores)
    check_parts(placement)
    load = load_of(placement)
    assert len(load.by_core) == cores
    spikes, efforts = spikes_of(network, None), np.zeros(64)
    for piece, core in load.held:
        efforts[core] += effort(Demands(network, chip), piece, spikes)
    assert efforts.max() < 2.0 * efforts.sum() / cores


def test_cores_are_a_square_of_the_mesh() -> None:
    placement = map_network(chain((32, 32)), grid_chip(8, 8), cores=4)
    assert {part.core for part in placement.parts} == {0, 1, 8, 9}


def test_a_network_with_fewer_neurons_than_cores() -> None:
    assert len(map_network(chain((2, 1)), grid_chip(8, 8), cores=16).parts) == 3


def test_limits_hold_as_well() -> None:
    chip = grid_chip(2, 2, [CoreLimits(neurons=20)] * 4)
    assert len(map_network(chain((40, 20)), chip, cores=3).parts) == 3
    with pytest.raises(DoesNotFitChip):
        map_network(chain((40, 21)), chip, cores=3)


@pytest.mark.parametrize("slow", [0, 1])
def test_slow_cores_get_less_to_do(slow: int) -> None:
    """The same work is done three times as fast elsewhere: that is where most of it goes."""
    network = conv(8, 16, 32)
    limits = [CoreLimits(slowdown=3 if core == slow else 1) for core in range(2)]
    for traffic in (None, {name: np.full(p.size, 2.0) for name, p in network.populations.items()}):
        placement = map_network(network, grid_chip(2, 1, limits), cores=2, traffic=traffic)
        load, efforts = load_of(placement), np.zeros(2)
        for piece, core in load.held:
            efforts[core] += effort(Demands(network, placement.chip), piece, spikes_of(network, traffic))
        assert 0 < efforts[slow] < 0.75 * efforts[1 - slow]
