"""Principal components: directions of largest variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import HashingError, as_vectors

_ROWS = 4096
"""Vectors centred at a time, so that memory stays flat."""


@dataclass(frozen=True, eq=False)
class Principal:
    """The mean and the first principal directions of some vectors.

    Attributes:
        mean: float32 (D,).
        directions: float32 (D, r), orthonormal columns, largest variance first; the largest entry
            of each is positive.
        variance: float64 (r,), of the learned vectors along each direction.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    variance: NDArray[np.float64]

    def project(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Give the components (n, r) float32 of vectors (n, D)."""
        parts = [
            (x[i : i + _ROWS].astype(np.float32) - self.mean) @ self.directions
            for i in range(0, len(x), _ROWS)
        ]
        return np.concatenate(parts)


def principal_components(x: NDArray[Any], r: int) -> Principal:
    """Find the first r principal directions.

    Args:
        x: (n, D) vectors, n ≥ 1; whole numbers are taken as they are.
        r: directions wanted, 1 to D.

    Raises:
        HashingError: ``x`` has another shape, holds numbers that are not finite, or has fewer
            than r components.
    """
    if x.dtype != np.uint8:
        x = as_vectors(x)
    n, D = x.shape
    if not 1 <= r <= D:
        raise HashingError(f"{r} principal directions of {D} components do not exist: 1 to {D} do")
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((D, D))
    for i in range(0, n, _ROWS):
        centred = (x[i : i + _ROWS] - mean).astype(np.float32)
        covariance += centred.T @ centred
    variance, vectors = np.linalg.eigh(covariance / n)
    variance, vectors = variance[::-1][:r], vectors[:, ::-1][:, :r]
    # The sign of a direction is free: fixed, so that machines agree.
    peak = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    directions = vectors * np.where(peak < 0, -1.0, 1.0)
    return Principal(mean.astype(np.float32), directions.astype(np.float32), variance.copy())
