"""What a code tells: entropies in bits, the bound of d_IB, distances of neighbours.

The information-bottleneck view: L = d_IB(I, Z) + ε·H(Z), I the number of a picture, Z its code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
"""Nearest pictures, by their pixels, that count as neighbours."""

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]


def entropy_bits(counts: NDArray[Any]) -> float:
    """Entropy, in bits, of a distribution given by how often each value occurs.

    Args:
        counts: (k,), 0 or more, not all 0.
    """
    p = counts[counts > 0] / counts.sum()
    # Rounding must not leave less than nothing.
    return max(0.0, float(-(p * np.log2(p)).sum()))


def code_information(codes: Codes, *, M: int, K: int, log_prior: Floats) -> dict[str, float]:
    """Entropies of the codes of n items, each item as likely as another.

    Args:
        codes: uint8 (n, N·M), n ≥ 1; column p·M + m holds sub-indices of book m at position p.
        M: books, shared by the N positions.
        K: words a book.
        log_prior: (M, K), natural logarithm of r(z), of each book alone.

    Returns:
        - ``uniform_bits``: N·M·log2 K, the cross-entropy under a uniform r(z);
        - ``cross_entropy_bits``: −Σ p(z)·log2 r(z), books and positions taken as independent;
        - ``entropy_bits``: Σ of the entropies of the sub-indices, which bounds H(Z) too, and is
          the least that a cross-entropy of independent books can be, apart for each position;
        - ``entropy_joint_bits``: H(Z) of whole codes as they occur, at most log2 n;
        - ``d_ib_exact_bits``: H(I|Z) = log2 n − H(Z), which d_IB is where p(x|i) = δ(x − x_i) and
          p(i) = 1/n: zero as soon as no two items share a code;
        - ``distinct``: codes that occur; ``perplexity``: 2^H of the sub-indices, mean over books,
          positions pooled; ``perplexity_least``: of the worst book; ``usage``: share of all words
          that occur.
    """
    n, columns = codes.shape
    use = np.stack([np.bincount(codes[:, m::M].ravel(), minlength=K) for m in range(M)])
    by_column = [entropy_bits(np.bincount(codes[:, c], minlength=K)) for c in range(columns)]
    by_book = [entropy_bits(row) for row in use]
    distinct, times = np.unique(codes, axis=0, return_counts=True)
    joint = entropy_bits(times)
    cross = -(use * log_prior).sum() / (n * math.log(2))
    return {
        "uniform_bits": columns * math.log2(K),
        "cross_entropy_bits": float(cross),
        "entropy_bits": float(np.sum(by_column)),
        "entropy_joint_bits": joint,
        "d_ib_exact_bits": max(0.0, math.log2(n) - joint),
        "distinct": float(len(distinct)),
        "perplexity": float(np.mean([2**h for h in by_book])),
        "perplexity_least": float(2 ** min(by_book)),
        "usage": float((use > 0).mean()),
    }


def distortion_bits(errors: Floats, *, numbers: int) -> dict[str, float]:
    """Upper bound of d_IB's first term, −E log2 q(x|z) with q(x|z) = N(x|x̂, 1), in bits an item.

    Args:
        errors: (n,), squared error ‖x − x̂‖² of each item, pixels on the scale 0 to 1.
        numbers: components of x.

    Returns:
        ``d_ib_bound_bits``, ½‖x − x̂‖²/ln 2 + ½·numbers·log2 2π, and ``d_ib_distortion_bits``,
        its first part, which alone depends on the model.
    """
    distortion = float(errors.mean()) / (2 * math.log(2))
    constant = numbers / 2 * math.log2(2 * math.pi)
    return {"d_ib_bound_bits": distortion + constant, "d_ib_distortion_bits": distortion}


def nearest_pictures(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the nearest others of each picture by squared distance of pixels, ties by place.

    Args:
        pixels: (n, ...), uint8.

    Returns:
        int64 (n, min(10, n − 1)), nearest first.
    """
    x = pixels.reshape(len(pixels), -1).astype(np.float64)
    lengths = np.square(x).sum(axis=1)
    # Whole numbers below 2^53: sums are exact in any order.
    distance = lengths[:, None] + lengths - 2 * (x @ x.T)
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")
    return order[:, : min(NEIGHBOURS, len(x) - 1)].astype(np.int64)


def neighbour_measures(
    neighbours: NDArray[np.int64], codes: Codes, z_q: NDArray[Any], z_e: NDArray[Any]
) -> dict[str, float]:
    """Say where the bottleneck puts the neighbours of pictures.

    Args:
        neighbours: (n, k) places, as ``nearest_pictures`` gives them.
        codes: uint8 (n, c).
        z_q: (n, D) decoded vectors of the pictures.
        z_e: (n, D) latents before quantising.

    Returns:
        - ``same_code``: share of (picture, neighbour) pairs with one code;
        - ``same_word``: share of their sub-indices that agree;
        - ``spread``: mean squared distance of neighbours in z_q, relative to that of any two
          pictures: 0 where neighbours meet, 1 where they are as far apart as strangers;
        - ``spread_e``: the same in z_e.
    """
    agree = codes[:, None] == codes[neighbours]
    return {
        "same_code": float(agree.all(axis=2).mean()),
        "same_word": float(agree.mean()),
        "spread": _spread(neighbours, z_q),
        "spread_e": _spread(neighbours, z_e),
    }


def separation_db(z_e: NDArray[Any], z_q: NDArray[Any]) -> float:
    """Variance of z_e over its squared distance to the words, in dB; how tightly words are held.

    Args:
        z_e: (n, D) latents.
        z_q: (n, D) what they are quantised to.
    """
    e, q = z_e.astype(np.float64), z_q.astype(np.float64)
    variance = np.square(e - e.mean(axis=0)).sum()
    error = np.square(e - q).sum()
    return float(10 * np.log10(max(variance, 1e-12) / max(error, 1e-12)))


def _spread(neighbours: NDArray[np.int64], z: NDArray[Any]) -> float:
    x = z.astype(np.float64)
    n = len(x)
    near = np.square(x[:, None] - x[neighbours]).sum(axis=2).mean()
    # Mean over ordered pairs of different items: 2·variance·n/(n − 1).
    strangers = 2 * np.square(x - x.mean(axis=0)).sum() / (n - 1)
    return float(near / max(strangers, 1e-12))
