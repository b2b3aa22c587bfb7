"""Digits as a moving event camera sees them: made from scikit-learn's images, so nothing is downloaded.

An image of 8x8, scaled to 12x12, lies in the middle of a sensor of 16x16 that moves in three saccades, the
sides of one triangle, the same for all images, as those were recorded of which N-MNIST consists. The light of
each pixel is known after each timestep; where its logarithm has moved by more than a threshold since its last
event, the pixel sends an event, ON or OFF, at most one a timestep. Some events are noise. The camera is
simulated (`examples.seeds.events`): no recording of a real sensor is involved.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.digits.data import load
from examples.seeds.events import CHUNK, CORNERS, SIZE, EventCamera

TIMESTEPS = 15  # five a saccade
NOISE = 0.002  # of each pixel, polarity and timestep
TRAIN_SEED, TEST_SEED, CALIBRATION_SEED = 0, 1, 2
CALIBRATION = 256
"""Training images of which streams are kept, for ranges."""


class Saccades(EventCamera):
    """Images [B, 1, h, w] in 0..1 to events, 0 or 1, [T, B, 2, 16, 16]; channel 0 is ON.

    The path is always the same; *seed* is that of the noise, which every call draws anew.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed, TIMESTEPS, SIZE, noise=NOISE)

    def path(self, samples: int) -> Tensor:
        """Along the triangle at an even speed, in pixels from the middle of the image, [T + 1, B, 2]."""
        angles = 2 * math.pi / CORNERS * torch.arange(CORNERS + 1)
        corners = self.reach * torch.stack([angles.cos(), angles.sin()], dim=1)
        along = torch.linspace(0, CORNERS, self.timesteps + 1)
        side = along.long().clamp(max=CORNERS - 1)
        share = (along - side)[:, None]
        return ((1 - share) * corners[side] + share * corners[side + 1])[:, None].expand(-1, samples, -1)


class Streams(NamedTuple):
    """Events, float32 [T, N, 2, 16, 16], of the held-out images, with their digits; and to calibrate with."""

    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    calibration: NDArray[np.float32]


def streams() -> Streams:
    """What the camera sees of the 599 held-out images, and of some training images: always the same."""
    digits = load()
    test = events_of(digits.test_x, TEST_SEED)
    return Streams(test, digits.test_y, events_of(digits.train_x[:CALIBRATION], CALIBRATION_SEED))


def events_of(images: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Events of *images* [N, 1, 8, 8]."""
    camera = Saccades(seed)
    light = torch.from_numpy(images)
    parts = [camera(light[k : k + CHUNK]) for k in range(0, len(light), CHUNK)]
    return np.asarray(torch.cat(parts, dim=1).numpy(), np.float32)
