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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import DistanceTable
from kinpack.search.engines.engine import Found
from kinpack.search.engines.numpy_scan import check_words
from kinpack.search.engines.packed_codes import PackedCodes

_FIRST_CANDIDATES = 128
"""Fast scan takes hardly longer for that many than for ten."""

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
        self._entries = quantiser.K * np.arange(quantiser.M)
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
        n, errors = len(self._codes), self._errors(tables)
        count = 2 * k + 16
        if self._bits == 4:
            count = max(_FIRST_CANDIDATES, min(_SPARE[0] * k, _ENOUGH), _SPARE[1] * k)
        count = min(n, count)
        found: list[Found | None] = [None] * len(tables)
        left = [at for at, error in enumerate(errors) if error < np.inf]
        while left and count <= _MOST_CANDIDATES:
            points = np.array([tables[at].point for at in left])
            with _one_thread(self._faiss):
                proposed, rows = self._index.search(points, count)
            if rows.min() < 0:
                break
            asked, left = left, []
            for at, near, some in zip(asked, proposed, rows, strict=True):
                table, error = tables[at], errors[at]
                ranks = self._ranked(table, k, near, some, error, mask)
                if ranks is None:
                    continue
                # A code that was not proposed is no nearer than this.
                safe = float(near.max()) - error
                if count == n or (
                    len(ranks) == k and (int(ranks[-1]) >> _SHIFT) * table.scale < safe
                ):
                    found[at] = (ranks >> _SHIFT).astype(np.int32), ranks & _POSITION
                else:
                    left.append(at)
            count = min(n, 4 * count)
        return found

    def _ranked(
        self,
        table: DistanceTable,
        k: int,
        near: NDArray[np.float32],
        rows: NDArray[np.int64],
        error: float,
        mask: NDArray[np.bool_] | None,
    ) -> NDArray[np.int64] | None:
        """Rank candidates (c,) by their exact distances; None where a bound does not hold.

        Of those that are too far away to be among the k nearest none is looked at.

        Returns:
            Steps · 2^32 + position of the k nearest candidates, int64, rising.
        """
        if mask is not None:
            able = mask[rows]
            near, rows = near[able], rows[able]
        if len(rows) > k:
            able = near <= float(np.partition(near, k - 1)[k - 1]) + 2 * error
            near, rows = near[able], rows[able]
        entries = self._indices_at(rows) + self._entries
        steps = table.integers.ravel().take(entries).sum(axis=1, dtype=np.int64)
        if len(steps) and np.abs(steps * table.scale - near).max() > error:
            return None
        ranks: NDArray[np.int64] = (steps << _SHIFT) + rows
        ranks.sort()
        return ranks[:k]

    def _errors(self, tables: Sequence[DistanceTable]) -> list[float]:
        """Bounds of the difference between faiss's distances and the exact ones, for each query.

        Infinite where all words are equally far.
        """
        if not tables:
            return []
        points = np.array([table.point for table in tables], np.float64)
        values = np.array([table.values for table in tables])
        widest = (values.max(axis=2) - values.min(axis=2)).max(axis=1).astype(np.float64)
        # float32 arithmetic on squares of this size, in faiss's own table, adds its rounding.
        errors = 1e-5 * (np.square(points).sum(axis=1) + self._largest_square)
        if self._bits == 4:
            errors += self._quantiser.M * widest / 510
        errors[widest == 0] = np.inf
        found: list[float] = errors.tolist()
        return found


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
