"""Describers of vectors that were made elsewhere: no network, books and a projection alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.describer import Describer
from kinpack.describers.product_books import learn_books
from kinpack.describers.product_code import as_vectors
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container

BOOKS, FINE_BOOKS = (16, 16), (32, 256)
"""Number of books and of words in each, (M, K), of a code to scan and of one to order by."""
COMPONENTS = 4
"""Components of a word, of principal components of the vectors."""
SAMPLE = 1 << 15
"""Vectors that books are learned from."""


def describer_of_vectors(
    vectors: Sequence[NDArray[np.float32]], *, name: str, books: tuple[int, int], note: str
) -> Describer:
    """Learn a projection and books of vectors.

    Args:
        vectors: (E,) each, of images.
        name: of the describer.
        books: how many, and how many words each has.
        note: what to keep of how the vectors were made.

    Raises:
        CodecError: there are none, they are of different sizes or not finite, or there cannot be
            such books.
    """
    sizes = {vector.shape for vector in vectors}
    if len(sizes) != 1:
        raise CodecError(
            "vectors of images are of different sizes, or there are none: give each image (E,) "
            "numbers of one model"
        )
    M, K = books
    x = as_vectors(np.stack(vectors))
    rng = np.random.default_rng(0)
    sample = x[np.sort(rng.permutation(len(x))[:SAMPLE])]
    mean, projection = principal_components(sample, M)
    learned = learn_books((sample - mean) @ projection, M=M, K=K)
    arrays = {"codebooks": learned.codebooks, "mean": mean, "projection": projection}
    header = {"name": name, "version": 1, "side": 1, "note": note}
    return Describer.from_container(Container(header, {}, arrays, kind=DESCRIBER_FILE))


def principal_components(
    x: NDArray[np.float32], M: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The directions of largest variance, dealt out to books so that each has about as much.

    A product code spends as much on every book. Books get components in turn, always the one that
    has least so far, by the product of their variances (Ge, He, Ke and Sun, "Optimized product
    quantization", 2013, section 4.2).

    Args:
        x: (n, E) vectors.
        M: number of books.

    Returns:
        Mean (E,), and directions (E, M · d): those of book m are columns m · d to (m + 1) · d − 1.
        d is 4, or less where the vectors are small, and missing directions are 0.
    """
    mean = x.mean(0, dtype=np.float64)
    centred = x - mean
    variance, directions = np.linalg.eigh(centred.T @ centred / len(x))
    d = min(COMPONENTS, max(1, -(-len(variance) // M)))
    order = np.argsort(-variance)[: M * d]
    logs = np.log(np.maximum(variance[order], variance.max() * 1e-9 + 1e-30))
    held: list[list[int]] = [[] for _ in range(M)]
    weight = [0.0] * M
    for component, log in zip(order.tolist(), (logs - logs.min()).tolist(), strict=True):
        m = min((m for m in range(M) if len(held[m]) < d), key=weight.__getitem__)
        held[m].append(component)
        weight[m] += log
    projection = np.zeros((x.shape[1], M * d))
    for m, components in enumerate(held):
        projection[:, m * d : m * d + len(components)] = directions[:, components]
    return mean.astype(np.float32), projection.astype(np.float32)
