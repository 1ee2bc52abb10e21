"""Scanning packed codes for the nearest: exact, ordered by (distance, position).

The numpy engine looks up and adds integers, for each byte of a code or for two bytes at once. The
faiss engine (``fast_scan``) gives the same positions in the same order.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser, pack_codes
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import DistanceTable, SearchError, asymmetric_table
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.fast_scan import FastScan

Engine: TypeAlias = Literal["auto", "numpy", "faiss"]
"""``auto`` is numpy, or faiss once an index has been searched so often that building pays."""

Hits: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions, int64 (h,), and squared distances, float32 (h,), nearest first, h ≤ k."""

_CHUNK = 1 << 14
"""Codes scanned at a time: all that a chunk touches stays in the second-level cache."""

_PAIRS_FROM = 1 << 14
"""Fewest codes for which tables of two bytes, 65,536 entries each, are worth filling."""

_FAISS_PAYS_FROM = 1 << 15
"""Fewest codes of an index that faiss searches faster than numpy."""

_FAISS_PAYS_AFTER = 20_000_000
"""Codes that numpy scans in about the time that importing faiss and building an index takes."""


def top_k(
    codes: NDArray[np.uint8],
    table: DistanceTable,
    k: int,
    *,
    engine: Engine = "auto",
    threads: int = 1,
    mask: NDArray[np.bool_] | None = None,
) -> Hits:
    """Find the k codes nearest to a query; exact, equal distances ordered by position.

    Args:
        codes: uint8 (n, bytes), packed as ``pack_codes`` does; or (n, M) sub-indices.
        table: the query's distances to the words of the codes' own books.
        k: number of hits wanted; all codes are ranked where it is n or more.
        engine: ``faiss`` builds an index for this one search; see ``CodeIndex`` to keep it.
        threads: among which numpy's scan is divided.
        mask: bool (n,), true for the rows that may be found; None for all.

    Returns:
        Positions int64 (h,) and squared distances float32 (h,), h the least of k and the number of
        rows that may be found.

    Raises:
        SearchError: codes, mask or k do not fit.
        CodecError: a sub-index is not below K.
        MissingExtraError: ``engine`` is ``faiss`` and faiss is not installed.
    """
    quantiser = table.quantiser
    if codes.ndim == 2 and codes.shape[1] == quantiser.M != quantiser.code_bytes:
        codes = pack_codes(codes, K=quantiser.K)
    return CodeIndex(codes, quantiser).search(table, k, engine=engine, threads=threads, mask=mask)


