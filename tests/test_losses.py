"""The losses that shape the latent space, against plain loops."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from kinpack.learn.training.losses import (
    alignment_loss,
    correlation_matrix_distance,
    same_class_matrix,
)
from papers.smic.losses import gaussian_divergence, log_det_gram
from papers.variational import Posterior

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
    assert torch.autograd.gradcheck(lambda x: log_det_gram(x @ x.T), (z,))
    assert torch.autograd.gradcheck(lambda x: log_det_gram(x @ x.T, stabiliser=3.0), (z,))


def plain_determinant(matrix: list[list[float]]) -> float:
    """By elimination, with the largest pivot of each column."""
    rows, value = [row.copy() for row in matrix], 1.0
    for k in range(len(rows)):
        pivot = max(range(k, len(rows)), key=lambda i: abs(rows[i][k]))
        if pivot != k:
            rows[k], rows[pivot], value = rows[pivot], rows[k], -value
        value *= rows[k][k]
        for i in range(k + 1, len(rows)):
            share = rows[i][k] / rows[k][k]
            rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
    return value


def test_plain_determinant() -> None:
    assert plain_determinant([[0, 2], [3, 4]]) == pytest.approx(-6)
    assert plain_determinant([[2, 0, 1], [1, 3, 2], [1, 1, 1]]) == pytest.approx(0)


@pytest.mark.parametrize("stabiliser", [1e-2, 0.5])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 3), (7, 2), (12, 20)])
def test_log_det_against_elimination(n: int, d: int, stabiliser: float) -> None:
    G = gram(n, d, 4)
    shifted = [[G[i, j].item() / stabiliser + (i == j) for j in range(n)] for i in range(n)]
    found = log_det_gram(G, stabiliser=stabiliser)
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert float(found) == pytest.approx(math.log(plain_determinant(shifted)) / n, rel=1e-10)


def test_log_det_of_nothing_of_aligned_and_of_orthogonal_latents() -> None:
    assert float(log_det_gram(torch.zeros(5, 5, dtype=torch.float64))) == 0
    seeded = torch.Generator().manual_seed(1)
    n, noise = 6, 1e-3 * torch.randn(6, 8, dtype=torch.float64, generator=seeded)
    unit = torch.nn.functional.normalize(noise + torch.eye(8, dtype=torch.float64)[0], dim=1)
    aligned, orthogonal = unit @ unit.T, torch.eye(n, dtype=torch.float64)
    # Aligned: one eigenvalue n, the others nearly 0. Orthogonal: n eigenvalues 1, the most there
    # can be where all latents have length 1 (Hadamard).
    assert float(log_det_gram(aligned)) == pytest.approx(math.log(1 + n / 1e-2) / n, abs=1e-3)
    assert float(log_det_gram(orthogonal)) == pytest.approx(math.log(1 + 1 / 1e-2), abs=1e-12)
    assert float(log_det_gram(aligned)) < float(log_det_gram(orthogonal)) / 4
    between = torch.nn.functional.normalize(
        torch.randn(n, 8, dtype=torch.float64, generator=seeded), dim=1
    )
    value = float(log_det_gram(between @ between.T))
    assert float(log_det_gram(aligned)) < value < float(log_det_gram(orthogonal))


def posterior(*shape: int) -> tuple[Tensor, Tensor]:
    seeded = torch.Generator().manual_seed(8)
    return tuple(  # type: ignore[return-value]
        torch.randn(shape, dtype=torch.float64, generator=seeded, requires_grad=True)
        for _ in range(2)
    )


def test_divergence_against_a_plain_loop() -> None:
    mean, log_variance = posterior(3, 2, 4, 5)
    found = gaussian_divergence(Posterior(mean, log_variance))
    assert found.shape == (3,)
    assert found.dtype == torch.float64
    for i in range(3):
        total = 0.0
        pairs = zip(
            mean[i].detach().flatten().tolist(),
            log_variance[i].detach().flatten().tolist(),
            strict=True,
        )
        for mu, log_square in pairs:
            sigma = math.exp(log_square / 2)
            total += -math.log(sigma) + (sigma * sigma + mu * mu) / 2 - 0.5
        assert found[i].item() == pytest.approx(total, rel=1e-12)


def test_divergence_is_the_mean_difference_of_log_densities() -> None:
    # One dimension, integrated over a fine grid.
    mu, log_square = 0.7, -0.9
    sigma, total, width = math.exp(log_square / 2), 0.0, 1e-3
    for k in range(-8000, 8000):
        x = mu + sigma * width * k
        log_q = -((x - mu) ** 2) / (2 * sigma**2) - math.log(sigma)
        share = math.exp(log_q) / math.sqrt(2 * math.pi) * sigma * width
        total += share * (log_q + x * x / 2)
    one = Posterior(torch.full((1, 1, 1, 1), mu), torch.full((1, 1, 1, 1), log_square))
    assert gaussian_divergence(one).item() == pytest.approx(total, abs=1e-5)


def test_divergence_of_the_prior_is_0() -> None:
    zero = torch.zeros(2, 3, 1, 1)
    assert gaussian_divergence(Posterior(zero, zero)).tolist() == [0, 0]


def test_gradient_of_the_divergence() -> None:
    inputs = posterior(2, 2, 1, 3)
    assert torch.autograd.gradcheck(lambda *parts: gaussian_divergence(Posterior(*parts)), inputs)


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
