"""Allocation: which of several sizes each image takes, for the most value within a sum of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Steps:
    """The upper convex hulls of all images, from point to point.

    Attributes:
        start: each image's cheapest point, int64 (n,).
        image: whose step it is, int64 (s,); all steps in order of falling slope.
        point: which point the step leads to, int64 (s,).
        n_bytes: bytes that the step costs, int64 (s,), more than 0.
    """

    start: NDArray[np.int64]
    image: NDArray[np.int64]
    point: NDArray[np.int64]
    n_bytes: NDArray[np.int64]


def hulls(n_bytes: NDArray[np.int64], value: NDArray[np.float64]) -> Steps:
    """Find the upper convex hull of each image's points.

    Args:
        n_bytes: (n, g), what image i costs at point j.
        value: (n, g), what it is worth there.
    """
    n = len(n_bytes)
    rows = np.arange(n)
    # The best of the cheapest points: the last key of lexsort comes first.
    start = np.lexsort((-value, n_bytes), axis=1)[:, 0] if n else np.zeros(0, np.int64)
    at, images, points, costs, slopes = start, [], [], [], []
    while n:
        cost = n_bytes - n_bytes[rows, at][:, None]
        gain = value - value[rows, at][:, None]
        better = (cost > 0) & (gain > 0)
        slope = np.where(better, gain / np.where(better, cost, 1), -np.inf)
        top = slope.max(1)
        # Of points on one line the furthest.
        to = np.where(slope == top[:, None], cost, -1).argmax(1)
        moved = np.flatnonzero(top > 0)
        if not len(moved):
            break
        images.append(moved)
        points.append(to[moved])
        costs.append(cost[moved, to[moved]])
        slopes.append(top[moved])
        at = np.where(top > 0, to, at)
    empty = np.zeros(0, np.int64)
    # Stable, so that an image's own steps stay in their order where slopes are equal.
    order = np.argsort(-np.concatenate([np.zeros(0), *slopes]), kind="stable")
    return Steps(
        start.astype(np.int64),
        *(np.concatenate([empty, *parts])[order] for parts in (images, points, costs)),
    )


def allocate(steps: Steps, budget: int) -> NDArray[np.int64] | None:
    """Choose a point for each image, greedily by slope.

    What is lost against the best choice there is, is at most the value of one step.

    Args:
        steps: of the images' hulls.
        budget: bytes that may be spent beyond those of the cheapest points.

    Returns:
        int64 (n,), the point of each image; None if not even the cheapest points fit.
    """
    if budget < 0:
        return None
    chosen = steps.start.copy()
    spent = np.cumsum(steps.n_bytes)
    whole = int(np.searchsorted(spent, budget, side="right"))
    # Later steps of an image overwrite earlier ones.
    chosen[steps.image[:whole]] = steps.point[:whole]
    left = budget - (int(spent[whole - 1]) if whole else 0)
    stopped: set[int] = set()
    images, points, costs = (
        part[whole:].tolist() for part in (steps.image, steps.point, steps.n_bytes)
    )
    least = min(costs, default=0)
    for image, point, cost in zip(images, points, costs, strict=True):
        if left < least:
            break
        if image in stopped:
            continue
        if cost > left:
            stopped.add(image)
            continue
        left -= cost
        chosen[image] = point
    return chosen