class CodeIndex:
    """Packed codes ready to be searched again and again, by several threads at once if need be.

    Attributes:
        codes: uint8 (n, bytes), packed; not copied, and not to be changed.
        quantiser: the books of the codes.

    Raises:
        SearchError: the codes are not of these books.
    """

    def __init__(self, codes: NDArray[np.uint8], quantiser: ProductQuantiser) -> None:
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != quantiser.code_bytes:
            raise SearchError(
                f"codes of shape {codes.shape} and type {codes.dtype} are not packed codes of "
                f"{quantiser.M} books: {quantiser.code_bytes} bytes each are expected"
            )
        self.codes = codes
        self.quantiser = quantiser
        self._scanned = 0
        self._fast: FastScan | None = None
        self._fast_missing = False

    def __len__(self) -> int:
        return len(self.codes)

    def search(
        self,
        query: DistanceTable | NDArray[Any],
        k: int,
        *,
        engine: Engine = "auto",
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> Hits:
        """Find the k codes nearest to a query; exact, equal distances ordered by position.

        Args:
            query: a distance table of the same books, or a descriptor (D,) whose asymmetric table
                is made.
            k: number of hits wanted; all codes are ranked where it is n or more.
            engine: ``auto`` scans with numpy until that has taken about as long as importing faiss
                and building its index would have, then uses faiss where it is installed.
                ``faiss`` leaves to numpy what would need very many candidates.
            threads: among which numpy's scan is divided.
            mask: bool (n,), true for the rows that may be found; None for all.

        Returns:
            Positions int64 (h,) and squared distances float32 (h,), nearest first, h the least of
            k and the number of rows that may be found.

        Raises:
            SearchError: the query, the mask or k do not fit.
            CodecError: a sub-index is not below K.
            MissingExtraError: ``engine`` is ``faiss`` and faiss is not installed.
        """
        table = (
            query if isinstance(query, DistanceTable) else asymmetric_table(self.quantiser, query)
        )
        if table.quantiser is not self.quantiser and not np.array_equal(
            table.quantiser.codebooks, self.quantiser.codebooks
        ):
            raise SearchError("the distance table is of other books than the codes")
        if engine not in ("auto", "numpy", "faiss"):
            raise SearchError(f"there is no engine {engine!r}: use auto, numpy or faiss")
        if k < 0 or threads < 1:
            raise SearchError(f"k = {k} hits and {threads} threads: at least 0 and 1 are needed")
        if mask is not None and (mask.dtype != np.bool_ or mask.shape != (len(self),)):
            raise SearchError(f"a mask is one bool for each of the {len(self)} codes")
        fast = self._fast_scan(engine)
        found = None
        if fast is not None and k > 0 and len(self) > 0:
            found = fast.search(table, k, mask)
        if found is None:
            found = _scan(self.codes, table, k, threads, mask)
            self._scanned += len(self)
        steps, positions = found
        return positions, table.in_units(steps)

    def _fast_scan(self, engine: Engine) -> FastScan | None:
        """Give faiss's index where it is to be used, building it the first time."""
        if engine == "numpy":
            return None
        if engine == "auto" and (
            self._fast_missing or len(self) < _FAISS_PAYS_FROM or self._scanned < _FAISS_PAYS_AFTER
        ):
            return self._fast
        if self._fast is None:
            try:
                self._fast = FastScan(self.codes, self.quantiser)
            except MissingExtraError:
                if engine == "faiss":
                    raise
                self._fast_missing = True
        return self._fast


def _scan(
    codes: NDArray[np.uint8],
    table: DistanceTable,
    k: int,
    threads: int,
    mask: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Scan with numpy: steps and positions of the k nearest, nearest first."""
    n = len(codes)
    tables = _byte_tables(table)
    paired = codes.shape[1] % 2 == 0 and n >= _PAIRS_FROM
    if paired:
        # Byte 2j is the low half of a little-endian 16-bit number.
        tables = (tables[1::2, :, None] + tables[0::2, None, :]).reshape(-1, 1 << 16)
    chunks = -(-n // _CHUNK)
    share = -(-chunks // threads) * _CHUNK
    ranges = [(start, min(start + share, n)) for start in range(0, n, share or 1)]

    def scan_range(bounds: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        return _scan_range(codes, tables, k, mask, table.quantiser.K, *bounds)

    if len(ranges) < 2:
        found = [scan_range(bounds) for bounds in ranges]
    else:
        with ThreadPoolExecutor(len(ranges)) as pool:
            found = list(pool.map(scan_range, ranges))
    steps = np.concatenate([part[0] for part in found] or [np.empty(0, np.int32)])
    positions = np.concatenate([part[1] for part in found] or [np.empty(0, np.int64)])
    return ranked(*nearest(steps, positions, k))


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
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest of the codes from ``first`` to ``stop``, in order of position."""
    best = np.empty(0, np.int32), np.empty(0, np.int64)
    limit = np.iinfo(np.int32).max
    size = min(_CHUNK, stop - first)
    index, looked_up, sums = (
        np.empty(size, np.intp),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
    )
    for start in range(first, stop, _CHUNK):
        part = np.ascontiguousarray(codes[start : min(start + _CHUNK, stop)])
        _check(part, K)
        if tables.shape[1] == 1 << 16:
            part = part.view("<u2")
        n = len(part)
        for j, entries in enumerate(tables):
            index[:n] = part[:, j]
            # All indices are in range; "wrap" only spares numpy its own check and a buffer.
            if j == 0:
                np.take(entries, index[:n], out=sums[:n], mode="wrap")
            else:
                np.take(entries, index[:n], out=looked_up[:n], mode="wrap")
                sums[:n] += looked_up[:n]
        # A later code at the k-th distance comes after the k that are there: "below" is enough.
        nearer = sums[:n] < limit
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
