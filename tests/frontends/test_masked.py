"""Networks that run with the mask of spike sparse convolution: it is compiled as it is, and stays exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.errors import CannotTrace
from snncc.nn import SFA, MaskedBatchNorm2d, SparseConv2d, set_mask

KEEP = torch.tensor([[[True, False], [False, True]]])


class Encoder(nn.Module):
    """Two masked convolutions, the second of stride 2; [B, 2, 8, 8]."""

    def __init__(self, rule: str = "patch") -> None:
        super().__init__()
        self.first, self.second, self.third = SFA(4), SFA(4), SFA(4)
        self.conv1 = SparseConv2d(2, 6, 3, padding=1, rule=rule)  # type: ignore[arg-type]
        self.conv2 = SparseConv2d(6, 8, 3, 2, padding=1, rule=rule)  # type: ignore[arg-type]
        self.norm1, self.norm2, self.head = MaskedBatchNorm2d(6), MaskedBatchNorm2d(8), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.norm1(self.conv1(self.first(x))))
        out: Tensor = self.head(self.third(self.norm2(self.conv2(x))))
        return out


@pytest.mark.parametrize("precision", ["float", "integer"])
@pytest.mark.parametrize("keep", [None, KEEP], ids=["no mask", "mask"])
def test_the_mask_is_compiled(keep: Tensor | None, precision: str) -> None:
    torch.manual_seed(0)
    model, x = Encoder(), torch.rand(3, 2, 8, 8) * 3
    for norm in (model.norm1, model.norm2):
        nn.init.constant_(norm.bias, 0.7)
    model.eval()
    set_mask(model, keep)
    program = snncc.compile(
        snncc.trace(model, x, timesteps=1, layout="B"), calibration=x.numpy(), precision=precision
    )
    proof = snncc.verify(program, model, x)
    proof.check()
    assert all(stage.differing == 0 for stage in proof.stages if stage.claim != "approximate")
    result = program.run(x, record=["second", "third"])
    for name, size in (("second", 8), ("third", 4)):
        sent = result.records[name].train.sum(axis=2)[0].any(axis=(0, 1))
        assert sent.any()
        if keep is not None:
            inside = np.kron(KEEP[0].numpy(), np.ones((size // 2, size // 2), bool))
            assert not sent[~inside].any()


def test_a_mask_that_depends_on_the_spikes_is_refused_with_the_way_out() -> None:
    model, x = Encoder("center").eval(), torch.rand(2, 2, 8, 8)
    with pytest.raises(CannotTrace, match="conv1") as caught:
        snncc.trace(model, x, timesteps=1, layout="B")
    assert caught.value.hint
