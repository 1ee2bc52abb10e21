"""The Gaussian estimate of the joint entropy, against determinants and plain loops."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.errors import KinpackError
from papers.smic.gaussian_estimate import joint_entropy, marginal_entropy

Floats = NDArray[np.float64]

SIZES = [(1, 1), (1, 6), (3, 5), (5, 5), (9, 2)]
STEPS = [2.0, 0.7, 0.05]


def latents(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1)


def plain_determinant(matrix: list[list[Fraction]]) -> Fraction:
    """By expansion along the first row, exact: what cancels leaves no error behind."""
    if not matrix:
        return Fraction(1)
    total = Fraction(0)
    for j, entry in enumerate(matrix[0]):
        minor = [row[:j] + row[j + 1 :] for row in matrix[1:]]
        total += (-1) ** j * entry * plain_determinant(minor)
    return total


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 6), (3, 5), (5, 5), (6, 2)])
def test_joint_entropy_is_that_of_the_determinant(n: int, d: int) -> None:
    B = [[Fraction(x) for x in row] for row in latents(n, d).tolist()]
    found = joint_entropy(latents(n, d), steps=STEPS)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    for step, value in zip(STEPS, found, strict=True):
        matrix = [
            [
                (i == j)
                + 12 * sum(p * q for p, q in zip(a, b, strict=True)) / (d * Fraction(step) ** 2)
                for j, b in enumerate(B)
            ]
            for i, a in enumerate(B)
        ]
        expected = d / 2 * math.log2(plain_determinant(matrix))
        assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_marginal_entropy_is_that_of_a_plain_loop(n: int, d: int) -> None:
    B = latents(n, d)
    for step, value in zip(STEPS, marginal_entropy(B, steps=STEPS), strict=True):
        total = 0.0
        for row in B.tolist():
            total += d / 2 * math.log2(1 + 12 * sum(x * x for x in row) / (d * step**2))
        assert value == pytest.approx(total, rel=1e-12)


@given(st.integers(0, 12), st.integers(1, 8), st.integers(0, 1000), st.floats(0.01, 10))
def test_hadamard(n: int, d: int, seed: int, step: float) -> None:
    B = latents(n, d, seed)
    joint, total = joint_entropy(B, steps=[step])[0], marginal_entropy(B, steps=[step])[0]
    assert 0 <= joint <= total * (1 + 1e-12)


def test_hadamard_is_an_equation_for_orthogonal_latents_alone() -> None:
    rng = np.random.default_rng(3)
    orthogonal = np.linalg.qr(rng.normal(size=(7, 7)))[0][:4] * np.array([[1.0], [5], [0.1], [30]])
    total = marginal_entropy(orthogonal, steps=STEPS)
    assert joint_entropy(orthogonal, steps=STEPS) == pytest.approx(total, rel=1e-12)
    turned = orthogonal.copy()
    turned[1] += 2 * orthogonal[0]
    gap = marginal_entropy(turned, steps=STEPS) - joint_entropy(turned, steps=STEPS)
    assert (gap > 0.1).all()


def test_aligned_items_cost_little_more_than_one() -> None:
    row = latents(1, 40)
    one = joint_entropy(row, steps=[0.1])[0]
    many = joint_entropy(np.repeat(row, 16, axis=0), steps=[0.1])[0]
    # Sixteen alike: one direction of 16 times the energy, log2(16) / 2 bits more in each dimension.
    assert one < many < one + 40 * math.log2(16) / 2 + 1e-9
    assert marginal_entropy(np.repeat(row, 16, axis=0), steps=[0.1])[0] == pytest.approx(16 * one)


def test_more_items_than_dimensions() -> None:
    B = latents(500, 3)
    found = joint_entropy(B, steps=STEPS)
    assert np.isfinite(found).all()
    # The D×D matrix has the same determinant (Sylvester).
    for step, value in zip(STEPS, found, strict=True):
        inner = np.eye(3) + 12 / (3 * step**2) * (B.T @ B)
        assert value == pytest.approx(1.5 * math.log2(np.linalg.det(inner)), rel=1e-10)


def test_a_finer_step_costs_more_and_at_last_a_bit_for_each_halving() -> None:
    B = latents(5, 9)
    steps = np.geomspace(100, 1e-4, 30)
    for entropy in (joint_entropy, marginal_entropy):
        assert (np.diff(entropy(B, steps=steps)) > 0).all()
        fine = entropy(B, steps=[2e-6, 1e-6])
        assert fine[1] - fine[0] == pytest.approx(5 * 9, rel=1e-6)


def test_an_entropy_depends_on_the_ratio_to_the_step_alone() -> None:
    B = latents(6, 4)
    for entropy in (joint_entropy, marginal_entropy):
        scaled = entropy(1000 * B, steps=[1000 * s for s in STEPS])
        assert entropy(B, steps=STEPS) == pytest.approx(scaled, rel=1e-12)


def test_nothing_costs_nothing() -> None:
    for entropy in (joint_entropy, marginal_entropy):
        assert entropy(np.zeros((0, 4)), steps=STEPS).tolist() == [0, 0, 0]
        assert entropy(np.zeros((3, 4)), steps=STEPS).tolist() == [0, 0, 0]
        assert entropy(np.ones((3, 4)), steps=[]).shape == (0,)


@pytest.mark.parametrize(
    ("vectors", "steps", "says"),
    [
        (np.ones(3), [1.0], "shape"),
        (np.ones((2, 0)), [1.0], "shape"),
        (np.ones((2, 2, 2)), [1.0], "shape"),
        (np.ones((2, 2)), [1.0, 0.0], "above 0"),
        (np.ones((2, 2)), [-1.0], "above 0"),
        (np.ones((2, 2)), [math.nan], "above 0"),
        (np.ones((2, 2)), 1.0, "above 0"),
    ],
)
def test_refusals(vectors: Floats, steps: list[float], says: str) -> None:
    for entropy in (joint_entropy, marginal_entropy):
        with pytest.raises(KinpackError, match=says):
            entropy(vectors, steps=steps)
