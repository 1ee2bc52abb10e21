"""The order of hits: by distance, equal distances by position, of exact numbers and so exactly."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Distance = TypeVar("Distance", np.int32, np.float64)
"""Whole steps of a distance table, or sums of distances."""


def nearest(
    distances: NDArray[Distance], positions: NDArray[np.int64], k: int
) -> tuple[NDArray[Distance], NDArray[np.int64]]:
    """Keep the k nearest of some candidates, still in order of position.

    Args:
        distances: (n,).
        positions: int64 (n,), rising.
        k: number to keep, at least 0.

    Returns:
        Distances and positions of the kept, (min(n, k),) each, positions rising.
    """
    if len(distances) <= k:
        return distances, positions
    if k == 0:
        return distances[:0], positions[:0]
    last = np.partition(distances, k - 1)[k - 1]
    keep = distances < last
    ties = np.flatnonzero(distances == last)
    keep[ties[: k - np.count_nonzero(keep)]] = True
    return distances[keep], positions[keep]


def ranked(
    distances: NDArray[Distance], positions: NDArray[np.int64]
) -> tuple[NDArray[Distance], NDArray[np.int64]]:
    """Sort candidates by (distance, position).

    Args:
        distances: (n,).
        positions: int64 (n,), rising.

    Returns:
        Both, nearest first.
    """
    # Positions rise, so a stable sort by distance leaves equal distances in order of position.
    order = np.argsort(distances, kind="stable")
    return distances[order], positions[order]
