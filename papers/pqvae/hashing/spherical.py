"""Spherical hashing: a bit says whether a vector lies inside a hypersphere.

J.-P. Heo, Y. Lee, J. He, S.-F. Chang, S.-E. Yoon, "Spherical hashing: binary code embedding with
hyperspheres", TPAMI 2015 (CVPR 2012). Bit k is h_k(x) = [d(p_k, x) ≤ t_k], p_k a pivot and t_k a
radius. Wanted are balance and independence,

    Pr[h_i(x) = 1] = 1/2,    Pr[h_i(x) = 1, h_j(x) = 1] = 1/4,

reached over m vectors by turns: radii are set to the median distance, then pivots
move by the forces

    f_{i←j} = 1/2 · (o_ij − m/4)/(m/4) · (p_i − p_j),    p_i ← p_i + 1/c · Σ_j f_{i←j},

o_ij being the number of vectors inside both spheres and c the number of bits, until
mean|o_ij − m/4| ≤ ε_m·m/4 and std(o_ij) ≤ ε_s·m/4. Codes are compared by the spherical Hamming
distance |b_i ⊕ b_j| / |b_i ∧ b_j|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import Distance, HashingError, as_vectors, check_bits

_ROWS = 8192


@dataclass(frozen=True)
class SphericalSettings:
    """Of the iteration.

    Attributes:
        mean_tolerance: ε_m; the paper has 0.10.
        spread_tolerance: ε_s; the paper has 0.15.
        most_rounds: moves after which it stops in any case.
        learn_from: most vectors that are learned from, drawn at random.
    """

    mean_tolerance: float = 0.10
    spread_tolerance: float = 0.15
    most_rounds: int = 200
    learn_from: int = 10_000


@dataclass(frozen=True, eq=False)
class SphericalHasher:
    """Hyperspheres.

    Attributes:
        pivots: float32 (bits, D), the centres.
        radii: float32 (bits,).
        rounds: moves that were made.
        deviation: mean|o_ij − m/4| over m/4 at the end.
        spread: standard deviation of o_ij over m/4 at the end.
        distance: how codes are compared.
    """

    pivots: NDArray[np.float32]
    radii: NDArray[np.float32]
    rounds: int
    deviation: float
    spread: float
    distance: Distance = "spherical"

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors (n, D): bool (n, bits); see ``Hasher.encode``."""
        x = as_vectors(x, D=self.pivots.shape[1])
        parts = [
            _distances(x[i : i + _ROWS], self.pivots) <= self.radii for i in range(0, len(x), _ROWS)
        ]
        return np.concatenate(parts)


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: SphericalSettings | None = None
) -> SphericalHasher:
    """Place the spheres, starting from vectors drawn at random.

    Args:
        x: (n, D) vectors.
        bits: length of a code, at least 1.
        seed: of the draws.
        settings: of the iteration.

    Raises:
        HashingError: ``x`` or ``bits`` do not do, or there are fewer vectors than bits.
    """
    x = as_vectors(x)
    check_bits(bits)
    if len(x) < bits:
        raise HashingError(f"{bits} spheres start from as many vectors: {len(x)} are too few")
    settings = settings or SphericalSettings()
    rng = np.random.default_rng(seed)
    if len(x) > settings.learn_from:
        x = x[np.sort(rng.permutation(len(x))[: settings.learn_from])]
    quarter = len(x) / 4
    pivots = x[rng.permutation(len(x))[:bits]].astype(np.float64)
    different = ~np.eye(bits, dtype=bool)
    for rounds in range(settings.most_rounds + 1):
        distances = _distances(x, pivots.astype(np.float32))
        radii = np.median(distances, axis=0)
        inside = (distances <= radii).astype(np.float32)
        both = (inside.T @ inside).astype(np.float64)
        overlaps = both[different] / quarter if bits > 1 else np.ones(1)
        deviation, spread = float(np.abs(overlaps - 1).mean()), float(overlaps.std())
        reached = deviation <= settings.mean_tolerance and spread <= settings.spread_tolerance
        if reached or rounds == settings.most_rounds:
            break
        strength = np.where(different, 0.5 * (both / quarter - 1), 0.0)
        # Σ_j s_ij (p_i − p_j), without the array of all differences.
        pivots += (strength.sum(axis=1)[:, None] * pivots - strength @ pivots) / bits
    return SphericalHasher(
        pivots.astype(np.float32), radii.astype(np.float32), rounds, deviation, spread
    )


def _distances(x: NDArray[np.float32], pivots: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances, float32 (n, bits)."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(pivots).sum(axis=1) - 2 * x @ pivots.T
    distances: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0))
    return distances
