"""Prediction of which images a classic payload may hold better than a learned one.

Trying AVIF costs some ten times what learned coding does. A linear score of what the learned
payload took, and of how flat the image is, tells where it is worth trying; it is calibrated where
the codec is made, by trying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.packets.payload import Candidate, Choice
from kinpack.errors import CodecError
from kinpack.pictures.images import Image, sampled_colours

FEATURES = 7
"""Numbers that `features` gives for an image."""


@dataclass(frozen=True)
class ClassicRule:
    """Where classic payloads are tried.

    Attributes:
        weights: of the features, in their order.
        threshold: score from which a classic payload is tried.
    """

    weights: tuple[float, ...]
    threshold: float

    def judge(self, images: Sequence[Image], learned: Sequence[Choice]) -> list[tuple[bool, bool]]:
        """Tell of images whether a classic payload may win, and whether it rather wins than loses.

        It rather wins from a score of 0 on: the log of the odds, where pictures count by what is at
        stake.

        Args:
            images: uint8 (H, W, C) each.
            learned: the learned payload of each.
        """
        seen = features(
            images,
            [choice.candidate for choice in learned],
            quality=[choice.quality for choice in learned],
        )
        score = seen @ np.array(self.weights)
        return [(bool(s >= self.threshold), bool(s >= 0)) for s in score]

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain values."""
        return {"weights": list(self.weights), "threshold": self.threshold}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a rule from ``to_dict``'s values.

        Raises:
            CodecError: the values are no rule.
        """
        try:
            made = cls(tuple(float(w) for w in values["weights"]), float(values["threshold"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CodecError(
                f"the codec's rule for classic payloads is unreadable ({error}); make it anew"
            ) from error
        if len(made.weights) != FEATURES or not all(map(math.isfinite, made.weights)):
            raise CodecError("the codec's rule for classic payloads is out of range; make it anew")
        return made


def features(
    images: Sequence[Image], learned: Sequence[Candidate], *, quality: int | Sequence[int]
) -> NDArray[np.float64]:
    """What is known of images once their learned payloads are there.

    Args:
        images: uint8 (H, W, C) each.
        learned: the learned payload of each.
        quality: at which all, or each, were made.

    Returns:
        (n, FEATURES) float64: 1, log2 of bits and of squared error a pixel, quality, share of
        pixels like their left neighbour, log2 of the colours in a sample, log2 of the size.
    """
    qualities = [quality] * len(images) if isinstance(quality, int) else quality
    rows = []
    for image, candidate, q in zip(images, learned, qualities, strict=True):
        pixels = image.shape[0] * image.shape[1]
        same = (image[:, 1:] == image[:, :-1]).all(2)
        rows.append(
            (
                1.0,
                math.log2(8 * len(candidate.payload) / pixels + 1e-2),
                math.log2(candidate.error / pixels + 1e-2),
                (q - 50) / 20,
                float(same.mean()) if same.size else 1.0,
                math.log2(sampled_colours(image)),
                math.log2(pixels) / 10,
            )
        )
    return np.array(rows, dtype=np.float64).reshape(-1, FEATURES)
