"""Retrieval by vectors as they are, not quantised: what codes are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exact_hits(
    z_query: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    z: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    at: int = 1000,
) -> NDArray[np.bool_]:
    """Rank the vectors of a database by squared Euclidean distance, ties by index.

    Args:
        z_query: float32 (q, D), a query a row.
        query_labels: int64 (q,).
        z: float32 (n, D), the database.
        labels: int64 (n,).
        at: so many of the nearest are looked at.

    Returns:
        bool (q, min(at, n)), the nearest first: true where the labels are equal.
    """
    squares = (z * z).sum(axis=1)
    at = min(at, len(z))
    hits = np.empty((len(z_query), at), bool)
    for start in range(0, len(z_query), 100):
        distance = squares - 2 * (z_query[start : start + 100] @ z.T)
        for i, row in enumerate(distance, start):
            near = np.flatnonzero(row <= np.partition(row, at - 1)[at - 1])
            best = near[np.argsort(row[near], kind="stable")[:at]]
            hits[i] = labels[best] == query_labels[i]
    return hits
