"""The small computing functions of benchmarks/published.py, and that the page on disk is theirs."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmarks.published import RESULTS, ceolini_section, derivation, rails, sanafe_section, speck_section
from benchmarks.published_figures import (
    CEOLINI,
    IDLE_W,
    INFERENCE_J,
    PER_SECOND,
    RUNNING_W,
    YAO,
    consistency,
    joules_per_spike,
    joules_per_synapse,
)
from benchmarks.published_keyword import (
    BRANCH_LAYERS,
    BRANCH_WIDTH,
    LOIHI,
    TIMESTEPS,
    inference,
    keyword_network,
    line,
    rate_at,
    static_watts,
)
from snncc.chips import load_chip
from snncc.ir import Dense
from tests.joules import joules


def test_published_figures_are_consistent_with_themselves() -> None:
    joules = (RUNNING_W - IDLE_W) / PER_SECOND
    assert joules == pytest.approx(INFERENCE_J, rel=0.02)
    for task in CEOLINI:
        assert consistency(task) == pytest.approx(1, abs=5e-4)


def test_joules_per_spike_by_hand() -> None:
    """(9.5 - 0.42) mW x 540 ms / 1.0 million = 4.90 nJ; the others as in the reference's last row."""
    found = [round(joules_per_spike(window) * 1e9, 2) for window in YAO]
    assert found == [4.90, 4.56, 2.92, 3.10, 7.59, 4.28]


def test_the_speck_file_derives_its_constant_as_it_says() -> None:
    found = derivation(load_chip("speck2f"))
    assert found.middle == sqrt(found.low * found.high)
    assert found.value == pytest.approx(found.middle, abs=0.05), "printed to one digit"
    low, high = (joules * 1e12 for joules in joules_per_synapse())
    assert found.low == pytest.approx(low, rel=0.05)
    assert low < found.value < high
    without = joules_per_synapse([one for one in YAO if one.name != "Gait-night, vanilla"])
    assert found.high == pytest.approx(without[1] * 1e12, rel=0.05)
    for kind in ("dense", "conv", "sparse"):
        assert load_chip("speck2f").operations.synapse[kind].energy == found.value


def test_the_speck_file_adds_its_rails() -> None:
    chip = load_chip("speck2f")
    assert sum(rails(chip)) * 1e-6 == pytest.approx(static_watts(chip)[0])
    assert static_watts(chip)[1] == pytest.approx(0.42e-3)


def test_static_power_of_loihi() -> None:
    for name in LOIHI:
        assert static_watts(load_chip(name)) == pytest.approx((29.6e-3, 104.4e-3))


def test_lines() -> None:
    assert line([1, 2, 4], [5, 7, 11]) == pytest.approx((3, 2))
    assert rate_at(9, [1, 2, 4], [5, 7, 11]) == pytest.approx(3)


def test_the_network_has_the_published_sizes() -> None:
    graph = keyword_network(2)
    shapes = [node.weight.shape for node in graph.nodes if isinstance(node, Dense)]
    assert shapes[:3] == [(256, 390), (256, 256), (29, 256)]
    assert shapes[3:] == [(BRANCH_WIDTH, BRANCH_WIDTH)] * (2 * BRANCH_LAYERS)


def test_an_inference_by_hand() -> None:
    """Nothing fires: 390 + 256 + 256 + 29 = 931 neurons are visited in each of 10 timesteps, 51.2 pJ.

    541 of them leak and are updated, 21.6 pJ. With spikes a synaptic operation takes 35.5 pJ, and on Davies'
    figures 23.6.
    """
    silent = inference(LOIHI[0], 0, 0.0)
    assert silent.synapses == 0
    assert silent.joules == joules((931 * 51.2 + 541 * 21.6) * TIMESTEPS * 1e-12)
    for name, each in zip(LOIHI, (35.5e-12, 23.6e-12), strict=True):
        some = inference(name, 0, 0.05)
        assert some.synapses == pytest.approx(0.05 * TIMESTEPS * (390 * 256 + 256 * 256 + 256 * 29), rel=0.1)
        assert some.kinds["dense"] == pytest.approx(some.synapses * each)
        assert some.joules > some.kinds["dense"]
    assert inference(LOIHI[0], 0, 0.05).synapses == inference(LOIHI[1], 0, 0.05).synapses


def test_the_page_is_what_the_program_writes() -> None:
    page = RESULTS.read_text(encoding="utf-8")
    for section in (sanafe_section(), ceolini_section(), speck_section()):
        assert "\n".join(section) in page
    for name in LOIHI:
        assert f"`{name}`" in page
