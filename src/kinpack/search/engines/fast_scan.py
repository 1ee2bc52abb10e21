"""The faiss engine: faiss proposes candidates, exact integers rank them.

Sub-indices of 4 bits are searched by fast scan, which rounds every table entry to 8 bits, in steps
of 1/255 of the widest book's range of distances: a distance is wrong by at most M half steps, and
by float32 rounding. Longer ones are searched by plain ``IndexPQ``, where only the latter is left.
A code that was not proposed is no nearer than the farthest that was, less that error. Candidates
are fetched until the k-th exact distance is below that: so the answer is exact, ties included. Of
the candidates themselves only those are ranked that could be nearer than the k-th by fast scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import DistanceTable
from kinpack.search.engines.engine import Found
from kinpack.search.engines.numpy_scan import check_words
from kinpack.search.engines.packed_codes import PackedCodes

_FIRST_CANDIDATES, _OF_EACH = 256, 128
"""Fast scan takes hardly longer for that many than for ten; of several queries it does."""

_SPARE = 8, 4
"""Candidates a hit: of few hits, whose last is often as near as many others, and of many."""

_ENOUGH = 1024
"""Candidates from which the smaller of them will do."""

_MOST_CANDIDATES = 1 << 14
"""Past that many the plain scan is as fast."""

_PART = 1 << 16
"""Codes that are made an index of at a time."""

_SHIFT = 32
_POSITION = (1 << _SHIFT) - 1
_NONE = np.iinfo(np.int64).max

_COMPARED = 256
"""Codes, about, by which it is seen how fast scan keeps them."""

_MOST_BOOKS = 256
"""Sums of more 8-bit entries would not fit fast scan's 16 bits."""


