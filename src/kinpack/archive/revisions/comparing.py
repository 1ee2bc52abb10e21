"""Drawing what a search found, to compare it with the query itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.errors import PayloadError
from kinpack.pictures.images import Image
from kinpack.search.comparison.comparison import SAME, Comparison
from kinpack.search.comparison.pattern import reduced
from kinpack.search.hit import Hit

COMPARED = 30
"""Hits that are compared with a picture, where nobody asks for a number."""
PIXELS = 1 << 24
"""Most pixels that are then drawn: of large images fewer are compared."""

_AT_ONCE = 8  # images read and drawn: a store far away takes its time


Found: TypeAlias = tuple[int, ImageEntry, float]
"""A position, what is known of its image, and its distance."""


def compared(
    query: Image | None, found: Sequence[Found], number: int | None, draw: Callable[[int], Image]
) -> list[Hit]:
    """Make hits, the first of them drawn and compared with the query itself.

    Those that show the same picture come first, the most similar first; the others keep their
    order, and so does one whose payload is damaged, without a similarity.

    Args:
        query: uint8 (H, W, C); ``None`` where it is no picture, and none is compared.
        found: nearest first.
        number: how many are drawn; ``None`` for `COMPARED`, or as many as have `PIXELS`.
        draw: gives the image at a position; it is called by several threads.

    Raises:
        ArchiveError: a segment, or the codec, is missing or damaged.
    """
    hits = [Hit(entry.id, entry.label, distance, at) for at, entry, distance in found]
    if number is None:
        pixels = [entry.width * entry.height for _, entry, _ in found[:COMPARED]]
        number = sum(total <= PIXELS for total in accumulate(pixels))
    if not number or query is None:
        return hits

    def square(hit: Hit) -> NDArray[np.float32] | None:
        try:
            return reduced(draw(hit.position))
        except PayloadError:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        squares = list(pool.map(square, hits[:number]))
    drawn = [at for at, one in enumerate(squares) if one is not None]
    values = Comparison(query).similarities([one for one in squares if one is not None])
    for at, value in zip(drawn, values.tolist(), strict=True):
        hits[at] = replace(hits[at], similarity=round(value, 4))
    return same_first(hits)


def same_first(hits: Sequence[Hit]) -> list[Hit]:
    """Put hits that show the same picture first, the most similar first; the others keep order."""
    same = [hit for hit in hits if _similarity(hit) >= SAME]
    others = [hit for hit in hits if _similarity(hit) < SAME]
    return sorted(same, key=_similarity, reverse=True) + others


def _similarity(hit: Hit) -> float:
    return -1.0 if hit.similarity is None else hit.similarity
