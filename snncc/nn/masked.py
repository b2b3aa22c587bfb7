"""Spike sparse convolution: convolutions and normalizations of active positions, for masked pre-training.

Masked-image pre-training hides patches: a keep map says which are left (multiply the image by it first).
`set_mask` gives it to every layer of a model; without one, all layers here are the ordinary ones, which
is how the trained weights are used afterwards. ("Scaling spike-driven Transformer", SSC.)

Inputs are [B, C, H, W], or flattened trains [T*B, C, H, W] with the timesteps outermost, of which every
timestep has the same keep map.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.attention import whole

Rule = Literal["patch", "center"]
Pair = int | tuple[int, int]


class _Masked(nn.Module):
    """A layer with a keep map."""

    keep: Tensor | None

    def _start_without_mask(self) -> None:
        self.register_buffer("keep", None, persistent=False)

    def set_mask(self, keep: Tensor | None) -> None:
        """Keep the map *keep*, bool or 0/1, of shape [B, h, w] or [B, 1, h, w]; None: no mask.

        It is scaled to the layer's size by the nearest-neighbor rule: row i of H reads row i*h // H.
        """
        self.keep = None if keep is None else _as_map(self, keep)

    def _scaled_mask(self, batch: int, height: int, width: int) -> Tensor | None:
        """The kept map as bool [batch, 1, height, width]."""
        if self.keep is None:
            return None
        if batch % len(self.keep):
            raise BadInput(
                f"{type(self).__name__}: the mask is one of {len(self.keep)} samples, the input has {batch}",
                hint="snncc.nn.set_mask(model, keep) before each batch, set_mask(model, None) after the last",
            )
        h, w = self.keep.shape[2:]
        rows = torch.arange(height, device=self.keep.device) * h // height
        columns = torch.arange(width, device=self.keep.device) * w // width
        return self.keep[:, :, rows][..., columns].repeat(batch // len(self.keep), 1, 1, 1)


class SparseConv2d(nn.Conv2d, _Masked):
    """A convolution whose output is 0, without bias, at inactive positions.

    The arguments are those of `torch.nn.Conv2d` with stride 1 or 2, dilation 1, and zeros as padding.

    - rule="patch" (the authors' code): the active positions are the keep map of `set_mask`, scaled to
      the output. Without a mask all are.
    - rule="center" (stricter, the paper's remark about chips): an output position is active only if a
      channel of the input, any, is not 0 at the position under the kernel's center; kernels are odd. A
      keep map restricts it further.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        *,
        groups: int = 1,
        bias: bool = True,
        rule: Rule = "patch",
    ) -> None:
        name = "SparseConv2d"
        if rule not in get_args(Rule):
            raise BadInput(f"{name}: rule must be one of {get_args(Rule)}, not {rule!r}")
        whole(f"{name}: groups", groups)
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if whole(f"{name}: {what}", channels) % groups:
                raise BadInput(f"{name}: {what} ({channels}) must be a multiple of groups ({groups})")
        kernel, steps = _pair(f"{name}: kernel_size", kernel_size, 1), _pair(f"{name}: stride", stride, 1)
        if not set(steps) <= {1, 2}:
            raise BadInput(f"{name}: stride must be 1 or 2, not {stride}")
        if rule == "center" and 0 in (kernel[0] % 2, kernel[1] % 2):
            raise BadInput(
                f"{name}: a kernel of {kernel[0]} x {kernel[1]} has no center", hint="rule='patch'"
            )
        margins = _pair(f"{name}: padding", padding, 0)
        super().__init__(in_channels, out_channels, kernel, steps, margins, groups=groups, bias=bias)
        self.margins = margins  # torch types its own `padding` as a string, too
        self._start_without_mask()
        self.rule: Rule = rule

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name in torch.nn.Conv2d
        active = self.active(input)
        out = super().forward(input)
        return out if active is None else out.masked_fill(~active, 0.0)

    def active(self, x: Tensor) -> Tensor | None:
        """The active positions of the output for the input *x*, bool [B, 1, H, W]; None: all."""
        _check_image(self, x, self.in_channels)
        sizes = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(x.shape[2:], self.margins, self.kernel_size, self.stride, strict=True)
        ]
        if min(sizes) < 1:
            raise BadInput(
                f"SparseConv2d: the input {tuple(x.shape)} is too small for a kernel {self.kernel_size}"
            )
        kept = self._scaled_mask(len(x), *sizes)
        if self.rule == "patch":
            return kept
        centers = self._under_the_center((x != 0).any(1, keepdim=True), sizes)
        return centers if kept is None else centers & kept

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rule={self.rule!r}"  # type: ignore[no-untyped-call]

    def _under_the_center(self, spikes: Tensor, sizes: list[int]) -> Tensor:
        """For each output position whether *spikes* [B, 1, H, W] is true under the kernel's center."""
        (top, left), (down, across) = self.margins, self.stride
        padded = F.pad(spikes, (left, left, top, top))  # with False: no spike outside of the input
        first_row, first_column = (k // 2 for k in self.kernel_size)
        rows, columns = sizes
        return padded[:, :, first_row::down, first_column::across][:, :, :rows, :columns]


class MaskedBatchNorm2d(nn.BatchNorm2d, _Masked):
    """Batch normalization of the active positions; inactive ones become exactly 0.

    Statistics and affine see the active positions alone, as if there were no others: those of the map
    given to `set_mask`, scaled to the input, or in one call those of *active*, bool [B, 1, H, W], such as
    ``conv.active(x)`` of a `SparseConv2d`. Without both it is `torch.nn.BatchNorm2d`. Raises `BadInput`
    for fewer than two active positions in training.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        whole("MaskedBatchNorm2d: num_features", num_features)
        super().__init__(num_features, eps, momentum)
        self._start_without_mask()

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:  # noqa: A002  torch's name
        _check_image(self, input, self.num_features)
        B, _, H, W = input.shape
        if active is None:
            active = self._scaled_mask(B, H, W)
        elif active.dtype != torch.bool or tuple(active.shape) != (B, 1, H, W):
            raise BadInput(
                f"MaskedBatchNorm2d: active must be bool of shape {(B, 1, H, W)}, "
                f"not {active.dtype} of shape {tuple(active.shape)}"
            )
        count = B * H * W if active is None else int(active.sum())
        if self.training and count < 2:
            raise BadInput(f"MaskedBatchNorm2d: training needs two active positions, there are {count}")
        if active is None:
            return super().forward(input)
        if not self.training and self.track_running_stats:  # the same numbers, as what can be compiled
            return super().forward(input).masked_fill(~active, 0.0)
        where = active[:, 0]
        pixels = input.permute(0, 2, 3, 1)
        normal = super().forward(pixels[where][..., None, None])[..., 0, 0]
        return torch.zeros_like(pixels).index_put((where,), normal).permute(0, 3, 1, 2)


def set_mask(model: nn.Module, keep: Tensor | None) -> None:
    """Give the keep map *keep* to every masked layer in *model* (see `SparseConv2d`); None: no mask."""
    for module in model.modules():
        if isinstance(module, _Masked):
            module.set_mask(keep)


def _as_map(module: nn.Module, keep: Tensor) -> Tensor:
    name = type(module).__name__
    if not isinstance(keep, Tensor):
        raise BadInput(f"{name}: the mask must be a tensor, not {type(keep).__name__}")
    shape = tuple(keep.shape)
    full = keep.unsqueeze(1) if keep.ndim == 3 else keep
    if full.ndim != 4 or full.shape[1] != 1 or 0 in shape:
        raise BadInput(f"{name}: the mask must have the shape [B, h, w] or [B, 1, h, w], not {shape}")
    if not bool(((full == 0) | (full == 1)).all()):
        raise BadInput(f"{name}: the mask must be bool, or hold nothing but 0 and 1")
    return full.bool()


def _check_image(module: nn.Module, x: Tensor, channels: int) -> None:
    name, shape = type(module).__name__, tuple(x.shape)
    if not x.is_floating_point():
        raise BadInput(f"{name}: the input must be floating point, not {x.dtype}", hint="x.float()")
    if x.ndim != 4 or 0 in shape or shape[1] != channels:
        hint = "x.flatten(0, 1) for a train [T, B, C, H, W]" if x.ndim == 5 else ""
        raise BadInput(f"{name}: the input must be [B, {channels}, H, W], not of shape {shape}", hint=hint)


def _pair(what: str, value: Pair, least: int) -> tuple[int, int]:
    match value:
        case int(n) | (int(n), int()) if not isinstance(value, bool):
            pair = value if isinstance(value, tuple) else (n, n)
            if min(pair) >= least:
                return pair
    raise BadInput(f"{what} must be one or two whole numbers of at least {least}, not {value!r}")
