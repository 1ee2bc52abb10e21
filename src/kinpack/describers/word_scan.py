"""Codes scored for words: how far a classifier believes that each shows one.

The latents that a code stands for are scored for every class, and the softmax of the scores,
summed over a word's classes, is the belief in the word; the distance that is told is minus its
logarithm. Of many codes only those are scored so that a sum of looked-up numbers puts first: the
mean score of the word's classes above that of all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.describers.words import Vocabulary, Word, log_shares
from kinpack.errors import CodecError

SCORED = 1 << 14
"""Codes that are scored for every class, of more only so many; or eight times what is asked for."""
_CHUNK = 1 << 12
"""Codes scored at a time."""


class WordScan:
    """The classes of a vocabulary, as codes are scored for them.

    Args:
        vocabulary: the words and their classes.
        quantiser: the books of the codes.
        kept: mean (E,) and directions (E, D) by which latents become what is coded; ``None`` where
            they are coded themselves.

    Attributes:
        weights: float32 (C, D), of each class for coded vectors.
        biases: float32 (C,).

    Raises:
        CodecError: the coded vectors are too large.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        quantiser: ProductQuantiser,
        kept: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> None:
        self._quantiser = quantiser
        self.weights, self.biases = vocabulary.fitted(kept)

    def distances(self, codes: NDArray[np.uint8], word: Word) -> NDArray[np.float32]:
        """Minus the logarithm of the belief that each of the codes shows a word.

        Args:
            codes: uint8 (n, M) sub-indices.
            word: which one.

        Returns:
            float32 (n,), 0 or more.

        Raises:
            CodecError: a sub-index is not below K, or scores leave float32.
        """
        found = np.empty(len(codes), np.float32)
        for first in range(0, len(codes), _CHUNK):
            vectors = self._quantiser.decode(codes[first : first + _CHUNK])
            with np.errstate(over="ignore", invalid="ignore"):
                scores = vectors @ self.weights.T + self.biases
            if not np.isfinite(scores).all():
                raise CodecError("scores of words are too large; make the describer anew")
            found[first : first + _CHUNK] = -log_shares(scores, word)
        return found

    def nearest(
        self, packed: NDArray[np.uint8], word: Word, k: int, *, scored: int = SCORED
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows that show a word best, best first, equal ones in their order.

        Args:
            packed: uint8 (n, bytes of a code).
            word: which one.
            k: how many, or all if there are fewer.
            scored: most codes that are scored for every class, or 8 · k if that is more.

        Returns:
            Rows int64 (h,) and distances float32 (h,).

        Raises:
            CodecError: a sub-index is not below K, or scores leave float32.
        """
        scored = max(scored, 8 * k)
        rows = np.arange(len(packed))
        if len(rows) > scored:
            rows = np.sort(np.argsort(-self._sums(packed, word), kind="stable")[:scored])
        distances = self.distances(self._quantiser.unpack(packed[rows]), word)
        order = np.argsort(distances, kind="stable")[:k]
        return rows[order], distances[order]

    def _sums(self, packed: NDArray[np.uint8], word: Word) -> NDArray[np.float32]:
        """How far the mean score of a word's classes lies above that of all, up to a constant."""
        books = self._quantiser.codebooks
        direction = self.weights[word.classes].mean(0) - self.weights.mean(0)
        table = np.einsum("mkd,md->mk", books, direction.reshape(len(books), -1))
        sums = np.zeros(len(packed), np.float32)
        for first in range(0, len(packed), SCORED):
            part = self._quantiser.unpack(packed[first : first + SCORED])
            for m, entries in enumerate(table):
                sums[first : first + SCORED] += entries[part[:, m]]
        return sums
