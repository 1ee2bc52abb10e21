"""Synthetic pictures for the tests of the classic payloads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.pictures.images import Image


def waves(height: int, width: int, channels: int, *, seed: int = 0) -> Image:
    """A smooth picture with an edge, some noise and, with four channels, a soft round alpha."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = [
        128 + 70 * np.sin(x / (5 + c) + seed) + 50 * np.cos(y / (7 - c)) for c in range(channels)
    ]
    picture: NDArray[np.float64] = np.stack(planes, axis=2) + rng.normal(0, 4, (height, width, 1))
    picture[y > x] += 25
    if channels == 4:
        far = np.hypot(y - height / 2, x - width / 2) / max(height, width)
        picture[:, :, 3] = 1000 * (0.45 - far)
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))


def grid(height: int, width: int, channels: int) -> Image:
    """A picture that integer arithmetic gives, the same everywhere: for golden payloads."""
    y, x, c = np.mgrid[:height, :width, :channels]
    steps = 4 * x + 2 * y * (c + 1) + 60 * (x // 8 ^ y // 8 & 1)
    return np.ascontiguousarray((steps % 256).astype(np.uint8))


def broken(payload: bytes, *, seed: int = 0, flips: int = 200) -> list[bytes]:
    """A payload cut at each length, and with single bytes changed at random."""
    rng = np.random.default_rng(seed)
    cut = [payload[:length] for length in range(len(payload))]
    flipped = []
    for place, value in zip(
        rng.integers(0, len(payload), flips), rng.integers(1, 256, flips), strict=True
    ):
        changed = bytearray(payload)
        changed[place] ^= int(value)
        flipped.append(bytes(changed))
    return cut + flipped


def plane(height: int, width: int, seed: int, noise: int = 40) -> NDArray[np.uint8]:
    """A shape with soft edges on an empty ground."""
    rng = np.random.default_rng((seed, height, width))
    y, x = np.arange(height)[:, None], np.arange(width)
    distance = np.hypot(y - height * rng.uniform(0.3, 0.7), x - width * rng.uniform(0.3, 0.7))
    value = 255 * (height / 2.5 - distance).clip(0, 1)
    value = value - rng.integers(0, noise + 1, (height, width))
    made: NDArray[np.uint8] = value.clip(0, 255).astype(np.uint8)
    return made
