"""The one neuron once more: one neuron, Python's own numbers, written from the text of `snncc.ir.neuron`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Number = TypeVar("Number", int, float)


class TooWide(Exception):
    """A state left its width, and that is an error."""


@dataclass
class ScalarNeuron(Generic[Number]):
    """A neuron with scalar parameters *p*, by the names of `NeuronParameters`."""

    p: dict[str, Any]
    v: Any = field(init=False)
    i: Any = field(init=False)
    fired: int = 0
    resting: int = 0

    def __post_init__(self) -> None:
        self.v, self.i = self.p["v_init"], self.p["i_init"]

    def leaked(self, name: str, state: Any) -> Any:
        leak, shift = self.p[name], self.p[f"{name}_shift"]
        if isinstance(state, float):
            return leak * state
        product = leak * state
        if self.p["leak_rounding"] == "floor":
            return product // 2**shift
        return product // 2**shift if product >= 0 else -(-product // 2**shift)

    def fitted(self, state: Any, bits: int | None) -> Any:
        if bits is None or -(2 ** (bits - 1)) <= state < 2 ** (bits - 1):
            return state
        match self.p["overflow"]:
            case "saturate":
                return 2 ** (bits - 1) - 1 if state > 0 else -(2 ** (bits - 1))
            case "wrap":
                state %= 2**bits
                return state - 2**bits if state >= 2 ** (bits - 1) else state
        raise TooWide

    def after_reset(self, v: Any, n: int) -> Any:
        if self.p["reset"] == "subtract":
            return v - n * self.p["rho"]
        if self.p["reset"] == "value" and n > 0:
            return self.p["v_reset"]
        return v

    def clamped(self, v: Any) -> Any:
        if self.p["clamp_low"] is not None:
            v = max(v, self.p["clamp_low"])
        if self.p["clamp_high"] is not None:
            v = min(v, self.p["clamp_high"])
        return v

    def passes(self, u: Any, step: Any) -> bool:
        return u > step if self.p["strict"] else u >= step

    def count(self, u: Any) -> int:
        n = 0
        while self.p["max_count"] is None or n < self.p["max_count"]:
            step = self.p["theta"] + n * self.p["rho"] if self.p["steps"] is None else self.p["steps"][n]
            if not self.passes(u, step):
                break
            n += 1
        return n

    def step(self, ticks: Sequence[Any]) -> tuple[list[Any], Any, Any]:
        """One timestep: what leaves in each tick, u_pre, and v at the end."""
        if self.p["encoding"] == "stream":
            return self.stream(ticks)
        p = self.p
        x = sum(ticks) + p["bias"]
        self.i = self.fitted(self.leaked("leak_i", self.i) + x, p["i_bits"])
        v = self.v
        if self.resting == 0:
            if p["order"] == "leak-first":
                v = self.leaked("leak", v)
                if p["reset_at"] == "next-before-input":
                    v = self.after_reset(v, self.fired)
                v = v + self.i
            else:
                if p["reset_at"] == "next-before-input":
                    v = self.after_reset(v, self.fired)
                v = self.leaked("leak", v + self.i)
            if p["reset_at"] == "next":
                v = self.after_reset(v, self.fired)
            v = self.fitted(v, p["v_bits"])
        u_pre = v
        n = self.count(u_pre) if self.resting == 0 else 0
        if p["reset_at"] == "same":
            v = self.after_reset(v, n)
        v = self.fitted(self.clamped(v), p["v_bits"])
        self.resting = p["refractory"] if n > 0 else max(self.resting - 1, 0)
        self.v, self.fired = v, n
        self.forget()
        return self.sent(n, u_pre), u_pre, v

    def sent(self, n: int, u_pre: Any) -> list[Any]:
        p = self.p
        # A count and, in integers, a potential leave as they are: the scale is the edge's.
        scale = p["scale"] if isinstance(u_pre, float) else 1
        if p["emit"] == "relu":
            return [scale * max(u_pre, 0)]
        if p["emit"] == "potential":
            return [scale * u_pre]
        if p["encoding"] == "spikes":
            return [1] * n + [0] * (p["max_count"] - n)
        return [n]

    def stream(self, ticks: Sequence[Any]) -> tuple[list[Any], Any, Any]:
        p, parts = self.p, self.p["max_count"]
        v = whole = self.leaked("leak", self.v)
        out: list[int] = []
        for d in range(p["ticks"]):
            if p["bias_ticks"] == "v0":
                arrives = p["bias"] if d == 0 else 0
            elif d >= parts:
                arrives = 0
            elif isinstance(v, float):
                arrives = p["bias"] / parts
            else:
                arrives = p["bias"] * (d + 1) // parts - p["bias"] * d // parts
            arrives = arrives + (ticks[d] if d < len(ticks) else 0)
            v, whole = self.fitted(v + arrives, p["v_bits"]), whole + arrives
            out.append(int(sum(out) < parts and self.passes(v, p["theta"])))
            v = self.fitted(v - out[-1] * p["rho"], p["v_bits"])
        self.v = v = self.clamped(v)
        self.forget()
        return out, whole, v

    def forget(self) -> None:
        if self.p["stateless"]:
            self.v, self.i, self.fired, self.resting = self.p["v_init"], self.p["i_init"], 0, 0
