"""Likeness: how far pairs of pictures are the same one, and what was changed between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.search.comparison.comparison import Comparison, laid_whole
from kinpack.search.comparison.pattern import FINE, laid
from kinpack.search.comparison.sampling import sampled
from kinpack.search.duplicates.thumbnail import Thumbnail

SURE = 0.85
"""Similarity of whole pictures from which on no other placement is looked for."""
RECOLOURED = 0.08
"""Share of even places, of other colours than a tone explains, from which pictures as similar as
`SURE` are only alike; of less similar ones fewer do."""

_TURNED_BACK = (1, -1, 1, -1, -1, 1, -1, 1)  # of each face: -1 is a mirror image
_FRAMED, _STRETCHED, _TURN = 0.04, 0.04, 1.5  # as shares of a side; in degrees
_EVEN = 6.0  # levels: a place that differs by less from those around it is even
_COLOUR = 16.0  # levels from which on a colour is another
_ROUNDS, _CLIPPED = 6, 3.0  # of the fit of a tone; levels from black or white
_FEW = 64  # even places, of some four thousand, that tell of colours
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Likeness(NamedTuple):
    """What the comparison of two pictures told.

    Attributes:
        similarity: 0 to 1.
        recoloured: share of even places whose colour no change of tone explains, 0 to 1.
        changes: what was changed from the first picture to the second, in words.
    """

    similarity: float
    recoloured: float
    changes: tuple[str, ...]


def is_same(one: Likeness, similarity: float) -> bool:
    """Whether a likeness is that of the same picture.

    Args:
        one: of two pictures.
        similarity: from which on pictures may be the same.
    """
    sure = min(1.0, (one.similarity - similarity) / max(SURE - similarity, 0.01))
    return sure >= 0 and one.recoloured <= RECOLOURED * sure


def likenesses(pairs: Sequence[tuple[Thumbnail, Thumbnail]]) -> list[Likeness]:
    """Compare pairs of pictures; those with the same first one should follow each other.

    First each is laid over the other whole. Where that agrees less than `SURE`, all placements are
    looked through. A pair has the same likeness alone and among others, up to rounding.

    Args:
        pairs: of pictures; how the second came of the first is told.
    """
    levels = [
        (first.levels.astype(np.float32), other.levels.astype(np.float32)) for first, other in pairs
    ]
    found = laid_whole([other for _, other in levels], [first for first, _ in levels])
    unsure = np.flatnonzero(found.similarity < SURE).tolist()
    for _, some in groupby(unsure, key=lambda at: id(pairs[at][0])):
        rows = list(some)
        comparison = Comparison.of_levels(levels[rows[0]][0], pairs[rows[0]][0].aspect)
        placed = comparison.placed([levels[row][1] for row in rows])
        better = placed.similarity > found.similarity[rows]
        for at in np.flatnonzero(better).tolist():
            found.similarity[rows[at]] = placed.similarity[at]
            found.face[rows[at]] = placed.face[at]
            found.maps[rows[at]] = placed.maps[at]
    return [
        _likeness(first, other, similarity, face, map_)
        for (first, other), similarity, face, map_ in zip(
            pairs, found.similarity.tolist(), found.face.tolist(), found.maps, strict=True
        )
    ]


def _likeness(
    first: Thumbnail, other: Thumbnail, similarity: float, face: int, map_: NDArray[np.float64]
) -> Likeness:
    recoloured, toned = _colours(first, other, face, map_)
    changes = _changes(first, other, face, map_, toned=toned)
    return Likeness(round(similarity, 4), round(recoloured, 4), changes)


def _changes(
    first: Thumbnail, other: Thumbnail, face: int, map_: NDArray[np.float64], *, toned: bool
) -> tuple[str, ...]:
    """What was changed, the plainest first."""
    found = []
    if _TURNED_BACK[face] < 0:
        found.append("mirrored")
    if face > 1:
        found.append("turned")
    linear, shift = map_[:, :2], map_[:, 2]
    aspects = first.aspect, (1 / other.aspect if face > 3 else other.aspect)  # faces 4 to 7 lie
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    degrees = math.degrees(math.atan2(linear[1, 0] / aspects[0], linear[0, 0]))
    if abs(degrees) > _TURN:
        found.append("tilted")
    if scale < 1 - _FRAMED or (scale <= 1 and np.abs(shift).max() > _FRAMED):
        found.append("cropped")
    elif scale > 1 + _FRAMED or np.abs(shift).max() > _FRAMED:
        found.append("framed")
    across = np.hypot(*linear[:, 0]) * aspects[0] / (np.hypot(*linear[:, 1]) * aspects[1])
    if abs(math.log(max(float(across), 1e-6))) > _STRETCHED:
        found.append("stretched")
    if {first.channels == 1, other.channels == 1} == {True, False} or _grey(first) != _grey(other):
        found.append("in grey" if _grey(other) else "in colour")
    elif toned:
        found.append("toned")
    same_size = sorted((first.width, first.height)) == sorted((other.width, other.height))
    if not same_size and not {"cropped", "framed", "stretched"} & set(found):
        found.append("resized")
    return tuple(found) or ("re-encoded",)


def _grey(one: Thumbnail) -> bool:
    return bool(np.ptp(one.colours.astype(np.int16), axis=2).max() <= 3)


def _colours(
    first: Thumbnail, other: Thumbnail, face: int, map_: NDArray[np.float64]
) -> tuple[float, bool]:
    """Share of even places of another colour than tone explains, and whether the tone changed.

    A change of tone is one curve for all places: the same polynomial of each channel and of luma.
    Of edges nothing is asked, which blur and coding move.
    """
    queries = np.moveaxis(first.colours, 2, 0).astype(np.float32)
    seen, inside = sampled(queries, np.repeat(map_[None], 3, 0), FINE)
    there = laid(np.moveaxis(other.colours, 2, 0).astype(np.float32), face)
    views = seen.reshape(3, FINE, FINE)
    even = _even(views) & _even(there) & (inside[0] > 0).reshape(FINE, FINE)
    a, b = views[:, even].T, there[:, even].T
    if len(a) < _FEW:
        return 0.0, False
    flat = max(float(one.levels.std()) for one in (first, other)) < _EVEN
    if flat and np.abs(a.mean(axis=0) - b.mean(axis=0)).max() > _COLOUR:
        return 1.0, True  # any tone would explain it, and there is nothing else to go by
    told = ~(_plain(a) & _plain(b))
    if told.sum() < _FEW:
        told[:] = True
    left = min(_unexplained(a, b)[told].mean(), _unexplained(b, a)[told].mean())
    return float(left), bool(np.abs(a - b).mean() > _EVEN)


def _even(views: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the four neighbours of a place, (FINE, FINE), have about the same colour."""
    even = np.ones(views.shape[1:], bool)
    for axis in (1, 2):
        step = np.abs(np.diff(views, axis=axis)).max(axis=0) <= _EVEN
        ends = [(1, 0), (0, 0)] if axis == 1 else [(0, 0), (1, 0)]
        begins = [(0, 1), (0, 0)] if axis == 1 else [(0, 0), (0, 1)]
        even &= np.pad(step, ends, constant_values=True)
        even &= np.pad(step, begins, constant_values=True)
    return even


