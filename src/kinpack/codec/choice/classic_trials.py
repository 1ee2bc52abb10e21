"""Trials of classic payloads: where a slow AVIF is worth its time, and how fine.

A quick AVIF is made first where it can tell whether a slow one may win against a codec's own
payload. An image of some size is tried whole; of a large one four windows are, so that the trial
takes neither the time nor the memory that AVIF takes for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinpack.codec.choice.efforts import Tries
from kinpack.codec.choice.prediction import is_small
from kinpack.codec.choice.psnr_search import PsnrSearch
from kinpack.codec.classic.own_quality import avif_quality, avif_quality_at_slope
from kinpack.codec.classic.payloads import candidates, lossy_kind, may_be_lossless
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Candidate, Choice, Payloads
from kinpack.pictures.images import Image

QUICK_SPEED = 8
"""Speed of the AVIF encoder that tells whether a slow one is worth its time: seven times as fast at
32×32, for 9 ± 8 % more bits and error."""
QUICK_FACTOR, QUICK_BITS = 1.1, 60
"""How much more than a learned payload a quick trial may cost, as a factor and in bits."""
DRAWN = 0.25
"""Share of pixels like their left neighbour from which an image counts as drawn. Of photographs it
is 0.15 at most."""
WINDOW = 512
"""Side of a window, in pixels."""
WHOLE_PIXELS = (2 * WINDOW) ** 2
"""Most pixels of an image that is tried whole."""


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
        qualities: Sequence[int],
        likely: Sequence[bool],
        *,
        tries: Tries,
        at_slope: bool,
    ) -> list[list[Candidate]]:
        """Make those that have a chance.

        Args:
            images: uint8 (H, W, C) each.
            own: the codec's own payload of each, if it has one.
            qualities: 1 to 100, of each.
            likely: whether one is made whatever a quick trial says.
            tries: what is tried.
            at_slope: whether they are tried at AVIF's setting of the slope that a quality stands
                for; else at that of the PSNR, as small ones are that have no other payload, or
                where nobody knows whether AVIF wins.
        """
        found: list[list[Candidate]] = []
        for image, one, quality, sure in zip(images, own, qualities, likely, strict=True):
            worth = at_slope and (not is_small(image) or (sure and one is not None))
            setting = avif_quality_at_slope(quality) if worth else avif_quality(quality)
            around = tries.settings if at_slope else (0,)
            settings = sorted({min(max(setting + more, 0), 100) for more in around})
            chance = True
            if len(settings) > 1 or not sure:
                setting, chance = self._quick_trial(image, one, quality, settings)
            if not (chance or sure):
                found.append([])
                continue
            squares = _in_squares(image, tries)
            found.append(
                candidates(
                    image, quality=quality, speed=tries.speed, squares=squares, setting=setting
                )
            )
        return found

    def encode_to_psnr(
        self, images: Sequence[Image], *, least: float, exact: bool, tries: Tries
    ) -> list[Choice]:
        """Make the smallest found of each image that reaches a PSNR.

        Args:
            images: uint8 (H, W, C) each.
            least: that PSNR, in dB.
            exact: whether only exact ones are wanted.
            tries: what is tried.
        """
        found = []
        for image in images:
            search = PsnrSearch(least, _pixels(image))
            while not exact and (quality := search.next) is not None:
                (made,) = candidates(
                    image,
                    quality=quality,
                    speed=tries.speed,
                    squares=_in_squares(image, tries),
                    kinds=[lossy_kind()],
                )
                search.tell(quality, made)
            lossy = search.best
            if lossy is None:
                found.append(exactly(image))
            elif may_be_lossless(image, lossy.quality):
                found.append(min(lossy, exactly(image), key=lambda one: len(one.candidate.payload)))
            else:
                found.append(lossy)
        return found

    def _quick_trial(
        self,
        image: Image,
        own: Candidate | None,
        quality: int,
        settings: Sequence[int],
    ) -> tuple[int, bool]:
        """The setting of AVIF that seems to cost least, and whether a slow one may win there."""
        if _tells_nothing(image, quality):
            return settings[0], True
        windows = windows_of(image)
        rivals: Sequence[Candidate | None] = [own]
        if own is not None and len(windows) > 1:
            n = len(windows)
            rivals = self._payloads.encode_own(windows, [quality] * n, draw=True, threads=1)
        known = [one for one in rivals if one is not None]
        return _promising_setting(windows, known, quality=quality, settings=settings)


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
    own: Sequence[Candidate],
    *,
    quality: int,
    settings: Sequence[int],
) -> tuple[int, bool]:
    """The setting at which a quick AVIF costs least, and whether a slow one may cost less than own.

    Of 250 pictures of four sorts at three qualities, nearly 100 % of the saving stays (99.3 % of
    the emptiest, small grey clothes at quality 30), for a fifth to a half of the time on CIFAR-10.
    """
    costs = {}
    for setting in settings:
        quick = [
            candidates(
                window, quality=quality, setting=setting, speed=QUICK_SPEED, kinds=[Kind.AVIF]
            )
            for window in windows
        ]
        costs[setting] = sum(one.cost(quality) for (one,) in quick)
    best = min(settings, key=lambda setting: costs[setting])
    most = QUICK_FACTOR * sum(one.cost(quality) for one in own) + QUICK_BITS
    return best, not own or costs[best] < most


def _in_squares(image: Image, tries: Tries) -> bool:
    """Whether AVIF's blocks are to be squares: not those of drawings, which they cost most."""
    larger = tries.squares and not is_small(image)
    return larger and float((image[:, 1:] == image[:, :-1]).all(2).mean()) < DRAWN


def _pixels(image: Image) -> int:
    return int(image.shape[0]) * int(image.shape[1])
