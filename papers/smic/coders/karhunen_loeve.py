"""Karhunen–Loève transform over the collection with reverse water-filling, its basis sent.

Unlike the other coders this one quantises after its transform, so it takes latents and a step, and
the latents it restores have an error of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from papers.smic.coders.by_class import decode_by_class, encode_by_class
from papers.smic.coders.coded import Coded, Floats, Ints, pack_matrix, unpack_matrix
from papers.smic.coders.independent import decode_static, encode_static

MEAN_STEPS = 4
"""Steps of the mean in a quantiser step: it is sent once, for all items."""


@dataclass(frozen=True)
class Factors:
    """Latents as integers times integers: B ≈ mean + coefficients · basis.

    Attributes:
        mean: (D,) int64, in units of step / ``MEAN_STEPS``.
        basis: (r, D) int64; row k is the k-th principal direction, in units of its own step.
        exponents: (r,) int64, log2 of that step in eighths.
        coefficients: (N, r) int64, in units of the quantiser step.
    """

    mean: Ints
    basis: Ints
    exponents: Ints
    coefficients: Ints

    def latents(self, step: float) -> Floats:
        """Latents that the factors restore (N, D)."""
        centre = self.mean * (step / MEAN_STEPS)
        return centre + step * (self.coefficients @ self.directions())

    def directions(self) -> Floats:
        """Principal directions as the decoder has them (r, D)."""
        lengths: Floats = np.exp2(self.exponents / 8)
        return self.basis.astype(np.float64) * lengths[:, None]


@dataclass(frozen=True)
class Components:
    """Principal components of a collection of latents, before any quantising.

    Attributes:
        latents: (N, D).
        lengths: (r,) root of each component's energy over all items, largest first.
        directions: (r, D) orthonormal; row k is the direction of component k.
    """

    latents: Floats
    lengths: Floats
    directions: Floats

    @classmethod
    def of(cls, latents: Floats) -> Components:
        """Find the components of latents (N, D)."""
        centred = latents - _mean_item(latents)
        energies, directions = np.linalg.eigh(centred.T @ centred)
        return cls(latents, np.sqrt(np.maximum(energies[::-1], 0)), directions.T[::-1])


def factorise(components: Components, step: float) -> Factors:
    """Quantise latents in the basis of their own principal directions.

    A component is kept where its energy is worth its bits: reverse water-filling, with the basis
    in the level. A basis entry of component k, used with N coefficients of energy E_k in all, is
    given the step Δ/√E_k: then it adds the same error, for the same bits, as a coefficient does.

    Args:
        components: of the latents.
        step: quantiser step Δ of the coefficients.
    """
    latents = components.latents
    mean = np.rint(_mean_item(latents) * (MEAN_STEPS / step)).astype(np.int64)
    centred = latents - mean * (step / MEAN_STEPS)
    kept = _worth_sending(components.lengths**2, latents.shape, step)
    lengths, directions = components.lengths[kept], components.directions[kept]
    exponents = np.rint(8 * np.log2(step / lengths)).astype(np.int64)
    basis = np.rint(directions / np.exp2(exponents / 8)[:, None]).astype(np.int64)
    found = Factors(mean, basis, exponents, np.zeros((len(latents), len(basis)), dtype=np.int64))
    if not len(basis):
        return found
    # The rounded basis is not quite orthonormal: least squares finds the best coefficients in it.
    rounded = found.directions()
    exact = np.linalg.solve(rounded @ rounded.T, rounded @ centred.T).T
    return Factors(mean, basis, exponents, np.rint(exact / step).astype(np.int64))


def encode_factors(factors: Factors, labels: Ints | None = None) -> Coded:
    """Code the factors: each coefficient, and each direction's entries, under a table of its own.

    Args:
        factors: of the collection.
        labels: (N,) classes; where given, the coefficients' tables depend on them.
    """
    parts = {
        "mean": pack_matrix(factors.mean[:, None]),
        "exponents": pack_matrix(np.diff(factors.exponents, prepend=0)[:, None]),
    }
    if not len(factors.basis):
        # Nothing is worth more than the mean: there are no tables to send either.
        return Coded({**parts, "symbols": b""}, np.zeros(len(factors.coefficients)))
    if labels is None:
        coefficients = encode_static(factors.coefficients)
    else:
        coefficients = encode_by_class(factors.coefficients, labels)
    basis = encode_static(factors.basis.T)
    parts = {
        **parts,
        **{f"basis {name}": part for name, part in basis.parts.items()},
        **coefficients.parts,
    }
    return Coded(parts, coefficients.item_bits)


def decode_factors(coded: Coded, n: int, d: int) -> Factors:
    """Decode what ``encode_factors`` gave, for n items of d dimensions."""
    mean = unpack_matrix(coded.parts["mean"])[:, 0]
    exponents = np.cumsum(unpack_matrix(coded.parts["exponents"])[:, 0])
    rank = len(exponents)
    if not rank:
        nothing = np.zeros((0, d), dtype=np.int64)
        return Factors(mean, nothing, exponents, np.zeros((n, 0), dtype=np.int64))
    prefix = "basis "
    of_basis = {k.removeprefix(prefix): v for k, v in coded.parts.items() if k.startswith(prefix)}
    basis = decode_static(Coded(of_basis), d, rank).T
    decode = decode_by_class if "labels" in coded.parts else decode_static
    return Factors(mean, basis, exponents, decode(coded, n, rank))


def _mean_item(latents: Floats) -> Floats:
    """Mean over the items, 0 where there are none (D,)."""
    mean: Floats = latents.sum(0) / max(1, len(latents))
    return mean


def _worth_sending(energies: Floats, shape: tuple[int, ...], step: float) -> Ints:
    """Components whose energy, less the error they keep, is above the price of their bits."""
    n, d = shape
    error = step * step / 12
    price = 2 * np.log(2) * error  # of a bit, at the slope of a uniform quantiser
    bits = n * _gaussian_bits(energies / max(n, 1), step) + d * _gaussian_bits(energies / d, step)
    kept = energies - (n + d) * error > price * bits
    return np.flatnonzero(kept)


def _gaussian_bits(variance: Floats, step: float) -> Floats:
    """Bits of a Gaussian number after a uniform quantiser, about."""
    return 0.5 * np.log2(1 + 2 * np.pi * np.e * variance / (step * step))
