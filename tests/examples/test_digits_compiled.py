"""The trained networks of the digits example, compiled: nothing changes, and little is lost to integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import snncc
from examples.digits.data import Digits, load
from examples.digits.model import TIMESTEPS, lif_net, sfa_net
from snncc.api import Claim
from snncc.ir import Array, SpikeGraph

ROOT = Path(__file__).parents[2]
NETWORKS = ("sfa", "lif")
SAMPLES = 48


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load()


def repeated(name: str, x: Array) -> Array:
    return x if name == "sfa" else np.repeat(x[None], TIMESTEPS, axis=0)


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {"sfa": sfa_net(), "lif": lif_net()}
    for name, model in found.items():
        path = ROOT / "examples" / "digits" / f"{name}.pt"
        model.load_state_dict(torch.load(path, weights_only=True))
        model.eval()
    return found


@pytest.fixture(scope="module")
def graphs(models: dict[str, nn.Module], digits: Digits) -> dict[str, SpikeGraph]:
    layouts = {"sfa": "B", "lif": "TB"}
    return {
        name: snncc.trace(models[name], repeated(name, digits.train_x[:8]), layout=layouts[name])
        for name in NETWORKS
    }


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("fold", ["weights", "thresholds"])
@pytest.mark.parametrize("encoding", ["spikes", "graded"])
def test_no_spike_differs_on_the_way(
    name: str,
    fold: str,
    encoding: str,
    models: dict[str, nn.Module],
    graphs: dict[str, SpikeGraph],
    digits: Digits,
) -> None:
    calibration = repeated(name, digits.train_x[:64])
    program = snncc.compile(graphs[name], calibration=calibration, fold=fold, encoding=encoding)
    x = repeated(name, digits.test_x)
    proof = snncc.verify(program, models[name], x, samples=SAMPLES)
    proof.check()
    assert [stage.claim for stage in proof.stages] == [
        Claim.EQUAL_IN_FLOAT64,
        *[Claim.EXACT] * 5,
        Claim.APPROXIMATE,
        Claim.BIT_FOR_BIT,
    ]
    assert all(s.differing == 0 for s in proof.stages if s.claim is not Claim.APPROXIMATE), str(proof)
    folded = next(stage.graph for stage in program.stages if stage.name == "fold-batch-norm")
    assert not any(type(node).__name__ == "Affine" for node in folded), "every batch normalization is folded"


@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy_survives_integers(name: str, graphs: dict[str, SpikeGraph], digits: Digits) -> None:
    x = repeated(name, digits.test_x)
    program = snncc.compile(graphs[name], calibration=repeated(name, digits.train_x[:256]))
    score = snncc.evaluate(program, x, digits.test_y)
    assert score.accuracy >= 0.985
    rates = {layer.name: layer.rate for layer in score.counts.layers if layer.neurons}
    assert all(0.05 < rate < 1.5 for rate in rates.values()), rates
    assert score.counts.total("saturations") == 0
    assert 0 < score.counts.energy < score.counts.ann_energy


def test_a_stream_of_the_sfa_network_is_measured_and_loses(
    models: dict[str, nn.Module], graphs: dict[str, SpikeGraph], digits: Digits
) -> None:
    program = snncc.compile(graphs["sfa"], precision="float", encoding="stream")
    proof = snncc.verify(program, models["sfa"], digits.test_x, samples=SAMPLES)
    stage = next(stage for stage in proof.stages if stage.name == "expand-counts")
    assert stage.claim is Claim.APPROXIMATE
    assert stage.layers[0].differing == 0
    assert stage.differing > 1000
