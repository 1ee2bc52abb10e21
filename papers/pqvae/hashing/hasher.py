"""What all hashing methods give: a hasher, which turns vectors into bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import KinpackError

Distance: TypeAlias = Literal["hamming", "spherical"]
"""``hamming``: |b_i ⊕ b_j|; ``spherical``: |b_i ⊕ b_j| / |b_i ∧ b_j|."""


class HashingError(KinpackError, ValueError):
    """Vectors, or a number of bits, that a method is not defined on."""


class Hasher(Protocol):
    """Turns vectors into bits."""

    @property
    def distance(self) -> Distance:
        """How its codes are compared."""

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors.

        Args:
            x: (n, D) vectors, of the kind that was learned from.

        Returns:
            bool (n, bits); entry [i, k] is bit k of vector i.

        Raises:
            HashingError: ``x`` has another shape, or holds numbers that are not finite.
        """


@dataclass(frozen=True, eq=False)
class LinearHasher:
    """Cuts space by hyperplanes: bit k says whether (x − mean)·w_k > 0.

    Attributes:
        mean: float32 (D,), subtracted first.
        directions: float32 (D, bits); column k is w_k.
        distance: how codes are compared.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    distance: Distance = "hamming"

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors (n, D): bool (n, bits); see ``Hasher.encode``."""
        centred = as_vectors(x, D=len(self.mean)) - self.mean
        above: NDArray[np.bool_] = centred @ self.directions > 0
        return above


def as_vectors(x: NDArray[Any], *, D: int | None = None) -> NDArray[np.float32]:
    """Check vectors, and give them as float32.

    Args:
        x: (n, D), n ≥ 1.
        D: components that are expected; any number where None.

    Raises:
        HashingError: ``x`` has another shape, is empty, or holds numbers that are not finite.
    """
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 2 or 0 in x.shape or (D is not None and x.shape[1] != D):
        wanted = "(n, D), n and D at least 1" if D is None else f"(n, {D}), n at least 1"
        raise HashingError(f"vectors to hash have shape {wanted}, not {x.shape}")
    if not np.isfinite(x).all():
        raise HashingError("vectors to hash hold numbers that are not finite: check their images")
    return x


def check_bits(bits: int, *, most: int | None = None) -> None:
    """Refuse a number of bits below 1, or above ``most``.

    Raises:
        HashingError: it is.
    """
    if bits < 1 or (most is not None and bits > most):
        limit = "" if most is None else f" and at most {most}, the components of a vector"
        raise HashingError(f"codes of {bits} bits were asked for: at least 1{limit} can be learned")
