"""What a table refuses, and that it cannot be changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snncc.errors import BadInput, CannotLower, InvalidGraph, SnnccError, UnknownName
from snncc.ir import Add, Conv, Dense, Sparse
from snncc.mapping import active, executed, explicit, generated, smaller

CONV = Conv(name="features.3", origin="model.py:41", weight=np.full((4, 2, 3, 2), -5))
DENSE = Dense(name="head", weight=np.array([[1, -2], [3, 100]]))
SPARSE = Sparse(name="links", weight=np.ones(1, int), pre=np.zeros(1, int), post=np.zeros(1, int), shape=(1,))
REFUSED: dict[str, tuple[Callable[[], object], type[SnnccError], str]] = {
    "shape": (
        lambda: generated(CONV, (3, 8, 8)),
        InvalidGraph,
        r"features.3 \(Conv, model.py:41\): weight .* takes 2 channels, not 3",
    ),
    "no size": (lambda: explicit(DENSE, (0, 2)), BadInput, "head .* must have positive sizes"),
    "dense shape": (lambda: explicit(DENSE, (3,)), InvalidGraph, r"head \(Dense\): weight \(2, 2\) does not"),
    "addresses": (
        lambda: explicit(
            Sparse(
                name="links", weight=np.ones(1, int), pre=np.array([4]), post=np.zeros(1, int), shape=(1,)
            ),
            (4,),
        ),
        InvalidGraph,
        "links .* pre addresses 4..4 leave 0..3",
    ),
    "real addresses": (
        lambda: explicit(
            Sparse(name="links", weight=np.ones(1, int), pre=np.zeros(1), post=np.zeros(1, int), shape=(1,)),
            (4,),
        ),
        CannotLower,
        "links .* needs integer source addresses, has float64",
    ),
    "reals": (
        lambda: smaller(Dense(name="head", weight=np.ones((2, 2))), (2,)),
        CannotLower,
        r"head \(Dense\): an address table needs integer weights, has float64\n  hint: quantize",
    ),
    "delays": (
        lambda: explicit(Dense(name="late", weight=DENSE.weight, delay=np.array([[0, 1], [2, 3]])), (2,)),
        CannotLower,
        "late .* no delays, its synapses have up to 3",
    ),
    "too narrow": (
        lambda: generated(DENSE, (2,), weight_bits=7),
        CannotLower,
        r"head \(Dense\): its weights -2..100 need 8 bits, have 7",
    ),
    "too wide": (
        lambda: explicit(Dense(name="head", weight=np.array([[65536]])), (1,)),
        CannotLower,
        "need 17 bits, have 16",
    ),
    "no width": (lambda: generated(DENSE, (2,), weight_bits=0), BadInput, "1 to 16 bits, not 0"),
    "bool width": (lambda: generated(DENSE, (2,), weight_bits=True), BadInput, "1 to 16 bits, not True"),
    "sparse descriptor": (
        lambda: generated(SPARSE, (1,)),
        CannotLower,
        r"links \(Sparse\): no descriptor generates the 1 entries",
    ),
    "mask of a dense layer": (
        lambda: explicit(DENSE, (2,), keep=np.ones((1, 1))),
        CannotLower,
        "head .* a mask or a center needs a convolution",
    ),
    "even kernel": (
        lambda: explicit(CONV, (2, 8, 8), rule="center"),
        CannotLower,
        "features.3 .* needs odd kernels, has 3 x 2",
    ),
    "mask axes": (
        lambda: explicit(CONV, (2, 8, 8), keep=np.ones((1, 8, 8))),
        BadInput,
        r"features.3 .* must have the shape \[h, w\], not \(1, 8, 8\)",
    ),
    "mask values": (lambda: explicit(CONV, (2, 8, 8), keep=[[2]]), BadInput, "nothing but 0 and 1"),
    "rule": (
        lambda: explicit(CONV, (2, 8, 8), rule="centre"),  # type: ignore[arg-type]
        UnknownName,
        "unknown rule 'centre'; known: center, patch",
    ),
    "no synapse": (
        lambda: explicit(Add(name="sum"), (2,)),  # type: ignore[arg-type]
        CannotLower,
        r"sum \(Add\): an address table is made of",
    ),
    "real spikes": (
        lambda: executed(generated(DENSE, (2,)), np.ones((1, 2))),
        BadInput,
        "head: a table takes spikes or counts, not float64",
    ),
    "spikes of another shape": (
        lambda: active(generated(CONV, (2, 8, 8)), np.ones((1, 2, 8), int)),
        BadInput,
        r"features.3: needs counts of shape \[N, 2, 8, 8\], has \[1, 2, 8\]",
    ),
}


@pytest.mark.parametrize(("act", "kind", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(act: Callable[[], object], kind: type[SnnccError], message: str) -> None:
    with pytest.raises(kind, match=message):
        act()


def test_tables_are_sealed() -> None:
    written = explicit(CONV, (2, 5, 5))
    for array in (written.targets, written.weights, generated(CONV, (2, 5, 5)).weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
