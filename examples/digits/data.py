"""Handwritten digits: 1797 real images of 8x8 that come with scikit-learn, so nothing is downloaded."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

TEST_SIZE = 599  # a third
SPLIT_SEED = 0
LEVELS = 16
"""The largest pixel, and the timesteps over which `events_of` spreads it."""


class Digits(NamedTuple):
    """Images, float32 [N, 1, 8, 8] in 0..1, and their digits, int64 [N]."""

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]


def load() -> Digits:
    """The images in two parts, always the same ones: 1198 to train with, 599 held out for the test.

    Both parts hold the ten digits in equal shares.
    """
    images, labels = _images()
    train, test = split(labels)
    return Digits(images[train], labels[train], images[test], labels[test])


def split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions of the training images and of the held-out ones."""
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=SPLIT_SEED
    )
    return train, test


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """*images* [B, 1, 8, 8], each shifted, turned and scaled a little, at random.

    By up to one pixel along each axis, 10 degrees, and 10 percent.
    """

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), generator=generator)

    pixel = 2 / images.shape[-1]  # affine_grid spans the image from -1 to 1
    angle = math.radians(10) * between(-1, 1)
    scale = between(0.9, 1.1)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    right, down = pixel * between(-1, 1), pixel * between(-1, 1)
    theta = torch.stack([cos, -sin, right, sin, cos, down], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def events_of(images: Tensor) -> Tensor:
    """Spikes [16, B, 1, 8, 8] of *images* [B, 1, 8, 8]: a pixel 0..16 as that many events, evenly spread.

    A pixel p has sent floor(t p / 16) events after t timesteps, at most one in each.
    """
    pixels = (LEVELS * images).round().clamp(0, LEVELS)
    steps = torch.arange(LEVELS + 1, dtype=images.dtype).reshape(-1, *[1] * images.ndim)
    return (steps * pixels / LEVELS).floor().diff(dim=0)


def _images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    digits: Any = load_digits()
    images = (digits.images / 16).astype(np.float32)  # 17 gray levels: exact
    return images[:, None], digits.target.astype(np.int64)
