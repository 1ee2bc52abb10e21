"""Books of product codes, learned by k-means from vectors that are there already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser, as_vectors, nearest_words
from kinpack.errors import CodecError


def learn_books(
    x: NDArray[Any],
    *,
    M: int = 16,
    K: int = 16,
    seed: int = 0,
    iterations: int = 25,
) -> ProductQuantiser:
    """Learn the books by k-means, each on its own components.

    Starts from k-means++; a word that loses all its vectors restarts at the vector that is
    worst served. The same arguments give the same books.

    Args:
        x: (n, D) vectors to learn from, n ≥ 1, D a multiple of M.
        M: number of books.
        K: number of words in each book, 1 to 256.
        seed: of the random choices.
        iterations: most rounds of k-means; it stops earlier once nothing moves.

    Raises:
        CodecError: ``x`` has another shape, is empty, or holds numbers that are not finite.
    """
    if not 1 <= K <= 256:
        raise CodecError(f"a book of K = {K} words cannot be indexed: K goes from 1 to 256")
    if M < 1 or iterations < 0:
        raise CodecError(f"M = {M} books, {iterations} rounds: at least 1 and 0 are needed")
    x = as_vectors(x)
    n, D = x.shape
    if n == 0 or D == 0 or D % M:
        raise CodecError(
            f"{n} vectors of {D} components cannot be learned by {M} books: "
            "give at least one vector, of a multiple of M components"
        )
    seeds = np.random.SeedSequence(seed).spawn(M)
    parts = np.split(x, M, axis=1)
    return ProductQuantiser(
        np.stack(
            [
                _k_means(np.ascontiguousarray(part), K, np.random.default_rng(s), iterations)
                for part, s in zip(parts, seeds, strict=True)
            ]
        )
    )


def _first_words(x: NDArray[np.float32], K: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Choose K of the vectors by k-means++: each with probability of its squared distance."""
    words = np.empty((K, x.shape[1]), np.float32)
    words[0] = x[rng.integers(len(x))]
    distance = nearest_words(x, words[:1])[1]
    for k in range(1, K):
        mass = np.cumsum(distance, dtype=np.float64)
        # With no distance left there are fewer different vectors than words: repeat any.
        pick = (
            np.searchsorted(mass, rng.random() * mass[-1], side="right")
            if mass[-1] > 0
            else rng.integers(len(x))
        )
        words[k] = x[min(int(pick), len(x) - 1)]
        distance = np.minimum(distance, nearest_words(x, words[k : k + 1])[1])
    return words


def _k_means(
    x: NDArray[np.float32], K: int, rng: np.random.Generator, iterations: int
) -> NDArray[np.float32]:
    words = _first_words(x, K, rng)
    for _ in range(iterations):
        nearest, distance = nearest_words(x, words)
        counts = np.bincount(nearest, minlength=K)
        sums = np.stack([np.bincount(nearest, x[:, j], K) for j in range(x.shape[1])], axis=1)
        moved = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        empty = np.flatnonzero(counts == 0)
        worst = np.argsort(-distance, kind="stable")[np.arange(len(empty)) % len(x)]
        moved[empty] = x[worst]
        if np.array_equal(moved, words):
            break
        words = moved
    return words
