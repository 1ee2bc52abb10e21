"""Pixels drawn at random from planes of any sizes, with what a causal network is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_context import MARGIN, MIRRORED, NEIGHBOURS, PLANES, rows_up

FLAT_SHARE = 0.125
"""Share of a batch that is drawn from pixels in the midst of equal ones."""

Ints = NDArray[np.int64]

_LOOKED_AT = ((0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0))


class PixelSamples:
    """Draws pixels: those in the midst of equal ones more rarely, and weighted for it.

    Args:
        planes: uint8 (H, W) each.
    """

    def __init__(self, planes: Sequence[NDArray[np.uint8]]) -> None:
        sizes = np.array([plane.shape for plane in planes], dtype=np.int64)
        self._heights, self._widths = sizes.T
        self._pitches = self._widths + 2 * MARGIN
        lengths = (self._heights + MARGIN) * self._pitches
        self._bases = np.cumsum(lengths) - lengths
        self._cells = np.zeros(int(lengths.sum()), dtype=np.uint8)
        flat, other = [], []
        for base, pitch, plane in zip(self._bases, self._pitches, planes, strict=True):
            height, width = plane.shape
            frame = np.zeros((height + MARGIN, pitch), dtype=np.uint8)
            frame[MARGIN:, MARGIN:-MARGIN] = plane
            self._cells[base : base + frame.size] = frame.ravel()
            same = np.ones((height, width), dtype=np.bool_)
            for dy, dx in _LOOKED_AT:
                rows = slice(MARGIN + dy, MARGIN + dy + height)
                same &= frame[rows, MARGIN + dx : MARGIN + dx + width] == plane
            y, x = np.nonzero(same)
            flat.append((base + (y + MARGIN) * pitch + x + MARGIN).astype(np.uint32))
            y, x = np.nonzero(~same)
            other.append((base + (y + MARGIN) * pitch + x + MARGIN).astype(np.uint32))
        self._flat, self._other = np.concatenate(flat), np.concatenate(other)

    def draw(
        self, rng: np.random.Generator, n: int, steps: NDArray[np.int64]
    ) -> tuple[Ints, Ints, Ints, NDArray[np.float32]]:
        """Draw pixels.

        Args:
            rng: draws them.
            n: how many.
            steps: (s,) Δ to draw from.

        Returns:
            Inputs (n, PLANES) as `kinpack.codec.causal.causal_context.Frame` gives them; rounded
            values (n,), not clipped to 255; Δ (n,); weights (n,) of mean 1.
        """
        places, weights = self._places(rng, n)
        step = steps[rng.integers(len(steps), size=n)]
        image = np.searchsorted(self._bases, places, side="right") - 1
        pitch, width = self._pitches[image], self._widths[image]
        y, x = np.divmod(places - self._bases[image], pitch)
        y, x = y - MARGIN, x - MARGIN
        offsets = np.array([dy for dy, _ in NEIGHBOURS]) * pitch[:, None]
        offsets += np.array([dx for _, dx in NEIGHBOURS])
        across = (width - 1 - x)[:, None] + np.array(MIRRORED)
        up = np.minimum(rows_up(across - x[:, None]), y[:, None] + 1)
        mirror = places[:, None] + (across - x[:, None]) - up * pitch[:, None]
        cells = np.concatenate([places[:, None], places[:, None] + offsets, mirror], 1)
        rounded = _rounded(self._cells[cells], step[:, None])
        values = np.minimum(rounded, 255)
        k, m = len(NEIGHBOURS), len(MIRRORED)
        made = np.empty((n, PLANES), dtype=np.int64)
        made[:, :k] = values[:, 1 : k + 1]
        made[:, k : 2 * k] = 255 * (values[:, 1 : k + 1] == 0)
        made[:, 2 * k : 2 * k + m] = values[:, k + 1 :]
        made[:, -3] = np.minimum(2 * step, 255)
        made[:, -2] = 255 * y // np.maximum(1, self._heights[image] - 1)
        made[:, -1] = 255 * x // np.maximum(1, width - 1)
        return made, rounded[:, 0], step, weights

    def _places(self, rng: np.random.Generator, n: int) -> tuple[Ints, NDArray[np.float32]]:
        shares = [len(self._flat), len(self._other)]
        drawn = [round(FLAT_SHARE * n) if all(shares) else n * bool(shares[0]), 0]
        drawn[1] = n - drawn[0]
        places, weights = [], []
        for pool, count in zip((self._flat, self._other), drawn, strict=True):
            if count:
                places.append(pool[rng.integers(len(pool), size=count)].astype(np.int64))
                share = len(pool) / sum(shares)
                weights.append(np.full(count, share * n / count, dtype=np.float32))
        return np.concatenate(places), np.concatenate(weights)


def _rounded(values: NDArray[np.uint8], step: Ints) -> Ints:
    """Values rounded to multiples of Δ, the largest of which may lie above 255."""
    rounded: Ints = (2 * values.astype(np.int64) + step) // (2 * step) * step
    return rounded
