"""The index: packed codes behind one face, whichever engine searches them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import MissingExtraError
from kinpack.search.distances.distance import (
    DistanceTable,
    SearchError,
    asymmetric_tables,
    check_descriptor,
)
from kinpack.search.distances.poses import Poses
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.engine import Engine, Found
from kinpack.search.engines.numpy_scan import NumpyScan
from kinpack.search.engines.packed_codes import PackedCodes
from kinpack.search.engines.table import ENGINES, check_engine

Hits: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions, int64 (h,), and squared distances, float32 (h,), nearest first, h ≤ k."""

FEW = 10
"""Where a mask lets one row pass of so many, or fewer, those rows alone are scanned."""


class Index:
    """Packed codes ready to be searched again and again, by several threads at once if need be.

    Args:
        codes: uint8 (n, bytes), packed, in one piece or in several; not copied, and not to be
            changed.
        quantiser: the books of the codes.

    Attributes:
        codes: packed.
        quantiser: the books of the codes.

    Raises:
        SearchError: the codes are not of these books.
    """

    def __init__(self, codes: NDArray[np.uint8] | PackedCodes, quantiser: ProductQuantiser) -> None:
        if isinstance(codes, np.ndarray):
            codes = _checked(codes, quantiser)
        self.codes = codes
        self.quantiser = quantiser
        self._scanned = 0
        self._numpy = NumpyScan(codes, quantiser)
        self._built: dict[str, Engine] = {"numpy": self._numpy}
        self._missing: set[str] = set()
        self._building = threading.Lock()
        self._few: tuple[NDArray[np.bool_], NDArray[np.int64], NumpyScan] | None = None

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
        return self.search_many([query], k, engine=engine, threads=threads, mask=mask)[0]

    def search_many(
        self,
        queries: Sequence[DistanceTable | NDArray[Any]],
        k: int,
        *,
        engine: str = "auto",
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> list[Hits]:
        """Find what is nearest to each of several queries, in less time than one by one.

        Args:
            queries: each as for ``search``, and so is all else; it raises as that does.
            k: number of hits wanted of each.
            engine: the same for all.
            threads: among which numpy's scan is divided.
            mask: of the rows that may be found.

        Returns:
            Of each query what ``search`` gives.
        """
        tables = self._tables(queries)
        found = self._found(tables, k, engine, threads, mask)
        both = zip(tables, found, strict=True)
        return [(positions, table.in_units(steps)) for table, (steps, positions) in both]

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
        return self.nearest_many([poses], k, engine=engine, threads=threads, mask=mask)[0]

    def nearest_many(
        self,
        examples: Sequence[Poses],
        k: int,
        *,
        engine: str = "auto",
        threads: int = 1,
        mask: NDArray[np.bool_] | None = None,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Find what is nearest to each of several examples; of each what ``nearest`` gives."""
        tables = [table for poses in examples for table in poses.tables]
        found = iter(self._found(tables, k, engine, threads, mask))
        return [_least(poses, [next(found) for _ in poses.tables], k) for poses in examples]

    def distances(self, poses: Poses, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """The distances of codes from an example, exact, float64 (n,).

        Args:
            poses: of the example.
            rows: int64 (n,), of the codes; None for all.

        Raises:
            SearchError: a sub-index is not below K.
        """
        return poses.nearest(self._numpy.steps(table, rows) for table in poses.tables)

    def _tables(self, queries: Sequence[DistanceTable | NDArray[Any]]) -> list[DistanceTable]:
        """The distance tables of queries, those of descriptors made together."""
        described = [one for one in queries if not isinstance(one, DistanceTable)]
        for descriptor in described:
            check_descriptor(self.quantiser, np.shape(descriptor))
        made = iter(asymmetric_tables(self.quantiser, np.array(described)) if described else ())
        tables = []
        for one in queries:
            table = one if isinstance(one, DistanceTable) else next(made)
            tables.append(table)
            if table.quantiser is not self.quantiser and not np.array_equal(
                table.quantiser.codebooks, self.quantiser.codebooks
            ):
                raise SearchError("the distance table is of other books than the codes")
        return tables

    def _found(
        self,
        tables: Sequence[DistanceTable],
        k: int,
        engine: str,
        threads: int,
        mask: NDArray[np.bool_] | None,
    ) -> list[Found]:
        """What an engine finds; of few rows that may be found, those alone are scanned."""
        check_engine(engine)
        if k < 0 or threads < 1:
            raise SearchError(f"k = {k} hits and {threads} threads: at least 0 and 1 are needed")
        if mask is not None:
            if mask.dtype != np.bool_ or mask.shape != (len(self),):
                raise SearchError(f"a mask is one bool for each of the {len(self)} codes")
            if (few := self._scan_of_few(mask)) is not None:
                rows, scan = few
                self._scanned += len(rows) * len(tables)
                both = scan.search(tables, k, threads=threads)
                return [(steps, rows[among]) for steps, among in both]
        name = self._paying() if engine == "auto" else engine
        found: list[Found | None] = [None] * len(tables)
        if tables and name != "numpy" and k > 0 and len(self) > 0:
            found = list(self._engine(name).search(tables, k, threads=threads, mask=mask))
        made = []
        for table, one in zip(tables, found, strict=True):
            if one is None:
                (one,) = self._numpy.search([table], k, threads=threads, mask=mask)
                self._scanned += len(self)
            made.append(one)
        return made

    def _scan_of_few(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NumpyScan] | None:
        """The rows that a mask lets pass and a scan of them, where they are few.

        Those of the last mask are kept, if it is one that cannot be changed.
        """
        kept = self._few
        if kept is not None and kept[0] is mask:
            return kept[1:]
        if np.count_nonzero(mask) * FEW > len(self):
            return None
        rows = np.flatnonzero(mask)
        few = PackedCodes([self.codes.rows(rows)], self.codes.code_bytes)
        made = mask, rows, NumpyScan(few, self.quantiser)
        if not mask.flags.writeable:
            self._few = made
        return made[1:]

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


def _checked(codes: NDArray[np.uint8], quantiser: ProductQuantiser) -> PackedCodes:
    """An array of packed codes, which has to be of some books."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != quantiser.code_bytes:
        raise SearchError(
            f"codes of shape {codes.shape} and type {codes.dtype} are not packed codes of "
            f"{quantiser.M} books: {quantiser.code_bytes} bytes each are expected"
        )
    return PackedCodes([codes], quantiser.code_bytes)


def _least(
    poses: Poses, found: Sequence[Found], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest to an example, of what is nearest to each of its poses."""
    both = zip(poses.tables, found, strict=True)
    distances = np.concatenate([poses.distances(table, steps) for table, (steps, _) in both])
    if len(found) == 1:
        return found[0][1], distances
    rows = np.concatenate([positions for _, positions in found])
    of_rows = np.lexsort((distances, rows))
    first = np.ones(len(rows), bool)
    first[1:] = rows[of_rows[1:]] != rows[of_rows[:-1]]
    rows, distances = rows[of_rows[first]], distances[of_rows[first]]
    distances, rows = ranked(*nearest(distances, rows, k))
    return rows, distances
