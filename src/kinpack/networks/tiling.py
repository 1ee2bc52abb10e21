"""Tiling: how a picture is cut into pieces that a network runs on, with a halo around each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Tiling:
    """How a network that maps pictures to pictures is run in pieces.

    Attributes:
        tile: side of a piece at the input, without its halo.
        halo: border added on each side at the input: at least what one output sees.
        up: output pixels for each input pixel along a side (1 where it shrinks).
        down: input pixels for each output pixel along a side (1 where it grows).
    """

    tile: int
    halo: int
    up: int = 1
    down: int = 1

    def scaled(self, length: int) -> int:
        """Length at the output for one at the input."""
        return length * self.up // self.down


class Piece(NamedTuple):
    """A piece of a picture, as rows and columns.

    Attributes:
        source: of the input, with its halo.
        kept: of what the network gives for that, without the halo.
        place: where this belongs in what it gives for the whole region.
    """

    source: tuple[slice, slice]
    kept: tuple[slice, slice]
    place: tuple[slice, slice]


def pieces(
    size: tuple[int, int], tiling: Tiling, *, region: tuple[int, int, int, int] | None = None
) -> Iterator[Piece]:
    """Cut a picture into pieces, left to right and top to bottom.

    Args:
        size: (height, width) of the input.
        tiling: sizes of the pieces.
        region: first and one past the last row, and column, of the input that is wanted; all of it
            by default. What lies around it serves as halo.
    """
    height, width = size
    top, bottom, left, right = region or (0, height, 0, width)
    for rows in _intervals(top, bottom, height, tiling):
        for columns in _intervals(left, right, width, tiling):
            yield Piece(*zip(rows, columns, strict=True))


def _intervals(
    first: int, last: int, length: int, tiling: Tiling
) -> Iterator[tuple[slice, slice, slice]]:
    """Source, kept and place of each piece, along one side."""
    for start in range(first, last, tiling.tile):
        stop = min(start + tiling.tile, last)
        a, b = max(0, start - tiling.halo), min(length, stop + tiling.halo)
        kept, long = tiling.scaled(start - a), tiling.scaled(stop - start)
        place = tiling.scaled(start - first)
        yield slice(a, b), slice(kept, kept + long), slice(place, place + long)
