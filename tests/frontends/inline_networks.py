"""Networks whose neurons are no modules: the code of their loops, as tutorials and research code have it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[["Looped", Tensor, Tensor], tuple[Tensor, Tensor]]


class Surrogate(torch.autograd.Function):
    """A step forwards, something smooth backwards, as SpyTorch has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        out = torch.zeros_like(x)
        out[x > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] / (100.0 * x.abs() + 1.0) ** 2


def spike_fn(x: Tensor) -> Tensor:
    out: Tensor = Surrogate.apply(x)  # type: ignore[no-untyped-call]
    return out


def soft(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = net.beta * mem + x
    spk = (mem > net.theta).float()
    return spk, mem - spk * net.theta


def reached(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = net.beta * mem + x
    spk = mem.ge(net.theta).to(mem.dtype)
    return spk, mem * (1 - spk)


def where(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = net.beta * mem + x
    spk = torch.where(mem > net.theta, 1.0, 0.0)
    return spk, torch.where(spk > 0, torch.full_like(mem, 0.1), mem)


def heaviside(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = mem + (x - mem) / 2.0
    spk = torch.heaviside(mem - net.theta / 2, torch.tensor(1.0, dtype=mem.dtype))
    return spk, mem * (1 - spk.detach())


def in_place(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem *= net.beta
    mem += x
    spk = spike_fn(mem - net.theta)
    mem[mem > net.theta] = 0.0
    return spk, mem


def masked(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    mem = net.beta * mem + (1 - net.beta) * x
    fired = mem > net.theta / 4
    return fired.double(), mem.masked_fill(fired, 0.0)


def before(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The spikes are those of the potential of the timestep before."""
    spk = (mem > net.theta).float()
    return spk, net.beta * mem * (1 - spk) + x


def next_step(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The reset comes with the next input, as in snnTorch."""
    reset = (mem > net.theta).float().detach()
    mem = net.beta * mem + x - reset * net.theta
    return (mem > net.theta).float(), mem


def free(net: Looped, mem: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """No reset."""
    mem = net.beta * mem + x
    return spike_fn(mem - net.theta), mem


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (soft, reached, where, heaviside, in_place, masked, before, next_step, free)
}


class Looped(nn.Module):
    """Two layers of one kind of neuron in a loop over [B, T, 7]."""

    def __init__(self, step: Step, beta: float = 0.9, theta: float = 1.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(7, 9), nn.Linear(9, 5)
        self.step, self.beta, self.theta = step, beta, theta

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2 = torch.zeros(len(x), 9), torch.zeros(len(x), 5)
        out = []
        for t in range(x.shape[1]):
            spk1, mem1 = self.step(self, mem1, self.fc1(x[:, t]))
            spk2, mem2 = self.step(self, mem2, self.fc2(spk1))
            out.append(spk2)
        return torch.stack(out, dim=1)


class SpyTorch(nn.Module):
    """The network of the SpyTorch tutorials; *reads* "spikes", "max", "sum" or "last"."""

    def __init__(self, reads: str = "max", *, is_recurrent: bool = True, tau_mem: float = 10.0) -> None:
        super().__init__()
        self.reads, self.is_recurrent, self.hidden = reads, is_recurrent, 12
        self.alpha, self.beta = math.exp(-1 / 5.0), math.exp(-1 / tau_mem)
        self.w1 = nn.Parameter(torch.randn(7, self.hidden) * 0.9)
        self.v1 = nn.Parameter(torch.randn(self.hidden, self.hidden) * 0.3)
        self.w2 = nn.Parameter(torch.randn(self.hidden, 4) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.hidden_layer(x)
        return spikes if self.reads == "spikes" else self.readout(spikes)

    def hidden_layer(self, x: Tensor) -> Tensor:
        samples, steps = x.shape[:2]
        h1 = torch.einsum("abc,cd->abd", (x, self.w1))
        syn, mem, out = (torch.zeros((samples, self.hidden)) for _ in range(3))
        mem_rec, spk_rec = torch.zeros((samples, steps, self.hidden)), []
        for t in range(steps):
            h = h1[:, t] + torch.einsum("ab,bc->ac", (out, self.v1)) if self.is_recurrent else h1[:, t]
            mthr = mem - 1.0
            out = spike_fn(mthr)
            rst = out.detach()
            new_syn = self.alpha * syn + h
            new_mem = (self.beta * mem + syn) * (1.0 - rst)
            mem_rec[:, t] = mem  # for plots
            spk_rec.append(out)
            mem, syn = new_mem, new_syn
        return torch.stack(spk_rec, dim=1)

    def readout(self, spikes: Tensor) -> Tensor:
        h2 = torch.einsum("abc,cd->abd", (spikes, self.w2))
        flt, out = (torch.zeros((len(spikes), 4)) for _ in range(2))
        rec = [out]
        for t in range(spikes.shape[1]):
            new_flt = self.alpha * flt + h2[:, t]
            new_out = self.beta * out + flt
            flt, out = new_flt, new_out
            rec.append(out)
        if self.reads == "last":
            return out
        stacked = torch.stack(rec, dim=1)
        return stacked.sum(1) if self.reads == "sum" else torch.max(stacked, 1)[0]


class Recurrent(nn.Module):
    """Spikes return through a layer with a bias; a readout that only integrates."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.back, self.out = nn.Linear(7, 9), nn.Linear(9, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        mem = spk = torch.zeros(len(x), 9)
        read = torch.zeros(len(x), 4)
        out = []
        for t in range(x.shape[1]):
            mem = 0.9 * mem + self.fc(x[:, t]) + self.back(spk)
            spk = (mem > 1).float()
            mem = mem - spk
            read = 0.8 * read + self.out(spk)
            out.append(read)
        return torch.stack(out, dim=1)


class Mixture(nn.Module):
    """Convolution, pooling, thresholds that were learned, a skip connection, numbers for states, counts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.pool = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.AvgPool2d(2)
        self.fc1, self.fc2 = nn.Linear(27, 27), nn.Linear(27, 5)
        self.theta = nn.Parameter(torch.rand(5) + 0.3)

    def forward(self, x: Tensor) -> Tensor:
        mem1 = torch.zeros(len(x), 3, 6, 6)
        mem2: Any = 0.0
        mem3: Any = 0
        count: Any = 0
        for t in range(x.shape[1]):
            mem1 = 0.7 * mem1 + self.norm(self.conv(x[:, t, None]))
            spk1 = (mem1 > 1).float()
            mem1 = mem1 - spk1
            pooled = self.pool(spk1).flatten(1)
            mem2 = 0.6 * mem2 + self.fc1(pooled)
            spk2 = spike_fn(mem2 - 0.5)
            mem2 = mem2 * (1 - spk2)
            mem3 = 0.5 * mem3 + self.fc2(spk2 + pooled)
            spk3 = spike_fn(mem3 - self.theta)
            mem3 = mem3 - spk3 * self.theta
            count = count + spk3
        return count


class Held(nn.Module):
    """Takes one timestep [B, 7] a call, and holds its potentials itself."""

    mem1: Tensor | None = None
    mem2: Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(7, 9), nn.Linear(9, 5)

    def reset(self) -> None:
        self.mem1 = self.mem2 = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        self.mem1 = 0.9 * (torch.zeros_like(x) if self.mem1 is None else self.mem1) + x
        spk = (self.mem1 > 1).float()
        self.mem1 = self.mem1 - spk
        x = self.fc2(spk)
        self.mem2 = 0.8 * (torch.zeros_like(x) if self.mem2 is None else self.mem2) + x
        out = spike_fn(self.mem2 - 0.3)
        self.mem2 = self.mem2 * (1 - out)
        return out


class Presented(nn.Module):
    """A constant input [B, 7] that the model itself presents *steps* times; spikes are summed."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.fc1, self.fc2 = steps, nn.Linear(7, 9), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2 = torch.zeros(len(x), 9), torch.zeros(len(x), 5)
        total = torch.zeros(len(x), 5)
        for _ in range(self.steps):
            mem1 = 0.9 * mem1 + self.fc1(x)
            spk = (mem1 > 1).float()
            mem1 = mem1 - spk
            mem2 = 0.8 * mem2 + self.fc2(spk)
            out = spike_fn(mem2 - 0.3)
            mem2 = mem2 * (1 - out)
            total = total + out
        return total
