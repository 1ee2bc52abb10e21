"""The learning rate over a training: up, then down."""

from __future__ import annotations

import math

WARM_UP = 100
"""Steps of the rise, or a tenth of a short training."""


def warmed_cosine(step: int, steps: int) -> float:
    """Share of the full learning rate at a step: a short rise, then a cosine to 0.

    Args:
        step: from 0.
        steps: of the whole training.
    """
    rise = max(1, min(WARM_UP, steps // 10))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
