"""The numpy engine: scans packed codes for the nearest, exact, ordered by (distance, position).

It looks up and adds integers, for each byte of a code or for two bytes at once: first for all codes
of a run those of the bytes in which codes differ most from the query. What these leave no chance to
be among the nearest is passed over, and only of the others the rest is added.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import DistanceTable, SearchError
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.engine import Found
from kinpack.search.engines.packed_codes import PackedCodes

_CHUNK = 1 << 16
"""Codes scanned at a time: as few as hide what a call of numpy costs."""

_PAIRS_FROM = 1 << 14
"""Fewest codes for which tables of two bytes, 65,536 entries each, are worth filling."""

_FIRST = 1 << 12
"""Codes of the first run, after which there is a distance that others must be below."""

_SAMPLE = 1 << 9
"""Codes by which tables are put in order."""

_FEW = 8
"""Where one code in so many is left, or fewer, they are looked at by themselves."""

_TOGETHER = 16
"""Queries that are looked for in one pass over the codes."""


_kept = threading.local()


class NumpyScan:
    """Packed codes, scanned as they are.

    Args:
        codes: packed.
        quantiser: the books.
    """

    def __init__(self, codes: PackedCodes, quantiser: ProductQuantiser) -> None:
        self._codes = codes

    def search(
        self,
        tables: Sequence[DistanceTable],
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> list[Found]:
        """Find the k nearest codes of each query; any k, also 0."""
        found: list[Found] = []
        for first in range(0, len(tables), _TOGETHER):
            found += self._nearest(tables[first : first + _TOGETHER], k, threads, mask)
        return found

    def _nearest(
        self,
        tables: Sequence[DistanceTable],
        k: int,
        threads: int,
        mask: NDArray[np.bool_] | None,
    ) -> list[Found]:
        codes, n = self._codes, len(self._codes)
        lookup = _Lookup(tables, codes)
        chunks = -(-n // _CHUNK)
        share = -(-chunks // threads) * _CHUNK
        ranges = [(start, min(start + share, n)) for start in range(0, n, share or 1)]

        def scan_range(bounds: tuple[int, int]) -> list[Found]:
            return _scan_range(codes, lookup, k, mask, *bounds)

        if len(ranges) < 2:
            return [ranked(*one) for one in scan_range((0, n))]
        with ThreadPoolExecutor(len(ranges)) as pool:
            parts = list(pool.map(scan_range, ranges))
        found = []
        for of_query in zip(*parts, strict=True):
            steps, positions = (np.concatenate(some) for some in zip(*of_query, strict=True))
            found.append(ranked(*nearest(steps, positions, k)))
        return found

    def steps(
        self, table: DistanceTable, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        """Give the distances to many codes in whole steps, int32 (n,).

        Args:
            table: the query's.
            rows: int64 (n,), of the codes; None for all.
        """
        codes = self._codes
        if rows is not None:
            codes = PackedCodes([codes.rows(rows)], codes.code_bytes)
        lookup, found = _Lookup([table], codes), np.empty(len(codes), np.int32)
        sums = _Sums(lookup, len(codes))
        for start, part in codes.chunks(_CHUNK):
            sums.take(part)
            found[start : start + len(part)] = sums.all_of(0)
        return found


class _Lookup:
    """Queries' tables, summed over what a byte holds, or two bytes where there are many codes.

    Args:
        tables: the queries', one or more.
        codes: that are looked up.

    Attributes:
        of_bytes: int32 (queries, bytes, 256).
        order: numbers of the tables, the one by which codes are farthest first.
        left: what is to come at least, of each query after each of the tables in their order.
    """

    def __init__(self, tables: Sequence[DistanceTable], codes: PackedCodes) -> None:
        self._K = tables[0].quantiser.K
        self.of_bytes = _byte_tables(np.stack([table.integers for table in tables]))
        self._pairs = codes.code_bytes % 2 == 0 and len(codes) >= _PAIRS_FROM
        self._made: dict[tuple[int, int], NDArray[np.int32]] = {}
        size = 2 if self._pairs else 1
        far, least = np.zeros(codes.code_bytes), self.of_bytes.min(axis=2)
        for _, some in codes.chunks(_SAMPLE):
            far = self.of_bytes.mean(axis=0)[np.arange(codes.code_bytes), some].mean(axis=0)
            break
        self.order = np.argsort(-far.reshape(-1, size).sum(axis=1), kind="stable").tolist()
        least = least.reshape(len(tables), -1, size).sum(axis=2)[:, self.order]
        self.left = (least.sum(axis=1, keepdims=True) - np.cumsum(least, axis=1)).tolist()

    def table(self, query: int, number: int) -> NDArray[np.int32]:
        """One of the tables of a query, of 256 entries or of 65,536, made at its first use."""
        if not self._pairs:
            table: NDArray[np.int32] = self.of_bytes[query, number]
            return table
        made = self._made.get((query, number))
        if made is None:
            # Byte 2j is the low half of a little-endian 16-bit number.
            low, high = self.of_bytes[query, 2 * number : 2 * number + 2]
            made = (high[:, None] + low).ravel()
            self._made[query, number] = made
        return made

    def bytes_of(self, number: int) -> range:
        """The bytes of a code that a table is about."""
        return range(2 * number, 2 * number + 2) if self._pairs else range(number, number + 1)

    def numbers(self, part: NDArray[np.uint8]) -> NDArray[np.integer]:
        """Packed codes (n, bytes) as numbers that entries of the tables are named by."""
        check_words(part, self._K)
        return part.view("<u2") if self._pairs else part


class _Sums:
    """Sums of looked-up numbers for a run of codes after the other, in the same memory.

    Args:
        lookup: what is looked up.
        most: rows of a run, or `_CHUNK` if that is less.
    """

    def __init__(self, lookup: _Lookup, most: int) -> None:
        size = min(_CHUNK, most)
        self._lookup, self._size = lookup, size
        self._indices: list[NDArray[np.intp]] = []
        self._looked_up, self._sums, self._near = (
            _room("looked up", size, np.int32),
            _room("sums", size, np.int32),
            _room("near", size, np.bool_),
        )

    def take(self, part: NDArray[np.uint8]) -> None:
        """Begin with another run of packed codes."""
        self._part = np.ascontiguousarray(part)
        self._numbers = self._lookup.numbers(self._part)
        self._known = 0

    def all_of(self, query: int) -> NDArray[np.int32]:
        """The sums of a query for all codes of the run, until others are asked for."""
        for at in range(len(self._lookup.order)):
            sums = self._added(query, at)
        return sums

    def below(
        self, query: int, limit: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The sums of a query that are below a limit, and the rows of their codes, rising.

        Args:
            query: its number.
            limit: of the sums.
            mask: bool (n,), true for the rows that may be found; None for all.
        """
        lookup, near = self._lookup, self._near[: len(self._part)]
        left, last = lookup.left[query], len(lookup.order) - 1
        for at in range(last + 1):
            sums = self._added(query, at)
            if at % 2 or at == last:
                np.less(sums, np.int32(limit - left[at]), out=near)
                if mask is not None:
                    near &= mask
                if at == last or np.count_nonzero(near) * _FEW <= len(near):
                    break
        rows = np.flatnonzero(near)
        found, some = sums.take(rows), self._part.take(rows, axis=0)
        for later in range(at + 1, last + 1):
            if not len(rows):
                break
            for j in lookup.bytes_of(lookup.order[later]):
                found += lookup.of_bytes[query, j].take(some[:, j])
            kept = found < limit - left[later]
            found, rows, some = found[kept], rows[kept], some[kept]
        return found, rows

    def _added(self, query: int, at: int) -> NDArray[np.int32]:
        """Add what one table of a query says of all codes; the first table begins."""
        index = self._index(at)
        table, sums = self._lookup.table(query, self._lookup.order[at]), self._sums[: len(index)]
        # All indices are in range; "wrap" only spares numpy its own check and a buffer.
        if at == 0:
            table.take(index, out=sums, mode="wrap")
        else:
            looked_up = self._looked_up[: len(index)]
            table.take(index, out=looked_up, mode="wrap")
            np.add(sums, looked_up, out=sums)
        return sums

    def _index(self, at: int) -> NDArray[np.intp]:
        """Entries of a table that the codes of the run name, the same for all queries."""
        if at == len(self._indices):
            self._indices.append(_room(f"index {at}", self._size, np.intp))
        numbers, j = self._numbers, self._lookup.order[at]
        index = self._indices[at][: len(numbers)]
        if at == self._known:
            self._known += 1
            if numbers.itemsize * numbers.shape[1] == 8:  # a code is a number that can be shifted
                whole, width = numbers.view("<u8")[:, 0], 8 * numbers.itemsize
                into = index.view(np.uint64)
                if j:
                    whole = np.right_shift(whole, np.uint64(width * j), out=into)
                np.bitwise_and(whole, np.uint64((1 << width) - 1), out=into)
            else:
                index[:] = numbers[:, j]
        return index


