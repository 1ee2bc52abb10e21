"""The comparison of a picture with others: how likely each is the same one, changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.pictures.images import Image
from kinpack.search.comparison.alignment import agreement, aligned
from kinpack.search.comparison.pattern import (
    FACES,
    FAINT,
    halved,
    laid,
    patterns,
    reduced,
    sharpness,
    softened,
)
from kinpack.search.comparison.placing import plain_placements, small_placements

SAME = 0.65
"""Similarity from which two pictures are taken for the same one."""

_TOGETHER = 64  # pictures that are compared at a time
_COARSE_STEPS, _FINE_STEPS = 4, 3
_PLAIN_FACES = 2  # as they are, and mirrored: in any placement; the others in few
_FLAT = 1.0  # mean square of levels that are next to flat
_UNLIKE = 1.08  # times as sharp as another: then sharpness is not alike
_SOFTER = (1.0, 1.8, 3.0)  # deviations, in pixels, by which the sharper of two is softened


class Comparison:
    """One picture, made ready to be compared with many.

    Args:
        query: uint8 (H, W, C).
    """

    def __init__(self, query: Image) -> None:
        self._levels = reduced(query)
        self._fine = patterns(self._levels[None])[0]
        self._coarse = patterns(halved(self._levels[None]))[0]
        self._softer = [patterns(softened(self._levels[None], by))[0] for by in _SOFTER]
        self._sharpness = sharpness(self._levels[None])
        aspect = query.shape[1] / query.shape[0]
        self._plain = plain_placements(self._coarse, aspect)
        self._small = small_placements(self._coarse)

    def similarities(self, squares: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Tell how far each picture is the same one, whatever its tone, contrast, size and colour.

        It may be mirrored, turned by quarters or by some ten degrees, stretched, framed, softer or
        sharper, a part that keeps more than half of each side, or hold the query as such a part.

        Args:
            squares: of each what `reduced` makes of it.

        Returns:
            float32 (n,), 0 to 1, 1 for the picture itself; two flat pictures are the same.
        """
        parts = (squares[at : at + _TOGETHER] for at in range(0, len(squares), _TOGETHER))
        found = [self._compared(np.stack(part)) for part in parts]
        return np.concatenate([np.zeros(0, np.float32), *found])

    def _compared(self, levels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The similarities of reduced pictures, (n, FINE, FINE)."""
        face, maps = self._guessed(patterns(halved(levels)))
        pattern = _each(patterns(levels), face)
        maps = aligned(pattern, self._fine, maps, steps=_FINE_STEPS)
        # Where there is no pattern, the levels themselves must agree.
        queries = np.broadcast_to(self._levels, levels.shape)
        alike = agreement(_each(levels, face), queries, maps).correlation(_FLAT, 1.0)
        alike = alike.clip(0, 1)
        found = _agreed(pattern, self._fine, maps, alike)
        # A blur leaves little of a fine pattern: where one is softer, the other is made so.
        ratio = sharpness(levels) / np.maximum(self._sharpness, 1e-6)
        sharper, softer = np.flatnonzero(ratio > _UNLIKE), np.flatnonzero(ratio < 1 / _UNLIKE)
        for by, query in zip(_SOFTER, self._softer, strict=True):
            made = _each(patterns(softened(levels[sharper], by)), face[sharper])
            for rows, candidates, other in (
                (sharper, made, self._fine),
                (softer, pattern[softer], query),
            ):
                if len(rows):
                    value = _agreed(candidates, other, maps[rows], alike[rows])
                    found[rows] = np.maximum(found[rows], value)
        return found.clip(0, 1)

    def _guessed(
        self, squares: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The face (n,) and the map (n, 2, 3) by which each candidate agrees best."""
        many, side = squares.shape[:2]
        faces = np.stack([laid(squares, face) for face in range(FACES)])
        plain, small = (part.reshape(-1, side, side) for part in np.split(faces, [_PLAIN_FACES]))
        value, chosen = self._plain.best(plain)
        more, others = self._small.best(small)
        face = np.concatenate([value, more]).reshape(FACES, many).argmax(axis=0)
        maps = np.concatenate([self._plain.maps[chosen], self._small.maps[others]])
        rows = face * many + np.arange(many)
        best = faces.reshape(-1, side, side)[rows]
        return face, aligned(best, self._coarse, maps[rows], steps=_COARSE_STEPS)


def _agreed(
    candidates: NDArray[np.float32],
    query: NDArray[np.float32],
    maps: NDArray[np.float64],
    alike: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How patterns (n, S, S) agree with that of the query (S, S), as `Agreement.correlation`."""
    queries = np.broadcast_to(query, candidates.shape)
    return agreement(candidates, queries, maps).correlation(FAINT, alike)


def _each(squares: NDArray[np.float32], face: NDArray[np.int64]) -> NDArray[np.float32]:
    """Squares (n, S, S), each laid in its own way (n,)."""
    result = np.empty_like(squares)
    for number in range(FACES):
        result[face == number] = laid(squares[face == number], number)
    return result
