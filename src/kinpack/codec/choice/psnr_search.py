"""The search for the lowest quality at which an image reaches a PSNR."""

from __future__ import annotations

import math

from kinpack.codec.packets.payload import Candidate, Choice
from kinpack.codec.packets.target import quality_for_psnr

ROUNDS = 8
"""Most encodings that one search takes."""

_LOWEST, _HIGHEST = 1, 99
_SLOPE = 0.3  # dB a quality, until two encodings tell more


class PsnrSearch:
    """Finds the lowest quality, 1 to 99, at which an encoder reaches a PSNR.

    A secant within a bracket, that never leaves more of it than halving could finish: where PSNR
    grows with quality the lowest one that reaches the target is found, in at most `ROUNDS` rounds.

    Args:
        target: PSNR in dB.
        pixels: of the image.

    Attributes:
        best: the smallest payload so far that reaches the target, with its quality; None if none
            does.
    """

    def __init__(self, target: float, pixels: int) -> None:
        self.best: Choice | None = None
        self._target, self._pixels = target, pixels
        self._fails, self._passes = _LOWEST - 1, _HIGHEST + 1
        self._below = self._above = math.nan  # PSNR at the two ends of the bracket
        self._left = ROUNDS

    @property
    def next(self) -> int | None:
        """Quality to try next; None when the search is over."""
        low, high = self._fails, self._passes
        if high - low < 2:
            return None
        reach = 1 << (self._left - 1)
        guess = min(max(self._guess(), high - reach), low + reach)
        return min(max(guess, low + 1), high - 1)

    def tell(self, quality: int, candidate: Candidate) -> None:
        """Take in what came of the quality that was asked for.

        Args:
            quality: as ``next`` gave it.
            candidate: the payload and its error.
        """
        self._left -= 1
        psnr = candidate.psnr(self._pixels)
        if psnr < self._target:
            self._fails, self._below = quality, psnr
            return
        self._passes, self._above = quality, psnr
        if self.best is None or len(candidate.payload) < len(self.best.candidate.payload):
            self.best = Choice(quality, candidate)

    def _guess(self) -> int:
        """Quality at which a straight line through what is known reaches the target."""
        below, above = self._below, self._above
        known_below, known_above = math.isfinite(below), math.isfinite(above)
        if known_below and known_above:
            share = (self._target - below) / (above - below)
            return self._fails + math.ceil(share * (self._passes - self._fails))
        if known_below:
            return self._fails + math.ceil((self._target - below) / _SLOPE)
        if known_above:
            return self._passes - math.ceil((above - self._target) / _SLOPE)
        return round(min(max(quality_for_psnr(self._target), _LOWEST), _HIGHEST))
