"""What a latent space looks like: ranks and angles of the Gram matrix, and how classes group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from papers.gram import cosine_matrix, rank_effective, rank_energy, rank_numerical

TOLERANCE = 1e-6
"""Singular values of the Gram matrix count towards its rank above this, relative to the largest."""
NEIGHBOURS = 10
"""Neighbours that vote on an item's class, itself left out."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks(B: Floats) -> dict[str, float]:
    """Ranks of the Gram matrix of the latents.

    Args:
        B: (N, D) latents; row i is item i.

    Returns:
        ``rank_numerical`` at ``TOLERANCE``, ``rank_effective`` (exp of the spectrum's entropy),
        ``rank_energy_99`` and ``rank_energy_999``, directions holding that share of the energy.
    """
    # B·Bᵀ and Bᵀ·B share their spectrum but for zeros: the smaller of the two is as good.
    G = B @ B.T if len(B) <= B.shape[1] else B.T @ B
    energies = np.maximum(np.linalg.eigvalsh(G), 0)
    return {
        "rank_numerical": rank_numerical(energies, tolerance=TOLERANCE),
        "rank_effective": rank_effective(energies),
        "rank_energy_99": rank_energy(energies, fraction=0.99),
        "rank_energy_999": rank_energy(energies, fraction=0.999),
    }


def angles(B: Floats, labels: Ints) -> dict[str, float]:
    """Mean absolute cosine of pairs within a class and between classes, and spread of all.

    Args:
        B: (N, D) latents.
        labels: (N,) class of each.

    Returns:
        ``cosine_within``, ``cosine_between``, and ``cosine_mean``, ``cosine_median`` over all pairs
        of different items; absolute values throughout.
    """
    cosines = np.abs(cosine_matrix(B))
    same = labels[:, None] == labels[None]
    different_items = ~np.eye(len(B), dtype=bool)
    pairs = cosines[different_items]
    return {
        "cosine_within": float(cosines[same & different_items].mean()),
        "cosine_between": float(cosines[~same].mean()),
        "cosine_mean": float(pairs.mean()),
        "cosine_median": float(np.median(pairs)),
    }


def grouping(B: Floats, labels: Ints) -> dict[str, float]:
    """How well classes group in the latent space itself.

    Args:
        B: (N, D) latents.
        labels: (N,) class of each.

    Returns:
        ``silhouette`` of the classes under the cosine distance, −1 to 1, and ``knn_accuracy``:
        share of items whose class most of their ten nearest others have.
    """
    rows = B / np.maximum(np.linalg.norm(B, axis=1, keepdims=True), 1e-12)
    search = KNeighborsClassifier(NEIGHBOURS + 1, algorithm="brute").fit(rows, labels)
    nearest = search.kneighbors(rows, return_distance=False)
    itself = nearest == np.arange(len(B))[:, None]
    itself[~itself.any(1), -1] = True
    votes = labels[nearest[~itself].reshape(len(B), NEIGHBOURS)]
    counts = (votes[:, :, None] == np.arange(int(labels.max()) + 1)).sum(1)
    return {
        "silhouette": float(silhouette_score(rows, labels, metric="cosine")),
        "knn_accuracy": float((counts.argmax(1) == labels).mean()),
    }


def summary(B: Floats, labels: Ints) -> dict[str, Any]:
    """All of the above."""
    return {**ranks(B), **angles(B, labels), **grouping(B, labels)}
