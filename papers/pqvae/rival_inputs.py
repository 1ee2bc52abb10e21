"""What the rivals are given: GIST descriptors, or principal components of the pixels.

Both are learned and centred on the database's side alone, and kept in a folder for the next row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from papers.datasets import LabelledPictures
from papers.pqvae.gist import gist
from papers.pqvae.hashing.principal import principal_components
from papers.result_files import written_whole

Features: TypeAlias = Literal["gist", "pixels"]

MOST_COMPONENTS = 256
"""Principal components of the pixels that are kept."""
_BLOCK = 2500
"""Pictures whose GIST is computed, and kept, at a time."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Vectors of a database, from which is learned as well, and of the queries to it.

    Attributes:
        database: float32 (n, D).
        labels: int64 (n,), class of each.
        queries: float32 (q, D).
        query_labels: int64 (q,).
    """

    database: NDArray[np.float32]
    labels: NDArray[np.int64]
    queries: NDArray[np.float32]
    query_labels: NDArray[np.int64]

    def reduced(self, dims: int | None, *, unit_length: bool = False) -> Sides:
        """Keep the first ``dims`` components (all where None), and bring vectors to length 1."""
        database, queries = self.database[:, :dims], self.queries[:, :dims]
        if unit_length:
            database, queries = (
                x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-12))
                for x in (database, queries)
            )
        return replace(self, database=database, queries=queries)


def load_sides(
    features: Features,
    train: LabelledPictures,
    test: LabelledPictures,
    *,
    kept: NDArray[np.int64],
    held: NDArray[np.int64],
    cache: Path,
    progress: Callable[[str], None] | None = None,
) -> tuple[Sides, Sides]:
    """Compute vectors to choose with and to measure with, or read those computed before.

    Args:
        features: ``gist``: 512 numbers of the picture in grey; ``pixels``: the first 256 principal
            components (fewer if there are fewer numbers) of the database's pixels.
        train: pictures that are searched and learned from.
        test: pictures that are searched for.
        kept: places in ``train`` of the database that choices are made with.
        held: places in ``train`` of the queries that choices are made with.
        cache: folder to keep the vectors in.
        progress: called with a sentence about what is being done.

    Returns:
        To choose with: ``kept`` against ``held``; to measure with: ``train`` against ``test``.

    Raises:
        ImageError: the pictures have a shape that GIST is not defined on.
    """
    tell = progress or (lambda sentence: None)
    if features == "gist":
        x, y = (_gist(part.pixels, cache, tell) for part in (train, test))
        pairs = [_centred(x[kept], x[held]), _centred(x, y)]
    else:
        pairs = [
            _components(train.pixels[kept], train.pixels[held], cache, tell),
            _components(train.pixels, test.pixels, cache, tell),
        ]
    labels = [(train.labels[kept], train.labels[held]), (train.labels, test.labels)]
    choosing, measuring = (
        Sides(database, of_database, queries, of_queries)
        for (database, queries), (of_database, of_queries) in zip(pairs, labels, strict=True)
    )
    return choosing, measuring


def _centred(
    x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return x - mean, y - mean


def _gist(
    pixels: NDArray[np.uint8], cache: Path, tell: Callable[[str], None]
) -> NDArray[np.float32]:
    # Block by block, so that an interrupted computation is taken up again.
    blocks = []
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK]
        kept = cache / f"gist-{_key(block)}.npy"
        if not kept.exists():
            _keep(kept, gist(block))
            tell(f"GIST of {start + len(block)} of {len(pixels)} pictures")
        found: NDArray[np.float32] = np.load(kept, allow_pickle=False)
        blocks.append(found)
    return np.concatenate(blocks)


def _components(
    database: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    cache: Path,
    tell: Callable[[str], None],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    kept = cache / f"components-{_key(database)}-{_key(queries)}.npy"
    if not kept.exists():
        tell(f"principal components of {len(database)} pictures")
        x, y = (part.reshape(len(part), -1) for part in (database, queries))
        principal = principal_components(x, min(MOST_COMPONENTS, x.shape[1]))
        scale = np.float32(1 / 255)
        _keep(kept, np.concatenate([principal.project(part) * scale for part in (x, y)]))
    both: NDArray[np.float32] = np.load(kept, allow_pickle=False)
    return both[: len(database)], both[len(database) :]


def _key(pixels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(pixels).data)
    digest.update(repr(pixels.shape).encode())
    return digest.hexdigest()[:12]


def _keep(path: Path, array: NDArray[np.float32]) -> None:
    with written_whole(path) as unfinished, unfinished.open("wb") as stream:
        np.save(stream, array)
