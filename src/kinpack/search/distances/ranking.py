"""The order of hits: by distance, equal distances by position, in whole steps and so exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(
    steps: NDArray[np.int32], positions: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Keep the k nearest of some candidates, still in order of position.

    Args:
        steps: int32 (n,), distances in whole steps.
        positions: int64 (n,), rising.
        k: number to keep, at least 0.

    Returns:
        Steps and positions of the kept, (min(n, k),) each, positions rising.
    """
    if len(steps) <= k:
        return steps, positions
    if k == 0:
        return steps[:0], positions[:0]
    last = np.partition(steps, k - 1)[k - 1]
    keep = steps < last
    ties = np.flatnonzero(steps == last)
    keep[ties[: k - np.count_nonzero(keep)]] = True
    return steps[keep], positions[keep]


def ranked(
    steps: NDArray[np.int32], positions: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Sort candidates by (distance, position).

    Args:
        steps: int32 (n,), distances in whole steps.
        positions: int64 (n,), rising.

    Returns:
        Both, nearest first.
    """
    # Positions rise, so a stable sort by distance leaves equal distances in order of position.
    order = np.argsort(steps, kind="stable")
    return steps[order], positions[order]
