"""Frequency tables that cost three small integers each: generalised Gaussians on the integers.

A table has a mean, a scale α and a shape β, density ∝ exp(−|x − mean|^β / α^β): β = 2 is Gaussian,
1 Laplacian. Sending these instead of a histogram is what lets a coder have a table for every
dimension, or for every dimension of every class, and still gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from kinpack.entropy.tables import ESCAPE_BITS, FrequencyTables

SHAPES = np.array([0.6, 1.0, 1.4, 2.0])
"""Values of β that a table may have."""
SCALE_STEPS = 8
"""Scales in an octave: a scale at most 4.4 % off costs 0.003 bits a symbol."""
SCALE_LOW, SCALE_HIGH = -40, 120
"""Range of scale indices: α from 1/32 to 2^15 symbols."""
MEAN_STEPS = 8
"""Means are multiples of α/8, or of 1/16 where α is below a half."""
PEAK = 60_000
"""Largest count of a table, about."""
REACH = 12.0
"""A table ends where the density has fallen by exp(−12); what lies beyond is an escape."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShapeTables:
    """Parameters of T tables.

    Attributes:
        mean: (T,) int64, in units of ``mean_unit``.
        scale: (T,) int64, log2 α in eighths.
        shape: (T,) int64, index into ``SHAPES``.
    """

    mean: Ints
    scale: Ints
    shape: Ints

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def alpha(self) -> Floats:
        """Scale of each table, in symbols (T,)."""
        alpha: Floats = np.exp2(self.scale / SCALE_STEPS)
        return alpha

    @property
    def centre(self) -> Floats:
        """Mean of each table, in symbols (T,)."""
        return self.mean * mean_unit(self.scale)

    def to_matrix(self) -> Ints:
        """Columns mean, scale, shape: what is sent (T, 3)."""
        return np.stack([self.mean, self.scale, self.shape], axis=1)

    @classmethod
    def from_matrix(cls, matrix: Ints) -> ShapeTables:
        """Build from what ``to_matrix`` gave."""
        return cls(*(np.ascontiguousarray(column) for column in matrix.T))

    def frequencies(self) -> FrequencyTables:
        """Tables of counts, as the coders take them."""
        beta, alpha, centre = SHAPES[self.shape], self.alpha, self.centre
        reach = np.ceil(alpha * REACH ** (1 / beta)).astype(np.int64) + 1
        lows = np.floor(centre).astype(np.int64) - reach
        lengths = 2 * reach + 2
        table = np.repeat(np.arange(len(self)), lengths)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(starts[-1]) - starts[:-1][table]
        # A table of n symbols has n + 1 edges; the last one's place is then taken by the escape.
        edge = lows[table] + place - 0.5
        below = _cumulative(edge, centre[table], alpha[table], self.shape[table])
        shares = np.diff(below, append=0.0)
        shares[starts[1:] - 1] = 0.0
        peak = np.maximum.reduceat(shares, starts[:-1])[table]
        counts = np.maximum(1, np.rint(shares / peak * PEAK)).astype(np.int64)
        return FrequencyTables(counts=counts, starts=starts, lows=lows)


def mean_unit(scale: Ints) -> Floats:
    """Unit of the mean at each scale index, in symbols."""
    alpha = np.exp2(np.asarray(scale) / SCALE_STEPS)
    unit: Floats = np.maximum(alpha, 0.5) / MEAN_STEPS
    return unit


def fit(symbols: Ints, groups: Ints, count: int) -> ShapeTables:
    """Choose the tables that code symbols in nearly the fewest bits.

    Args:
        symbols: (n,) integers.
        groups: (n,) int64, table of each symbol.
        count: number of tables T; a table without symbols is a narrow one at 0.

    Returns:
        T tables: scale and shape by likelihood, by actual code lengths where a table is so narrow
        that rounding matters.
    """
    values = symbols.astype(np.float64)
    n = np.maximum(np.bincount(groups, minlength=count), 1)
    mean = np.bincount(groups, values, count) / n
    deviation = np.abs(values - mean[groups])
    scales, nats = [], []
    for beta in SHAPES:
        moment = np.bincount(groups, deviation**beta, count) / n
        alpha = np.maximum(beta * moment, 1e-12) ** (1 / beta)
        scales.append(_scale_index(alpha))
        nats.append(np.log(2 * alpha / beta) + gammaln(1 / beta) + 1 / beta)
    shape = np.argmin(nats, axis=0)
    scale = np.array(scales)[shape, np.arange(count)]
    wide = ShapeTables(_mean_index(mean, scale), scale, shape.astype(np.int64))
    narrow = np.flatnonzero(wide.alpha < 3)
    if not len(narrow) or not len(symbols):
        return wide
    return _refined(wide, narrow, mean, scales, symbols, groups)


