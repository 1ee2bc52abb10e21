"""Gram matrices of latents, their cosines, and the ranks by which the papers measure them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinpack.metrics import MetricError


def gram_matrix(vectors: ArrayLike) -> NDArray[np.float64]:
    """Gram matrix G_B of a batch: all inner products.

    Args:
        vectors: (n, D); each row is one vector of the batch.

    Returns:
        float64 (n, n); entry [i, j] is the inner product of rows i and j.

    Raises:
        MetricError: ``vectors`` has another shape.
    """
    rows = _as_rows(vectors)
    return rows @ rows.T


def cosine_matrix(vectors: ArrayLike) -> NDArray[np.float64]:
    """Gram matrix of the vectors brought to length 1: cosines of all angles.

    Args:
        vectors: (n, D); each row is one vector. A zero row has cosine 0 with every other and 1
            with itself.

    Returns:
        float64 (n, n), from −1 to 1, the diagonal exactly 1.

    Raises:
        MetricError: ``vectors`` has another shape.
    """
    rows = _as_rows(vectors)
    # Scaled by the largest entry first, so that no square overflows or vanishes.
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(peak > 0, peak, 1.0)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norm > 0, norm, 1.0)
    cosines: NDArray[np.float64] = np.clip(rows @ rows.T, -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines


def rank_numerical(matrix: ArrayLike, *, tolerance: float = 1e-6) -> int:
    """Count the singular values above ``tolerance`` times the largest.

    Args:
        matrix: (m, n), a Gram matrix for instance; or (r,), the singular values themselves.
        tolerance: relative to the largest singular value, 0 to 1.

    Raises:
        MetricError: ``matrix`` is no matrix of finite numbers, or the tolerance is out of range.
    """
    if not 0 <= tolerance < 1:
        raise MetricError(f"a relative tolerance goes from 0 to below 1, not {tolerance}")
    spectrum = _spectrum(matrix)
    return int((spectrum > tolerance * spectrum.max(initial=0.0)).sum())


def rank_effective(matrix: ArrayLike) -> float:
    """Effective rank: exp of the entropy (nats) of the singular values taken as probabilities.

    1 where one direction holds everything, n where n directions hold the same; 0 for a zero matrix.

    Args:
        matrix: (m, n); or (r,), the singular values themselves.

    Raises:
        MetricError: ``matrix`` is no matrix of finite numbers.
    """
    spectrum = _spectrum(matrix)
    if not spectrum.any():
        return 0.0
    p = spectrum / spectrum.max()
    p = p / p.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def rank_energy(matrix: ArrayLike, *, fraction: float = 0.99) -> int:
    """Count the largest singular values whose sum reaches ``fraction`` of the sum of all.

    For a Gram matrix the singular values are the energies (squared lengths) along its principal
    directions. 0 for a zero matrix.

    Args:
        matrix: (m, n); or (r,), the singular values themselves.
        fraction: above 0, at most 1.

    Raises:
        MetricError: ``matrix`` is no matrix of finite numbers, or the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise MetricError(f"a fraction of the energy goes from above 0 to 1, not {fraction}")
    spectrum = _spectrum(matrix)
    if not spectrum.any():
        return 0
    sums = np.cumsum(spectrum / spectrum.max())
    return int(np.searchsorted(sums, fraction * sums[-1], side="left")) + 1


def _as_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2:
        raise MetricError(f"a batch of vectors has shape (n, D), not {rows.shape}")
    return rows


def _spectrum(matrix: ArrayLike) -> NDArray[Any]:
    """Singular values, largest first."""
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim not in (1, 2) or not np.isfinite(values).all():
        raise MetricError(f"a rank is of a matrix of finite numbers, not of shape {values.shape}")
    if values.size == 0:
        return np.zeros(0)
    if values.ndim == 1:
        if values.min() < 0:
            raise MetricError("singular values are 0 or more")
        return -np.sort(-values)
    return np.linalg.svd(values, compute_uv=False)
