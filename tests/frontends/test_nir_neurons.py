"""Each neuron of NIR is what forward Euler makes of its equation; its reset is known or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc.errors import BadFile, BadInput, UnknownName
from snncc.ir import Array
from tests.frontends.nir_files import DT, chain, load, outputs, unit

N, T, B = 5, 60, 3
ONE = {"tau": [2e-3], "r": [20.0], "v_leak": [0.0], "v_threshold": [0.5]}


def parameters(kind: str, rng: np.random.Generator) -> dict[str, Array]:
    """Fields of N different neurons of *kind*."""
    draw: dict[str, Array] = {
        "tau": rng.uniform(2 * DT, 2e-3, N),
        "tau_mem": rng.uniform(2 * DT, 2e-3, N),
        "tau_syn": rng.uniform(DT, 1e-3, N),
        "r": rng.uniform(0.5, 2, N) / (DT if kind in ("I", "IF") else 0.2),
        "v_leak": rng.uniform(-0.2, 0.2, N),
        "w_in": rng.uniform(0.5, 2, N),
        "v_threshold": rng.uniform(0.2, 1, N),
        "v_reset": rng.uniform(-0.3, 0.1, N),
        "threshold": rng.uniform(-0.5, 0.5, N),
    }
    names = {
        "I": "r",
        "IF": "r v_threshold v_reset",
        "LI": "tau r v_leak",
        "LIF": "tau r v_leak v_threshold v_reset",
        "CubaLI": "tau_syn tau_mem r v_leak w_in",
        "CubaLIF": "tau_syn tau_mem r v_leak w_in v_threshold v_reset",
        "Threshold": "threshold",
    }
    return {name: draw[name] for name in names[kind].split()}


def euler(kind: str, p: dict[str, Array], x: Array, reset: str) -> Array:
    """The equations of NIR, one step after another."""
    v, i, out = np.zeros((B, N)), np.zeros((B, N)), []
    for drive in x:
        if kind == "Threshold":
            out.append(drive > p["threshold"])
            continue
        if kind.startswith("Cuba"):
            i = i + DT / p["tau_syn"] * (p["w_in"] * drive - i)
            v = v + DT / p["tau_mem"] * (p["v_leak"] - v + p["r"] * i)
        elif kind in ("I", "IF"):
            v = v + DT * p["r"] * drive
        else:
            v = v + DT / p["tau"] * (p["v_leak"] - v + p["r"] * drive)
        if "v_threshold" not in p:
            out.append(v)
            continue
        z = v > p["v_threshold"]
        out.append(z)
        after = {"value": p["v_reset"], "zero": 0 * v, "subtract": v - p["v_threshold"], "none": v}
        v = np.where(z, after[reset], v)
    return np.array(out, float)


CASES = [("I", ""), ("LI", ""), ("CubaLI", ""), ("Threshold", "")]
CASES += [(k, r) for k in ("IF", "LIF", "CubaLIF") for r in ("value", "zero", "subtract", "none")]


@pytest.mark.parametrize(("kind", "reset"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_forward_euler(kind: str, reset: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    p = parameters(kind, rng)
    x = rng.normal(0.3, 0.7, (T, B, N))
    fields, version = dict(p), "1.0.8"
    options: dict[str, Any] = {}
    if reset in ("zero", "subtract", "none"):
        fields.pop("v_reset")
        options, version = {"reset": reset}, "1.0.4"
    path = chain(tmp_path / "n.nir", [N], unit(kind, **fields), out=[N], version=version)
    ours, theirs = outputs(load(path, **options), x), euler(kind, p, x, reset)
    if kind in ("I", "LI", "CubaLI"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    else:
        assert 0 < theirs.sum() < theirs.size
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("version", ["1.0.6", "1.0.8", "1.1"])
def test_a_version_that_says_the_reset_is_believed(version: str, tmp_path: Path) -> None:
    graph = load(chain(tmp_path / "n.nir", [1], unit("LIF", **ONE, v_reset=[-0.5]), out=[1], version=version))
    (neuron,) = graph.neurons
    assert (neuron.parameters.reset.value, float(neuron.parameters.v_reset)) == ("value", -0.5)
    plain = chain(tmp_path / "n.nir", [1], unit("LIF", **ONE), out=[1], version=version)
    (neuron,) = load(plain).neurons  # nir itself fills in zero
    assert (neuron.parameters.reset.value, float(neuron.parameters.v_reset)) == ("value", 0)


@pytest.mark.parametrize("version", ["0.1.1", "1.0.4", "1.0.5", "1.0.6.dev3", "unknown"])
def test_a_version_that_does_not_say_the_reset_asks(version: str, tmp_path: Path) -> None:
    path = chain(tmp_path / "n.nir", [1], unit("LIF", **ONE), out=[1], version=version)
    with pytest.raises(
        BadInput, match=rf"a \(NIR LIF\): the file, of NIR version {version}, does not say"
    ) as e:
        load(path)
    assert "--reset subtract" in str(e.value)
    resets = {r: load(path, reset=r).neurons[0].parameters.reset.value for r in ("subtract", "zero", "none")}
    assert resets == {"subtract": "subtract", "zero": "value", "none": "none"}
    with pytest.raises(BadInput, match="has no v_reset"):
        load(path, reset="value")
    with pytest.raises(UnknownName, match="unknown reset 'soft'; known: none, subtract, value, zero"):
        load(path, reset="soft")


def test_a_reset_that_contradicts_the_file(tmp_path: Path) -> None:
    # v_reset = 0 is what frameworks write whatever they mean; another one was meant
    zero = chain(tmp_path / "z.nir", [1], unit("LIF", **ONE, v_reset=[0.0]), out=[1])
    assert load(zero, reset="subtract").neurons[0].parameters.reset.value == "subtract"
    other = chain(tmp_path / "o.nir", [1], unit("LIF", **ONE, v_reset=[0.25]), out=[1])
    with pytest.raises(BadInput, match=r"the file has v_reset = 0.25, which contradicts 'subtract'"):
        load(other, reset="subtract")


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    (ONE, {"dt": None}, BadInput, r"a \(NIR LIF\): is a differential equation; it needs a step, in seconds"),
    (ONE, {"dt": 0.0}, BadInput, "dt is a time in seconds, more than 0"),
    (ONE, {"dt": 1.0}, BadInput, "dt = 1 s is longer than its tau = 0.002 s"),
    (ONE, {"timesteps": None}, BadInput, "NIR does not say for how many timesteps"),
    (ONE, {"timesteps": 0}, BadInput, "at least one timestep, not 0"),
    (ONE, {"input_shape": (1,)}, BadInput, "a NIR graph says the shape of its input"),
    ({**ONE, "tau": [0.0]}, {}, BadFile, "its tau must be positive"),
    ({**ONE, "tau": [np.nan]}, {}, BadFile, "its tau holds values that are not numbers"),
    ({**ONE, "r": [np.inf]}, {}, BadFile, "its r holds values that are not finite"),
    ({**ONE, "r": [1.0, 2.0]}, {}, BadFile, r"its fields have different shapes: \(1,\), \(2,\)"),
    (
        {k: np.full(3, v) for k, v in ONE.items()},
        {},
        BadFile,
        r"made for the shape \(3,\), and receives \(1,\)",
    ),
    ({k: v for k, v in ONE.items() if k != "r"}, {}, BadFile, r"a \(NIR LIF\) has no r"),
    ({**ONE, "v_peak": [1.0]}, {}, BadFile, "has a field 'v_peak', whose meaning is unknown"),
    ({**ONE, "tau": "slow"}, {}, BadFile, "its tau is no number"),
    ({**ONE, "v_threshold": [-1.0]}, {"reset": "subtract"}, BadInput, "v_threshold is not positive"),
    ({**ONE, "metadata": {"snncc.rho": [1.0]}}, {}, BadFile, "was changed after snncc wrote it"),
]


@pytest.mark.parametrize(("fields", "options", "error", "message"), REFUSED)
def test_refused(
    fields: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = chain(tmp_path / "n.nir", [1], unit("LIF", **fields), out=[1])
    with pytest.raises(error, match=message) as caught:
        load(path, **options)
    assert str(caught.value).startswith(str(path)) or "dt" in options


def test_single_numbers_stand_for_all_neurons(tmp_path: Path) -> None:
    fields: dict[str, Any] = {name: np.float64(value[0]) for name, value in ONE.items()}
    wide: dict[str, Any] = {name: np.full(4, value[0]) for name, value in ONE.items()}
    a, b = (
        chain(tmp_path / f"{k}.nir", [4], unit("LIF", **f), out=[4]) for k, f in enumerate((fields, wide))
    )
    x = np.random.default_rng(0).normal(0.5, 1, (20, 2, 4))
    assert outputs(load(a), x).any()
    np.testing.assert_array_equal(outputs(load(a), x), outputs(load(b), x))


def test_reset_and_dt_belong_to_nir(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="belong to NIR graphs"):
        load(tmp_path / "g.snn", reset="zero")
