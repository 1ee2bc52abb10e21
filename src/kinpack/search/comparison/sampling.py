"""Squares as they look through a map of places: sampled, and blurred to their new scale."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def grid(side: int) -> NDArray[np.float32]:
    """Places of the pixels of a square from -1 to 1, float32 (3, side²): x, y and 1."""
    place = (np.arange(side) + 0.5) * 2 / side - 1
    x, y = np.meshgrid(place, place)
    return np.stack([x.ravel(), y.ravel(), np.ones(side**2)]).astype(np.float32)


def sampled(
    squares: NDArray[np.float32], maps: NDArray[np.float64], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Look at squares through maps, between four pixels each.

    Args:
        squares: float32 (n, S, S).
        maps: (n, 2, 3) from places of the result to places of the square.
        side: of the result, in pixels.

    Returns:
        float32 (n, side²), the views, their edges continued, and (n, side²), 1 where a place lies
        within the square and 0 elsewhere.
    """
    many, width = len(squares), squares.shape[-1]
    at = maps.astype(np.float32) @ grid(side)
    inside = (np.abs(at) <= 1).all(axis=1)
    pixel = ((at + 1) * (width / 2) - 0.5).clip(0, width - 1.001)
    whole = pixel.astype(np.int32)
    right, down = (pixel - whole.astype(np.float32)).swapaxes(0, 1)
    first = whole[:, 1] * width + whole[:, 0]
    first += (np.arange(many, dtype=np.int32) * width**2)[:, None]
    levels = np.ascontiguousarray(squares).ravel()
    upper, lower = levels.take(first), levels.take(first + width)
    upper += (levels.take(first + 1) - upper) * right
    lower += (levels.take(first + width + 1) - lower) * right
    return upper + (lower - upper) * down, inside.astype(np.float32)


def blurred(
    squares: NDArray[np.float32], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Blur squares as being made smaller does.

    Args:
        squares: float32 (n, S, S), or (S, S) for all of them.
        across: (n,), how many times smaller each becomes; 1 and less leave it as it is.
        down: (n,), likewise.

    Returns:
        float32 (n, S, S).
    """
    side = squares.shape[-1]
    left, right = _triangle(side, down), _triangle(side, across)
    return (left @ squares @ right.swapaxes(1, 2)).astype(np.float32, copy=False)


def _triangle(side: int, times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Matrices (n, side, side) that blur a column of pixels by triangles."""
    place = np.arange(side, dtype=np.float32)
    wide = np.maximum(times, 1).astype(np.float32)[:, None, None]
    weight = np.maximum(1 - np.abs(place[:, None] - place) / wide, np.float32(0))
    matrices: NDArray[np.float32] = weight / weight.sum(axis=2, keepdims=True)
    return matrices
