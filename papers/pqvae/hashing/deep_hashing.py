"""Deep hashing without labels: a network of three tanh layers whose outputs are near ±1.

V. E. Liong, J. Lu, G. Wang, P. Moulin, J. Zhou, "Deep hashing for compact binary codes learning",
CVPR 2015, the unsupervised variant (DH). Layer m gives h^m = tanh(W^m·h^(m−1) + c^m), h^0 = x, and
the code is b = sgn(h^M), M = 3. All layers together minimise

    J = 1/2·‖B − H^M‖_F²                        quantisation loss, J_1
      − λ_1/2 · tr(H^M·H^Mᵀ)                    variance of the bits: balance, J_2
      + λ_2/2 · Σ_m ‖W^m·W^mᵀ − I‖_F²           independence, by orthogonal rows, J_3
      + λ_3/2 · Σ_m (‖W^m‖_F² + ‖c^m‖²)         small weights, J_4.

How it is read here: J_1 and J_2 are means over the vectors, so that the weights λ mean the same for
any number of them; B is held while a step is made; vectors are centred, turned to their principal
directions and divided by one number, so that the identity, with which layers start, takes the
leading directions; the last layer starts from a random rotation of them instead; J is minimised by
Adam on mini-batches instead of plain gradient descent; the variance of J_2 is about the mean, which
the paper takes to be zero. Layer sizes 80-50-32 and 100-80-64 are the paper's; 48 bits, which it
lacks, have 90-65-48. Long training drives outputs to ±1 wherever they stand, which lowers J and
spoils the order of distances: steps are few and small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from papers.pqvae.hashing.hasher import Distance, as_vectors, check_bits
from papers.pqvae.hashing.itq import random_rotation
from papers.pqvae.hashing.principal import Principal, principal_components

LAYERS = {16: (60, 30), 32: (80, 50), 48: (90, 65), 64: (100, 80)}
"""Widths of the first two layers for each length of the codes."""

_ROWS = 8192


@dataclass(frozen=True)
class DeepHashingSettings:
    """The loss, and how it is minimised.

    Attributes:
        variance: λ_1.
        independence: λ_2.
        decay: λ_3.
        centred: whether J_2 is the variance about the mini-batch's mean, so that a bit that is
            always the same gains nothing; else it is the paper's trace as it stands.
        start: the last layer's first weights: the ``identity``, as the layers before, or a random
            ``rotation``.
        epochs: passes over the vectors.
        batch: vectors in a mini-batch.
        learning_rate: of Adam, falling to 0 by a cosine.
    """

    variance: float = 1.0
    independence: float = 0.1
    decay: float = 0.001
    centred: bool = True
    start: Literal["identity", "rotation"] = "rotation"
    epochs: int = 5
    batch: int = 500
    learning_rate: float = 1e-4


@dataclass(frozen=True, eq=False)
class DeepHasher:
    """The learned network.

    Attributes:
        principal: directions that the network's input runs along.
        scale: number that the components are divided by.
        weights: of each layer, float32 (outputs, inputs).
        biases: of each layer, float32 (outputs,).
        losses: J of each epoch, the mean over its mini-batches.
        distance: how codes are compared.
    """

    principal: Principal
    scale: float
    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    losses: tuple[float, ...]
    distance: Distance = "hamming"

    def encode(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Code vectors (n, D): bool (n, bits); see ``Hasher.encode``."""
        x = as_vectors(x, D=len(self.principal.mean))
        parts = []
        for i in range(0, len(x), _ROWS):
            h = self.principal.project(x[i : i + _ROWS]) / np.float32(self.scale)
            for weight, bias in zip(self.weights, self.biases, strict=True):
                h = np.tanh(h @ weight.T + bias)
            parts.append(h > 0)
        return np.concatenate(parts)


def loss(
    outputs: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    settings: DeepHashingSettings,
) -> torch.Tensor:
    """Compute J.

    Args:
        outputs: (n, bits), H^M of a mini-batch.
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
        settings: λ_1 to λ_3, and whether the variance is centred.

    Returns:
        J, a scalar.
    """
    codes = torch.where(outputs > 0, 1.0, -1.0)
    quantisation = (codes - outputs).square().sum(dim=1).mean()
    spread = outputs - outputs.mean(dim=0) if settings.centred else outputs
    variance = spread.square().sum(dim=1).mean()
    total = quantisation - settings.variance * variance
    for weight, bias in zip(weights, biases, strict=True):
        rows = weight @ weight.T - torch.eye(len(weight))
        size = weight.square().sum() + bias.square().sum()
        total = total + settings.independence * rows.square().sum() + settings.decay * size
    return total / 2


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: DeepHashingSettings | None = None
) -> DeepHasher:
    """Train the network.

    Args:
        x: (n, D) vectors.
        bits: length of a code, at least 1.
        seed: of the last layer's start and of the order of the vectors.
        settings: the loss, and how it is minimised.

    Raises:
        HashingError: ``x`` or ``bits`` do not do.
    """
    x = as_vectors(x)
    check_bits(bits)
    settings = settings or DeepHashingSettings()
    principal = principal_components(x, x.shape[1])
    # The leading directions get variance 1 in the mean, where tanh begins to bend.
    scale = float(np.sqrt(max(principal.variance[:bits].mean(), 1e-12)))
    inputs = torch.from_numpy(principal.project(x) / np.float32(scale))
    rng = np.random.default_rng(seed)
    widths = (x.shape[1], *LAYERS.get(bits, (2 * bits, 3 * bits // 2)), bits)
    starts = [np.eye(n_out, n_in) for n_in, n_out in pairwise(widths)]
    if settings.start == "rotation":
        starts[-1] = random_rotation(bits, rng) @ starts[-1]
    weights = [torch.tensor(w, dtype=torch.float32, requires_grad=True) for w in starts]
    biases = [torch.zeros(len(w), requires_grad=True) for w in starts]
    optimiser = torch.optim.Adam([*weights, *biases], lr=settings.learning_rate)
    batches = -(-len(x) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, max(1, settings.epochs * batches)
    )
    losses = []
    for _ in range(settings.epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        total = 0.0
        for chosen in torch.tensor_split(order, batches):
            h = inputs[chosen]
            for weight, bias in zip(weights, biases, strict=True):
                h = torch.tanh(h @ weight.T + bias)
            J = loss(h, weights, biases, settings)
            optimiser.zero_grad()
            J.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(J.detach())
        losses.append(total / batches)
    return DeepHasher(
        principal,
        scale,
        tuple(w.detach().numpy() for w in weights),
        tuple(b.detach().numpy() for b in biases),
        tuple(losses),
    )
