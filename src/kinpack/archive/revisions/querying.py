"""Queries: what is asked of an archive's codes, a picture, one of its images, a vector, words."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import NotFoundError
from kinpack.pictures.images import Image, ImageLike, as_image
from kinpack.search.distances.distance import (
    DistanceTable,
    SearchError,
    asymmetric_table,
    symmetric_table,
)
from kinpack.search.hit import Hit, Mode
from kinpack.search.index import Index

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


class Vector(NamedTuple):
    """A query by numbers, float32 (E,)."""

    numbers: NDArray[np.float32]


class Words(NamedTuple):
    """A query by a word that the describer knows."""

    text: str


Query: TypeAlias = Image | str | Vector | Words
"""A picture, uint8 (H, W, C); the id of an image; a vector; or words."""


Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions, int64 (h,), and distances, float32 (h,), nearest first."""

ORDERED_ANEW = 100
"""Hits that longer codes order anew, where there are some."""
TURNED = 1.25
"""How many times as far a picture counts that is near to the query turned, or mirrored."""
WORDS_ANEW = 5
"""How many times as many as are asked for are ordered anew of those found by words."""


def finer_column(name: str) -> str:
    """The column whose codes order anew what is nearest by another column."""
    return f"{name}-fine"


def as_query(
    query: ImageLike | None,
    vector: Sequence[float] | NDArray[Any] | None,
    compare: int | None,
    words: str | None = None,
) -> Query:
    """Give what is asked, checked.

    Args:
        query: a picture or the id of an image, unless a vector or words are given.
        vector: numbers (D,).
        words: one of the words that the describer knows.
        compare: how many hits are drawn and compared, which needs a picture.

    Raises:
        ImageError: the query is no image.
        SearchError: several are given, or none, or the vector is none.
    """
    if sum(given is not None for given in (query, vector, words)) != 1:
        raise SearchError(
            "a search is by a query (an image, the path of a picture, an id), by a vector or by "
            "words: give one of them"
        )
    if query is not None:
        return query if isinstance(query, str) else as_image(query, "the query")
    if compare:
        raise SearchError(
            "a vector, or a word, is no picture that hits can be compared with: leave `compare`"
        )
    if words is not None:
        if not isinstance(words, str):
            raise SearchError(f"words to search by are a text, not {type(words).__name__}")
        return Words(words)
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
    query: Image | str | Vector,
    mode: Mode,
    column: str,
    describer: Describer,
    snapshot: Snapshot,
    where: str,
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
        tables: of one query, that of the query as it is first.
        k: how many, or all if there are fewer.
        engine: as for ``Index.search``.
        threads: as for ``Index.search``.

    Returns:
        Rows int64 (h,), and squared distances float32 (h,), each the least by any table.
    """
    found = [index.search(table, k, engine=engine, threads=threads) for table in tables]
    rows = np.concatenate([of_table for of_table, _ in found])
    far = zip(_weights(tables), (distances for _, distances in found), strict=True)
    distances = np.concatenate([weight * of_table for weight, of_table in far])
    order = np.lexsort((rows, distances))
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)][:k]
    return rows[kept], distances[kept]


def _weights(tables: Sequence[DistanceTable]) -> list[np.float32]:
    """What distances from each pose of a query are taken times: as it is, it is the likeliest."""
    return [np.float32(1), *[np.float32(TURNED)] * (len(tables) - 1)]


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

    def near(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        far = [
            weight * table.in_units(table.steps(codes))
            for weight, table in zip(_weights(tables), tables, strict=True)
        ]
        nearest_of: NDArray[np.float32] = np.min(far, axis=0)
        return nearest_of

    return _anew(hits, packed, tables[0].quantiser, near)


def _anew(
    hits: Found,
    packed: Sequence[bytes | None],
    quantiser: ProductQuantiser,
    near: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> Found:
    """Order hits by the distances of those of them that have a longer code."""
    positions, distances = hits[0].copy(), hits[1].copy()
    known = np.array([at for at, code in enumerate(packed) if code is not None], np.int64)
    if len(known):
        codes = np.frombuffer(b"".join(code for code in packed if code), np.uint8)
        found = near(quantiser.unpack(codes.reshape(len(known), -1)))
        order = np.argsort(found, kind="stable")
        positions[known], distances[known] = positions[known][order], found[order]
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


def first_with_words(
    manifest: Manifest, described: Callable[[Manifest, str], Describer], where: str
) -> str:
    """The name of the first column of codes whose describer knows words.

    Args:
        manifest: a revision.
        described: gives the describer of a column by its name.
        where: what messages call the archive.

    Raises:
        SearchError: there is none.
    """
    for entry in manifest.describers:
        if described(manifest, entry.name).vocabulary is not None:
            return entry.name
    raise SearchError(
        f"{where}: no codes of it know words; make a describer that does with: kinpack describer "
        "make lite0 -o lite0.kine, and embed with it"
    )


def word_hits(
    query: Words,
    k: int,
    column: str,
    described: Callable[[Manifest, str], Describer],
    snapshot: Snapshot,
) -> list[Hit]:
    """The images that show best what a word stands for.

    Args:
        query: the word.
        k: how many, or all if there are fewer.
        column: name of the codes.
        described: gives the describer of a column by its name.
        snapshot: the revision.

    Raises:
        UnknownWordError: the describer does not know the word.
        CodecError: it knows none.
    """
    describer, finer = described(snapshot.manifest, column), finer_column(column)
    word = describer.words.word(query.text)
    packed, coded = snapshot.codes_of(column)
    finest = None
    if snapshot.manifest.describer(finer) is not None:
        finest = described(snapshot.manifest, finer)
    anew = finest is not None and finest.vocabulary is not None
    many = max(ORDERED_ANEW, WORDS_ANEW * k) if anew else k
    rows, distances = describer.word_scan.nearest(packed, word, many)
    hits = coded[rows], distances
    if finest is not None and anew:
        longer = snapshot.codes_at(finer, hits[0].tolist())
        near = partial(finest.word_scan.distances, word=finest.words.word(query.text))
        hits = _anew(hits, longer, finest.quantiser, near)
    found = []
    for at, distance in zip(hits[0][:k].tolist(), hits[1][:k].tolist(), strict=True):
        entry = snapshot.entry(at)
        found.append(Hit(entry.id, entry.label, distance, at))
    return found