class FastScan:
    """A faiss index over packed codes: ``IndexPQ`` of our books, as fast scan where K ≤ 16.

    Args:
        codes: packed, one or more.
        quantiser: the books.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, codes: PackedCodes, quantiser: ProductQuantiser) -> None:
        self._faiss = import_faiss()
        self._codes = codes
        self._quantiser = quantiser
        books = quantiser.codebooks
        # faiss knows books of exactly 16 or 256 words. Repeats of word 0 fill up: no code names
        # them, and they leave the range of distances as it is.
        self._bits = 4 if quantiser.K <= 16 else 8
        missing = (1 << self._bits) - quantiser.K
        self._books = np.concatenate([books, np.repeat(books[:, :1], missing, axis=1)], axis=1)
        fast = self._bits == 4 and quantiser.M <= _MOST_BOOKS
        with _one_thread(self._faiss):
            self._index = self._packed() if fast else self._plain(0, len(codes))
        codes.let_go()
        self._indices_at = self._in_codes
        if fast:
            self._memory = self._blocks(self._index)
            self._books_at = 16 * np.arange(quantiser.M)
            some = np.arange(0, len(codes), 1 + len(codes) // _COMPARED)
            if np.array_equal(self._in_blocks(some), self._in_codes(some)):
                self._indices_at = self._in_blocks
        spread = np.square(books.astype(np.float64)).sum(axis=2).max(axis=1).sum()
        self._largest_square = float(spread)

    def _plain(self, first: int, stop: int) -> Any:
        """``IndexPQ`` of some codes."""
        index: Any = self._faiss.IndexPQ(self._quantiser.D, self._quantiser.M, self._bits)
        self._faiss.copy_array_to_vector(self._books.ravel(), index.pq.centroids)
        index.is_trained = True
        for _, part in self._codes.chunks(_PART, first, stop):
            check_words(part, self._quantiser.K)
            index.add_sa_codes(np.ascontiguousarray(part))  # both put sub-index 2j low in byte j
        return index

    def _packed(self) -> Any:
        """Fast scan of all codes, put together of parts: nothing else holds all of them."""
        n, index = len(self._codes), self._faiss.IndexPQFastScan(self._plain(0, 0))
        blocks = -(-n // index.bbs)
        index.codes.resize(blocks * index.bbs * index.M2 // 2)
        index.ntotal, index.ntotal2 = n, blocks * index.bbs
        into, at = self._blocks(index), 0
        for first in range(0, n, _PART):
            part = self._faiss.IndexPQFastScan(self._plain(first, min(first + _PART, n)))
            whole = self._blocks(part)
            into[at : at + whole.size] = whole
            at += whole.size
            self._codes.let_go()
        return index

    def _blocks(self, index: Any) -> NDArray[np.uint8]:
        """The codes of a fast scan as they lie in its memory."""
        made: NDArray[np.uint8] = self._faiss.rev_swig_ptr(index.codes.get(), index.codes.size())
        return made

    def _in_codes(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The sub-indices of some codes, uint8 (r, M)."""
        return self._quantiser.unpack(self._codes.rows(rows))

    def _in_blocks(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same of what fast scan holds: 32 codes a block, so that no mapped file is touched.

        Of two books 32 bytes follow one another, of each 16, whose low halves are of the first 16
        codes in the order 0, 8, 1, 9 and so on.
        """
        M2 = self._index.M2
        inside = rows & 15
        at = (rows >> 5) * (16 * M2) + (inside & 7) * 2 + (inside >> 3)
        found: NDArray[np.uint8] = self._memory.take(at[:, None] + self._books_at)
        np.right_shift(found, ((rows & 16) >> 2).astype(np.uint8)[:, None], out=found)
        found &= 15
        return found

    def search(
        self,
        tables: Sequence[DistanceTable],
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> list[Found | None]:
        """Find the k nearest codes of each query, on one thread.

        None where the answer needs too many candidates, or all words are equally far.
        """
        asked = _Asked.of(tables, self._bits, self._largest_square)
        n = len(self._codes)
        count = 2 * k + 16
        if self._bits == 4:
            least = _FIRST_CANDIDATES if len(tables) == 1 else _OF_EACH
            count = max(least, min(_SPARE[0] * k, _ENOUGH), _SPARE[1] * k)
        count = min(n, count)
        found: list[Found | None] = [None] * len(tables)
        left = np.flatnonzero(asked.errors < np.inf)
        while len(left) and count <= _MOST_CANDIDATES:
            some = asked.some(left)
            with _one_thread(self._faiss):
                near, rows = self._index.search(some.points, count)
            ranks, right = self._ranked(some, k, near, rows, mask)
            settled = right
            if count < n:  # a code that was not proposed is no nearer than this
                least = near.max(axis=1) - some.errors
                settled = right & ((ranks[:, k - 1] >> _SHIFT) * some.scales < least)
            for at in np.flatnonzero(settled).tolist():
                best = ranks[at]
                if best[-1] == _NONE:
                    best = best[best < _NONE]
                found[left[at]] = (best >> _SHIFT).astype(np.int32), best & _POSITION
            left = left[right & ~settled]
            count = min(n, 4 * count)
        return found

    def _ranked(
        self,
        asked: _Asked,
        k: int,
        near: NDArray[np.float32],
        rows: NDArray[np.int64],
        mask: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rank the candidates (q, c) of queries by their exact distances.

        Of those that are too far away to be among the k nearest none is looked at.

        Returns:
            Steps · 2^32 + position of candidates, int64 (q, k), rising, `_NONE` where there
            are no more; and whether faiss's distances are what they should be, bool (q,).
        """
        able = rows >= 0 if mask is None else (rows >= 0) & mask[rows]
        right: NDArray[np.bool_] = rows.min(axis=1) >= 0
        if near.shape[1] > k:
            far = near if mask is None else np.where(able, near, np.float32(np.inf))
            far = np.partition(far, k - 1, axis=1)
            able &= near <= (far[:, k - 1] + 2 * asked.errors)[:, None]
        query = np.nonzero(able)[0]
        positions = rows[able]
        steps = asked.steps(query, self._indices_at(positions))
        off = np.abs(steps * asked.scales[query] - near[able]) > asked.errors[query]
        if off.any():
            right[query[off]] = False
        ranks = (steps << _SHIFT) + positions
        if len(near) > 1:
            every = np.full(near.shape, _NONE)
            every[able] = ranks
            ranks = every
        else:
            ranks = ranks[None]
        ranks.sort(axis=1)
        if ranks.shape[1] < k:
            more = np.full((len(ranks), k - ranks.shape[1]), _NONE)
            ranks = np.concatenate([ranks, more], axis=1)
        return ranks[:, :k], right


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is looked for by several queries at once.

    Attributes:
        points: float32 (q, D), the queries themselves.
        integers: int32 (q, M, K), of their tables.
        scales: float64 (q,), of a step.
        errors: float64 (q,), bounds of the difference between faiss's distances and the exact ones;
            infinite where all words are equally far.
    """

    points: NDArray[np.float32]
    integers: NDArray[np.int32]
    scales: NDArray[np.float64]
    errors: NDArray[np.float64]

    @classmethod
    def of(cls, tables: Sequence[DistanceTable], bits: int, largest_square: float) -> Self:
        """Of tables of one quantiser.

        Args:
            tables: of the queries.
            bits: of a sub-index, 4 or 8.
            largest_square: of the vectors that codes stand for.
        """
        points = np.array([table.point for table in tables])
        values = np.array([table.values for table in tables])
        widest = (values.max(axis=2) - values.min(axis=2)).max(axis=1).astype(np.float64)
        # float32 arithmetic on squares of this size, in faiss's own table, adds its rounding.
        squares = np.square(points).sum(axis=1, dtype=np.float64) + largest_square
        errors = 1e-5 * squares
        if bits == 4:
            errors += values.shape[1] * widest / 510
        return cls(
            points,
            np.array([table.integers for table in tables]),
            np.array([table.scale for table in tables]),
            np.where(widest > 0, errors, np.inf),
        )

    def steps(self, query: NDArray[np.int64], indices: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Distances in whole steps, int64 (r,).

        Args:
            query: int64 (r,), which one is meant.
            indices: uint8 (r, M), the sub-indices of a code for each.
        """
        _, M, K = self.integers.shape
        entries = (query * (M * K))[:, None] + K * np.arange(M) + indices
        found: NDArray[np.int64] = self.integers.ravel().take(entries).sum(axis=1, dtype=np.int64)
        return found

    def some(self, rows: NDArray[np.int64]) -> Self:
        """Some of the queries."""
        if len(rows) == len(self.points):
            return self
        return type(self)(
            self.points[rows], self.integers[rows], self.scales[rows], self.errors[rows]
        )


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
