"""The searcher: one revision, asked again and again, by several threads at once.

A query is answered step by step:

1. Filters make a mask of the images that may be found.
2. The nearest of these are found by their codes, exactly; longer codes order the first anew.
3. What lies too far away is dropped, and what shows the same picture as a nearer hit.
4. The first are drawn and compared with the picture that is sought; those that show it come first.
5. The page that was asked for is cut out.

No lock is held while codes are scanned.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.by_words import first_with_words, found_by_words
from kinpack.archive.searching.column import Column
from kinpack.archive.searching.comparing import COMPARED, compared, many_compared, same_first
from kinpack.archive.searching.filtering import passing
from kinpack.archive.searching.finer import ORDERED_ANEW, Found, finer_column, ordered_anew
from kinpack.archive.searching.searched import Searched
from kinpack.archive.searching.sought import Sought
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import SearchError
from kinpack.search.distances.poses import Poses
from kinpack.search.distances.ranking import nearest, ranked
from kinpack.search.engines.table import check_engine
from kinpack.search.hit import Hit
from kinpack.search.query import Query
from kinpack.search.scale import TWIN_SHARE, similarities

_MORE = 4  # times as many candidates are looked at where too many of them are the same


class Weighed(NamedTuple):
    """A column of codes and what its distances are taken times in a sum."""

    column: Column
    factor: float


class Searcher:
    """What answers queries of one revision.

    Args:
        searched: the revision.
    """

    def __init__(self, searched: Searched) -> None:
        self._searched = searched
        self._columns: dict[str, Column] = {}
        self._making = threading.Lock()
        self._mask: tuple[dict[str, Any] | None, NDArray[np.bool_] | None] = None, None

    def search(self, queries: Sequence[Query], *, engine: str, threads: int) -> list[list[Hit]]:
        """Answer queries, those of the same codes in one scan; raises as ``Reader.search``."""
        check_engine(engine)
        runs = []
        for query in queries:
            mask = self._passing(query)
            weighed = self._weighed(query)
            runs.append(_Run(query, weighed, mask, self._searched, engine, threads))
        if len(runs) > 1:
            _scan_together(runs)
        return [self._answered(query, run) for query, run in zip(queries, runs, strict=True)]

    def _answered(self, query: Query, run: _Run) -> list[Hit]:
        """The hits of one query."""
        positions, distances = run.found(run.most)
        number = query.number_compared
        told = distances.astype(np.float32)
        if query.words is not None:
            alike = np.exp(-told.astype(np.float64))
        else:
            alike = similarities(told, run.apart)
        values: list[float | None] = [None] * len(positions)
        if (picture := self._picture(query)) is not None:
            if number is None:
                number = many_compared(self._searched.rows.pixels_at(positions[:COMPARED]))
            looked = compared(picture, positions[:number].tolist(), self._searched.draw)
            values[: len(looked)] = looked
        page = same_first(values)[int(query.offset) : query.last]
        return self._hits(
            positions[page],
            told[page].tolist(),
            alike[page].round(4).tolist(),
            [values[place] for place in page],
        )

    def _picture(self, query: Query) -> Image | None:
        """The picture that hits are compared with, ``None`` where none are."""
        if query.number_compared == 0:
            return None
        picture = query.single
        if isinstance(picture, str):
            picture = self._searched.draw(self._searched.rows.position(picture))
        return picture

    def _hits(
        self,
        positions: NDArray[np.int64],
        distances: list[float],
        alike: list[float],
        compared_to: list[float | None],
    ) -> list[Hit]:
        """Hits, with what the archive tells of their images."""
        known = self._searched.rows.told_at(positions)
        ids, labels, others = known.pop("id"), known.pop("label"), list(known)
        return [
            Hit(
                id,
                label,
                distance,
                at,
                similarity if value is None else value,
                value is not None,
                dict(zip(others, values, strict=True)),
            )
            for id, label, distance, at, similarity, value, *values in zip(  # noqa: A001
                ids,
                labels,
                distances,
                positions.tolist(),
                alike,
                compared_to,
                *known.values(),
                strict=True,
            )
        ]

    def _passing(self, query: Query) -> NDArray[np.bool_] | None:
        """The mask of a query's filters; that of the last ones is kept."""
        filters, mask = self._mask
        if filters is None or not _same(filters, query.filters):
            mask = passing(self._searched.rows, query)
            if mask is not None:
                mask.setflags(write=False)  # so that an index may keep what passes
            self._mask = query.filters, mask
        return mask

    def _weighed(self, query: Query) -> list[Weighed]:
        """The columns whose distances are summed; one alone as they are."""
        if isinstance(query.codes, Mapping):
            if query.words is not None or (query.vector is not None and len(query.codes) > 1):
                raise SearchError(
                    "a vector, or words, belong to the codes of one describer: name one"
                )
            columns = [(self._column(name), weight) for name, weight in query.codes.items()]
            return [Weighed(one, weight / one.apart) for one, weight in columns]
        name = query.codes
        if name == "auto":
            name = self.usual if query.words is None else first_with_words(self._searched)
        return [Weighed(self._column(name), 1.0)]

    @property
    def usual(self) -> str:
        """The name of the column that is searched where none is named.

        Raises:
            SearchError: there is none.
        """
        if not self._searched.columns:
            raise SearchError(
                f"{self._searched.rows.where}: it has no codes to search; add some with: kinpack "
                "embed"
            )
        return self._searched.columns[0]

    def _column(self, name: str) -> Column:
        """A column of codes, made ready at the first need."""
        column = self._columns.get(name)
        if column is None:
            describer, rows = self._searched.described(name), self._searched.rows
            with self._making:
                column = self._columns.get(name)
                if column is None:
                    column = Column(name, describer, *rows.codes_of(name), len(rows))
                    self._columns[name] = column
        return column