def _plain(colours: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the colours (n, 3) are the commonest one, as of a plain ground; (n,)."""
    found, counts = np.unique(np.rint(colours / 4), axis=0, return_counts=True)
    plain: NDArray[np.bool_] = np.abs(colours - 4 * found[counts.argmax()]).max(axis=1) <= 4
    return plain


def _unexplained(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the colours y (n, 3) the best change of tone does not make of x (n, 3); (n,)."""
    luma = np.repeat(x @ _LUMA, 3)
    own = x.ravel().astype(np.float64)
    terms = np.stack([own, luma, own * own / 255, np.full(own.size, 255)], axis=1)
    seen, weight = y.ravel().astype(np.float64), np.ones(own.size)
    wanted = seen
    for _ in range(_ROUNDS):  # what does not fit counts for less each time
        scaled = terms * weight[:, None]
        square = scaled.T @ terms + len(x) * np.eye(4)  # of grey, two terms are the same
        made = terms @ np.linalg.solve(square, scaled.T @ wanted)
        # What is clipped may have been brighter, or darker, before.
        beyond = ((seen >= 255 - _CLIPPED) & (made > seen)) | ((seen <= _CLIPPED) & (made < seen))
        wanted = np.where(beyond, made, seen)
        weight = 1 / (1 + np.square((made - wanted) / _EVEN))
    left: NDArray[np.bool_] = np.abs(made - wanted).reshape(-1, 3).max(axis=1) > _COLOUR
    return left
