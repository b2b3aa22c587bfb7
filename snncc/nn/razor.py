"""The gate of Razor SNN: temporal embeddings weigh events, and frames without events of interest go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.attention import whole

Gain = Literal["graded", "none"]


class RazorGate(nn.Module):
    """Weighs the events of a train, and in evaluation drops frames that hold nothing of interest.

    For every sample, X[t] its frames with positions p (all of C, H, W, or N), B the embeddings [E, T]::

        w    = softmax(conv(mean of X over p))        T -> E, 1 x 1, with bias
        M    = sigmoid((w (.) B) X)                   [E, p]: maps of events, shared by all timesteps
        G    = sum of M over E                        in (0, E); near E/2 before training
        X^   = G (.) X
        S[t] = max over p of X^[t]
        out  = X^                                     in training
               X^ or X, and 0 where S[t] < threshold  in evaluation

    Input and output are [T, B, C, H, W] or [T, B, N], with T = *timesteps*.

    Two things are open in the paper, which has no code:

    - *gain*, whether G acts in evaluation. "graded": X^ goes on, as in training; spikes then carry a
      payload. "none": X goes on, the gain only decides about frames; spikes stay binary.
    - the "conv-based module" that weighs the embeddings. Here it is what MasKD, where the construction
      comes from, would do: a global mean and a 1 x 1 convolution. It has E*T + E parameters.

    With mask=False no frame is dropped. A dropped frame is a frame without events: the layer behind it
    still leaks and still receives its bias. (Zhang et al., "Razor SNN", equations 5 to 9.)
    """

    def __init__(
        self,
        timesteps: int,
        *,
        embeddings: int = 4,
        threshold: float = 0.4,
        gain: Gain = "graded",
        mask: bool = True,
    ) -> None:
        super().__init__()
        self.timesteps = whole("RazorGate: timesteps", timesteps)
        embeddings = whole("RazorGate: embeddings", embeddings)
        if gain not in get_args(Gain):
            raise BadInput(f"RazorGate: gain must be one of {get_args(Gain)}, not {gain!r}")
        if not math.isfinite(threshold):
            raise BadInput(f"RazorGate: threshold must be a finite number, not {threshold!r}")
        self.threshold = float(threshold)
        self.gain: Gain = gain
        self.mask = mask
        self.embeddings = nn.Parameter(torch.empty(embeddings, self.timesteps))
        nn.init.normal_(self.embeddings, 0.0, 0.01)
        self.conv = nn.Conv1d(self.timesteps, embeddings, 1)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        gained = x * self.gains(x)
        if self.training:
            return gained
        out = gained if self.gain == "graded" else x
        if not self.mask:
            return out
        frames = (gained.flatten(2).amax(2) >= self.threshold).to(x.dtype)
        return out * frames.reshape(*frames.shape, *[1] * (x.ndim - 2))

    def gains(self, x: Tensor) -> Tensor:
        """G for the train *x*, of shape [B, C, H, W] or [B, N]."""
        self._check(x)
        events = x.flatten(2).transpose(0, 1)
        kernel, bias = self.conv.weight[..., 0].to(x.dtype), self.conv.bias
        assert bias is not None
        logits = (events.mean(2).unsqueeze(1) * kernel).sum(2) + bias.to(x.dtype)
        weighted = torch.softmax(logits, 1).unsqueeze(2) * self.embeddings.to(x.dtype)
        return torch.sigmoid(weighted @ events).sum(1).reshape(x.shape[1:])

    def scores(self, x: Tensor) -> Tensor:
        """S for the train *x*, of shape [T, B]."""
        return (x * self.gains(x)).flatten(2).amax(2)

    def macs(self, shape: Sequence[int]) -> int:
        """MACs in evaluation for one sample of *shape* (T, C, H, W) or (T, N).

        E*T for the convolution, E*T for the weights, E*T per position for the maps, and T per position
        for the gain, which the scores need, too.
        """
        T, *sample = (int(n) for n in shape)
        if self.timesteps != T or len(sample) not in (1, 3):
            raise BadInput(
                f"RazorGate.macs: the shape must be (T, C, H, W) or (T, N) with T = {self.timesteps}, "
                f"not {tuple(shape)}"
            )
        E, positions = len(self.embeddings), math.prod(sample)
        return 2 * E * T + E * T * positions + T * positions

    def extra_repr(self) -> str:
        return (
            f"timesteps={self.timesteps}, embeddings={len(self.embeddings)}, threshold={self.threshold:g}, "
            f"gain={self.gain!r}" + ", mask=False" * (not self.mask)
        )

    def _check(self, x: Tensor) -> None:
        if not x.is_floating_point():
            raise BadInput(f"RazorGate: the input must be floating point, not {x.dtype}", hint="x.float()")
        shape = tuple(x.shape)
        if x.ndim not in (3, 5) or 0 in shape:
            raise BadInput(
                f"RazorGate: the input must be a train [T, B, C, H, W] or [T, B, N], not of shape {shape}"
            )
        if shape[0] != self.timesteps:
            raise BadInput(
                f"RazorGate: built for {self.timesteps} timesteps, the input of shape {shape} has {shape[0]}"
            )