def _same(filters: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether filters are equal; what expressions give for ``==`` is another expression."""
    return filters.keys() == others.keys() and all(
        value is others[name]
        or (value.equals(others[name]) if name == "where" else value == others[name])
        for name, value in filters.items()
    )


def _scan_together(runs: Sequence[_Run]) -> None:
    """Scan once for all runs that ask for as many of the same codes."""
    groups: dict[tuple[object, ...], list[_Run]] = {}
    for run in runs:
        if (alike := run.alike) is not None:
            groups.setdefault(alike, []).append(run)
    for group in groups.values():
        found = _scan(group, group[0].asked_of_scan(group[0].most))
        for run, one in zip(group, found, strict=True):
            run.scanned = one


def _scan(runs: Sequence[_Run], scanned: int) -> list[tuple[int, Found]]:
    """Find the nearest codes of runs that are alike, so many of each, which stand beside them."""
    first = runs[0]
    column = first.column
    found = column.index.nearest_many(
        [run.single for run in runs if run.single is not None],
        scanned,
        engine=first.engine,
        threads=first.threads,
        mask=column.passing(first.mask),
    )
    return [(scanned, one) for one in found]


class _Run:
    """One query on its way."""

    def __init__(
        self,
        query: Query,
        weighed: list[Weighed],
        mask: NDArray[np.bool_] | None,
        searched: Searched,
        engine: str,
        threads: int,
    ) -> None:
        self._query, self._weighed, self.mask = query, weighed, mask
        self._searched = searched
        self.engine, self.threads = engine, threads
        number = query.number_compared
        self.most = max(query.last, COMPARED if number is None else number)
        self.scanned: tuple[int, Found] | None = None
        self._plain = len(weighed) == 1 and not isinstance(query.codes, Mapping)
        self._sought: list[Sought] = []
        if query.words is None:
            self._sought = [self._of(one.column) for one in weighed]

    @property
    def _finer(self) -> str | None:
        """The name of the column that orders the first hits anew, ``None`` without any."""
        name = finer_column(self._weighed[0].column.name)
        return name if self._plain and name in self._searched.columns else None

    @property
    def apart(self) -> float:
        """What strangers lie apart, in the units of the distances that are told."""
        if self._plain:
            return self._weighed[0].column.apart
        return sum(one.factor * one.column.apart for one in self._weighed)

    def found(self, most: int) -> Found:
        """What is told, nearest first, up to so many."""
        within, many = self._query.within, most
        while True:
            positions, distances = self._nearest(many)
            ended = len(positions) < many
            if within is not None:
                near = distances.astype(np.float32) <= within
                # Past those that longer codes order anew, distances only rise.
                rises = many > (ORDERED_ANEW if self._finer else 0)
                ended = ended or (rises and not near[-1])
                positions, distances = positions[near], distances[near]
            if self._query.distinct:
                kept = self._distinct(positions, most)
                positions, distances = positions[kept], distances[kept]
            if ended or len(positions) >= most:
                return positions[:most], distances[:most]
            many *= _MORE

    def _nearest(self, many: int) -> Found:
        """Positions and distances of what is nearest, many of them or all that there are."""
        column = self._weighed[0].column
        if self._query.words is not None:
            return found_by_words(self._query.words, many, column, self._searched, self.mask)
        finer, scanned = self._finer, self.asked_of_scan(many)
        if self.single is None:
            hits = self._summed(scanned)
        else:
            if self.scanned is None or self.scanned[0] != scanned:
                self.scanned = _scan([self], scanned)[0]
            rows, distances = self.scanned[1]
            hits = column.positions_of(rows), distances
        if finer is not None:
            longer = self._searched.rows.codes_at(finer, hits[0][:ORDERED_ANEW].tolist())
            finest = self._searched.described(finer)
            sought = Sought.of(self._query, finer, finest, self._searched.rows)
            sought = replace(sought, apart=self._sought[0].apart)
            hits = ordered_anew(hits, longer, finest.quantiser, sought.of_codes)
        if self._plain and isinstance(self._query.single, str) and len(hits[0]):
            hits = self._itself_first(hits, self._searched.rows.position(self._query.single))
        return hits[0][:many], hits[1][:many]

    @property
    def column(self) -> Column:
        """The first of the columns, or the only one."""
        return self._weighed[0].column

    @property
    def single(self) -> Poses | None:
        """The one example by the codes of one column, ``None`` where it is another question."""
        return self._sought[0].single if self._plain and self._sought else None

    def asked_of_scan(self, many: int) -> int:
        """How many codes are asked for so that so many are told."""
        return many if self._finer is None else max(many, ORDERED_ANEW)

    @property
    def alike(self) -> tuple[object, ...] | None:
        """What is the same of queries that one scan may answer, ``None`` where none can."""
        if self.single is None:
            return None
        return self._weighed[0].column.name, self.asked_of_scan(self.most), id(self.mask)

    def _of(self, column: Column) -> Sought:
        """The examples among the codes of a column."""
        found = Sought.of(self._query, column.name, column.describer, self._searched.rows)
        return replace(found, apart=column.apart) if found.unliked else found

    def _summed(self, k: int) -> Found:
        """The k nearest by the sum over columns and examples: of all images it is taken."""
        positions = self._candidates()
        total = np.zeros(len(positions))
        for (column, factor), examples in zip(self._weighed, self._sought, strict=True):
            rows = None if len(positions) == len(column.packed) else column.rows_of(positions)
            distances = examples.joined(
                [column.index.distances(one, rows) for one in examples.liked],
                [column.index.distances(one, rows) for one in examples.unliked],
            )
            total += factor * distances
        distances, positions = ranked(*nearest(total, positions, k))
        return positions, distances

    def _candidates(self) -> NDArray[np.int64]:
        """Positions of the images that may be found, and have a code in each of the columns."""
        positions = self._weighed[0].column.positions
        for column, _ in self._weighed[1:]:
            positions = np.intersect1d(positions, column.positions, assume_unique=True)
        return positions if self.mask is None else positions[self.mask[positions]]

    def _itself_first(self, hits: Found, position: int) -> Found:
        """Put the image whose own code was asked for before those that have the same code.

        Nothing is nearer than it. It may be too far behind in a long row of such images.
        """
        if self.mask is not None and not self.mask[position]:
            return hits
        others = hits[0] != position
        positions = np.concatenate([np.array([position]), hits[0][others]])
        distances = np.concatenate([hits[1][:1], hits[1][others]])
        return positions[: len(hits[0])], distances[: len(hits[0])]

    def _distinct(self, positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """Places of the hits that show another picture than all that are kept before them."""
        vectors = [one.column.vectors(positions).astype(np.float64) for one in self._weighed]
        factors = [one.factor for one in self._weighed]
        limit = sum(TWIN_SHARE * one.column.apart * one.factor for one in self._weighed)
        kept: list[int] = []
        for place in range(len(positions)):
            apart = np.zeros(len(kept))
            for factor, some in zip(factors, vectors, strict=True):
                apart += factor * np.square(some[kept] - some[place]).sum(axis=1)
            if (apart > limit).all():
                kept.append(place)
                if len(kept) == most:
                    break
        return np.array(kept, np.int64)
