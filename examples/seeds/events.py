"""Handwritten digits seen by a *simulated* moving event camera; no recording of a real one is involved.

The image, 8x8, is scaled to 12x12 in the middle of a sensor of 16x16. The camera moves along a triangle
of about two pixels, drawn anew for each sample: fast on the sides, resting at the corners, as the eye in
saccades. A pixel sends ON (channel 0) or OFF (channel 1) where the logarithm of its intensity has moved by
more than a threshold since its last event, and takes the present value as the new reference. Noise events
are added at random. What comes out are trains of spikes [T, B, 2, 16, 16].
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.digits.data import Digits
from examples.seeds.common import Size, size
from snncc.ir import Array

TIMESTEPS = 10
SIZE = 16
ZOOM = 12 / SIZE  # the share of the sensor's width that the image takes
CORNERS = 3
TEST_SEED = 1000
CALIBRATION_SEED = 2000
RATE = 1e-2  # of training
CALIBRATION = 64  # training images from which ranges are measured: trains are long
SAMPLES = 16  # that verify compares, at most
CHUNK = 256  # images that are turned into events at once


class EventCamera(nn.Module):
    """Images [B, 1, h, w] in 0..1 to ON and OFF events, 0 or 1, [T, B, 2, size, size].

    Every call draws new paths and new noise, from the camera's own *seed*: the same for the same seed and
    calls. *reach*: the radius of the path in pixels of the sensor. *threshold*: the change of
    log(0.1 + intensity) that is an event. *noise*: the probability of an event at random, in each pixel,
    timestep and polarity.
    """

    def __init__(
        self,
        seed: int,
        timesteps: int = TIMESTEPS,
        size: int = SIZE,
        *,
        reach: float = 2.0,
        threshold: float = 0.4,
        noise: float = 0.005,
    ) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.timesteps = timesteps
        self.size = size
        self.reach = reach
        self.threshold = threshold
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        light = torch.log(0.1 + self.frames(images))
        reference, events = light[0], []
        for now in light[1:]:
            change = now - reference
            on, off = change > self.threshold, change < -self.threshold
            reference = torch.where(on | off, now, reference)
            events.append(torch.cat([on, off], dim=1))
        train = torch.stack(events)
        flicker = torch.rand(train.shape, generator=self.generator) < self.noise
        return (train | flicker).to(images.dtype)

    def frames(self, images: Tensor) -> Tensor:
        """The light on the sensor at first and after each timestep, [T + 1, B, 1, size, size]."""
        shifts = self.path(len(images)) * 2 / self.size  # the sensor spans -1 to 1
        theta = torch.zeros(*shifts.shape[:2], 2, 3)
        theta[..., 0, 0] = theta[..., 1, 1] = 1 / ZOOM
        theta[..., 2] = shifts / ZOOM
        count = len(theta)
        repeated = images.expand(count, *images.shape).flatten(0, 1)
        shape = [len(repeated), 1, self.size, self.size]
        grid = F.affine_grid(theta.flatten(0, 1), shape, align_corners=False)
        seen = F.grid_sample(repeated, grid, align_corners=False)
        return seen.reshape(count, *images.shape[:2], self.size, self.size)

    def path(self, samples: int) -> Tensor:
        """Where the camera looks, in pixels from the middle of the image, [T + 1, B, 2]."""
        start = 2 * math.pi * torch.rand(samples, generator=self.generator)
        way = torch.where(torch.rand(samples, generator=self.generator) < 0.5, -1.0, 1.0)
        radius = self.reach * (0.75 + 0.5 * torch.rand(samples, generator=self.generator))
        angles = start + way * torch.arange(CORNERS + 1)[:, None] * 2 * math.pi / CORNERS
        corners = radius[:, None] * torch.stack([angles.cos(), angles.sin()], dim=2)
        along = torch.linspace(0, CORNERS, self.timesteps + 1)
        side = along.long().clamp(max=CORNERS - 1)
        share = (0.5 - 0.5 * torch.cos(math.pi * (along - side)))[:, None, None]
        return (1 - share) * corners[side] + share * corners[side + 1]


class Trains(NamedTuple):
    """The trains on which networks are measured, always the same for the same images."""

    test: Array  # [T, B, 2, H, W]
    labels: Array  # [B]
    calibration: Array  # from training images


def trains_of(digits: Digits) -> Trains:
    """What the camera sees of the held-out images, and of those on which ranges are calibrated."""
    return Trains(
        seen(digits.test_x, TEST_SEED), digits.test_y, seen(digits.train_x[:CALIBRATION], CALIBRATION_SEED)
    )


def seen(images: Array, seed: int) -> Array:
    """Trains [T, B, 2, H, W] of the images [B, 1, h, w]."""
    camera = EventCamera(seed)
    parts = [camera(part) for part in torch.split(torch.from_numpy(images), CHUNK)]
    return np.asarray(torch.cat(parts, dim=1).numpy())


def scale_of(options: argparse.Namespace, *, epochs: int) -> Size:
    """The size of the experiment; verify compares fewer samples, as a train is ten frames."""
    scale = size(options, epochs=epochs)
    if options.quick:
        scale = replace(scale, epochs=3)
    return replace(scale, samples=min(scale.samples, SAMPLES))


def with_results(options: argparse.Namespace, name: str) -> argparse.Namespace:
    """*options*, where a full run without ``-o`` writes to the folder of the results."""
    if not options.quick and options.output is None:
        options.output = Path("examples/seeds/results") / f"{name}.md"
    return options


def setting(trains: Trains) -> str:
    """What the data are, in a sentence."""
    T, _, C, H, W = trains.test.shape
    return (
        f"scikit-learn's digits seen by a simulated moving event camera (not a recording): trains of {T} "
        f"frames, {C} x {H} x {W}, of which {100 * trains.test.mean():.1f} % are events"
    )
