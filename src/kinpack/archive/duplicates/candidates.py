"""Candidates: pairs of images whose codes are near, and how near is near."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.duplicates.drawing import Drawings
from kinpack.describers.describer import Describer
from kinpack.pictures.images import Image
from kinpack.search.duplicates.cells import Cells
from kinpack.search.duplicates.changes import copies
from kinpack.search.duplicates.likeness import likenesses
from kinpack.search.duplicates.thresholds import (
    Thresholds,
    expected,
    reach,
    similarities_wanted,
)
from kinpack.search.duplicates.thumbnail import Thumbnail

MOST = 16
"""Candidates of an image at most, the nearest."""

_CHANGED = 24  # images of which changed copies are made
_STRANGERS = 40  # images that are compared with each other
_CODES = 2000  # codes of which random pairs are made, and a fifth as many images in all turns
_CHECKED = 300  # vectors for which all codes are looked at
_AT_ONCE = 1 << 13  # codes looked for at a time
_TURNED_AT_ONCE = 1 << 18  # vectors of pictures in all turns, some 50 MB


class Pairs(NamedTuple):
    """Pairs of images, as positions.

    Attributes:
        first: int64 (p,).
        second: int64 (p,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]


_NONE = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Coded:
    """The codes of some images, ready to be looked through.

    Attributes:
        describer: what made them.
        cells: the codes.
        positions: int64 (n,), of their images.
        turned: whether each image is drawn, and looked for mirrored and turned, too.
        threads: that describe at a time; ``None`` for as many as there are cores.
    """

    describer: Describer
    cells: Cells
    positions: NDArray[np.int64]
    turned: bool
    threads: int | None = None

    def described(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Pictures in all turns in which they are looked for: float32 (poses, n, E)."""
        poses = [self.describer.poses(image) for image in images]
        views = [pose for turned in zip(*poses, strict=True) for pose in turned]
        made = self.describer.describe(views, threads=self.threads)
        vectors = self.cells.telling(self.describer.weighted(made))
        return vectors.reshape(-1, len(images), vectors.shape[1])

    def coded(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """What the codes of pictures stand for, float32 (n, E)."""
        books = self.describer
        codes = books.quantiser.encode(books.describe(images, threads=self.threads))
        return self.cells.telling(books.searched.decode(codes))


def calibrated(
    coded: Coded, drawings: Drawings, images: int, rng: np.random.Generator
) -> Thresholds:
    """Find thresholds by changed copies, and by random pairs, of the images themselves.

    Args:
        coded: their codes.
        drawings: the images.
        images: how many there are.
        rng: draws which ones are taken.
    """
    chosen = rng.permutation(len(coded.positions))
    some = [
        image
        for drawn in drawings.images(np.sort(coded.positions[chosen[:_CHANGED]]).tolist())
        for _, image in drawn
    ]
    made = [(image, copy) for image in some for copy in copies(image, turned=coded.turned).values()]
    kin = _kin_distances(coded, made)
    far, poses = _stranger_distances(coded, drawings, chosen)
    within = reach(far, kin, images, poses)
    shown = [(Thumbnail.of(image), Thumbnail.of(copy)) for image, copy in made]
    # Copies of one picture have its one thumbnail, which is made ready once.
    ahead = {id(image): small for (image, _), (small, _) in zip(made, shown, strict=True)}
    pairs = [(ahead[id(image)], small) for (image, _), (_, small) in zip(made, shown, strict=True)]
    near = np.array([one.similarity for one in likenesses(pairs)], np.float32)
    strangers = _strangers(drawings, coded.positions[chosen[-_STRANGERS:]])
    same, alike = similarities_wanted(strangers, images)
    return Thresholds(
        within=within,
        same=round(same, 4),
        alike=round(alike, 4),
        kin=len(kin),
        kin_within=float((kin <= within).mean()) if len(kin) else 0.0,
        kin_same=float((near >= same).mean()) if len(near) else 0.0,
        strangers=len(strangers),
        strangers_same=int((strangers >= same).sum()),
        strangers_alike=int((strangers >= alike).sum()),
        strangers_within=min(1.0, poses * float((far <= within).mean())) if len(far) else 0.0,
        expected_same=expected(strangers, same, images),
    )


def candidates(coded: Coded, drawings: Drawings, within: float) -> Iterator[tuple[int, Pairs]]:
    """Pairs whose codes are near.

    Yields:
        How many images were looked for, and the pairs that were found for them; a pair may come
        twice, once for each image.
    """
    cells, positions = coded.cells, coded.positions
    if not coded.turned:
        for at in range(0, len(positions), _AT_ONCE):
            numbers = cells.order[at : at + _AT_ONCE]
            yield len(numbers), _pairs(coded, cells.vectors(numbers), numbers, within)
        return
    row_of = {int(position): row for row, position in enumerate(positions)}
    held: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    for drawn in drawings.images(positions.tolist()):
        if drawn:
            vectors = coded.described([image for _, image in drawn])
            numbers = np.array([row_of[position] for position, _ in drawn])
            held.append((vectors.reshape(-1, vectors.shape[-1]), np.tile(numbers, len(vectors))))
        looked_for = sum(len(numbers) for _, numbers in held) >= _TURNED_AT_ONCE
        yield len(drawn), _pairs_of(coded, held, within) if looked_for else _NONE
        if looked_for:
            held = []
    yield 0, _pairs_of(coded, held, within)


def found_in_cells(coded: Coded, within: float, rng: np.random.Generator) -> float:
    """Share of near codes that cells bring, measured on some for which all are looked at."""
    cells = coded.cells
    if cells.cells < 2:
        return 1.0
    rows = np.sort(rng.permutation(len(cells))[:_CHECKED])
    vectors = cells.vectors(rows)
    brought = cells.near(vectors, within, most=MOST + 1)
    whole = cells.near(vectors, within, most=MOST + 1, probes=cells.cells)
    others = [int((one.rows != rows[one.queries]).sum()) for one in (brought, whole)]
    return others[0] / others[1] if others[1] else 1.0


def _pairs_of(
    coded: Coded, held: list[tuple[NDArray[np.float32], NDArray[np.int64]]], within: float
) -> Pairs:
    """The codes nearest to vectors of several batches."""
    if not held:
        return _NONE
    vectors, rows = (np.concatenate(column) for column in zip(*held, strict=True))
    return _pairs(coded, vectors, rows, within)


def _pairs(
    coded: Coded, vectors: NDArray[np.float32], rows: NDArray[np.int64], within: float
) -> Pairs:
    """The codes nearest to vectors of some rows, which may be several for each."""
    found = coded.cells.near(vectors, within, most=MOST + 1)
    mine = rows[found.queries]
    order = np.lexsort((found.rows, found.distances, mine))
    first, second = mine[order], found.rows[order]
    _, once = np.unique(first * len(coded.cells) + second, return_index=True)
    keep = np.zeros(len(first), bool)
    keep[once] = True  # the nearest turn of each
    keep &= first != second
    first, second = first[keep], second[keep]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    few = rank < MOST
    return Pairs(coded.positions[first[few]], coded.positions[second[few]])


def _kin_distances(coded: Coded, made: list[tuple[Image, Image]]) -> NDArray[np.float32]:
    """Squared distances of changed copies."""
    if not made:
        return np.zeros(0, np.float32)
    there = coded.coded([copy for _, copy in made])
    unique = {id(image): image for image, _ in made}
    numbers = {key: at for at, key in enumerate(unique)}
    images = list(unique.values())
    views = coded.described(images) if coded.turned else coded.coded(images)[None]
    mine = views[:, [numbers[id(image)] for image, _ in made]]
    nearest: NDArray[np.float32] = np.square(mine - there).sum(axis=2).min(axis=0)
    return nearest


def _stranger_distances(
    coded: Coded, drawings: Drawings, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], int]:
    """Squared distances of random pairs, and in how many turns each is looked for."""
    rows = np.sort(chosen[:_CODES])
    there = coded.cells.vectors(rows)
    if not coded.turned:
        views, numbers = there[None], rows
    else:
        numbers = np.sort(chosen[: _CODES // 20])
        position_row = {int(coded.positions[row]): int(row) for row in numbers}
        drawn = [one for some in drawings.images(list(position_row)) for one in some]
        if not drawn:
            return np.zeros(0, np.float32), 1
        numbers = np.array([position_row[position] for position, _ in drawn])
        views = coded.described([image for _, image in drawn])
    others = numbers[:, None] != rows
    far = []
    for view in views:
        squares = np.square(view).sum(axis=1)[:, None] + np.square(there).sum(axis=1)
        far.append((squares - 2 * view @ there.T)[others].clip(0))
    return np.concatenate(far), len(views)


def _strangers(drawings: Drawings, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Similarities of random pairs: of some images, each with each."""
    drawn = drawings.thumbnails(positions.tolist())
    some = list(drawn.values())
    pairs = [(one, other) for at, one in enumerate(some) for other in some[at + 1 :]]
    return np.array([one.similarity for one in likenesses(pairs)], np.float32)
