"""Faiss's product quantisers on principal components: what an engineer would take today.

PQ: H. Jégou, M. Douze, C. Schmid, "Product quantisation for nearest neighbor search", TPAMI 2011.
OPQ: T. Ge, K. He, Q. Ke, J. Sun, "Optimized product quantisation", TPAMI 2014, whose rotation and
codebooks are learned by turns. Faiss learns both; what it learned goes into kinpack's
``ProductQuantiser``, which codes and searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.engines.fast_scan import import_faiss
from papers.pqvae.hashing.hasher import HashingError, as_vectors
from papers.pqvae.hashing.itq import random_rotation


@dataclass(frozen=True)
class ProductSettings:
    """Of a product quantiser.

    Attributes:
        K: words of a book, 16 or 256; M follows from the bits.
        rotate: whether a rotation is learned too (OPQ).
        iterations: rounds of k-means.
        turns: of rotation and codebooks, for OPQ.
    """

    K: int = 256
    rotate: bool = False
    iterations: int = 25
    turns: int = 10

    def books(self, bits: int) -> int:
        """Give M, so that M·log2 K = bits.

        Raises:
            HashingError: there is no such M.
        """
        each = int(math.log2(self.K))
        if 1 << each != self.K or bits < each or bits % each:
            raise HashingError(f"no whole number of books of K = {self.K} words has {bits} bits")
        return bits // each


@dataclass(frozen=True, eq=False)
class RotatedQuantiser:
    """A product quantiser, and the rotation before it.

    Attributes:
        quantiser: its books.
        rotation: float32 (D, D), vectors being multiplied by it from the right; None for PQ.
    """

    quantiser: ProductQuantiser
    rotation: NDArray[np.float32] | None = None

    def describe(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Rotate vectors (n, D): float32 (n, D), what asymmetric tables are made of."""
        x = as_vectors(x, D=self.quantiser.D)
        return x if self.rotation is None else x @ self.rotation

    def encode(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Code vectors (n, D): uint8 (n, M) sub-indices."""
        return self.quantiser.encode(self.describe(x))


def fit(
    x: NDArray[Any], *, bits: int, seed: int = 0, settings: ProductSettings | None = None
) -> RotatedQuantiser:
    """Learn the books, on one thread.

    Args:
        x: (n, D) vectors, n ≥ K, D a multiple of M.
        bits: length of a code, M·log2 K.
        seed: of k-means, and of the rotation that OPQ starts from.
        settings: K, and how it is learned.

    Raises:
        HashingError: the vectors or ``bits`` do not do.
        MissingExtraError: faiss is not installed.
    """
    x = np.ascontiguousarray(as_vectors(x))
    settings = settings or ProductSettings()
    K, M, D = settings.K, settings.books(bits), x.shape[1]
    if D % M or len(x) < K:
        raise HashingError(
            f"{len(x)} vectors of {D} components cannot be learned by {M} books of {K} words"
        )
    faiss = import_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        rotation = None
        if settings.rotate:
            optimised: Any = faiss.OPQMatrix(D, M)
            optimised.niter = settings.turns
            optimised.max_train_points = len(x)
            start = random_rotation(D, np.random.default_rng(seed)).astype(np.float32)
            faiss.copy_array_to_vector(start.ravel(), optimised.A)
            optimised.pq = _untrained(faiss, D, M, settings, len(x), seed)
            optimised.train(x)
            rotation = faiss.vector_to_array(optimised.A).reshape(D, D).T.copy()
            x = np.ascontiguousarray(x @ rotation)
        books: Any = _untrained(faiss, D, M, settings, len(x), seed)
        books.train(x)
        words = faiss.vector_to_array(books.centroids).reshape(M, K, D // M)
    finally:
        faiss.omp_set_num_threads(threads)
    return RotatedQuantiser(ProductQuantiser(words), rotation)


def _untrained(faiss: Any, D: int, M: int, settings: ProductSettings, n: int, seed: int) -> Any:
    quantiser: Any = faiss.ProductQuantizer(D, M, int(math.log2(settings.K)))
    quantiser.cp.seed = seed + 1
    quantiser.cp.niter = settings.iterations
    # All vectors are learned from, however few the words are.
    quantiser.cp.max_points_per_centroid = n
    quantiser.cp.min_points_per_centroid = 1
    return quantiser
