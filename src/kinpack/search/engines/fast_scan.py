"""The faiss engine: faiss proposes candidates, exact integers rank them.

Sub-indices of 4 bits are searched by fast scan, which rounds every table entry to 8 bits, in steps
of 1/255 of the widest book's range of distances: a distance is wrong by at most M half steps, and
by float32 rounding. Longer ones are searched by plain ``IndexPQ``, where only the latter is left.
A code that was not proposed is no nearer than the farthest that was, less that error. Candidates
are fetched until the k-th exact distance is below that: so the answer is exact, ties included. Of
the candidates themselves only those are ranked that could be nearer than the k-th of the first k.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import DistanceTable
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.engine import Found

_FIRST_CANDIDATES = 128
"""Fast scan takes hardly longer for that many than for ten."""

_SPARE = 8, 4
"""Candidates a hit: of few hits, whose last is often as near as many others, and of many."""

_ENOUGH = 1024
"""Candidates from which the smaller of them will do."""

_MOST_CANDIDATES = 1 << 14
"""Past that many the plain scan is as fast."""

_MOST_BOOKS = 256
"""Sums of more 8-bit entries would not fit fast scan's 16 bits."""


class FastScan:
    """A faiss index over packed codes: ``IndexPQ`` of our books, as fast scan where K ≤ 16.

    Attributes:
        codes: uint8 (n, bytes), packed; n ≥ 1.
        quantiser: the books.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, codes: NDArray[np.uint8], quantiser: ProductQuantiser) -> None:
        faiss = import_faiss()
        self.codes = codes
        self.quantiser = quantiser
        books = quantiser.codebooks
        # faiss knows books of exactly 16 or 256 words. Repeats of word 0 fill up: no code names
        # them, and they leave the range of distances as it is.
        self._bits = 4 if quantiser.K <= 16 else 8
        missing = (1 << self._bits) - quantiser.K
        filled = np.concatenate([books, np.repeat(books[:, :1], missing, axis=1)], axis=1)
        with _one_thread(faiss):
            index: Any = faiss.IndexPQ(quantiser.D, quantiser.M, self._bits)
            faiss.copy_array_to_vector(filled.ravel(), index.pq.centroids)
            index.is_trained = True
            # Both put sub-index 2j in the low half of byte j.
            index.add_sa_codes(np.ascontiguousarray(codes))
            if self._bits == 4 and quantiser.M <= _MOST_BOOKS:
                index = faiss.IndexPQFastScan(index)
        self._index = index
        spread = np.square(books.astype(np.float64)).sum(axis=2).max(axis=1).sum()
        self._largest_square = float(spread)

    def search(
        self,
        table: DistanceTable,
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> Found | None:
        """Find the k nearest codes, on one thread.

        None where the answer needs too many candidates, or all words are equally far.
        """
        error = self._error(table)
        n = len(self.codes)
        count = 2 * k + 16
        if self._bits == 4:
            count = max(_FIRST_CANDIDATES, min(_SPARE[0] * k, _ENOUGH), _SPARE[1] * k)
        count = min(n, count)
        faiss = import_faiss()
        while error is not None and count <= _MOST_CANDIDATES:
            with _one_thread(faiss):
                proposed, rows = self._index.search(table.point[None], count)
            if rows[0].min() < 0:
                return None
            found = self._ranked(table, k, proposed[0], rows[0], error, mask)
            if found is None:
                return None
            steps, positions = found
            safe = proposed.max() - error
            if count == n or (len(steps) == k and steps[-1] * table.scale < safe):
                return steps, positions
            count = min(n, 4 * count)
        return None

    def _ranked(
        self,
        table: DistanceTable,
        k: int,
        near: NDArray[np.float32],
        rows: NDArray[np.int64],
        error: float,
        mask: NDArray[np.bool_] | None,
    ) -> Found | None:
        """The k nearest of candidates (c,), nearest first; None where a bound does not hold."""
        if mask is not None:
            near, rows = near[mask[rows]], rows[mask[rows]]
        if len(rows) > k:
            order = np.argsort(near, kind="stable")
            near, rows = near[order], rows[order]
            first = table.steps(self.quantiser.unpack(self.codes[rows[:k]]))
            reach = int(np.searchsorted(near, first.max() * table.scale + error, side="right"))
            near, rows = near[:reach], rows[:reach]
        order = np.argsort(rows, kind="stable")
        positions = rows[order]
        steps = table.steps(self.quantiser.unpack(self.codes[positions]))
        if len(steps) and np.abs(steps * table.scale - near[order]).max() > error:
            return None
        return ranked(*nearest(steps, positions, k))

    def _error(self, table: DistanceTable) -> float | None:
        """Bound the difference of fast scan's distances from the exact; None where it has none."""
        values = table.values.astype(np.float64)
        widest = float((values.max(axis=1) - values.min(axis=1)).max())
        if widest == 0:
            return None
        # float32 arithmetic on squares of this size, in faiss's own table, adds its rounding.
        squares = float(np.square(table.point.astype(np.float64)).sum()) + self._largest_square
        rounding = 1e-5 * squares
        return rounding + self.quantiser.M * widest / 510 if self._bits == 4 else rounding


def import_faiss() -> Any:
    """Import faiss at its first use.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            'the faiss engine needs faiss: pip install "kinpack[fast]", or use the numpy engine'
        ) from error
    return faiss


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    """Keep faiss to one thread: one query gives it no work to share, only barriers to wait at."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
