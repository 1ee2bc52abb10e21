"""Quick trials: whether a slow AVIF is worth its time beside a learned payload, and how fine.

An image of some size is tried whole; of a large one four windows are, so that the trial takes
neither the time nor the memory that AVIF takes for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kinpack.codec.classic.payloads import candidates, lossy_kind, may_be_lossless
from kinpack.codec.packets.candidate import Candidate
from kinpack.codec.packets.packet import Kind
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


def finer_setting(
    image: Image,
    learned: Candidate,
    *,
    quality: int,
    encode: Callable[[Sequence[Image]], Sequence[Candidate]],
) -> int | None:
    """The setting of AVIF, by kinpack's qualities, at which a larger image seems to cost least.

    What a quality means to AVIF is set on small pictures; larger ones cost less at a finer setting.

    Args:
        image: uint8 (H, W, C).
        learned: its learned payload.
        quality: 1 to 99, by whose cost they are compared.
        encode: gives the learned payloads of parts of it, if it is too large to be tried whole.

    Returns:
        1 to 99; None where AVIF stands no chance against learned payloads.
    """
    if _tells_nothing(image, quality):
        return quality
    windows = windows_of(image)
    rivals = encode(windows) if len(windows) > 1 else [learned]
    settings = sorted({min(quality + step, 99) for step in FINER})
    return _promising_setting(windows, rivals, quality=quality, settings=settings)


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
