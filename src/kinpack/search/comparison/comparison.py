"""The comparison of a picture with others: how likely each is the same one, changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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


class Placed(NamedTuple):
    """How pictures lie on those that they were compared with.

    Attributes:
        similarity: float32 (n,), 0 to 1.
        face: int (n,), in which of the `FACES` ways each is laid.
        maps: float64 (n, 2, 3), from places of each, so laid, to places of the query; both are
            squares from -1 to 1.
    """

    similarity: NDArray[np.float32]
    face: NDArray[np.int64]
    maps: NDArray[np.float64]


class Comparison:
    """One picture, made ready to be compared with many.

    Args:
        query: uint8 (H, W, C).
    """

    def __init__(self, query: Image) -> None:
        self._make(reduced(query), query.shape[1] / query.shape[0])

    @classmethod
    def of_levels(cls, levels: NDArray[np.float32], aspect: float) -> Comparison:
        """The comparison of a picture that is reduced already.

        Args:
            levels: what `reduced` made of it.
            aspect: its width over its height, before it was squeezed.
        """
        made = cls.__new__(cls)
        made._make(levels, aspect)
        return made

    def _make(self, levels: NDArray[np.float32], aspect: float) -> None:
        self._levels = levels
        self._fine = patterns(self._levels[None])[0]
        self._coarse = patterns(halved(self._levels[None]))[0]
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
        return self.placed(squares).similarity

    def placed(self, squares: Sequence[NDArray[np.float32]]) -> Placed:
        """Tell how each picture lies on this one, too; else as ``similarities``."""
        parts = (squares[at : at + _TOGETHER] for at in range(0, len(squares), _TOGETHER))
        return _joined([self._compared(np.stack(part)) for part in parts])

    def _compared(self, levels: NDArray[np.float32]) -> Placed:
        """How reduced pictures, (n, FINE, FINE), lie on this one."""
        face, maps = self._guessed(patterns(halved(levels)))
        queries = np.broadcast_to(self._levels, levels.shape)
        return _made_exact(levels, queries, np.broadcast_to(self._fine, levels.shape), face, maps)

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


def laid_whole(
    squares: Sequence[NDArray[np.float32]], queries: Sequence[NDArray[np.float32]]
) -> Placed:
    """Compare pairs of pictures that may show the same whole: mirrored or turned, hardly cropped.

    It takes a fraction of the time of a `Comparison`, which finds what this one misses.

    Args:
        squares: of each candidate what `reduced` makes of it.
        queries: of each query likewise, as many.
    """
    found = []
    for at in range(0, len(squares), _TOGETHER):
        levels = np.stack(squares[at : at + _TOGETHER])
        others = np.stack(queries[at : at + _TOGETHER])
        coarse, seen = patterns(halved(levels)), patterns(halved(others))
        scores = [np.einsum("nij,nij->n", laid(coarse, face), seen) for face in range(FACES)]
        face = np.argmax(scores, axis=0)
        maps = np.tile(np.eye(2, 3), (len(levels), 1, 1))
        maps = aligned(each_laid(coarse, face), seen, maps, steps=_COARSE_STEPS)
        found.append(_made_exact(levels, others, patterns(others), face, maps))
    return _joined(found)


def _made_exact(
    levels: NDArray[np.float32],
    queries: NDArray[np.float32],
    query_patterns: NDArray[np.float32],
    face: NDArray[np.int64],
    maps: NDArray[np.float64],
) -> Placed:
    """Pairs, all (n, FINE, FINE), from the faces and maps that are known roughly."""
    pattern = each_laid(patterns(levels), face)
    maps = aligned(pattern, query_patterns, maps, steps=_FINE_STEPS)
    # Where there is no pattern, the levels themselves must agree.
    alike = agreement(each_laid(levels, face), queries, maps).correlation(_FLAT, 1.0).clip(0, 1)
    found = agreement(pattern, query_patterns, maps).correlation(FAINT, alike)
    # A blur leaves little of a fine pattern: where one is softer, the other is made so.
    ratio = sharpness(levels) / np.maximum(sharpness(queries), 1e-6)
    sharper, softer = np.flatnonzero(ratio > _UNLIKE), np.flatnonzero(ratio < 1 / _UNLIKE)
    for by in _SOFTER:
        made = each_laid(patterns(softened(levels[sharper], by)), face[sharper])
        query = patterns(softened(queries[softer], by))
        for rows, sides in (
            (sharper, (made, query_patterns[sharper])),
            (softer, (pattern[softer], query)),
        ):
            if len(rows):
                value = agreement(*sides, maps[rows]).correlation(FAINT, alike[rows])
                found[rows] = np.maximum(found[rows], value)
    return Placed(found.clip(0, 1), face, maps)


def _joined(parts: Sequence[Placed]) -> Placed:
    none = Placed(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros((0, 2, 3)))
    return Placed(*(np.concatenate(column) for column in zip(none, *parts, strict=True)))


def each_laid(squares: NDArray[np.float32], face: NDArray[np.int64]) -> NDArray[np.float32]:
    """Squares (n, S, S), each laid in its own way (n,)."""
    result = np.empty_like(squares)
    for number in range(FACES):
        result[face == number] = laid(squares[face == number], number)
    return result
