"""Batch normalization that knows the threshold behind it: tdBN."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from snncc.errors import BadInput


class ThresholdDependentBatchNorm(nn.BatchNorm2d):
    """tdBN: ``y = weight*alpha*theta*(x - mean)/sqrt(var + eps) + bias``, per channel.

    The input is a whole train [T, B, C, H, W], whose mean and variance are taken over T, B, H and W, or
    [B, C, H, W], which in training is right only where B holds all timesteps. Evaluation takes the running
    statistics and is affine: the compiler folds it. *theta* is the threshold of the neurons behind, *alpha*
    a constant of the network (1; 1/sqrt(2) where two such layers are added). Otherwise a
    `torch.nn.BatchNorm2d`, with the same state dict. Raises `BadInput` for inputs of another shape. (Zheng et
    al., "Going deeper with directly-trained larger SNNs", as in InfLoR-SNN, theta = 0.5.)
    """

    def __init__(
        self,
        channels: int,
        theta: float = 0.5,
        alpha: float = 1.0,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        for name, value in (("theta", theta), ("alpha", alpha)):
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{type(self).__name__}: {name} must be positive and finite, not {value}")
        self.theta, self.alpha = float(theta), float(alpha)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        """Values of the shape of *input*."""
        if input.ndim not in (4, 5) or input.shape[-3] != self.num_features:
            raise BadInput(
                f"{type(self).__name__}: needs an input [T, B, {self.num_features}, H, W] or "
                f"[B, {self.num_features}, H, W], not of shape {tuple(input.shape)}"
            )
        maps = input.flatten(0, 1) if input.ndim == 5 else input
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        out = functional.batch_norm(
            maps,
            self.running_mean,
            self.running_var,
            self.weight * (self.alpha * self.theta),
            self.bias,
            self.training,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out.reshape(input.shape)

    def extra_repr(self) -> str:
        plain = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{plain}, theta={self.theta:g}, alpha={self.alpha:g}"


tdBN = ThresholdDependentBatchNorm  # noqa: N816  the name that papers use
