"""Frequencies of grey levels under mixtures of logistic densities, in integer arithmetic.

A network says for each pixel where its value may lie: a few logistic densities, each with a weight,
a mean and a scale. Salimans et al., "PixelCNN++", 2017, section 2.1, integrate such a mixture over
the cell of each level; here all of it is integers, so that every machine codes with the same
frequencies.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PARTS = 3
"""Logistic densities of a mixture."""
MEAN_UNITS = 16
"""Units of a mean in one of 256 grey levels."""
SCALES_PER_OCTAVE = 4
"""Scales, s in 2^(s/4) grey levels, in one doubling."""
LEAST_SCALE, LARGEST_SCALE = -12, 28
WEIGHTS_PER_OCTAVE = 16
"""Units of a weight's logarithm in one doubling."""

Ints = NDArray[np.int64]

_CELLS = 64  # cells of the sigmoid's table in one scale
_REACH = 16 * _CELLS  # beyond 16 scales a sigmoid is 0 or 1
_SIGMOID_BITS, _WEIGHT_BITS, _INVERSE_BITS, _DROPPED_BITS = 16, 12, 16, 10
_LEAST_WEIGHT = 255
_AT_ONCE = 1 << 21
_EXACT = Context(prec=30)


def level_count(step: int) -> int:
    """Number of levels 0, Δ, 2Δ, … that grey values 0 to 255 are rounded to."""
    return (2 * 255 + step) // (2 * step) + 1


def levels_of(values: NDArray[np.uint8], step: int) -> Ints:
    """Nearest level of each grey value, halves upward."""
    return (2 * values.astype(np.int64) + step) // (2 * step)


def values_of(levels: Ints, step: int) -> NDArray[np.uint8]:
    """Grey value of each level, 255 at most."""
    return np.minimum(levels * step, 255).astype(np.uint8)


def mixture_counts(mixtures: Ints, *, step: int) -> NDArray[np.float64]:
    """Frequencies of all levels.

    With F the sum over the parts of weight · sigmoid((edge − mean) / scale), level j gets what F
    grows by from its lower edge, (j − ½)Δ, to its upper one; the lowest level reaches down, the
    highest up without end. Each gets 1 more, so that none is impossible.

    Args:
        mixtures: (n, 3 · PARTS) logarithms of weights in 1/16 octaves, then means in 1/16 grey
            levels, then scales in 1/4 octaves of grey levels.
        step: Δ in grey levels, 1 to 255.

    Returns:
        (n, levels) whole numbers of at least 1.
    """
    n, levels = len(mixtures), level_count(step)
    counts = np.empty((n, levels))
    most = max(1, _AT_ONCE // (PARTS * levels))
    for first in range(0, n, most):
        part = slice(first, first + most)
        counts[part] = _counts(mixtures[part], step, levels)
    return counts


def _counts(mixtures: Ints, step: int, levels: int) -> Ints:
    logs, means, scales = np.split(mixtures, 3, axis=1)
    below = (logs.max(1, keepdims=True) - logs).clip(0, _LEAST_WEIGHT)
    weights = _weight_table()[below]
    inverse = _inverse_table()[scales.clip(LEAST_SCALE, LARGEST_SCALE) - LEAST_SCALE]
    edges = (2 * np.arange(levels - 1) + 1) * step * (MEAN_UNITS // 2)
    cells = ((edges - means[:, :, None]) * inverse[:, :, None]) >> _INVERSE_BITS
    risen = _sigmoid_table()[cells.clip(-_REACH, _REACH) + _REACH]
    reached = np.empty((len(mixtures), levels + 1), dtype=np.int64)
    reached[:, 0] = 0
    np.einsum("nk,nkl->nl", weights, risen, out=reached[:, 1:-1])
    reached[:, -1] = weights.sum(1) << _SIGMOID_BITS
    return (np.diff(reached, axis=1) >> _DROPPED_BITS) + 1


# Decimals, not the machine's own exp, whose last bit differs between machines.
@lru_cache(maxsize=1)
def _sigmoid_table() -> Ints:
    """round(2^16 / (1 + e^(−k/64))) for k from −1,024 to 1,024."""
    one = Decimal(1)
    powers = (_EXACT.exp(Decimal(-k) / _CELLS) for k in range(-_REACH, _REACH + 1))
    return _rounded(_EXACT.divide(1 << _SIGMOID_BITS, _EXACT.add(one, p)) for p in powers)


@lru_cache(maxsize=1)
def _weight_table() -> Ints:
    """round(2^12 · 2^(−i/16)) for i from 0 to 255."""
    return _rounded(
        _EXACT.multiply(1 << _WEIGHT_BITS, _power_of_two(Decimal(-i) / WEIGHTS_PER_OCTAVE))
        for i in range(_LEAST_WEIGHT + 1)
    )


@lru_cache(maxsize=1)
def _inverse_table() -> Ints:
    """round(2^16 · 4 / 2^(s/4)) for s from −12 to 28."""
    factor = (1 << _INVERSE_BITS) * _CELLS // MEAN_UNITS
    return _rounded(
        _EXACT.multiply(factor, _power_of_two(Decimal(-s) / SCALES_PER_OCTAVE))
        for s in range(LEAST_SCALE, LARGEST_SCALE + 1)
    )


def _power_of_two(exponent: Decimal) -> Decimal:
    return _EXACT.power(Decimal(2), exponent)


def _rounded(values: Iterable[Decimal]) -> Ints:
    return np.array([int(v.to_integral_value()) for v in values], dtype=np.int64)
