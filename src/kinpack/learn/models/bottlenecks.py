"""Bottlenecks: what turns latents into integers, with gradients for training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from kinpack.learn.models.vector_quantiser import by_book, move_by_average

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


class ProductBottleneck(nn.Module):
    """Product quantiser of M books of K words, learned by moving averages (PQ-VAE).

    Words follow the exponential moving average of the vectors assigned to them; a word that nearly
    no vector chooses is restarted at a vector of the batch, its average reset with it.

    Args:
        M: books.
        K: words a book.
        d: dimensions of a word.
        beta: weight of the commitment term.
        decay: of the moving averages.
        dead_below: a word restarts when its average count a batch, relative to a uniform use, falls
            below this.
    """

    words: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        M: int,
        K: int,
        d: int,
        beta: float = 0.25,
        decay: float = 0.99,
        dead_below: float = 0.03,
    ) -> None:
        super().__init__()
        self.beta, self.decay, self.dead_below = beta, decay, dead_below
        self.register_buffer("words", torch.randn(M, K, d) * 0.1)
        self.register_buffer("counts", torch.ones(M, K))
        self.register_buffer("sums", self.words.clone())
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def indices(self, z: Tensor) -> Tensor:
        """Nearest word of each sub-vector.

        Args:
            z: (n, M·d) float32.

        Returns:
            (n, M) int64; entry (i, m) is the word of book m nearest to sub-vector m of item i.
        """
        M, _, d = self.words.shape
        return torch.cdist(z.view(-1, M, d).transpose(0, 1), self.words).argmin(-1).T

    def decode(self, indices: Tensor) -> Tensor:
        """Words joined to vectors.

        Args:
            indices: (n, M) int64.

        Returns:
            (n, M·d) float32.
        """
        M = self.words.shape[0]
        return self.words[torch.arange(M), indices].flatten(1)

    def forward(self, z: Tensor) -> Quantised:
        """Quantise; in training mode also move the words.

        Args:
            z: (n, M·d) float32.

        Returns:
            The decoded vectors with straight-through gradient, the indices, the loss.
        """
        z = z.float()
        if self.training:
            self._start(z.detach())
        indices = self.indices(z.detach())
        z_q = self.decode(indices)
        if self.training:
            self._move(z.detach(), indices)
        loss = self.beta * (z - z_q).square().sum(1).mean()
        # z − sg(z) is exactly 0: the value is z_q to the last bit, the gradient that of z.
        return Quantised(z_q + (z - z.detach()), indices, loss)

    def perplexity(self) -> Tensor:
        """Number of words in use, exp of the entropy of use, for each book: (M,) float32."""
        p = self.counts / self.counts.sum(1, keepdim=True)
        return (-(p * p.clamp_min(1e-9).log()).sum(1)).exp()

    @torch.no_grad()
    def _start(self, z: Tensor) -> None:
        if self.started:
            return
        M, K, d = self.words.shape
        rows = torch.randint(z.shape[0], (M, K))
        self.words.copy_(torch.gather(by_book(z, M, d), 1, rows[..., None].expand(-1, -1, d)))
        self.words.add_(1e-3 * z.std() * torch.randn_like(self.words))
        self.sums.copy_(self.words)
        self.started.fill_(True)

    @torch.no_grad()
    def _move(self, z: Tensor, indices: Tensor) -> None:
        M, K, d = self.words.shape
        move_by_average(
            self.words,
            self.counts,
            self.sums,
            by_book(z, M, d),
            nn.functional.one_hot(indices.T, K).to(z),
            decay=self.decay,
            dead_below=self.dead_below,
        )


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
