"""Metrics against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.measuring import retrieval
from kinpack import metrics
from kinpack.metrics import MetricError
from papers import gram

BITS = [0.5, 0.7, 1.0, 1.5, 2.2, 3.0]
DECIBELS = [25.0, 27.0, 29.5, 32.0, 34.0, 37.0]


@settings(deadline=None)
@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.integers(0, 255)
    ),
    st.randoms(use_true_random=False),
)
def test_psnr_is_that_of_a_plain_loop(a: np.ndarray, random: object) -> None:
    b = np.random.default_rng(random.randrange(1000)).integers(0, 256, a.shape, dtype=np.uint8)  # type: ignore[attr-defined]
    total = 0
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
        total += (x - y) ** 2
    expected = 60.0 if total == 0 else 10 * math.log10(255**2 / (total / a.size))
    assert metrics.psnr(a, b) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr(a, b) == metrics.psnr(b, a)
    assert metrics.psnr(a, a.copy()) == 60.0


def test_psnr_never_exceeds_that_of_an_exact_image() -> None:
    a = np.zeros((300, 300, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 1
    assert metrics.psnr(a, b) == 60.0


def test_psnr_of_the_widest_error() -> None:
    black, white = np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 255, np.uint8)
    assert metrics.psnr(black, white) == 0.0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((0, 2, 1), np.uint8), np.zeros((0, 2, 1), np.uint8)),
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 1))),
    ],
)
def test_psnr_refuses_what_is_not_two_images_of_one_size(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(MetricError, match="PSNR"):
        metrics.psnr(a, b)


def loop_average_precision(hits: list[bool], at: int) -> float:
    found, total = 0, 0.0
    for place, hit in enumerate(hits[:at], 1):
        if hit:
            found += 1
            total += found / place
    return total / found if found else 0.0


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 45))
def test_average_precision_is_that_of_a_plain_loop(hits: list[bool], at: int) -> None:
    expected = loop_average_precision(hits, at)
    assert retrieval.average_precision(np.array(hits, bool), at=at) == pytest.approx(expected)


@settings(deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(0, 20))))
def test_mean_average_precision_is_the_mean_over_queries(hits: np.ndarray) -> None:
    expected = sum(loop_average_precision(row.tolist(), 1000) for row in hits) / len(hits)
    assert retrieval.mean_average_precision(hits) == pytest.approx(expected)
    assert retrieval.mean_average_precision(hits, at=None) == pytest.approx(expected)


def test_average_precision_of_known_rankings() -> None:
    assert retrieval.average_precision([1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert retrieval.average_precision([0, 0, 0]) == 0.0
    assert retrieval.average_precision([0, 1], at=1) == 0.0
    assert retrieval.average_precision([1, 1, 1]) == 1.0


def test_average_precision_refuses() -> None:
    with pytest.raises(MetricError):
        retrieval.average_precision([True], at=0)
    with pytest.raises(MetricError):
        retrieval.mean_average_precision([True])
    with pytest.raises(MetricError):
        retrieval.mean_average_precision(np.zeros((0, 3), bool))


FINITE = st.floats(-100, 100, allow_nan=False, width=32)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FINITE)
)
def test_gram_and_cosine_are_those_of_plain_loops(rows: np.ndarray) -> None:
    products, cosine = gram.gram_matrix(rows), gram.cosine_matrix(rows)
    n = len(rows)
    assert products.shape == cosine.shape == (n, n)
    for i in range(n):
        for j in range(n):
            inner = sum(float(a) * float(b) for a, b in zip(rows[i], rows[j], strict=True))
            assert products[i, j] == pytest.approx(inner, rel=1e-9, abs=1e-9)
            lengths = math.hypot(*rows[i].tolist()) * math.hypot(*rows[j].tolist())
            expected = 1.0 if i == j else inner / lengths if lengths > 0 else 0.0
            if lengths > 1e-30 or i == j:
                assert cosine[i, j] == pytest.approx(expected, abs=1e-6)
    assert (np.abs(cosine) <= 1).all()


def test_cosine_of_a_zero_row() -> None:
    cosine = gram.cosine_matrix([[0.0, 0.0], [3.0, 4.0]])
    assert cosine.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_cosine_of_extreme_lengths() -> None:
    cosine = gram.cosine_matrix([[1e200, 0.0], [1e-200, 1e-200]])
    assert cosine[0, 1] == pytest.approx(math.sqrt(0.5))


@settings(deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=6), st.integers(0, 1000))
def test_ranks_are_those_of_the_spectrum(spectrum: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(spectrum)
    u = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = np.array(sorted((round(s, 1) for s in spectrum), reverse=True))
    matrix = (u * values) @ u.T
    assert gram.rank_numerical(matrix) == sum(v > 0 for v in values)
    total = sum(values)
    if total == 0:
        return
    entropy = -sum(v / total * math.log(v / total) for v in values if v > 0)
    assert gram.rank_effective(matrix) == pytest.approx(math.exp(entropy), rel=1e-6)
    # A fraction between two partial sums, away from both, so that rounding decides nothing.
    reached = 0.0
    for count, value in enumerate(values, 1):
        if value > 0:
            fraction = (reached + value / 2) / total
            assert gram.rank_energy(matrix, fraction=fraction) == count
        reached += value


def test_ranks_of_known_matrices() -> None:
    assert gram.rank_numerical(np.eye(4)) == 4
    assert gram.rank_effective(np.eye(4)) == pytest.approx(4)
    assert gram.rank_energy(np.eye(4), fraction=0.5) == 2
    assert gram.rank_energy(np.eye(4), fraction=1.0) == 4
    ones = np.ones((5, 5))
    assert gram.rank_numerical(ones) == 1
    assert gram.rank_effective(ones) == pytest.approx(1)
    zero = np.zeros((3, 3))
    assert gram.rank_numerical(zero) == 0
    assert gram.rank_effective(zero) == 0.0
    assert gram.rank_energy(zero) == 0
    assert gram.rank_numerical(np.zeros((0, 0))) == 0
    assert gram.rank_numerical(np.diag([1.0, 1e-3]), tolerance=1e-2) == 1


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 8), st.integers(0, 1000))
def test_ranks_of_singular_values_are_those_of_the_matrix(
    m: int, n: int, rank: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, n))
    values = np.linalg.svd(matrix, compute_uv=False)
    for given_values in (values, rng.permutation(values), [*values, 0.0, 0.0]):
        assert gram.rank_numerical(given_values) == gram.rank_numerical(matrix)
        assert gram.rank_numerical(given_values) == min(m, n, rank)
        expected = gram.rank_effective(matrix)
        assert gram.rank_effective(given_values) == pytest.approx(expected, rel=1e-12)
        for fraction in (0.5, 0.99, 0.999):
            found = gram.rank_energy(given_values, fraction=fraction)
            assert found == gram.rank_energy(matrix, fraction=fraction)


def test_ranks_of_few_singular_values() -> None:
    assert gram.rank_numerical([]) == 0
    assert gram.rank_effective([]) == 0.0
    assert gram.rank_energy([]) == 0
    assert gram.rank_numerical([0.0, 0.0]) == 0
    assert gram.rank_effective([0.0, 2.0]) == 1.0
    assert gram.rank_numerical([1e-9, 1.0]) == 1
    assert gram.rank_energy([1.0, 98.0, 1.0], fraction=0.98) == 1


def test_ranks_refuse() -> None:
    with pytest.raises(MetricError, match="0 or more"):
        gram.rank_numerical([1.0, -1.0])
    with pytest.raises(MetricError, match="shape"):
        gram.rank_numerical(np.ones((2, 2, 2)))
    with pytest.raises(MetricError, match="finite"):
        gram.rank_energy([1.0, math.inf])
    with pytest.raises(MetricError):
        gram.rank_effective(np.full((2, 2), np.nan))
    with pytest.raises(MetricError):
        gram.rank_energy(np.eye(2), fraction=0)
    with pytest.raises(MetricError):
        gram.rank_numerical(np.eye(2), tolerance=1)


CURVE = st.lists(st.floats(0.05, 20), min_size=5, max_size=9)


@settings(deadline=None)
@given(CURVE, CURVE, st.integers(0, 1000))
def test_bd_rate_is_the_mean_between_the_curves(
    rates_a: list[float], rates_b: list[float], seed: int
) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(seed)
    low, high = 28.0, 34.0

    def knots(n: int) -> np.ndarray:
        inside = np.sort(rng.uniform(27, 35, n))
        inside[0], inside[-1] = 26.5, 36.0
        return inside

    psnr_a, psnr_b = knots(len(rates_a)), knots(len(rates_b))
    middles = low + (np.arange(40_000) + 0.5) * (high - low) / 40_000
    means = [
        interpolate.PchipInterpolator(q, np.log(r))(middles).mean()
        for q, r in ((psnr_a, rates_a), (psnr_b, rates_b))
    ]
    shuffled = rng.permutation(len(rates_a))
    got = metrics.bd_rate(
        np.array(rates_a)[shuffled], psnr_a[shuffled], rates_b, psnr_b, low=low, high=high
    )
    assert math.log1p(got) == pytest.approx(means[1] - means[0], abs=1e-5)


def test_bd_rate_of_scaled_curves() -> None:
    pytest.importorskip("scipy")
    halved = [r / 2 for r in BITS]
    got = metrics.bd_rate(BITS, DECIBELS, halved, DECIBELS, low=26, high=36)
    assert got == pytest.approx(-0.5)
    back = metrics.bd_rate(halved, DECIBELS, BITS, DECIBELS, low=26, high=36)
    assert back == pytest.approx(1.0)
    same = metrics.bd_rate(BITS, DECIBELS, BITS, DECIBELS, low=25, high=37)
    assert same == 0.0


@pytest.mark.parametrize(
    ("rates", "decibels", "low", "high", "says"),
    [
        (BITS[:4], DECIBELS[:4], 26, 31, "five points"),
        (BITS, DECIBELS[:5], 26, 31, "five points"),
        (BITS, DECIBELS, 24, 36, "covers 25 to 37 dB"),
        (BITS, DECIBELS, 26, 37.5, "covers 25 to 37 dB"),
        (BITS, DECIBELS, 36, 26, "low to high"),
        (BITS, [*DECIBELS[:5], 34.0], 26, 33, "two points of one PSNR"),
        ([0.0, *BITS[1:]], DECIBELS, 26, 36, "above 0"),
        (BITS, [*DECIBELS[:5], math.nan], 26, 36, "finite"),
    ],
)
def test_bd_rate_refuses(
    rates: list[float], decibels: list[float], low: float, high: float, says: str
) -> None:
    with pytest.raises(MetricError, match=says):
        metrics.bd_rate(rates, decibels, BITS, DECIBELS, low=low, high=high)
    assert issubclass(MetricError, ValueError)
