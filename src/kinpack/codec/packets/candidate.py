"""Candidates: the ways to store one image, each with its bytes and its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.quality import lam
from kinpack.pictures.images import Image, composite_on_white

_BLOCK = 1 << 17  # pixels whose error is summed at a time


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to store an image.

    Attributes:
        kind: how the payload is coded.
        payload: the coded picture.
        error: squared error of what it draws, as `squared_error` counts it.
    """

    kind: Kind
    payload: bytes
    error: float

    def cost(self, quality: float) -> float:
        """Bits, and what the error is worth in bits at a quality: the less, the better."""
        return 8 * len(self.payload) + lam(quality) * self.error

    def psnr(self, pixels: int) -> float:
        """PSNR in dB of what it draws, for an image of so many pixels; infinite where exact."""
        return psnr_of(self.error, pixels)


class Choice(NamedTuple):
    """A payload, and the quality at which it was made."""

    quality: int
    candidate: Candidate


def psnr_of(error: float, pixels: int) -> float:
    """PSNR in dB for a squared error as `squared_error` counts it; infinite without any."""
    return 10 * math.log10(255**2 * pixels / error) if error else math.inf


def squared_error(image: Image, picture: Image) -> float:
    """Squared error of a picture drawn for an image.

    Args:
        image: uint8 (H, W, C).
        picture: uint8 (H, W, C).

    Returns:
        The sum over pixels of the mean over colour channels of the squared difference, 8-bit scale;
        with alpha, that of both as `composite_on_white` lays them over white.
    """
    total = 0.0
    colours = 1 if image.shape[2] == 1 else 3
    step = max(1, _BLOCK // image.shape[1])
    for first in range(0, len(image), step):
        a, b = image[first : first + step], picture[first : first + step]
        if image.shape[2] == 4:
            a, b = composite_on_white(a), composite_on_white(b)
        difference = a.astype(np.float32) - b
        total += float(np.square(difference).sum(dtype=np.float64))
    return total / colours
