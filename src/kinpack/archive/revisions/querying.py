"""Queries: what is asked of an archive's codes, a picture, one of its images, or a vector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import NotFoundError
from kinpack.pictures.images import Image, ImageLike, as_image
from kinpack.search.distances.distance import (
    DistanceTable,
    SearchError,
    asymmetric_table,
    symmetric_table,
)
from kinpack.search.hit import Mode
from kinpack.search.index import Index

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


class Vector(NamedTuple):
    """A query by numbers, float32 (E,)."""

    numbers: NDArray[np.float32]


Query: TypeAlias = Image | str | Vector
"""A picture, uint8 (H, W, C); the id of an image; or a vector."""


ORDERED_ANEW = 100
"""Hits that longer codes order anew, where there are some."""


def finer_column(name: str) -> str:
    """The column whose codes order anew what is nearest by another column."""
    return f"{name}-fine"


def as_query(
    query: ImageLike | None, vector: Sequence[float] | NDArray[Any] | None, compare: int | None
) -> Query:
    """Give what is asked, checked.

    Args:
        query: a picture or the id of an image, unless a vector is given.
        vector: numbers (D,).
        compare: how many hits are drawn and compared, which needs a picture.

    Raises:
        ImageError: the query is no image.
        SearchError: both are given, or neither, or the vector is none.
    """
    if (query is None) == (vector is None):
        raise SearchError(
            "a search is by a query (an image, the path of a picture, an id) or by a vector: give "
            "one of them"
        )
    if vector is None:
        return query if isinstance(query, str) else as_image(query, "the query")  # type: ignore[arg-type]
    if compare:
        raise SearchError("a vector is no picture that hits can be compared with: leave `compare`")
    try:
        numbers = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise SearchError(f"the vector of a search is no list of numbers ({error})") from error
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise SearchError(
            f"the vector of a search is of shape (D,), and finite, not {numbers.shape}"
        )
    return Vector(numbers)


def distance_tables(
    query: Query, mode: Mode, column: str, describer: Describer, snapshot: Snapshot, where: str
) -> list[DistanceTable]:
    """Make the tables by which a query's distance from every code is summed.

    There is one, and of a picture whose describer looks for its turns one for each of them; where
    mirror images have other codes, for those of its mirror image as well.

    Args:
        query: of an id the stored code is taken.
        mode: whether the query's own descriptor is compared, or its product code.
        column: name of the codes.
        describer: what made them.
        snapshot: the revision.
        where: what messages call the archive.

    Raises:
        NotFoundError: the id is not there, or has no such code.
        SearchError: there is no such mode, or a vector is of another size.
    """
    if mode not in ("asymmetric", "symmetric"):
        raise SearchError(f"there is no mode {mode!r}: use asymmetric or symmetric")
    if isinstance(query, str):
        if query not in snapshot and os.path.isfile(query):  # noqa: PTH113 (which never raises)
            raise NotFoundError(
                f"{where}: it holds no image {query!r}, which is a file: search for its picture "
                f"with pathlib.Path({query!r})"
            )
        return [
            symmetric_table(describer.searched, code_of(query, column, describer, snapshot, where))
        ]
    if isinstance(query, Vector):
        vectors = describer.projected(query.numbers[None])
    else:
        vectors = describer.describe(describer.poses(query))
    if mode == "symmetric":
        return [
            symmetric_table(describer.searched, one) for one in describer.quantiser.encode(vectors)
        ]
    return [asymmetric_table(describer.searched, one) for one in describer.weighted(vectors)]


def code_of(
    id: str,  # noqa: A002
    column: str,
    describer: Describer,
    snapshot: Snapshot,
    where: str,
) -> NDArray[np.uint8]:
    """The sub-indices, uint8 (M,), of an image's code.

    Args:
        id: of the image.
        column: name of the codes.
        describer: what made them.
        snapshot: the revision.
        where: what messages call the archive.

    Raises:
        NotFoundError: the id is not there, or has no such code.
    """
    (packed,) = snapshot.codes_at(column, [snapshot.position(id)])
    if packed is None:
        raise NotFoundError(
            f"{where}: image {id!r} has no code {column!r} yet; give it one with: kinpack embed"
        )
    code: NDArray[np.uint8] = describer.quantiser.unpack(np.frombuffer(packed, np.uint8)[None])[0]
    return code


def nearest(
    index: Index, tables: Sequence[DistanceTable], k: int, *, engine: str, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows nearest by any of several tables, nearest first, equal ones in their order.

    Args:
        index: of the codes.
        tables: of one query.
        k: how many, or all if there are fewer.
        engine: as for ``Index.search``.
        threads: as for ``Index.search``.

    Returns:
        Rows int64 (h,), and squared distances float32 (h,), each the least by any table.
    """
    found = [index.search(table, k, engine=engine, threads=threads) for table in tables]
    rows, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((rows, distances))
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)][:k]
    return rows[kept], distances[kept]


def ordered_anew(
    hits: tuple[NDArray[np.int64], NDArray[np.float32]],
    packed: Sequence[bytes | None],
    tables: Sequence[DistanceTable],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Order the first hits by longer codes; those that have none keep their places.

    Args:
        hits: positions int64 (h,), and squared distances float32 (h,), nearest first.
        packed: the longer codes of the first of them.
        tables: of the query to the words of longer codes, from the least of which a hit's distance
            is taken.

    Returns:
        The hits; where a longer code is known, the distance is that of it.
    """
    positions, distances = hits[0].copy(), hits[1].copy()
    known = np.array([at for at, code in enumerate(packed) if code is not None], np.int64)
    if len(known):
        codes = np.frombuffer(b"".join(code for code in packed if code), np.uint8)
        indices = tables[0].quantiser.unpack(codes.reshape(len(known), -1))
        near = np.min([table.in_units(table.steps(indices)) for table in tables], axis=0)
        order = np.argsort(near, kind="stable")
        positions[known], distances[known] = positions[known][order], near[order]
    return positions, distances


def itself_first(
    hits: tuple[NDArray[np.int64], NDArray[np.float32]], position: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Put the image whose own code was asked for before those that have the same code.

    Args:
        hits: positions int64 (h,), h ≥ 1, and squared distances float32 (h,), nearest first.
        position: of the image; nothing is nearer than it.
    """
    others = hits[0] != position
    positions = np.concatenate([np.array([position]), hits[0][others]])
    distances = np.concatenate([hits[1][:1], hits[1][others]])
    return positions[: len(hits[0])], distances[: len(hits[0])]
