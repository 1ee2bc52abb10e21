"""Drawing what a search found, to compare it with the query itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate

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


def compared(
    query: Image | None,
    hits: list[Hit],
    entries: Sequence[ImageEntry],
    number: int | None,
    draw: Callable[[int], Image],
) -> list[Hit]:
    """Draw the first of some hits, and compare them with the query itself.

    Those that show the same picture come first, the most similar first; the others keep their
    order, and so does one whose payload is damaged, which is not compared.

    Args:
        query: uint8 (H, W, C); ``None`` where it is no picture, and none is compared.
        hits: nearest first.
        entries: what is known of their images.
        number: how many are drawn; ``None`` for `COMPARED`, or as many as have `PIXELS`.
        draw: gives the image at a position; it is called by several threads.

    Raises:
        ArchiveError: a segment, or the codec, is missing or damaged.
    """
    if number is None:
        pixels = [entry.width * entry.height for entry in entries[:COMPARED]]
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
    told = list(hits)
    for at, value in zip(drawn, values.tolist(), strict=True):
        told[at] = replace(hits[at], similarity=round(value, 4), compared=True)
    return same_first(told)


def same_first(hits: Sequence[Hit]) -> list[Hit]:
    """Put hits that show the same picture first, the most similar first; the others keep order."""
    same = [hit for hit in hits if hit.compared and hit.similarity >= SAME]
    others = [hit for hit in hits if not (hit.compared and hit.similarity >= SAME)]
    return sorted(same, key=lambda hit: hit.similarity, reverse=True) + others
