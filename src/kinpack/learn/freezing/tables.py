"""Frequency tables learned from symbols, with a Gaussian to fall back on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.tables import MAX_COUNT, FrequencyTables

_REACH = 6.0
_PRIOR = 200.0


def gaussian_tables(deviations: NDArray[np.float64]) -> FrequencyTables:
    """Tables of rounded Gaussians.

    Args:
        deviations: (T,) standard deviation of each table, in quantiser steps.
    """
    lows = [-_half_width(s) for s in deviations]
    tables = [_counts(_gaussian(s)) for s in deviations]
    return FrequencyTables.from_lists([t.tolist() for t in tables], lows)


def refit_tables(
    tables: FrequencyTables,
    deviations: NDArray[np.float64],
    symbols: NDArray[np.int64],
    contexts: NDArray[np.int64],
) -> FrequencyTables:
    """Tables of the symbols seen, the Gaussian's shares added where few were.

    Args:
        tables: from ``gaussian_tables``, for the range of each.
        deviations: (T,) standard deviation of each table, in quantiser steps.
        symbols: (n,) symbols seen.
        contexts: (n,) table of each.
    """
    index = tables.indices(symbols, contexts)
    seen = np.bincount(tables.starts[contexts] + index, minlength=len(tables.counts))
    fitted = []
    for t, s in enumerate(deviations):
        mine = seen[tables.starts[t] : tables.starts[t + 1]].astype(np.float64)
        # Tails and gaps of the histogram borrow from a wider Gaussian mixture.
        prior = 0.9 * _gaussian(s) + 0.1 * _gaussian(2.5 * s, half_width=_half_width(s))
        smooth = mine.copy()
        inner = mine[:-1]
        smooth[:-1] = (inner + inner[::-1]) / 2
        fitted.append(_counts(smooth + _PRIOR * prior))
    return FrequencyTables.from_lists([t.tolist() for t in fitted], tables.lows.tolist())


def _half_width(deviation: float) -> int:
    return math.ceil(_REACH * deviation) + 1


def _gaussian(deviation: float, *, half_width: int | None = None) -> NDArray[np.float64]:
    """Probabilities of −h … h, then of everything outside."""
    h = _half_width(deviation) if half_width is None else half_width
    edges = np.array([math.erf((k - 0.5) / (deviation * math.sqrt(2))) for k in range(-h, h + 2)])
    inner = np.diff(edges) / 2
    return np.append(inner, max(1e-7, 1 - inner.sum()))


def _counts(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    scaled: NDArray[np.float64] = weights * ((MAX_COUNT - 1) / weights.max())
    return np.rint(scaled).clip(1).astype(np.int64)
