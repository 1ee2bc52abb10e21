"""Trials of classic payloads: where a slow AVIF is worth its time, and how fine.

A quick AVIF is made first where it can tell whether a slow one may win against a codec's own
payload. An image of some size is tried whole; of a large one four windows are, so that the trial
takes neither the time nor the memory that AVIF takes for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.choice.psnr_search import PsnrSearch
from kinpack.codec.classic.payloads import candidates, lossy_kind, may_be_lossless
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Candidate, Choice, Payloads
from kinpack.pictures.images import Image

QUICK_SPEED = 8
"""Speed of the AVIF encoder that tells whether a slow one is worth its time: seven times as fast at
32×32, for 9 ± 8 % more bits and error."""
QUICK_FACTOR, QUICK_BITS = 1.1, 60
"""How much more than a learned payload a quick trial may cost, as a factor and in bits."""
FINER = (0, 4, 8, 12)
"""Qualities that are added for AVIF, for trial, where an image has more pixels."""
WINDOW = 512
"""Side of a window, in pixels."""
WHOLE_PIXELS = (2 * WINDOW) ** 2
"""Most pixels of an image that is tried whole."""
RULE_PIXELS = 64 * 64
"""Most pixels of an image that a rule is believed about: rules are calibrated on small pictures,
and of larger ones AVIF takes fewer bytes more often."""


class ClassicTrials:
    """Makes classic payloads beside a codec's own.

    Args:
        payloads: of the codec.
    """

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    def encode(
        self,
        images: Sequence[Image],
        own: Sequence[Candidate | None],
        codes: NDArray[np.uint8],
        qualities: Sequence[int],
        likely: Sequence[bool],
        *,
        by_windows: bool,
    ) -> list[list[Candidate]]:
        """Make those that have a chance.

        Args:
            images: uint8 (H, W, C) each.
            own: the codec's own payload of each, if it has one.
            codes: (n, M) sub-indices of each.
            qualities: 1 to 100, of each.
            likely: whether one rather wins than loses, so that no quick trial is needed.
            by_windows: whether larger images are tried in windows, at several settings.
        """
        found: list[list[Candidate]] = []
        for image, one, code, quality, sure in zip(
            images, own, codes, qualities, likely, strict=True
        ):
            setting: int | None = quality
            if one is not None and by_windows and _pixels(image) > RULE_PIXELS:
                setting = self._finer_setting(image, one, code, quality)
            elif one is not None and not sure and not stands_a_chance(image, one, quality=quality):
                setting = None
            found.append([] if setting is None else candidates(image, quality=setting))
        return found

    def encode_to_psnr(self, images: Sequence[Image], *, least: float, exact: bool) -> list[Choice]:
        """Make the smallest found of each image that reaches a PSNR.

        Args:
            images: uint8 (H, W, C) each.
            least: that PSNR, in dB.
            exact: whether only exact ones are wanted.
        """
        found = []
        for image in images:
            search = PsnrSearch(least, _pixels(image))
            while not exact and (quality := search.next) is not None:
                search.tell(quality, candidates(image, quality=quality, kinds=[lossy_kind()])[0])
            lossy = search.best
            if lossy is None:
                found.append(exactly(image))
            elif may_be_lossless(image, lossy.quality):
                found.append(min(lossy, exactly(image), key=lambda one: len(one.candidate.payload)))
            else:
                found.append(lossy)
        return found

    def _finer_setting(
        self, image: Image, own: Candidate, code: NDArray[np.uint8], quality: int
    ) -> int | None:
        """The setting of AVIF, by kinpack's qualities, at which an image seems to cost least.

        What a quality means to AVIF is set on small pictures; larger ones cost less at a finer
        setting. None where AVIF stands no chance against the codec's own payload.
        """
        if _tells_nothing(image, quality):
            return quality
        windows = windows_of(image)
        rivals: Sequence[Candidate | None] = [own]
        if len(windows) > 1:
            n = len(windows)
            rivals = self._payloads.encode_own(
                windows, np.stack([code] * n), [quality] * n, draw=True, threads=1
            )
        settings = sorted({min(quality + step, 99) for step in FINER})
        known = [one for one in rivals if one is not None]
        return _promising_setting(windows, known, quality=quality, settings=settings)


def stands_a_chance(image: Image, learned: Candidate, *, quality: int) -> bool:
    """Tell by a quick AVIF whether a slow one may cost less than a learned payload.

    Of 250 pictures of four sorts at three qualities, nearly 100 % of the saving stays (99.3 % of
    the emptiest, small grey clothes at quality 30), for a fifth to a half of the time on CIFAR-10.

    Args:
        image: uint8 (H, W, C).
        learned: its learned payload.
        quality: 1 to 99, of both.
    """
    if _tells_nothing(image, quality):
        return True
    return _promising_setting([image], [learned], quality=quality, settings=[quality]) is not None


def exactly(image: Image) -> Choice:
    """The payload that draws an image exactly, as far as it is seen.

    Colour under alpha 0 is not kept, so quality 100 is stated only where there is no alpha.
    """
    (made,) = candidates(image, quality=99, kinds=[Kind.WEBP_LOSSLESS])
    return Choice(99 if image.shape[2] == 4 else 100, made)


def windows_of(image: Image) -> list[Image]:
    """What is tried of an image: all of it, or of a large one the middles of its quarters.

    Args:
        image: uint8 (H, W, C).

    Returns:
        Up to four parts of at most 1024 × 1024 pixels together. A side of up to 1024 pixels is not
        cut.
    """
    if image.shape[0] * image.shape[1] <= WHOLE_PIXELS:
        return [image]
    rows, columns = (_windows_along(side) for side in image.shape[:2])
    return [np.ascontiguousarray(image[row, column]) for row in rows for column in columns]


def _windows_along(side: int) -> list[slice]:
    if side <= 2 * WINDOW:
        return [slice(0, side)]
    return [slice(at - WINDOW // 2, at + WINDOW // 2) for at in (side // 4, side - side // 4)]


def _tells_nothing(image: Image, quality: int) -> bool:
    """Whether a quick AVIF says nothing of the classic payload that an image would get."""
    return lossy_kind() is not Kind.AVIF or may_be_lossless(image, quality)


def _promising_setting(
    windows: Sequence[Image],
    learned: Sequence[Candidate],
    *,
    quality: int,
    settings: Sequence[int],
) -> int | None:
    """The setting at which a quick AVIF costs least.

    None where a slow one would still cost more than the learned payloads.
    """
    costs = {}
    for setting in settings:
        quick = [
            candidates(window, quality=setting, speed=QUICK_SPEED, kinds=[Kind.AVIF])[0]
            for window in windows
        ]
        costs[setting] = sum(one.cost(quality) for one in quick)
    best = min(settings, key=lambda setting: costs[setting])
    most = QUICK_FACTOR * sum(one.cost(quality) for one in learned) + QUICK_BITS
    return best if costs[best] < most else None


def _pixels(image: Image) -> int:
    return int(image.shape[0]) * int(image.shape[1])
