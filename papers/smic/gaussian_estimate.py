"""Entropy of latents taken as Gaussian: sMIC's eq. 2 at a quantiser step, and the marginals' sum.

Read as a density, eq. 2 is −∞ for N items of D < N dimensions, whose Gram matrix is singular. Here
the latents are seen through a quantiser of step Δ, whose error of variance Δ²/12 a dimension adds a
multiple of the identity; what remains is the rate of a Gaussian vector at that distortion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinpack.errors import KinpackError


def joint_entropy(vectors: ArrayLike, *, steps: ArrayLike) -> NDArray[np.float64]:
    """Joint entropy of the latents in bits: D/2 · log2 det(I + 12·G / (D·Δ²)) (sMIC, eq. 2 to 4).

    The D dimensions are taken as independent draws of a Gaussian vector of N items, whose
    covariance is estimated by G/D, G the Gram matrix. What a decoder would need to know of that
    covariance is not counted.

    Args:
        vectors: (N, D) latents; each row is an item.
        steps: (s,) quantiser steps Δ, above 0, in the unit of the latents.

    Returns:
        float64 (s,), bits of all items together at each step.

    Raises:
        KinpackError: the shape is another one, or a step is not above 0.
    """
    rows, factors = _checked(vectors, steps)
    energies = np.square(np.linalg.svd(rows, compute_uv=False))
    return _gaussian_bits(energies, factors, rows.shape[1])


def marginal_entropy(vectors: ArrayLike, *, steps: ArrayLike) -> NDArray[np.float64]:
    """Sum of the items' own entropies in bits: Σ_i D/2 · log2(1 + 12·G_ii / (D·Δ²)).

    By Hadamard's inequality never below ``joint_entropy``: what independent coding of the items
    reaches under the same assumptions.

    Args:
        vectors: (N, D) latents; each row is an item.
        steps: (s,) quantiser steps Δ, above 0, in the unit of the latents.

    Returns:
        float64 (s,), bits of all items together at each step.

    Raises:
        KinpackError: the shape is another one, or a step is not above 0.
    """
    rows, factors = _checked(vectors, steps)
    energies = np.square(rows).sum(axis=1)
    return _gaussian_bits(energies, factors, rows.shape[1])


def _gaussian_bits(
    energies: NDArray[np.float64], factors: NDArray[np.float64], D: int
) -> NDArray[np.float64]:
    """D/2 · Σ log2(1 + factor · energy) for each factor."""
    bits: NDArray[np.float64] = np.log2(1 + np.multiply.outer(factors, energies)).sum(axis=1)
    return D / 2 * bits


def _checked(
    vectors: ArrayLike, steps: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows, and the factor 12 / (D·Δ²) of each step."""
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise KinpackError(f"latents have shape (N, D) with D above 0, not {rows.shape}")
    widths = np.asarray(steps, dtype=np.float64)
    if widths.ndim != 1 or not (widths > 0).all():
        raise KinpackError(f"quantiser steps are a list of numbers above 0, not {steps!r}")
    return rows, 12 / (rows.shape[1] * widths * widths)
