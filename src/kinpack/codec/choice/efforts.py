"""How much is tried for an image at each effort."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kinpack.codec.packets.target import Effort


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """What is tried at an effort.

    Attributes:
        speed: of the AVIF encoder, for what may be kept.
        squares: whether AVIF cuts blocks of larger photographs into squares alone.
        lower: what is taken off the quality of learned payloads, each tried; the cheapest is kept.
        settings: what is added to AVIF's own quality, each tried quickly; the best one is kept.
        clear: spreads by which a codec's prediction counts as clear, so that an image is coded in
            one way alone.
    """

    speed: int
    squares: bool
    lower: tuple[int, ...] = (0,)
    settings: tuple[int, ...] = (0,)
    clear: float


EFFORTS: Mapping[Effort, Tries] = {
    "fast": Tries(speed=6, squares=False, clear=0.0),
    "default": Tries(speed=4, squares=True, clear=0.5),
    "best": Tries(speed=2, squares=False, lower=(0, 2, 4), settings=(-4, 0, 4, 8), clear=math.inf),
}
