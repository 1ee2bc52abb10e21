"""Where one picture may lie over another: a first guess among some thousand placements.

Both pictures are squares from -1 to 1. A placement is a map, float (2, 3), from places of a
candidate, (x, y, 1), to places of the query: the query may be a part of the candidate, or hold it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kinpack.search.comparison.pattern import COARSE, FAINT
from kinpack.search.comparison.products import product
from kinpack.search.comparison.sampling import sampled

LEAST = 0.03
"""Share of a picture's own variance that any part of it counts as having at least: flat parts of
two pictures are no agreement."""

_STEP = 1.08  # from one scale to the next
_MOST, _SMALL, _STRETCHED = 8, 3, 4  # steps from 1: of the plain, of turned ones, of one axis alone
_TURNS = (-9.0, -5.0, 5.0, 9.0)  # degrees
_PIXEL = 2 / COARSE


@dataclass(frozen=True)
class Axis:
    """The ways that an axis of the query lies along one of a candidate, at one scale.

    Attributes:
        scale: of the map.
        shifts: (n,) of the map.
        kernels: (n, COARSE, COARSE) float32, what each of the candidate's pixels takes of the
            query's.
        first: (n,) int, the first pixel of the candidate's that the query covers.
        end: (n,) int, that after the last.
    """

    scale: float
    shifts: NDArray[np.float64]
    kernels: NDArray[np.float32]
    first: NDArray[np.int64]
    end: NDArray[np.int64]


@cache
def axis_of(steps: int) -> Axis:
    """The axis at a scale that lies some steps from 1."""
    scale = _STEP**steps
    slack = _PIXEL if scale >= 1 else 0.0
    step = _PIXEL * max(1.0, scale)
    most = math.floor((abs(1 - scale) + slack) / step + 1e-9)
    shifts: NDArray[np.float64] = step * np.arange(-most, most + 1, dtype=np.float64)
    place = (np.arange(COARSE) + 0.5) * _PIXEL - 1
    at = scale * place + shifts[:, None]
    pixel = (at + 1) / _PIXEL - 0.5
    weight = 1 - np.abs(pixel[:, :, None] - np.arange(COARSE)) / max(1.0, scale)
    inside = np.abs(at) <= 1
    weight = np.maximum(weight, 0) * inside[:, :, None]
    weight /= np.maximum(weight.sum(axis=2, keepdims=True), 1e-9)
    first = inside.argmax(axis=1)
    return Axis(scale, shifts, weight.astype(np.float32), first, first + inside.sum(axis=1))


@dataclass(frozen=True)
class Placements:
    """The query in many placements, as a candidate would look if it were the same picture.

    Attributes:
        maps: (p, 2, 3).
        views: float32 (p, COARSE²), of deviation 1 within the box and 0 outside, divided by the
            number of the box's pixels.
        mean: float32 (p,), of each view within its box.
        base: float32 (p,), what views without any pattern agree by.
        boxes: int (4, p), the first row, the row after the last, and the columns likewise.
    """

    maps: NDArray[np.float64]
    views: NDArray[np.float32]
    mean: NDArray[np.float32]
    base: NDArray[np.float32]
    boxes: NDArray[np.int64]

    def best(self, squares: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """How well each candidate agrees in its best placement, and which that is.

        Args:
            squares: float32 (n, COARSE, COARSE), patterns of candidates.

        Returns:
            float32 (n,), at most 1, and int (n,).
        """
        flat = squares.reshape(len(squares), -1)
        top, bottom, left, right = self.boxes
        count = ((bottom - top) * (right - left)).astype(np.float32)
        ends = ((bottom, right), (top, right), (bottom, left), (top, left))
        corners = [row * (COARSE + 1) + column for row, column in ends]

        def means(values: NDArray[np.float32]) -> NDArray[np.float32]:
            total = np.zeros((len(values), COARSE + 1, COARSE + 1), np.float32)
            total[:, 1:, 1:] = values.cumsum(axis=1).cumsum(axis=2)
            a, b, c, d = (total.reshape(len(values), -1).take(at, axis=1) for at in corners)
            share: NDArray[np.float32] = (a - b - c + d) / count
            return share

        mean = means(squares)
        variance = means(squares * squares) - mean * mean
        np.maximum(variance, LEAST * flat.var(axis=1)[:, None], out=variance)
        score = product(flat, self.views.T) - mean * self.mean + self.base
        score /= np.sqrt(variance + FAINT)
        chosen = score.argmax(axis=1)
        return score[np.arange(len(score)), chosen], chosen


def plain_placements(query: NDArray[np.float32], aspect: float) -> Placements:
    """Placements by shift, scale, stretching and small turns.

    Args:
        query: float32 (COARSE, COARSE), its pattern.
        aspect: its width over its height, before it was squeezed.
    """
    steps = [(k, k) for k in range(-_MOST, _MOST + 1)]
    stretched = [k for k in range(-_STRETCHED, _STRETCHED + 1) if k]
    steps += [(k, 0) for k in stretched] + [(0, k) for k in stretched]
    turns = np.radians(_TURNS)
    cosine, sine = np.cos(turns), np.sin(turns)
    maps = np.zeros((len(turns), 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    maps[:, 0, 1], maps[:, 1, 0] = -sine / aspect, sine * aspect
    views = sampled(np.repeat(query[None], len(turns), 0), maps, COARSE)[0]
    return _placements(query, steps, maps, views)


def small_placements(query: NDArray[np.float32]) -> Placements:
    """Placements by shift and moderate scale, for pictures that are turned or upside down."""
    steps = [(k, k) for k in range(-_SMALL, _SMALL + 1)]
    return _placements(query, steps, np.zeros((0, 2, 3)), np.zeros((0, COARSE**2), np.float32))


def _placements(
    query: NDArray[np.float32],
    steps: list[tuple[int, int]],
    maps: NDArray[np.float64],
    turned: NDArray[np.float32],
) -> Placements:
    """Placements by steps of scale down and across, and those that are given with their views."""
    whole = np.tile(np.array([[0], [COARSE]] * 2), len(maps))
    all_maps, all_views, all_boxes = [maps], [turned], [whole]
    for down, across in steps:
        y, x = axis_of(down), axis_of(across)
        tall, wide = len(y.shifts), len(x.shifts)
        rows = product(y.kernels.reshape(-1, COARSE), query)
        both = product(rows, x.kernels.reshape(-1, COARSE).T)
        both = both.reshape(tall, COARSE, wide, COARSE)
        all_views.append(both.swapaxes(1, 2).reshape(tall * wide, -1))
        some = np.zeros((tall, wide, 2, 3))
        some[:, :, 0, 0], some[:, :, 1, 1] = x.scale, y.scale
        some[:, :, 0, 2], some[:, :, 1, 2] = x.shifts, y.shifts[:, None]
        all_maps.append(some.reshape(-1, 2, 3))
        box = np.broadcast_arrays(y.first[:, None], y.end[:, None], x.first, x.end)
        all_boxes.append(np.array(box).reshape(4, -1))
    views: NDArray[np.float32] = np.concatenate(all_views)
    maps, boxes = np.concatenate(all_maps), np.hstack(all_boxes)
    count = ((boxes[1] - boxes[0]) * (boxes[3] - boxes[2])).astype(np.float32)
    mean = views.sum(axis=1) / count
    variance = np.einsum("pi,pi->p", views, views) / count - mean * mean
    root = np.sqrt(np.maximum(variance, LEAST * query.var()) + FAINT)
    views /= (count * root)[:, None]
    return Placements(maps, views, mean / root, (FAINT / root).astype(np.float32), boxes)
