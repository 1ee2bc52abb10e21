"""Learned frequency tables: Gaussians at first, then the symbols that were seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from kinpack.entropy.tables import MAX_COUNT, FrequencyTables
from kinpack.learn.freezing.tables import gaussian_tables, refit_tables

DEVIATIONS = 2.0 ** (-4 + (np.arange(80) + 0.5) / 8)


def share(k: int, deviation: float) -> float:
    """Probability that a rounded centred normal is k, by Simpson's rule."""
    n = 400
    x = np.linspace(k - 0.5, k + 0.5, 2 * n + 1)
    density = np.exp(-((x / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    weight = np.ones(2 * n + 1)
    weight[1:-1:2], weight[2:-1:2] = 4, 2
    return float((density * weight).sum() / (6 * n))


def shares(tables: FrequencyTables, t: int) -> NDArray[np.float64]:
    table = tables.table(t).astype(np.float64)
    return table / float(table.sum())


def test_gaussians_against_numerical_integration() -> None:
    deviations = np.array([0.0625, 0.3, 1.0, 4.7, 60.0])
    tables = gaussian_tables(deviations)
    for t, deviation in enumerate(deviations):
        low, found = int(tables.lows[t]), shares(tables, t)
        assert low <= -6 * deviation
        assert len(found) == 2 * -low + 2  # low … −low, then the escape
        # Counts are whole 65,535ths of the largest, and at least 1.
        off = (len(found) + 1) * found.max() / MAX_COUNT
        for i, p in enumerate(found[:-1]):
            assert p == pytest.approx(share(low + i, deviation), abs=off)


def test_tables_are_valid_and_symmetric() -> None:
    tables = gaussian_tables(DEVIATIONS)
    assert len(tables) == 80
    for t in range(80):
        table = tables.table(t)
        assert table.min() >= 1
        assert table.max() == MAX_COUNT - 1
        assert np.array_equal(table[:-1], table[:-1][::-1])
        assert table[-1] <= table[:-1].max()


def test_gaussians_are_the_best_tables_of_gaussian_symbols(rng: np.random.Generator) -> None:
    deviations = np.exp2(np.arange(-2.0, 5.0))
    tables = gaussian_tables(deviations)
    for t, deviation in enumerate(deviations):
        symbols = np.rint(rng.normal(size=20_000) * deviation).astype(np.int64)
        costs = [tables.cross_entropy(symbols, np.full(20_000, u)) for u in range(len(tables))]
        assert int(np.argmin(costs)) == t


def test_refitted_tables_follow_the_symbols(rng: np.random.Generator) -> None:
    deviations = np.array([0.5, 2.0, 8.0])
    first = gaussian_tables(deviations)
    contexts = rng.integers(0, 3, 300_000)
    # Laplacian symbols: sharper and with wider tails than the tables that they chose.
    symbols = np.rint(rng.laplace(size=300_000) * deviations[contexts] * 0.7).astype(np.int64)
    fitted = refit_tables(first, deviations, symbols, contexts)
    assert np.array_equal(fitted.starts, first.starts)
    assert np.array_equal(fitted.lows, first.lows)
    before, after = (tables.cross_entropy(symbols, contexts) for tables in (first, fitted))
    assert after < 0.995 * before
    for t in range(3):
        mine, found = symbols[contexts == t], shares(fitted, t)
        for k in range(-2, 3):
            # Both signs are taken together: a latent has no preferred one.
            seen = ((mine == k).mean() + (mine == -k).mean()) / 2
            assert found[k - int(fitted.lows[t])] == pytest.approx(seen, rel=0.05, abs=0.002)
        table = fitted.table(t)
        assert np.array_equal(table[:-1], table[:-1][::-1])
        assert table.min() >= 1


def test_refitted_tables_expect_what_was_not_seen() -> None:
    first = gaussian_tables(DEVIATIONS)
    nothing = np.zeros(0, dtype=np.int64)
    fitted = refit_tables(first, DEVIATIONS, nothing, nothing)
    symbols = np.arange(-60, 61)
    for t in (0, 20, 40, 79):
        contexts = np.full(121, t)
        assert math.isfinite(fitted.cross_entropy(symbols, contexts))
        # The head is nearly the Gaussian's, the tail somewhat heavier.
        peak = -int(first.lows[t])
        assert shares(fitted, t)[peak] == pytest.approx(shares(first, t)[peak], rel=0.1)


def test_escapes_are_counted_as_escapes() -> None:
    deviations = np.array([1.0])
    first = gaussian_tables(deviations)
    symbols = np.concatenate([np.zeros(50_000), np.full(50_000, 1000)]).astype(np.int64)
    fitted = refit_tables(first, deviations, symbols, np.zeros(100_000, dtype=np.int64))
    assert shares(fitted, 0)[-1] == pytest.approx(0.5, abs=0.01)
