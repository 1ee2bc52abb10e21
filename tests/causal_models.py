"""Causal networks of random integers, which predict badly but exactly."""

from __future__ import annotations

import numpy as np

from kinpack.codec.causal.causal_context import PLACES, PLANES
from kinpack.codec.causal.causal_model import CausalModel, Layer


def random_model(seed: int = 0, *, places: bool = True, hidden: int = 8) -> CausalModel:
    """A network whose mixtures lie all over the place."""
    rng = np.random.default_rng(seed)
    layers = []
    for wide, out, shift in ((PLANES, hidden, 4), (hidden, hidden, 10), (hidden, 9, 10)):
        weight = rng.integers(-400, 400, (wide, out)).astype(np.float64)
        bias = rng.integers(-4000, 4000, out).astype(np.float64)
        layers.append(Layer(weight, bias, np.full(out, shift)))
    if not places:
        layers[0].weight[PLACES] = 0
    layers[-1].bias[3:6] += rng.integers(0, 255 * 16, 3) << 10
    layers[-1].bias[6:] += rng.integers(-12, 28, 3) << 10
    return CausalModel(tuple(layers))