def group_bits(tables: FrequencyTables, symbols: Ints, groups: Ints) -> Floats:
    """Bits that each table spends on the symbols of its group (T,)."""
    spent = symbol_bits(tables, symbols, groups)
    return np.bincount(groups, spent, len(tables)).astype(np.float64)


def symbol_bits(tables: FrequencyTables, symbols: Ints, groups: Ints) -> Floats:
    """Bits of each symbol under its table, escapes spelled out included (n,)."""
    # Of the counts themselves: the coder's own 24-bit bounds differ by less than 0.001 bit, and
    # finding those takes a loop over the tables.
    entry = np.log2(np.add.reduceat(tables.counts, tables.starts[:-1]))
    place = tables.starts[groups] + tables.indices(symbols, groups)
    escaped = place == tables.starts[groups + 1] - 1
    bits: Floats = entry[groups] - np.log2(tables.counts)[place] + ESCAPE_BITS * escaped
    return bits


def _refined(
    start: ShapeTables,
    narrow: Ints,
    mean: Floats,
    scales: list[Ints],
    symbols: Ints,
    groups: Ints,
) -> ShapeTables:
    """Tables whose narrow members are the best of several by their code lengths."""
    number = np.full(len(start), -1, dtype=np.int64)
    number[narrow] = np.arange(len(narrow))
    taken = number[groups] >= 0
    # Each different (table, symbol) once, with how often it occurs: far fewer than the symbols.
    low = int(symbols.min())
    width = int(symbols.max()) - low + 1
    key, times = np.unique(
        number[groups[taken]] * width + (symbols[taken] - low), return_counts=True
    )
    table, symbol = key // width, key % width + low
    best = np.full(len(narrow), np.inf)
    chosen = [part[narrow].copy() for part in (start.mean, start.scale, start.shape)]
    for shape in range(len(SHAPES)):
        for offset in (-12, -8, -5, -3, -1, 0):
            scale = np.clip(scales[shape][narrow] + offset, SCALE_LOW, SCALE_HIGH)
            trial = ShapeTables(
                _mean_index(mean[narrow], scale), scale, np.full(len(narrow), shape)
            )
            bits = symbol_bits(trial.frequencies(), symbol, table)
            spent = np.bincount(table, bits * times, len(narrow))
            better = spent < best - 1e-9
            best[better] = spent[better]
            for part, value in zip(chosen, (trial.mean, trial.scale, trial.shape), strict=True):
                part[better] = value[better]
    parts = [start.mean.copy(), start.scale.copy(), start.shape.copy()]
    for part, value in zip(parts, chosen, strict=True):
        part[narrow] = value
    return ShapeTables(*parts)


def _scale_index(alpha: Floats) -> Ints:
    index: Ints = np.rint(np.log2(alpha) * SCALE_STEPS).astype(np.int64)
    return index.clip(SCALE_LOW, SCALE_HIGH)


def _mean_index(mean: Floats, scale: Ints) -> Ints:
    index: Ints = np.rint(mean / mean_unit(scale)).astype(np.int64)
    return index


def _cumulative(x: Floats, centre: Floats, alpha: Floats, shape: Ints) -> Floats:
    """Distribution function of generalised Gaussians, read off a fine table of each shape."""
    z = (x - centre) / alpha
    half = np.empty_like(z)
    for number, beta in enumerate(SHAPES):
        of_shape = shape == number
        grid, values = _half_distribution(float(beta))
        half[of_shape] = np.interp(np.abs(z[of_shape]), grid, values)
    return np.where(z < 0, 0.5 - half, 0.5 + half)


@cache
def _half_distribution(beta: float) -> tuple[Floats, Floats]:
    """Points |z|, and half the probability of lying nearer to the middle than each."""
    grid = np.linspace(0, (2 * REACH) ** (1 / beta), 1 << 14)
    return grid, 0.5 * gammainc(1 / beta, grid**beta)
