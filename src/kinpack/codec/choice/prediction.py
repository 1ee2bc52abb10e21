"""What a codec predicts of images: which are coded in one way alone, and which in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinpack.codec.choice.classic_rule import ClassicRule
from kinpack.codec.choice.efforts import EFFORTS
from kinpack.codec.choice.first_look import FirstLook
from kinpack.codec.packets.payload import Choice
from kinpack.codec.packets.target import Target
from kinpack.pictures.images import Image

SMALL = 64 * 64
"""Most pixels of an image that is coded before it is judged: that takes little time, and tells
more. Rules are calibrated on such pictures, and are believed about no others."""


STEP, SMOOTH = 11, 0.125
"""Levels by which neighbours differ where there is detail, and the share of them below which an
image is smooth. Of grey surfaces and gradients it is 0.1 at most, of photographs of 32 and 64
pixels 0.3 and more, of CIFAR-10's mostly 0.2 and more."""


@dataclass(frozen=True)
class Prediction:
    """What a codec predicts.

    Attributes:
        rule: where a classic payload is worth a try beside a small image's own; None for
            everywhere.
        first_look: which larger images need no payload of the codec's own, or no classic one; None
            where the codec predicts nothing of them.
    """

    rule: ClassicRule | None = None
    first_look: FirstLook | None = None

    def scores(
        self, images: Sequence[Image], qualities: Sequence[int], target: Target
    ) -> list[float | None]:
        """Tell by how many spreads a codec's own payload costs more than a classic one.

        Args:
            images: uint8 (H, W, C) each.
            qualities: 1 to 100, of each.
            target: what is asked of them.

        Returns:
            For each image the number, or None where nothing is predicted, or both ways are wanted.
        """
        scores: list[float | None] = [None] * len(images)
        if self.first_look is None or target.classic != "auto":
            return scores
        for i, (image, quality) in enumerate(zip(images, qualities, strict=True)):
            if not is_small(image) and quality < 100:
                scores[i] = self.first_look.score(image, quality)
        return scores

    def worth_trying(
        self,
        images: Sequence[Image],
        own: Sequence[Choice | None],
        scores: Sequence[float | None],
        target: Target,
    ) -> dict[int, bool]:
        """Choose the images that a classic payload is tried for.

        Args:
            images: uint8 (H, W, C) each.
            own: the codec's own payload of each, if it has one.
            scores: as ``scores`` gave them.
            target: what is asked of them.

        Returns:
            Their places, and whether the payload is made whatever a quick trial says.
        """
        clear = EFFORTS[target.effort].clear
        small = [i for i, one in enumerate(own) if one is not None and is_small(images[i])]
        told = dict.fromkeys(small, (True, True))
        if self.rule is not None:
            known = [one for i in small if (one := own[i])]
            verdicts = self.rule.judge([images[i] for i in small], known)
            told = dict(zip(small, verdicts, strict=True))
            told |= dict.fromkeys((i for i in small if is_smooth(images[i])), (True, True))
        always = target.classic == "always" or (
            target.classic == "auto" and target.effort == "best"
        )
        likely: dict[int, bool] = {}
        for i, (one, score) in enumerate(zip(own, scores, strict=True)):
            if one is None or always:
                likely[i] = True
                continue
            if target.classic == "never":
                continue
            may, sure = told.get(i, (score is None or score >= -clear, score is not None))
            if may:
                likely[i] = sure or target.effort == "fast"
        return likely


def is_smooth(image: Image) -> bool:
    """Whether few neighbours differ in an image, uint8 (H, W, C), as on grey surfaces.

    Rules know few such pictures, and learned payloads are worst at them.
    """
    whole = image.astype(np.int16)
    steps = [np.abs(np.diff(whole, axis=axis)).max(axis=2).ravel() >= STEP for axis in (0, 1)]
    beside = np.concatenate(steps)
    return not beside.size or bool(beside.mean() < SMOOTH)


def is_small(image: Image) -> bool:
    """Whether an image, uint8 (H, W, C), is coded before it is judged."""
    return bool(image.shape[0] * image.shape[1] <= SMALL)
