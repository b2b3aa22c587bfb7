"""ASA-SNN: advanced spatial attention per sample, and the three-layer network with five attentions.

Written from the published equations alone, without looking at the code of snncc.
Time first: x [T, B, C, H, W].
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["vanilla", "SA", "TCSA", "ASA-1", "ASA-2"]
FC = Tensor | tuple[Tensor, Tensor] | None

# Channels and pool of the three layers, and the side of the attention's input at 32x32 (2.2).
CHANNELS = (64, 128, 128)
POOLS = (1, 2, 2)
SIDES = (32, 16, 8)
# Parameters of the network for 11 classes without attention, and what each attention adds (T = 60).
PARAMETERS = 2_323_531
EXTRA: dict[Kind, int] = {"vanilla": 0, "SA": 294, "TCSA": 24_126, "ASA-1": 10_914, "ASA-2": 114}
NEURONS = (65_536, 32_768, 8_192, 256, 11)


# --- Neuron and fold ---


class Membrane(NamedTuple):
    """Spikes S and potentials before the reset U; each [T, ...]."""

    spikes: Tensor
    before: Tensor


def lif(
    x: Tensor, threshold: float = 0.3, alpha: float = 0.3, v_reset: float = 0.0, beta: float = 0.0
) -> Membrane:
    """``U = H + X; S = [U >= Vth]; H = alpha (S Vreset + (1 - S) U) + beta0``."""
    h = torch.zeros_like(x[0])
    spikes, before = [], []
    for x_t in x:
        u = h + x_t
        s = (u >= threshold).to(x)
        h = alpha * (s * v_reset + (1 - s) * u) + beta
        spikes.append(s)
        before.append(u)
    return Membrane(torch.stack(spikes), torch.stack(before))


def plif(x: Tensor, w: Tensor | float, threshold: float = 1.0) -> Tensor:
    """Spikes [T, ...] of ``V += (X - V) sigmoid(w)``, hard reset to 0."""
    rate = torch.sigmoid(torch.as_tensor(w, dtype=x.dtype))
    v = torch.zeros_like(x[0])
    train = []
    for x_t in x:
        v = v + (x_t - v) * rate
        s = (v >= threshold).to(x)
        v = v * (1 - s)
        train.append(s)
    return torch.stack(train)


def pool_folded(weight: Tensor) -> Tensor:
    """Weight [o, i, 4, 4], stride 2, padding 1, that equals a 3x3 convolution (padding 1) and AvgPool2."""
    folded = weight.new_zeros(*weight.shape[:2], 4, 4)
    for di in range(2):
        for dj in range(2):
            folded[:, :, di : di + 3, dj : dj + 3] += weight / 4
    return folded


# --- Attention ---


def largest(values: Tensor, k: int) -> Tensor:
    """1 at the *k* largest of a vector, 0 elsewhere; of equal values the first wins."""
    order = sorted(range(len(values)), key=lambda i: (-float(values[i]), i))
    mask = torch.zeros_like(values)
    mask[order[:k]] = 1
    return mask


class Parts(NamedTuple):
    """The stages of ASA for one sample: importance M [T, C], mask M1 [T, C], the two maps A [H, W]."""

    importance: Tensor
    mask: Tensor
    maps: tuple[Tensor, Tensor]
    out: Tensor


def asa_parts(
    x: Tensor, fc: FC, alpha: Tensor | float, gamma: Tensor | float, conv1: Tensor, conv2: Tensor, lam: float
) -> Parts:
    """ASA of one sample x [T, C, H, W] with all that it computes on the way."""
    T, C, _, _ = x.shape
    a, m = x.mean((2, 3)), x.amax((2, 3))
    M = 0.5 * (a + m) + alpha * a + gamma * m
    if isinstance(fc, tuple):
        M = fc[1] @ torch.relu(fc[0] @ M)
    elif fc is not None:
        M = fc @ M
    mc = torch.stack([largest(M[t], int(lam * C)) for t in range(T)])
    mt = torch.stack([largest(M[:, c], int(lam * T)) for c in range(C)], 1)
    M1 = (mc != mt).to(x)
    out = torch.zeros_like(x)
    maps = []
    for mask, share, conv in ((M1, lam, conv1), (1 - M1, 1 - lam, conv2)):
        X = x * mask[:, :, None, None]
        p = torch.stack([X.mean((0, 1)) / share, X.amax((0, 1))])
        A = torch.sigmoid(F.conv2d(p[None], conv, padding=conv.shape[-1] // 2))[0, 0]
        maps.append(A)
        out = out + A * X
    return Parts(M, M1, (maps[0], maps[1]), out)


def asa(
    x: Tensor,
    fc: FC,
    alpha: Tensor | float,
    gamma: Tensor | float,
    conv1: Tensor,
    conv2: Tensor,
    lam: float = 0.5,
) -> Tensor:
    """``A1 X1 + A2 X2`` of x [T, B, C, H, W], every sample for itself.

    *fc*: None (ASA-2), one [T, T] matrix, or two ([T/r, T], [T, T/r]) with a ReLU between; out = fc @ in.
    *conv1*, *conv2*: weights [1, 2, 3, 3] over the maps (mean, max).
    """
    samples = [asa_parts(x[:, b], fc, alpha, gamma, conv1, conv2, lam).out for b in range(x.shape[1])]
    return torch.stack(samples, 1)


class ASA(nn.Module):
    """`asa` with its parameters: alpha, gamma, the [T, T] matrix unless *fc* is false, conv1, conv2."""

    def __init__(self, timesteps: int, fc: bool) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([0.5]))
        self.gamma = nn.Parameter(torch.tensor([0.5]))
        self.fc = nn.Linear(timesteps, timesteps, bias=False) if fc else None
        self.conv1 = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        fc = None if self.fc is None else self.fc.weight
        return asa(x, fc, self.alpha, self.gamma, self.conv1.weight, self.conv2.weight)


class SA(nn.Module):
    """Spatial attention per timestep: ``x * sigmoid(conv7x7([mean_C x; max_C x]))``, no bias."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.attend(x_t) for x_t in x])

    def attend(self, x: Tensor) -> Tensor:
        """One timestep [B, C, H, W]."""
        p = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(p))


