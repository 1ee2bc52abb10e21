"""Clusters: images whose codes lie together, by k-means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinpack.archive.overviews.coded import coded
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.showing.tiles import Strip, Tile
from kinpack.errors import MissingExtraError, counted, shown
from kinpack.search.distances.distance import SearchError
from kinpack.search.engines.fast_scan import import_faiss

ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that lie together.

    Attributes:
        number: of the cluster, from 1 on, the largest first.
        ids: of its images, the one nearest to the centre first.
        spread: mean squared distance from the centre, in the describer's units.
    """

    number: int
    ids: tuple[str, ...]
    spread: float

    def to_dict(self) -> dict[str, Any]:
        """The cluster as JSON values."""
        return {**asdict(self), "ids": list(self.ids)}


def clusters_of(reader: Reader, n: int, *, codes: str = "auto", seed: int = 0) -> list[Cluster]:
    """Find clusters of an archive's images by k-means over what their codes stand for.

    Args:
        reader: the archive.
        n: how many; fewer where fewer images have codes that differ.
        codes: which codes; ``auto`` for the first column.
        seed: of the choice of first centres. With it a run repeats on one machine.

    Returns:
        The clusters that hold an image, the largest first.

    Raises:
        SearchError: ``n`` is below 1, or there are no such codes.
        ArchiveError: a file of codes, or the describer, is missing or damaged.
        MissingExtraError: faiss is not installed.
    """
    if n < 1:
        raise SearchError(f"{n} clusters are none: ask for 1 or more")
    found = coded(reader, codes)
    vectors = found.vectors
    n = min(n, len(np.unique(vectors, axis=0)))
    try:
        faiss = import_faiss()
    except MissingExtraError as error:
        raise MissingExtraError('clusters need faiss: pip install "kinpack[fast]"') from error
    means = faiss.Kmeans(vectors.shape[1], n, niter=ROUNDS, seed=seed, min_points_per_centroid=1)
    means.train(vectors)
    distances, homes = (column[:, 0] for column in means.index.search(vectors, 1))
    ids = reader.ids
    made: list[tuple[list[str], float]] = []
    for home in range(n):
        members = np.flatnonzero(homes == home)
        if not len(members):
            continue
        near = members[np.argsort(distances[members], kind="stable")]
        names = [ids[position] for position in found.positions[near].tolist()]
        made.append((names, float(distances[members].mean())))
    made.sort(key=lambda one: -len(one[0]))
    return [Cluster(k, tuple(names), spread) for k, (names, spread) in enumerate(made, start=1)]


def strips_of(clusters: Sequence[Cluster], *, most: int) -> list[Strip]:
    """Clusters to be looked at: of each the images nearest to its centre, ``most`` at most."""
    return [
        Strip(
            f"cluster {one.number}: {counted(len(one.ids), 'image')}",
            [Tile(id_, (shown(id_),)) for id_ in one.ids[:most]],
        )
        for one in clusters
    ]


def rows_of(clusters: Sequence[Cluster]) -> Iterator[dict[str, Any]]:
    """A row for each image: its cluster, its id, and its rank from the centre of the cluster."""
    for one in clusters:
        for rank, id_ in enumerate(one.ids, start=1):
            yield {"cluster": one.number, "id": id_, "rank": rank}
