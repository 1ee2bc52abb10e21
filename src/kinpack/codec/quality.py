"""The scale of qualities, shared by classic and learned payloads."""

from __future__ import annotations

import math


def lam(quality: float) -> float:
    """Lagrange weight of squared error at a quality.

    Args:
        quality: 1 to 100.

    Returns:
        Bits per pixel that one unit of mean squared error (over channels, 8-bit scale) is worth.
    """
    return 0.0167 * math.exp2((quality - 50) / 8)
