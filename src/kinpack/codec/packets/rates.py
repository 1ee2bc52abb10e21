"""Rates: what images take, and how well they are drawn, at several qualities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes and PSNR of n images at g qualities.

    Attributes:
        n_bytes: of the payload, int64 (n, g); entry [i, j] is image i at quality j.
        psnr: of its picture in dB, infinite where it is exact, float64 (n, g).
        kind: how the payload is coded, a `Kind`, uint8 (n, g).
    """

    n_bytes: NDArray[np.int64]
    psnr: NDArray[np.float64]
    kind: NDArray[np.uint8]

    @classmethod
    def empty(cls, n: int, g: int) -> Self:
        """Make rates of n images at g qualities, all zero."""
        return cls(np.zeros((n, g), np.int64), np.zeros((n, g)), np.zeros((n, g), np.uint8))
