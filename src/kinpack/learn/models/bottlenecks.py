"""Bottlenecks: what turns latents into integers, with gradients for training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kinpack.learn.models.vector_quantiser import QuantiserConfig, VectorQuantiser

SCALE_LOW = -4.0
"""log2 of the smallest deviation, in quantiser steps, that a frequency table describes."""
SCALE_HIGH = 6.0
"""log2 of the largest one."""


class Quantised(NamedTuple):
    """What a product quantiser returns.

    Attributes:
        z_q: (n, M·d) decoded vectors; the gradient passes straight through to the input.
        indices: (n, M) int64 sub-indices.
        loss: scalar, the commitment term β‖z_e − sg(z_q)‖², not yet weighted by λ; moving averages
            stand in for the codebook term.
    """

    z_q: Tensor
    indices: Tensor
    loss: Tensor


class Bottleneck(Protocol):
    """What quantises the descriptors of the product code; an ``nn.Module``.

    ``decode(indices(z))`` equals what a call gives in evaluation.

    Attributes:
        words: (M, K, d) float32, the codebooks that the codec file gets.
    """

    words: Tensor

    def __call__(self, z: Tensor) -> Quantised:
        """Quantise (n, M·d) float32; in training mode also learn from it."""

    def indices(self, z: Tensor) -> Tensor:
        """Sub-indices (n, M) int64 of (n, M·d) float32."""

    def decode(self, indices: Tensor) -> Tensor:
        """Vectors (n, M·d) float32 of (n, M) int64 sub-indices."""

    def perplexity(self) -> Tensor:
        """Number of words in use of each book: (M,) float32."""


class ProductBottleneck(VectorQuantiser):
    """Product quantiser of M books of K words, learned by moving averages (PQ-VAE).

    Args:
        M: books.
        K: words a book.
        d: dimensions of a word.
        beta: weight of the commitment term.
        decay: of the moving averages.
    """

    keeps_use = False  # the moving averages tell it

    def __init__(self, *, M: int, K: int, d: int, beta: float = 0.25, decay: float = 0.99) -> None:
        config = QuantiserConfig(M=M, K=K, d=d, beta=beta, decay=decay, update="average")
        super().__init__(config)

    def forward(self, z: Tensor) -> Quantised:  # type: ignore[override]
        """Quantise vectors (n, M·d), one an item; in training mode also move the words."""
        found = super().forward(z[:, None])
        loss = self.config.beta * found.commitment
        return Quantised(found.z_q[:, 0], found.indices[:, 0], loss)

    def perplexity(self) -> Tensor:
        """Number of words in use, exp of the entropy of use, for each book: (M,) float32."""
        p = self.counts / self.counts.sum(1, keepdim=True)
        return (-(p * p.clamp_min(1e-9).log()).sum(1)).exp()


def _product(M: int, K: int, d: int, beta: float) -> Bottleneck:
    return ProductBottleneck(M=M, K=K, d=d, beta=beta)


BOTTLENECKS: dict[str, Callable[[int, int, int, float], Bottleneck]] = {"product": _product}
"""Makers of bottlenecks by name, of (M, K, d, β): a new one is a class and a line here."""


def quantise_about(y: Tensor, mean: Tensor, log2_scale: Tensor, step: Tensor) -> Tensor:
    """Round to the grid of ``step`` about ``mean``, with a straight-through gradient.

    Args:
        y: latents, any shape.
        mean: predicted means, the shape of ``y``.
        log2_scale: log2 of the predicted deviation, in units of ``y``.
        step: quantiser step, broadcast against ``y``.

    Returns:
        The dequantised latents ŷ = mean + step · (s − sign(s) · shift), s = round((y − mean)/step).
    """
    symbols = torch.round((y - mean) / step)
    shift = inward_shift((log2_scale - torch.log2(step)).clamp(SCALE_LOW, SCALE_HIGH))
    hard = mean + step * (symbols - torch.sign(symbols) * shift)
    return y + (hard - y).detach()


def inward_shift(log2_deviation: Tensor) -> Tensor:
    """How far the mean of a cell's values lies inward of its middle, in steps.

    That of a Laplace density of the same deviation, which is the same for all cells but that of 0;
    latents are heavier in their tails than the Gaussian which is coded with.

    Args:
        log2_deviation: log2 of the deviation in steps, any shape.

    Returns:
        0 to ½, the shape of ``log2_deviation``.
    """
    b = torch.exp2(log2_deviation) / math.sqrt(2)
    return 0.5 - b + 1 / torch.expm1((1 / b).clamp_max(80))


def gaussian_bits(y: Tensor, mean: Tensor, log2_scale: Tensor, step: Tensor) -> Tensor:
    """Bits of latents under a Gaussian: those of their symbols, with gradients for all inputs.

    The value, and the gradient of the deviation, are those of the symbols s = round((y − mean)/Δ)
    that are coded. For ``y`` and the mean, to which rounding leaves no gradient, uniform noise
    stands in its place; for the deviation it would not do, since noise costs bits where symbols
    that are nearly always 0 cost none.

    Args:
        y: latents.
        mean: predicted means.
        log2_scale: log2 of the predicted deviation, in units of ``y``.
        step: quantiser step.

    Returns:
        Bits, the shape of ``y``.
    """
    relative = (log2_scale - torch.log2(step)).clamp(SCALE_LOW, SCALE_HIGH)
    distance = (y - mean) / step
    noisy = _cell_bits(distance + torch.rand_like(y) - 0.5, relative.detach())
    return _cell_bits(torch.round(distance).detach(), relative) + (noisy - noisy.detach())


def _cell_bits(distance: Tensor, log2_deviation: Tensor) -> Tensor:
    """−log2 of the probability of the cell of width 1 about a distance from the mean, in steps."""
    inverse = torch.exp2(-log2_deviation) / math.sqrt(2)
    distance = distance.abs()
    upper = torch.erfc((distance - 0.5) * inverse)
    lower = torch.erfc((distance + 0.5) * inverse)
    return -torch.log2((0.5 * (upper - lower)).clamp_min(1e-7))
