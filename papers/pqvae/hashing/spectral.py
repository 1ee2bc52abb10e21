"""Spectral hashing: signs of the smoothest eigenfunctions of a box.

Y. Weiss, A. Torralba, R. Fergus, "Spectral hashing", NIPS 2008. The data are taken as uniform on a
box along their principal directions. On an interval [a, b] the Laplacian's eigenfunctions and
eigenvalues are (eqs. 7 and 8)

    Φ_k(x) = sin(π/2 + kπ/(b − a)·x),    λ_k = 1 − exp(−ε²/2·|kπ/(b − a)|²).

Of all k ≥ 1 on all directions those of the smallest λ are taken, one for each bit, whose sign the
bit is. λ_k rises with k/(b − a) whatever ε, so the order does not depend on ε. As in the paper, a
function is of one direction only (products over several are determined by their factors' bits),
and there are as many directions as bits, or as components if these are fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import Distance, as_vectors, check_bits
from papers.pqvae.hashing.principal import Principal, principal_components


@dataclass(frozen=True)
class SpectralSettings:
    """What may be varied.

    Attributes:
        directions: most principal directions that the box has; as many as bits where None.
    """

    directions: int | None = None


@dataclass(frozen=True, eq=False)
class SpectralHasher:
    """Signs of eigenfunctions on a box.

    Attributes:
        principal: the box's directions.
        low: float64 (r,), a of each direction: the least component learned from.
        high: float64 (r,), b of each direction.
        direction: int64 (bits,), which direction bit k's function runs along.
        mode: int64 (bits,), its number k, from 1.
        distance: how codes are compared.
    """

    principal: Principal
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    direction: NDArray[np.int64]
    mode: NDArray[np.int64]
    distance: Distance = "hamming"

    def eigenfunctions(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Give Φ of each bit at vectors (n, D), x counted from a: float64 (n, bits)."""
        x = as_vectors(x, D=len(self.principal.mean))
        along = self.principal.project(x)[:, self.direction] - self.low[self.direction]
        extent = (self.high - self.low)[self.direction]
        return np.sin(np.pi / 2 + self.mode * np.pi / extent * along)

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors (n, D): bool (n, bits); see ``Hasher.encode``."""
        positive: NDArray[np.bool_] = self.eigenfunctions(x) > 0
        return positive


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: SpectralSettings | None = None
) -> SpectralHasher:
    """Lay the box, and choose the smoothest functions on it.

    Args:
        x: (n, D) vectors.
        bits: length of a code, at least 1.
        seed: not used, since nothing is random.
        settings: how many directions.

    Raises:
        HashingError: ``x`` or ``bits`` do not do.
    """
    del seed
    x = as_vectors(x)
    check_bits(bits)
    wanted = (settings or SpectralSettings()).directions or bits
    principal = principal_components(x, min(wanted, bits, x.shape[1]))
    components = principal.project(x).astype(np.float64)
    low, high = components.min(axis=0), components.max(axis=0)
    # Directions without extent have no functions of finite λ; one is kept so that there is a box.
    high = np.maximum(high, low + 1e-6 * max(float((high - low).max()), 1e-6))
    direction, mode = smoothest(high - low, bits)
    return SpectralHasher(principal, low, high, direction, mode)


def smoothest(
    extent: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the eigenfunctions of the smallest eigenvalues, without the constant.

    Args:
        extent: float64 (r,), b − a of each direction, above 0.
        count: functions wanted.

    Returns:
        int64 (count,) each: directions, and numbers k ≥ 1; smallest eigenvalue first, ties by
        direction.
    """
    k = np.arange(1, count + 1)
    frequency = k[None, :] / extent[:, None]
    order = np.argsort(frequency, axis=None, kind="stable")[:count]
    return order // count, k[order % count]