def _room(name: str, size: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Memory of this thread for one purpose, kept for the next scan: new pages cost their time."""
    kept: NDArray[Any] | None = getattr(_kept, name, None)
    if kept is None or len(kept) < size:
        kept = np.empty(size, dtype)
        setattr(_kept, name, kept)
    return kept[:size]


def _byte_tables(integers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sum tables (queries, M, K) over what one byte of a packed code holds: (…, bytes, 256)."""
    queries, M, K = integers.shape
    wide = np.zeros((queries, M + M % 2, 16 if K <= 16 else 256), np.int32)
    wide[:, :M, :K] = integers
    if K > 16:
        return wide[:, :M]
    return (wide[:, 1::2, :, None] + wide[:, 0::2, None, :]).reshape(queries, -1, 256)


def _scan_range(
    codes: PackedCodes,
    lookup: _Lookup,
    k: int,
    mask: NDArray[np.bool_] | None,
    first: int,
    stop: int,
) -> list[Found]:
    """Find the k nearest of the codes from ``first`` to ``stop``, in order of position."""
    queries = len(lookup.of_bytes)
    best: list[Found] = [(np.empty(0, np.int32), np.empty(0, np.int64))] * queries
    limits = [int(np.iinfo(np.int32).max)] * queries
    sums = _Sums(lookup, stop - first)
    middle = min(first + _FIRST, stop)
    for bounds in ((first, middle), (middle, stop)):
        for start, part in codes.chunks(_CHUNK, *bounds):
            sums.take(part)
            some = None if mask is None else mask[start : start + len(part)]
            for query in range(queries):
                # A later code at the k-th distance comes after those that are there: "below".
                steps, rows = sums.below(query, limits[query], some)
                if not len(rows):
                    continue
                best[query] = nearest(
                    np.concatenate([best[query][0], steps]),
                    np.concatenate([best[query][1], start + rows]),
                    k,
                )
                if len(best[query][0]) == k > 0:
                    limits[query] = int(best[query][0].max())
    return best


def check_words(part: NDArray[np.uint8], K: int) -> None:
    """Refuse sub-indices that name no word, where the packing has room for such.

    Args:
        part: packed codes.
        K: words of a book.

    Raises:
        SearchError: there is one.
    """
    if K in (16, 256) or part.size == 0:
        return
    largest = part.max() if K > 16 else max((part & 15).max(), (part >> 4).max())
    if largest >= K:
        raise SearchError(
            f"a code names word {largest} of a book of {K}: run `kinpack verify` on the archive"
        )
