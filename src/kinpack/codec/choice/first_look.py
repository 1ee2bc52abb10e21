"""Prediction of whether a learned payload costs less than AVIF's, before either is made.

Coding an image both ways takes twice the time or more. What is cheaply seen of it tells, for most
images, which way wins; it is calibrated where the codec is made, by trying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.pictures.images import Image, sampled_colours

SIGHTS = 11
"""Numbers that `sights` gives for an image."""
_BEYOND = 4  # times the pixels of the largest images calibrated with, up to which it is believed
_FAR = 0.5
"""log2 of a ratio beyond which it does not matter how much further it lies."""
_RIDGE = 0.3


@dataclass(frozen=True)
class FirstLook:
    """What a codec predicts of images that it has not coded.

    Attributes:
        weights: of the numbers of `sights`, whose sum is log2 of the learned payload's cost over
            AVIF's.
        spread: standard deviation of what was found around it, in pictures not calibrated with.
        pixels: of the largest image calibrated with.
    """

    weights: tuple[float, ...]
    spread: float
    pixels: int

    def score(self, image: Image, quality: int) -> float | None:
        """Tell by how many spreads the learned payload costs more.

        Args:
            image: uint8 (H, W, C).
            quality: 1 to 99.

        Returns:
            The number; None for an image much larger than any that it was calibrated with.
        """
        if image.shape[0] * image.shape[1] > _BEYOND * self.pixels:
            return None
        (seen,) = sights([image], [quality])
        return float(seen @ np.array(self.weights)) / self.spread

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values."""
        return {"weights": list(self.weights), "spread": self.spread, "pixels": self.pixels}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a prediction from ``to_dict``'s values.

        Raises:
            CodecError: the values are none.
        """
        try:
            weights = tuple(float(w) for w in values["weights"])
            made = cls(weights, float(values["spread"]), int(values["pixels"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CodecError(
                f"the codec's first look is unreadable ({error}); make it anew"
            ) from error
        numbers = (*made.weights, made.spread)
        fits = len(made.weights) == SIGHTS and all(map(math.isfinite, numbers))
        if not (fits and made.spread > 0 and made.pixels > 0):
            raise CodecError("the codec's first look is out of range; make it anew")
        return made

    @classmethod
    def fitted(
        cls,
        seen: NDArray[np.float64],
        ratios: NDArray[np.float64],
        pictures: NDArray[np.int64],
        *,
        pixels: int,
    ) -> Self:
        """Fit a prediction to what was found by trying.

        Args:
            seen: (n, SIGHTS) of what was tried.
            ratios: (n,) log2 of the learned payload's cost over AVIF's.
            pictures: (n,) which picture each is of: its spread is measured with weights that have
                not seen the picture.
            pixels: of the largest picture.
        """
        ratios = ratios.clip(-_FAR, _FAR)
        apart = np.zeros(len(ratios))
        for part in range(5):
            out = pictures % 5 == part
            apart[out] = seen[out] @ _ridge(seen[~out], ratios[~out])
        spread = max(float(np.sqrt(np.mean(np.square(ratios - apart)))), 1e-3)
        return cls(tuple(_ridge(seen, ratios).tolist()), spread, pixels)


def _ridge(seen: NDArray[np.float64], ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = seen.T @ seen + _RIDGE * np.eye(seen.shape[1])
    return np.asarray(np.linalg.solve(matrix, seen.T @ ratios), np.float64)


def sights(images: Sequence[Image], qualities: Sequence[int]) -> NDArray[np.float64]:
    """What is seen of images at a glance.

    Args:
        images: uint8 (H, W, C) each.
        qualities: of each.

    Returns:
        (n, SIGHTS) float64: 1; log2 of how much neighbours differ, how much they bend, and how
        much they differ in colour; share of pixels like their left neighbour; log2 of the colours
        in a sample; log2 of the pixels and its square; quality, alone and with the first of the
        differences and with the pixels.
    """
    rows = []
    for image, quality in zip(images, qualities, strict=True):
        colour = image[:, :, :3]
        levels = colour.astype(np.float32)
        grey = levels.mean(2)
        across, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
        detail = _log(_mean(across) + _mean(down))
        bend = _log(_mean(np.diff(across, axis=1)) + _mean(np.diff(down, axis=0)))
        tint = _log(_mean(np.diff(levels - grey[:, :, None], axis=1)))
        same = (colour[:, 1:] == colour[:, :-1]).all(2)
        alike = float(same.mean()) if same.size else 1.0
        colours = math.log2(sampled_colours(image)) / 4
        size = math.log2(image.shape[0] * image.shape[1]) - 14
        q = (quality - 55) / 20
        rows.append(
            (1.0, detail, bend, tint, alike, colours, size, size**2, q, q * detail, q * size)
        )
    return np.array(rows, dtype=np.float64).reshape(-1, SIGHTS)


def _mean(values: NDArray[np.float32]) -> float:
    return float(np.abs(values).mean()) if values.size else 0.0


def _log(value: float) -> float:
    return math.log2(value + 0.25)
