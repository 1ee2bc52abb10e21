"""How good a ranking is: average precision, as papers on retrieval count it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinpack.metrics import MetricError


def average_precision(hits: ArrayLike, *, at: int | None = 1000) -> float:
    """Average precision of one ranking: mean, over the hits within the first ``at``, of precision.

    Precision at a hit is the share of hits among the places up to and including it. 0 where there
    is no hit. The divisor is the number of hits found, not of all that exist.

    Args:
        hits: bool (n,), entry r true where the r-th ranked is relevant, best first.
        at: places that count; all of them where None.

    Raises:
        MetricError: ``hits`` has another shape, or ``at`` is below 1.
    """
    return mean_average_precision(np.asarray(hits)[None], at=at)


def mean_average_precision(hits: ArrayLike, *, at: int | None = 1000) -> float:
    """Mean of ``average_precision`` over queries; mAP@1000 of the retrieval protocol by default.

    Args:
        hits: bool (q, n), q ≥ 1; entry [i, r] true where the r-th ranked of query i is relevant.
            Ties must have been ranked by database index.
        at: places that count; all of them where None.

    Raises:
        MetricError: ``hits`` has another shape, no query, or ``at`` is below 1.
    """
    found = np.asarray(hits)
    if found.ndim != 2 or len(found) == 0:
        raise MetricError(f"rankings have shape (queries, places), not {found.shape}")
    if at is not None and at < 1:
        raise MetricError(f"average precision is taken at 1 place or more, not at {at}")
    found = found[:, :at].astype(bool)
    counts = np.cumsum(found, axis=1)
    precision = counts / np.arange(1, found.shape[1] + 1)
    sums = np.where(found, precision, 0.0).sum(axis=1)
    return float(np.mean(sums / np.maximum(found.sum(axis=1), 1)))
