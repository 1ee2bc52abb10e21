"""The numpy engine: scans packed codes for the nearest, exact, ordered by (distance, position).

It looks up and adds integers, for each byte of a code or for two bytes at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import DistanceTable, SearchError
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.engine import Found

_CHUNK = 1 << 14
"""Codes scanned at a time: all that a chunk touches stays in the second-level cache."""

_PAIRS_FROM = 1 << 14
"""Fewest codes for which tables of two bytes, 65,536 entries each, are worth filling."""


class NumpyScan:
    """Packed codes, scanned as they are.

    Args:
        codes: uint8 (n, bytes), packed.
        quantiser: the books.
    """

    def __init__(self, codes: NDArray[np.uint8], quantiser: ProductQuantiser) -> None:
        self._codes = codes

    def search(
        self,
        table: DistanceTable,
        k: int,
        *,
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> Found:
        """Find the k nearest codes; any k, also 0."""
        codes, n = self._codes, len(self._codes)
        tables = _tables(table, codes)
        chunks = -(-n // _CHUNK)
        share = -(-chunks // threads) * _CHUNK
        ranges = [(start, min(start + share, n)) for start in range(0, n, share or 1)]

        def scan_range(bounds: tuple[int, int]) -> Found:
            return _scan_range(codes, tables, k, mask, table.quantiser.K, *bounds)

        if len(ranges) < 2:
            found = [scan_range(bounds) for bounds in ranges]
        else:
            with ThreadPoolExecutor(len(ranges)) as pool:
                found = list(pool.map(scan_range, ranges))
        steps = np.concatenate([part[0] for part in found] or [np.empty(0, np.int32)])
        positions = np.concatenate([part[1] for part in found] or [np.empty(0, np.int64)])
        return ranked(*nearest(steps, positions, k))

    def steps(
        self, table: DistanceTable, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        """Give the distances to many codes in whole steps, int32 (n,).

        Args:
            table: the query's.
            rows: int64 (n,), of the codes; None for all.
        """
        codes = self._codes if rows is None else self._codes[rows]
        sums, found = _Sums(_tables(table, codes), len(codes)), np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _CHUNK):
            part = np.ascontiguousarray(codes[start : start + _CHUNK])
            _check(part, table.quantiser.K)
            found[start : start + _CHUNK] = sums.of(part)
        return found


def _tables(table: DistanceTable, codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Sum the table over what a byte of a code holds, or two bytes where there are many codes."""
    tables = _byte_tables(table)
    if codes.shape[1] % 2 == 0 and len(codes) >= _PAIRS_FROM:
        # Byte 2j is the low half of a little-endian 16-bit number.
        tables = (tables[1::2, :, None] + tables[0::2, None, :]).reshape(-1, 1 << 16)
    return tables


class _Sums:
    """Sums of looked-up numbers for a chunk of codes after the other, in the same memory."""

    def __init__(self, tables: NDArray[np.int32], most: int) -> None:
        size = min(_CHUNK, most)
        self._tables = tables
        self._index, self._looked_up, self._sums = (
            np.empty(size, np.intp),
            np.empty(size, np.int32),
            np.empty(size, np.int32),
        )

    def of(self, part: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The sums for packed codes, at most a chunk of them, until the next are asked for."""
        n = len(part)
        index, looked_up, sums = self._index[:n], self._looked_up[:n], self._sums[:n]
        entries_of = part.view("<u2") if self._tables.shape[1] == 1 << 16 else part
        for j, entries in enumerate(self._tables):
            index[:] = entries_of[:, j]
            # All indices are in range; "wrap" only spares numpy its own check and a buffer.
            if j == 0:
                np.take(entries, index, out=sums, mode="wrap")
            else:
                np.take(entries, index, out=looked_up, mode="wrap")
                sums += looked_up
        return sums


def _byte_tables(table: DistanceTable) -> NDArray[np.int32]:
    """Sum the table over what one byte of a packed code holds: int32 (bytes, 256)."""
    M, K = table.integers.shape
    wide = np.zeros((M + M % 2, 16 if K <= 16 else 256), np.int32)
    wide[:M, :K] = table.integers
    if K > 16:
        return wide[:M]
    return (wide[1::2, :, None] + wide[0::2, None, :]).reshape(-1, 256)


def _scan_range(
    codes: NDArray[np.uint8],
    tables: NDArray[np.int32],
    k: int,
    mask: NDArray[np.bool_] | None,
    K: int,
    first: int,
    stop: int,
) -> Found:
    """Find the k nearest of the codes from ``first`` to ``stop``, in order of position."""
    best = np.empty(0, np.int32), np.empty(0, np.int64)
    limit = np.iinfo(np.int32).max
    chunk_sums = _Sums(tables, stop - first)
    for start in range(first, stop, _CHUNK):
        part = np.ascontiguousarray(codes[start : min(start + _CHUNK, stop)])
        _check(part, K)
        n, sums = len(part), chunk_sums.of(part)
        # A later code at the k-th distance comes after the k that are there: "below" is enough.
        nearer = sums < limit
        if mask is not None:
            nearer &= mask[start : start + n]
        rows = np.flatnonzero(nearer)
        if len(rows):
            best = nearest(
                np.concatenate([best[0], sums[rows]]), np.concatenate([best[1], start + rows]), k
            )
            if len(best[0]) == k > 0:
                limit = int(best[0].max())
    return best


def _check(part: NDArray[np.uint8], K: int) -> None:
    """Refuse sub-indices that name no word, where the packing has room for such."""
    if K in (16, 256) or part.size == 0:
        return
    largest = part.max() if K > 16 else max((part & 15).max(), (part >> 4).max())
    if largest >= K:
        raise SearchError(
            f"a code names word {largest} of a book of {K}: run `kinpack verify` on the archive"
        )
