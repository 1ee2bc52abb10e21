"""The losses that shape the latent space, against plain loops."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from kinpack.learn.losses import (
    alignment_loss,
    correlation_matrix_distance,
    same_class_matrix,
)

pytestmark = pytest.mark.learn


def plain_distance(A: list[list[float]], B: list[list[float]]) -> float:
    n = len(A)
    trace = sum(A[i][j] * B[j][i] for i in range(n) for j in range(n))
    norms = [math.sqrt(sum(x * x for row in matrix for x in row)) for matrix in (A, B)]
    return 1 - trace / (norms[0] * norms[1])


def plain_alignment(z: list[list[float]], labels: list[int]) -> float:
    kept = [i for i, label in enumerate(labels) if label >= 0]
    unit = []
    for i in kept:
        length = math.sqrt(sum(x * x for x in z[i]))
        unit.append([x / length for x in z[i]])
    gram = [[sum(p * q for p, q in zip(a, b, strict=True)) for b in unit] for a in unit]
    target = [[float(labels[i] == labels[j]) for j in kept] for i in kept]
    return plain_distance(gram, target)


def gram(n: int, d: int, seed: int) -> Tensor:
    z = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return z @ z.T


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 3), (7, 2), (12, 20)])
def test_distance_against_a_plain_loop(n: int, d: int) -> None:
    A, B = gram(n, d, 1), gram(n, d, 2)
    found = correlation_matrix_distance(A, B)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(plain_distance(A.tolist(), B.tolist()), abs=1e-12)


def test_distance_ends_at_0_and_1() -> None:
    A = gram(6, 4, 3)
    assert float(correlation_matrix_distance(A, 3.5 * A)) == pytest.approx(0, abs=1e-12)
    first = torch.diag(torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64))
    second = torch.diag(torch.tensor([0.0, 0.0, 3.0, 1.0], dtype=torch.float64))
    assert float(correlation_matrix_distance(first, second)) == 1
    nothing = torch.zeros(3, 3, dtype=torch.float64)
    assert float(correlation_matrix_distance(nothing, nothing)) == 1


def test_same_class_matrix() -> None:
    found = same_class_matrix(torch.tensor([4, 0, 4, 1]))
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    "labels", [[0, 0], [0, 1, 0, 2, 1], [3, -1, 3, 2, -1, -1, 2, 3], [5, 5, 5]]
)
def test_alignment_against_a_plain_loop(labels: list[int]) -> None:
    z = torch.randn(
        len(labels), 6, dtype=torch.float64, generator=torch.Generator().manual_seed(len(labels))
    )
    found = float(alignment_loss(z, torch.tensor(labels)))
    assert found == pytest.approx(plain_alignment(z.tolist(), labels), abs=1e-12)


def test_alignment_is_0_where_classes_are_aligned_and_orthogonal() -> None:
    z = torch.tensor([[2.0, 0, 0], [0, 0.5, 0], [7.0, 0, 0], [0, 3.0, 0]], dtype=torch.float64)
    labels = torch.tensor([1, 0, 1, 0])
    assert float(alignment_loss(z, labels)) == pytest.approx(0, abs=1e-12)
    assert float(alignment_loss(z, torch.tensor([0, 0, 1, 1]))) > 0.4


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [-1, 2, -1]])
def test_alignment_without_labels_is_nothing(labels: list[int]) -> None:
    z = torch.randn(len(labels), 3, requires_grad=True)
    loss = alignment_loss(z, torch.tensor(labels, dtype=torch.int64))
    assert loss.shape == ()
    assert float(loss) == 0


def test_gradients() -> None:
    seeded = torch.Generator().manual_seed(5)
    z = torch.randn(6, 4, dtype=torch.float64, generator=seeded, requires_grad=True)
    target = gram(6, 4, 9)
    labels = torch.tensor([0, 1, 0, -1, 1, 2])
    assert torch.autograd.gradcheck(lambda x: correlation_matrix_distance(x @ x.T, target), (z,))
    assert torch.autograd.gradcheck(lambda x: alignment_loss(x, labels), (z,))


def test_descent_aligns_classes() -> None:
    z = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.arange(12) % 3
    optimiser = torch.optim.Adam([z], lr=0.1)
    before = float(alignment_loss(z.detach(), labels))
    for _ in range(100):
        optimiser.zero_grad()
        (z.grad,) = torch.autograd.grad(alignment_loss(z, labels), z)
        optimiser.step()
    assert float(alignment_loss(z.detach(), labels)) < 0.05 < before
