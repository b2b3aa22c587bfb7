"""Descriptors: the few numbers from which targets and weight addresses of a spike are computed.

Addresses are row-major and start at 0: a *source* in the input's shape, a *target* in the output's, a
*weight* in the weights that a table stores. A *position* is an address inside one map, ``y * width + x``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snncc.ir import Shape
from snncc.mapping.masks import Bools, Ints, Mask


class Synapses(NamedTuple):
    """The synapses that some events meet, in the order of the events: three arrays of one length.

    Entry k: event ``event[k]`` (its index) adds the weight at address ``weight[k]`` to ``target[k]``.
    """

    event: Ints
    target: Ints
    weight: Ints


def width(values: int) -> int:
    """Bits of an address that tells *values* things apart.

    >>> width(1), width(2), width(256), width(257)
    (0, 1, 8, 9)
    """
    return max(0, values - 1).bit_length()


def field_bits(fields: Mapping[str, int]) -> int:
    """Bits of a descriptor whose fields are each as wide as its number, at least 1."""
    return sum(max(1, value.bit_length()) for value in fields.values())


@dataclass(frozen=True, slots=True)
class Rows:
    """A dense layer: each of *rows* vectors of *ins* numbers becomes one of *outs*."""

    shape: Shape
    out: Shape

    @property
    def fields(self) -> dict[str, int]:
        """What the descriptor stores."""
        ins, outs = self.shape[-1], self.out[-1]
        return {"rows": int(np.prod(self.shape[:-1])), "ins": ins, "outs": outs}

    @property
    def fan_out(self) -> int:
        """The most synapses that one event can meet."""
        return self.out[-1]

    @property
    def fan_in(self) -> int:
        """The most synapses that one target can have."""
        return self.shape[-1]

    def uses(self, mask: Mask) -> Ints:
        """How many synapses have each weight, [outs * ins]; there is nothing to *mask*."""
        fields = self.fields
        return np.full(fields["ins"] * fields["outs"], fields["rows"], np.int64)

    def synapses(self, sources: Ints, mask: Mask) -> Synapses:
        """The synapses of events at *sources* [n]."""
        ins, outs = self.shape[-1], self.out[-1]
        row, column = (part[:, None] for part in np.divmod(sources, ins))
        every = np.arange(outs)[None]
        event = np.repeat(np.arange(len(sources)), outs)
        return Synapses(event, (row * outs + every).reshape(-1), (every * ins + column).reshape(-1))

    def opened(self, sources: Ints, mask: Mask) -> Ints:
        """A dense layer has no kernel, so no center: -1 for each source, [n]."""
        return np.full(len(sources), -1)


@dataclass(frozen=True, slots=True)
class Windows:
    """A convolution, or a pooling: windows over the last two axes.

    *shape* [C, H, W] and *out* [F, h, w] (for pooling any leading axes are the maps); *padding* is
    (top, left): what bottom and right add is in the output's size. With *is_shared* all synapses have
    weight address 0 (pooling).
    """

    shape: Shape
    out: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    is_shared: bool

    @property
    def fields(self) -> dict[str, int]:
        """What the descriptor stores."""
        pairs = (
            *(("in", self.shape[-2:]), ("out", self.out[-2:]), ("kernel", self.kernel)),
            *(("stride", self.stride), ("padding", self.padding), ("dilation", self.dilation)),
        )
        sizes = {f"{name}_{axis}": pair[k] for name, pair in pairs for k, axis in enumerate("yx")}
        ins, outs = self.maps
        one = {"maps_in": ins, "maps_out": outs, "groups": self.groups, "is_shared": int(self.is_shared)}
        return sizes | one

    @property
    def maps(self) -> tuple[int, int]:
        """How many maps enter and leave."""
        return int(np.prod(self.shape[:-2])), int(np.prod(self.out[:-2]))

    @property
    def per_group(self) -> tuple[int, int]:
        """How many maps of one group enter and leave."""
        ins, outs = self.maps
        return ins // self.groups, outs // self.groups

    @property
    def fan_out(self) -> int:
        """The most synapses that one event can meet."""
        return self.kernel[0] * self.kernel[1] * self.per_group[1]

    @property
    def fan_in(self) -> int:
        """The most synapses that one target can have."""
        return self.kernel[0] * self.kernel[1] * self.per_group[0]

    def uses(self, mask: Mask) -> Ints:
        """How many synapses have each weight, [weights]: taps that see only padding have none."""
        kept = mask.scaled(*self.out[-2:]).astype(np.int64)
        seen_y, seen_x = (self._seen(axis).astype(np.int64) for axis in (0, 1))
        taps = seen_y @ kept @ seen_x.T
        if self.is_shared:
            return np.array([self.maps[0] * taps.sum()])
        filters = self.maps[1] * self.per_group[0]
        return np.tile(taps.reshape(-1), filters)

    def synapses(self, sources: Ints, mask: Mask) -> Synapses:
        """The synapses of events at *sources* [n]: taps row by row, then the group's output maps.

        What hardware does: for each tap k of each axis, (place + padding - k * dilation) / stride is the
        target's place, if the division leaves no rest and the place is inside the output.
        """
        (h, w), (oh, ow), (kh, kw) = self.shape[-2:], self.out[-2:], self.kernel
        ins, outs = self.per_group
        channel, y, x = sources // (h * w), sources // w % h, sources % w
        to_y, ok_y = self._targets(y, np.arange(kh), 0)
        to_x, ok_x = self._targets(x, np.arange(kw), 1)
        ok = ok_y[:, :, None] & ok_x[:, None, :]
        event, ky, kx = np.nonzero(ok)
        place = to_y[event, ky] * ow + to_x[event, kx]
        if mask.keep is not None:
            is_kept = mask.scaled(oh, ow).reshape(-1)[place]
            event, ky, kx, place = event[is_kept], ky[is_kept], kx[is_kept], place[is_kept]
        group, index = np.divmod(channel[event], ins)
        maps = group[:, None] * outs + np.arange(outs)[None]
        target = maps * (oh * ow) + place[:, None]
        if self.is_shared:
            weight = np.zeros_like(target)
        else:
            weight = ((maps * ins + index[:, None]) * kh + ky[:, None]) * kw + kx[:, None]
        return Synapses(np.repeat(event, outs), target.reshape(-1), weight.reshape(-1))

    def opened(self, sources: Ints, mask: Mask) -> Ints:
        """The kept output position whose kernel has its center over each source, [n]; -1: none."""
        (h, w), (oh, ow) = self.shape[-2:], self.out[-2:]
        to_y, ok_y = self._targets(sources // w % h, np.array([self.kernel[0] // 2]), 0)
        to_x, ok_x = self._targets(sources % w, np.array([self.kernel[1] // 2]), 1)
        ok = (ok_y & ok_x)[:, 0]
        place = np.where(ok, (to_y * ow + to_x)[:, 0], 0)
        return np.where(ok & mask.scaled(oh, ow).reshape(-1)[place], place, -1)

    def _seen(self, axis: int) -> Bools:
        """Along one axis whether each tap sees the input from each target, [taps, targets]."""
        taps, targets = np.arange(self.kernel[axis]), np.arange(self.out[-2:][axis])
        places = taps[:, None] * self.dilation[axis] + targets * self.stride[axis] - self.padding[axis]
        return (places >= 0) & (places < self.shape[-2:][axis])

    def _targets(self, places: Ints, taps: Ints, axis: int) -> tuple[Ints, Bools]:
        """Along one axis the target of each place by each tap, [n, taps], and whether it exists."""
        to, rest = np.divmod(
            places[:, None] + self.padding[axis] - taps[None] * self.dilation[axis], self.stride[axis]
        )
        return to, (rest == 0) & (to >= 0) & (to < self.out[-2:][axis])


Descriptor = Rows | Windows
