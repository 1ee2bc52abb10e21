"""Drawing what a search found, to compare it with the query itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import PayloadError
from kinpack.pictures.images import Image
from kinpack.search.comparison.comparison import SAME, Comparison
from kinpack.search.comparison.pattern import reduced

COMPARED = 30
"""Hits that are compared with a picture, where nobody asks for a number."""
PIXELS = 1 << 24
"""Most pixels that are then drawn: of large images fewer are compared."""

_AT_ONCE = 8  # images read and drawn: a store far away takes its time


def many_compared(pixels: NDArray[np.int64]) -> int:
    """How many of the first hits are compared, where nobody says.

    Args:
        pixels: (h,), of their images.
    """
    return int((pixels[:COMPARED].cumsum() <= PIXELS).sum())


def compared(
    query: Image, positions: Sequence[int], draw: Callable[[int], Image]
) -> list[float | None]:
    """Draw images, and compare them with the query itself.

    Args:
        query: uint8 (H, W, C).
        positions: of the images.
        draw: gives the image at a position; it is called by several threads.

    Returns:
        The similarity of each, ``None`` of one whose payload is damaged.

    Raises:
        ArchiveError: a segment, or the codec, is missing or damaged.
    """

    def square(position: int) -> NDArray[np.float32] | None:
        try:
            return reduced(draw(position))
        except PayloadError:
            return None

    if not positions:
        return []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        squares = list(pool.map(square, positions))
    values = Comparison(query).similarities([one for one in squares if one is not None]).tolist()
    values.reverse()
    return [None if one is None else round(values.pop(), 4) for one in squares]


def same_first(similarities: Sequence[float | None]) -> list[int]:
    """The order in which those that show the same picture come first, the most similar first.

    Args:
        similarities: of hits, ``None`` of those that were not compared.

    Returns:
        Their places; all others keep their order.
    """

    def rank(place: int) -> float:
        value = similarities[place]
        return -value if value is not None and value >= SAME else 0.0

    return sorted(range(len(similarities)), key=rank)
