"""Iterative quantisation: principal components, rotated to lie near the corners of a cube.

Y. Gong, S. Lazebnik, A. Gordo, F. Perronnin, "Iterative quantisation: a Procrustean approach to
learning binary codes for large-scale image retrieval", TPAMI 2013. With V (n × bits) the centred
data's principal components, codes B and a rotation R minimise (eq. 2)

    Q(B, R) = ‖B − V·R‖_F²

by turns: B = sgn(V·R) for the R at hand, then R = Ŝ·Sᵀ for the B at hand, where BᵀV = S·Ω·Ŝᵀ is the
singular value decomposition (orthogonal Procrustes problem). Neither step can raise Q. R starts as
a random rotation; 50 turns as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import LinearHasher, as_vectors, check_bits
from papers.pqvae.hashing.principal import principal_components


@dataclass(frozen=True)
class ItqSettings:
    """Of the iteration.

    Attributes:
        rounds: turns of both steps.
    """

    rounds: int = 50


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: ItqSettings | None = None
) -> LinearHasher:
    """Learn the rotation.

    Args:
        x: (n, D) vectors, D ≥ bits.
        bits: length of a code, 1 to D.
        seed: of the first rotation.
        settings: of the iteration.

    Raises:
        HashingError: ``x`` or ``bits`` do not do.
    """
    x = as_vectors(x)
    check_bits(bits, most=x.shape[1])
    principal = principal_components(x, bits)
    rotation, _ = learn_rotation(
        principal.project(x), seed=seed, rounds=(settings or ItqSettings()).rounds
    )
    return LinearHasher(principal.mean, principal.directions @ rotation)


def learn_rotation(
    v: NDArray[np.float32], *, seed: int, rounds: int
) -> tuple[NDArray[np.float32], list[float]]:
    """Turn vectors towards the corners of the cube.

    Args:
        v: float32 (n, bits), centred.
        seed: of the first rotation.
        rounds: turns.

    Returns:
        float32 (bits, bits), R; and Q(B, R) after each turn, B being the codes of the R before.
    """
    rotation = random_rotation(v.shape[1], np.random.default_rng(seed)).astype(np.float32)
    squares, losses = float(np.square(v, dtype=np.float64).sum()), []
    for _ in range(rounds):
        codes = np.where(v @ rotation > 0, np.float32(1), np.float32(-1))
        correlation = (codes.T @ v).astype(np.float64)
        left, singular, right = np.linalg.svd(correlation)
        rotation = (right.T @ left.T).astype(np.float32)
        # ‖B‖² + ‖V‖² − 2·tr(Bᵀ·V·R), whose trace is the sum of the singular values at this R.
        losses.append(codes.size + squares - 2 * float(singular.sum()))
    return rotation, losses


def random_rotation(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an orthogonal matrix, float64 (size, size), evenly from all."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    rotation: NDArray[np.float64] = q * np.sign(np.diag(r))
    return rotation