class Squeeze(nn.Module):
    """n weights ``sigmoid(MLP(mean) + MLP(max))``; the MLP is n -> n/4 -> n with ReLU, without bias."""

    def __init__(self, n: int, ratio: int = 4) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(n, n // ratio, bias=False), nn.ReLU(), nn.Linear(n // ratio, n, bias=False)
        )

    def forward(self, mean: Tensor, peak: Tensor) -> Tensor:
        return torch.sigmoid(self.mlp(mean) + self.mlp(peak))


class TCSA(nn.Module):
    """Temporal, then channel, then spatial attention; the first two one vector per sample.

    The counts of parameters and of MAC fix the shapes; the order and the sigmoids are inferred.
    """

    def __init__(self, timesteps: int, channels: int) -> None:
        super().__init__()
        self.temporal = Squeeze(timesteps)
        self.channel = Squeeze(channels)
        self.spatial = SA()

    def forward(self, x: Tensor) -> Tensor:
        wt = self.temporal(x.mean((2, 3, 4)).T, x.amax((2, 3, 4)).T)  # [B, T]
        x = x * wt.T[:, :, None, None, None]
        wc = self.channel(x.mean((0, 3, 4)), x.amax((0, 3, 4)))  # [B, C]
        x = x * wc[None, :, :, None, None]
        return self.spatial(x)


# --- Network ---


def attention(kind: Kind, timesteps: int, channels: int) -> nn.Module:
    """The module before each convolution layer's neurons."""
    if kind == "SA":
        return SA()
    if kind == "TCSA":
        return TCSA(timesteps, channels)
    if kind == "vanilla":
        return nn.Identity()
    return ASA(timesteps, fc=kind == "ASA-1")


class Layer(nn.Module):
    """Conv 3x3 with bias, BN, AvgPool, attention over the full T, LIF."""

    def __init__(self, before: int, after: int, pool: int, kind: Kind, timesteps: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)
        self.bn = nn.BatchNorm2d(after)
        self.pool = nn.AvgPool2d(pool)
        self.attention = attention(kind, timesteps, after)

    def forward(self, x: Tensor) -> Tensor:
        T, B = x.shape[:2]
        y = self.pool(self.bn(self.conv(x.flatten(0, 1))))
        return lif(self.attention(y.unflatten(0, (T, B)))).spikes


class Net(nn.Module):
    """The three-layer network: x [T, B, 2, 32, 32] -> rates [B, classes]. Starts in evaluation mode."""

    def __init__(self, kind: Kind, timesteps: int = 60, classes: int = 11) -> None:
        super().__init__()
        widths = (2, *CHANNELS)
        self.layers = nn.ModuleList(
            Layer(widths[i], widths[i + 1], POOLS[i], kind, timesteps) for i in range(len(CHANNELS))
        )
        self.fc1 = nn.Linear(8192, 256)
        self.fc2 = nn.Linear(256, classes)
        self.eval()

    def trains(self, x: Tensor) -> list[Tensor]:
        """Spikes [T, B, ...] of the five layers."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        x = x.flatten(2)
        for fc in (self.fc1, self.fc2):
            x = lif(fc(x)).spikes
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.trains(x)[-1].mean(0)


def nasfr(trains: list[Tensor]) -> float:
    """Spikes / (neurons * T * samples) over all layers' trains [T, B, ...]."""
    return sum(float(s.sum()) for s in trains) / sum(s.numel() for s in trains)


# --- Multiplications (2.3) ---


class Macs(NamedTuple):
    """MAC that an attention adds per sample: as the paper counts, and with all that it really multiplies."""

    paper: int
    full: int


def macs(kind: Kind, timesteps: int = 60) -> Macs:
    """Multiplications of *kind* in the three layers.

    The paper's figure of ASA leaves the mask multiplication out and counts one convolution over T maps,
    where two over one map are computed. For ASA-2, which has no matrix, the paper's table repeats the
    figure of ASA-1; here its accounting is applied to what ASA-2 has.
    """
    T = timesteps
    pixels = sum(side**2 for side in SIDES)
    gating = T * sum(c * side**2 for c, side in zip(CHANNELS, SIDES, strict=True))
    sa = T * 2 * 7 * 7 * pixels
    if kind == "vanilla":
        return Macs(0, 0)
    if kind == "SA":
        return Macs(gating + sa, gating + sa)
    if kind == "TCSA":
        # Each MLP n -> n/4 -> n runs on the mean and on the maximum.
        mlps = sum(2 * (2 * n * (n // 4)) for c in CHANNELS for n in (T, c))
        return Macs(3 * gating + sa + mlps, 3 * gating + sa + mlps)
    fc = T**2 * sum(CHANNELS) if kind == "ASA-1" else 0
    return Macs(fc + T * 2 * 3 * 3 * pixels, gating + fc + 2 * (2 * 3 * 3) * pixels)
