"""Locality-sensitive hashing: random projections.

M. Datar, N. Immorlica, P. Indyk, V. Mirrokni, "Locality-sensitive hashing scheme based on p-stable
distributions", SoCG 2004. A hash function of the paper (section 3.2) is

    h_{a,b}(v) = ⌊(a·v + b) / w⌋,

the components of a drawn from a 2-stable (normal) distribution, b uniformly from 0 to w. It names a
cell of a line, not a bit, and tables of codes of a given length reduce it to one. Two readings:

- ``width`` None, the customary one: two cells, cut at 0 of the centred data; the bit is [a·v > 0].
  Two vectors at an angle θ agree in a bit with probability 1 − θ/π (Charikar, STOC 2002).
- ``width`` w: the parity of h_{a,b}, so that neighbouring cells differ. Two vectors at distance c
  share a cell with the probability that the paper gives (``same_cell``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import Distance, Hasher, LinearHasher, as_vectors, check_bits


@dataclass(frozen=True)
class LshSettings:
    """Which reading of the paper.

    Attributes:
        width: w, in units of the data's root mean squared distance from its mean; None for the
            sign of the projection.
    """

    width: float | None = None


@dataclass(frozen=True, eq=False)
class ParityHasher:
    """Cuts space into slabs: bit k is the parity of the slab's number ⌊(a_k·(x − mean) + b_k)/w⌋.

    Attributes:
        mean: float32 (D,).
        directions: float32 (D, bits); column k is a_k.
        offsets: float32 (bits,), b_k, from 0 to w.
        width: w.
        distance: how codes are compared.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    offsets: NDArray[np.float32]
    width: float
    distance: Distance = "hamming"

    def cells(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Number the slabs of vectors (n, D): int64 (n, bits), the paper's h_{a,b}."""
        along = (as_vectors(x, D=len(self.mean)) - self.mean) @ self.directions + self.offsets
        return np.floor(along / self.width).astype(np.int64)

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors (n, D): bool (n, bits); see ``Hasher.encode``."""
        odd: NDArray[np.bool_] = self.cells(x) % 2 == 1
        return odd


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: LshSettings | None = None
) -> Hasher:
    """Draw the projections; of the vectors only the mean (and the scale, for ``width``) is used.

    Args:
        x: (n, D) vectors.
        bits: length of a code, at least 1.
        seed: of the draw.
        settings: the reading; the sign by default.

    Raises:
        HashingError: ``x`` or ``bits`` do not do.
    """
    x = as_vectors(x)
    check_bits(bits)
    width = (settings or LshSettings()).width
    rng = np.random.default_rng(seed)
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    directions = rng.standard_normal((x.shape[1], bits)).astype(np.float32)
    if width is None:
        return LinearHasher(mean, directions)
    scale = math.sqrt(float(np.square(x - mean, dtype=np.float64).sum(axis=1).mean()))
    w = width * scale if scale > 0 else width
    return ParityHasher(mean, directions, rng.uniform(0, w, bits).astype(np.float32), w)


def same_cell(c: float, w: float) -> float:
    """Probability that two vectors at distance c share a cell of width w (the paper for p = 2).

    p(c) = 1 − 2Φ(−w/c) − 2/(√(2π)·w/c)·(1 − exp(−w²/2c²)), Φ the normal distribution function.
    """
    if c == 0:
        return 1.0
    r = w / c
    return (
        1
        - math.erfc(r / math.sqrt(2))
        - 2 / (math.sqrt(2 * math.pi) * r) * (1 - math.exp(-r * r / 2))
    )
