"""The index: packed codes behind one face, whichever engine searches them."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import DistanceTable, SearchError, asymmetric_table
from kinpack.search.distances.poses import Poses
from kinpack.search.engines.engine import Engine, Found
from kinpack.search.engines.numpy_scan import NumpyScan
from kinpack.search.engines.table import ENGINES, check_engine

Hits: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions, int64 (h,), and squared distances, float32 (h,), nearest first, h ≤ k."""

FEW = 10
"""Where a mask lets one row pass of so many, or fewer, those rows alone are scanned."""


class Index:
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
        self._numpy = NumpyScan(codes, quantiser)
        self._built: dict[str, Engine] = {"numpy": self._numpy}
        self._missing: set[str] = set()
        self._building = threading.Lock()

    def __len__(self) -> int:
        return len(self.codes)

    def search(
        self,
        query: DistanceTable | NDArray[Any],
        k: int,
        *,
        engine: str = "auto",
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
        steps, positions = self._found(table, k, engine, threads, mask)
        return positions, table.in_units(steps)

    def nearest(
        self,
        poses: Poses,
        k: int,
        *,
        engine: str = "auto",
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the k codes nearest to an example in any pose; as ``search`` does, and raises.

        Returns:
            Positions int64 (h,) and squared distances float64 (h,), each the least by any pose.
        """
        found = [self._found(table, k, engine, threads, mask) for table in poses.tables]
        rows = np.concatenate([of_table for _, of_table in found])
        both = zip(poses.tables, found, strict=True)
        distances = np.concatenate([poses.distances(table, one[0]) for table, one in both])
        order = np.lexsort((rows, distances))
        _, first = np.unique(rows[order], return_index=True)
        kept = order[np.sort(first)][:k]
        return rows[kept], distances[kept]

    def distances(self, poses: Poses, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """The distances of codes from an example, exact, float64 (n,).

        Args:
            poses: of the example.
            rows: int64 (n,), of the codes; None for all.

        Raises:
            SearchError: a sub-index is not below K.
        """
        return poses.nearest(self._numpy.steps(table, rows) for table in poses.tables)

    def _found(
        self,
        table: DistanceTable,
        k: int,
        engine: str,
        threads: int,
        mask: NDArray[np.bool_] | None,
    ) -> Found:
        """What an engine finds; of few rows that may be found, those alone are scanned."""
        check_engine(engine)
        if k < 0 or threads < 1:
            raise SearchError(f"k = {k} hits and {threads} threads: at least 0 and 1 are needed")
        if mask is not None and (mask.dtype != np.bool_ or mask.shape != (len(self),)):
            raise SearchError(f"a mask is one bool for each of the {len(self)} codes")
        if mask is not None and np.count_nonzero(mask) * FEW <= len(self):
            rows = np.flatnonzero(mask)
            self._scanned += len(rows)
            few = NumpyScan(self.codes[rows], self.quantiser)
            steps, among = few.search(table, k, threads=threads)
            return steps, rows[among]
        name = self._paying() if engine == "auto" else engine
        chosen = self._engine(name)
        found = None
        if name != "numpy" and k > 0 and len(self) > 0:
            found = chosen.search(table, k, threads=threads, mask=mask)
        if found is None:
            found = self._numpy.search(table, k, threads=threads, mask=mask)
            self._scanned += len(self)
        return found

    def _paying(self) -> str:
        """The engine that ``auto`` takes: the last that is built, or is worth being built."""
        for name, entry in reversed(ENGINES.items()):
            if name in self._built:
                return name
            if name in self._missing or len(self) < entry.from_codes:
                continue
            if self._scanned < entry.after_scanned:
                continue
            try:
                self._engine(name)
            except MissingExtraError:
                self._missing.add(name)
                continue
            return name
        return "numpy"

    def _engine(self, name: str) -> Engine:
        """An engine over the codes, built at its first use."""
        if name not in self._built:
            with self._building:  # but nobody waits who scans with another
                if name not in self._built:
                    self._built[name] = ENGINES[name].build(self.codes, self.quantiser)
        return self._built[name]
