"""`describe` gives the parameters with which the compiler's one neuron does the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from snncc.errors import BadInput
from snncc.ir.neuron import NeuronParameters
from snncc.nn import IF, LIAF, LIF, PLIF, QCFS, SFA, SRIF, CubaLIF, Neuron
from snncc.nn.values import DEFAULTS
from tests.nn import definition
from tests.nn.strategies import alive, drive
from tests.nn.test_state import MAKERS

MORE: dict[str, Callable[[], Neuron]] = {
    "SFA even": lambda: SFA(3, rounding="even", norm=1),
    "SFA carry floor": lambda: SFA(8, carry=True),
    "SFA decay per channel": lambda: SFA(
        4, carry=True, decay=torch.tensor([[[0.0]], [[0.25]], [[0.5]], [[1]]])
    ),
    "LIF decayed input, hard": lambda: LIF(0.5, decay_input=True, reset="value", v_reset=0.25, v_init=0.25),
    "PLIF hard": lambda: PLIF(w=torch.tensor(0.0), reset="zero", v_reset=-0.5),
    "QCFS per channel": lambda: QCFS(8, torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(4, 1, 1)),
    "IF amount": lambda: IF(0.5, reset_amount=torch.tensor(1.5), strict=True),
    "LIAF soft": lambda: LIAF(0.75, scale=0.5),
}
EVERY = MAKERS | MORE


@pytest.mark.parametrize("maker", EVERY.values(), ids=EVERY.keys())
def test_the_described_neuron_does_the_same(maker: Callable[[], Neuron]) -> None:
    # inputs that are multiples of 1/16 make ties common and most sums exact
    x = np.round(drive(3, -1, 5) * 16) / 16
    module = maker().double()
    module.step_mode = "m"
    with torch.no_grad():
        out = module(torch.from_numpy(x)).numpy()
    assert alive(out)
    assert np.allclose(out, definition.run_described(module.describe(), x), rtol=1e-12, atol=1e-12)


def test_examples() -> None:
    common = {"max_count": 1, "reset": "subtract"}
    assert IF().describe() == {"theta": 1.0, "rho": 1.0, **common}
    assert SRIF().describe() == {"theta": 0.5, "rho": 1.0, **common}
    assert LIF(0.25, 0.5, reset="zero", strict=True).describe() == {
        "theta": 0.5,
        "max_count": 1,
        "reset": "value",
        "leak": 0.25,
        "strict": True,
    }
    assert LIF(0.75, decay_input=True, reset="value", v_reset=-1.0).describe() == {
        "theta": 1.0,
        "max_count": 1,
        "reset": "value",
        "v_reset": -1.0,
        "leak": 0.75,
        "input_gain": 0.25,
        "bias": -0.25,
    }
    assert PLIF(0.5, reset="none").describe() == {
        "theta": 1.0,
        "max_count": 1,
        "reset": "none",
        "leak": 0.5,
        "input_gain": 0.5,
    }
    assert CubaLIF(0.25, 0.5).describe() == {"theta": 1.0, "rho": 1.0, **common, "leak_i": 0.25, "leak": 0.5}
    assert LIAF(0.5, reset="none").describe() == {
        "theta": 1.0,
        "max_count": 1,
        "reset": "none",
        "leak": 0.5,
        "emit": "relu",
    }
    assert SFA(4).describe() == {
        "theta": 0.5,
        "rho": 1.0,
        "max_count": 4,
        "reset": "subtract",
        "scale": 0.25,
        "stateless": True,
    }
    assert SFA(4, norm=1, rounding="even", carry=True, decay=0.25).describe() == {
        "theta": 0.5,
        "rho": 1.0,
        "max_count": 4,
        "reset": "subtract",
        "leak": 0.25,
        "tie": "even",
    }
    assert QCFS(8, 4.0).describe() == {
        "theta": 0.25,
        "rho": 0.5,
        "max_count": 8,
        "reset": "subtract",
        "scale": 0.5,
        "stateless": True,
    }


def test_tensors_become_float64_arrays_of_their_own() -> None:
    theta = torch.tensor([[[0.1]], [[0.2]]])
    module = IF(theta)
    described = module.describe()["theta"]
    assert isinstance(described, np.ndarray)
    assert described.dtype == np.float64
    assert np.array_equal(described, theta.double().numpy())
    described[:] = 9.0
    assert torch.equal(torch.as_tensor(module.theta), theta)


def test_the_defaults_are_those_of_the_compiler() -> None:
    beyond = {"tie", "input_gain"}
    neuron = NeuronParameters()
    for name, value in DEFAULTS.items():
        assert name in beyond or getattr(neuron, name) == value


def test_a_learned_height_below_zero_is_refused() -> None:
    module = QCFS()
    with torch.no_grad():
        module.lam.fill_(-1.0)
    with pytest.raises(BadInput, match="lam must be positive"):
        module.describe()
