"""PQ-VAE's bottleneck: a vector quantiser, or a product of M of them, with its three updates.

A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", 2017;
H. Wu, M. Flierl, "Learning product codebooks using vector-quantised autoencoders for image
retrieval", 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.models.plain import Plain

UPDATES = ("gradient", "mean", "average")
PRIORS = ("uniform", "learned")
FLOOR = 1e-4
"""Probability that a learned r(z) shares out evenly, so that no word costs infinitely many bits."""


@dataclass(frozen=True)
class QuantiserConfig(Plain):
    """Sizes of a quantiser and how it learns.

    Attributes:
        M: books (sub-quantisers); 1 is the plain vector quantiser.
        K: words a book.
        d: dimensions of a word; a latent vector has M·d.
        lam: λ, weight of both terms of the loss.
        beta: β, weight of the commitment term within it.
        epsilon: ε, weight of −log r(z) (nats) against squared distance in the choice of a word.
        prior: r(z), ``uniform`` (−log r = log K for every word) or ``learned`` from the words' use.
        update: of the words: by ``gradient`` of the codebook term; by the mini-batch ``mean`` of
            the latents assigned to each (the paper's way); by their moving ``average``.
        decay: of the moving averages, of the words and of their use.
        dead_below: with ``average``, a word restarts when its average count a batch, relative to a
            uniform use, falls below this; where ε makes words die on purpose, none does.

    Raises:
        CodecError: a value is out of range.
    """

    M: int = 1
    K: int = 256
    d: int = 8
    lam: float = 1.0
    beta: float = 0.25
    epsilon: float = 0.0
    prior: str = "uniform"
    update: str = "mean"
    decay: float = 0.99
    dead_below: float = 0.03

    def __post_init__(self) -> None:
        if min(self.M, self.K, self.d) < 1:
            raise CodecError("a quantiser needs a book, a word and a dimension, or more")
        if self.update not in UPDATES:
            raise CodecError(f"words are updated by {', '.join(UPDATES)}, not {self.update!r}")
        if self.prior not in PRIORS:
            raise CodecError(f"r(z) is {' or '.join(PRIORS)}, not {self.prior!r}")
        if min(self.lam, self.beta, self.epsilon, self.dead_below) < 0 or not 0 <= self.decay < 1:
            raise CodecError("λ, β, ε and dead_below are 0 or more, the decay is 0 to below 1")

    @property
    def D(self) -> int:  # noqa: N802 (paper letter)
        """Components of a latent vector."""
        return self.M * self.d

    @property
    def bits(self) -> float:
        """Bits that the code of one latent vector takes: M·log2 K."""
        return self.M * math.log2(self.K)


class VectorQuantised(NamedTuple):
    """What a quantiser returns for n items of N latent vectors each.

    Attributes:
        z_q: (n, N, M·d) decoded vectors; the gradient passes straight through to the input.
        indices: (n, N, M) int64 sub-indices.
        loss: scalar, λ·(codebook + β·commitment).
        codebook: scalar, mean over items of ‖sg(z_e) − z_q‖²; its gradient goes to the words, and
            only where they learn by gradient.
        commitment: scalar, mean over items of ‖z_e − sg(z_q)‖²; its gradient goes to z_e alone.
        cross_entropy: scalar, mean over items of −log2 r(z), bits an item.
    """

    z_q: Tensor
    indices: Tensor
    loss: Tensor
    codebook: Tensor
    commitment: Tensor
    cross_entropy: Tensor


class VectorQuantiser(nn.Module):
    """M books of K words, shared by the N positions of an item: N·M·log2 K bits, K^M words a place.

    The word of a sub-vector z is argmin_j ‖z − μ_j‖² − ε·log r(j), the nearest where r is uniform
    or ε = 0. A learned r(z) is the smoothed use of the words, which minimises the cross-entropy
    H(p, r) over the last batches. In training mode the words start from the first batch, unless
    ``start`` was called, and move after each.

    Args:
        config: sizes and options.
    """

    words: Tensor
    counts: Tensor
    sums: Tensor
    use: Tensor
    started: Tensor
    keeps_use = True
    """Whether the use of the words is kept with the weights."""

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__()
        self.config = config
        M, K, d = config.M, config.K, config.d
        words = torch.randn(M, K, d) * 0.1
        if config.update == "gradient":
            self.words = nn.Parameter(words)
        else:
            self.register_buffer("words", words)
        self.register_buffer("counts", torch.ones(M, K))
        self.register_buffer("sums", words.clone())
        self.register_buffer("use", torch.full((M, K), 1 / K), persistent=self.keeps_use)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def log_prior(self) -> Tensor:
        """Natural logarithm of r(z): (M, K), entry [m, k] that of word k of book m."""
        if self.config.prior == "uniform":
            return torch.full_like(self.use, -math.log(self.config.K))
        return ((self.use + FLOOR / self.config.K) / (1 + FLOOR)).log()

    @torch.no_grad()
    def indices(self, z: Tensor) -> Tensor:
        """Choose a word for each sub-vector; the lowest index wins a tie.

        Args:
            z: (..., M·d) latent vectors.

        Returns:
            (..., M) int64.
        """
        M, d = self.config.M, self.config.d
        parts = z.to(self.words).reshape(-1, M, d).transpose(0, 1)
        lengths = self.words.square().sum(2)
        costs = torch.baddbmm(lengths[:, None], parts, self.words.mT, alpha=-2)
        if self.config.epsilon and self.config.prior == "learned":
            costs -= self.config.epsilon * self.log_prior()[:, None]
        return costs.argmin(2).T.reshape(*z.shape[:-1], M)

    def decode(self, indices: Tensor) -> Tensor:
        """Join words to vectors.

        Args:
            indices: (..., M) int64.

        Returns:
            (..., M·d), of the type of the words.
        """
        books = torch.arange(self.config.M, device=indices.device)
        return self.words[books, indices].flatten(-2)

    def forward(self, z: Tensor) -> VectorQuantised:
        """Quantise; in training mode also move the words, and note their use.

        Args:
            z: (n, N, M·d) latent vectors z_e of n items.
        """
        # Distances in bfloat16 would choose wrong words.
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(self.words.dtype)
            if self.training and not self.started:
                self.start(z)
            fixed = z.detach()
            indices = self.indices(fixed)
            z_q = self.decode(indices)
            codebook = (fixed - z_q).square().sum((1, 2)).mean()
            commitment = (z - z_q.detach()).square().sum((1, 2)).mean()
            books = torch.arange(self.config.M, device=z.device)
            cross_entropy = -self.log_prior()[books, indices].sum((1, 2)).mean() / math.log(2)
            if self.training:
                self._move(fixed, indices)
        loss = self.config.lam * (codebook + self.config.beta * commitment)
        # z − sg(z) is exactly 0: the value is z_q to the last bit, the gradient that of z.
        through = z_q.detach() + (z - fixed)
        return VectorQuantised(through, indices, loss, codebook, commitment, cross_entropy)

    @torch.no_grad()
    def start(self, z: Tensor, generator: torch.Generator | None = None) -> None:
        """Put the words on latents, drawn anew for each book, a little apart from one another.

        Args:
            z: (..., M·d) latent vectors; the more the better, K at least to be all different.
            generator: of the draw.
        """
        M, K, d = self.config.M, self.config.K, self.config.d
        parts = by_book(z.detach().to(self.words), M, d)
        n = parts.shape[1]
        order = [torch.randperm(max(n, K), generator=generator)[:K] % n for _ in range(M)]
        rows = torch.stack(order)[..., None].to(parts.device)
        apart = torch.randn((M, K, d), generator=generator).to(parts)
        spread = (parts - parts.mean(1, keepdim=True)).square().mean().sqrt()
        self.words.copy_(torch.gather(parts, 1, rows.expand(-1, -1, d)) + 1e-3 * spread * apart)
        self.sums.copy_(self.words)
        self.counts.fill_(1.0)
        self.use.fill_(1 / K)
        self.started.fill_(True)

    def perplexity(self) -> Tensor:
        """Count the words in use, exp of the entropy of their smoothed use: (M,), 1 to K."""
        return (-(self.use * self.use.clamp_min(1e-9).log()).sum(1)).exp()

    def usage(self) -> Tensor:
        """Share of the words of each book that are not dead (``dead_below``): (M,), 0 to 1."""
        return (self.use * self.config.K > self.config.dead_below).to(self.use).mean(1)

    def books(self, N: int = 1) -> Tensor:
        """Give the words as N·M books, those of position p at p·M to (p + 1)·M − 1.

        Returns:
            (N·M, K, d); the codebooks of the flattened sub-indices (n, N·M) of a search.
        """
        return self.words.detach().repeat(N, 1, 1)

    @torch.no_grad()
    def _move(self, z: Tensor, indices: Tensor) -> None:
        c = self.config
        parts = by_book(z, c.M, c.d)
        chosen = nn.functional.one_hot(indices.reshape(-1, c.M).T, c.K).to(z)  # (M, n, K)
        number = chosen.sum(1)
        self.use.lerp_(number / parts.shape[1], 1 - c.decay)
        if c.update == "mean":
            means = chosen.mT @ parts / number.clamp_min(1)[..., None]
            self.words.copy_(torch.where(number[..., None] > 0, means, self.words))
        elif c.update == "average":
            self._move_by_average(parts, chosen)

    def _move_by_average(self, parts: Tensor, chosen: Tensor) -> None:
        """Move words to the moving average of the sub-vectors assigned to them.

        ``counts`` (M, K) are moving averages of the counts, 1 where a word is as often chosen as in
        a uniform use; ``sums`` (M, K, d) are those of the sums, on the same scale. A word whose
        average count falls below ``dead_below`` restarts at a sub-vector of the batch, its averages
        reset with it.

        Args:
            parts: (M, n, d) sub-vectors.
            chosen: (M, n, K), 1 at the word of each sub-vector, else 0.
        """
        c, n = self.config, parts.shape[1]
        share = c.K / n
        self.counts.lerp_(chosen.sum(1) * share, 1 - c.decay)
        self.sums.lerp_(chosen.mT @ parts * share, 1 - c.decay)
        dead = self.counts < (0.0 if c.epsilon and c.prior == "learned" else c.dead_below)
        if bool(dead.any()):
            rows = torch.randint(n, (c.M, c.K))
            fresh = torch.gather(parts, 1, rows[..., None].expand(-1, -1, c.d))
            self.sums[dead] = fresh[dead]
            self.counts[dead] = 1.0
        # Averages that have decayed to nothing say nothing: the word stays where it was.
        known = (self.counts > 1e-9)[..., None]
        means = self.sums / self.counts.clamp_min(1e-9)[..., None]
        self.words.copy_(torch.where(known, means, self.words))


def by_book(z: Tensor, M: int, d: int) -> Tensor:
    """Cut latent vectors (..., M·d) into sub-vectors (M, n, d), a book after the other."""
    return z.reshape(-1, M, d).transpose(0, 1)
