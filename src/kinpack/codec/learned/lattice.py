"""The lattice: an order of coding positions from far apart to side by side.

The positions of a latent are coded from a coarse grid to finer ones. Halving a grid's spacing from
2s to s takes two levels: first the middles of its squares (diagonal), then the middles of their
sides (cross), so that each position has known ones on all sides, whichever level it is of.

```
 o . c . o      o  known, 2s apart
 . d . d .      c  cross level of spacing 2, d  diagonal level of spacing 1 (after it)
 c . d . c
```
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WIDEST = 32
"""Largest spacing, in latents, of the positions coded first."""
NEIGHBOURS = 12
"""Known positions that a position is predicted from."""
NEAREST = 4
"""How many of them, the first ones, are the nearest, all at one distance."""

_AROUND = np.array(
    [
        *((-1, -1), (-1, 1), (1, -1), (1, 1)),
        *((-3, -1), (-3, 1), (3, -1), (3, 1), (-1, -3), (-1, 3), (1, -3), (1, 3)),
    ]
)
"""(row, column) of what surrounds a diagonal position, in spacings."""
_BESIDE = np.array(
    [
        *((-1, 0), (0, -1), (0, 1), (1, 0)),
        *((-2, -1), (-2, 1), (2, -1), (2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2)),
    ]
)
"""The same of a cross position."""

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """Positions that are coded together.

    Attributes:
        spacing: distance, in rows, between what is known after the level's pair; of the first
            level its own.
        kind: "first", "diagonal" or "cross".
    """

    spacing: int
    kind: str

    def places(self, height: int, width: int) -> Places:
        """Its positions, (p, 2) rows and columns, row by row."""
        s = self.spacing
        rows, columns = np.mgrid[:height, :width].reshape(2, -1)
        if self.kind == "first":
            chosen = (rows % s == 0) & (columns % s == 0)
        elif self.kind == "diagonal":
            chosen = (rows % (2 * s) == s) & (columns % (2 * s) == s)
        else:
            chosen = (rows % s == 0) & (columns % s == 0) & ((rows + columns) % (2 * s) == s)
        return np.stack([rows[chosen], columns[chosen]], 1)


def levels_of(height: int, width: int) -> list[Level]:
    """The levels of a latent, those without a position left out.

    The first level's spacing is what the latent's size allows, so that there is one position in
    it, and no small picture is coded in more levels than its positions are worth.

    Args:
        height: rows of the latent.
        width: its columns.
    """
    spacing = 1
    while spacing < min(WIDEST, max(height, width)):
        spacing *= 2
    levels = [Level(spacing, "first")]
    while spacing > 1:
        spacing //= 2
        levels += [Level(spacing, "diagonal"), Level(spacing, "cross")]
    return [level for level in levels if len(level.places(height, width))]


@dataclass(frozen=True)
class Order:
    """How the positions of a latent are coded.

    Attributes:
        levels: in the order of coding.
        counts: positions of each level.
        places: (h·w,) position (row · w + column) of each in the order of coding.
        rank: (h·w,) its inverse: when each position is coded.
        neighbours: for each level (p, 12): 1 + the rank of what surrounds its positions, 0 for what
            is not there; the nearest four come first.
    """

    levels: tuple[Level, ...]
    counts: tuple[int, ...]
    places: Places
    rank: Places
    neighbours: tuple[Places, ...]


@lru_cache(maxsize=64)
def order_of(height: int, width: int) -> Order:
    """The order of a latent's positions.

    Args:
        height: rows of the latent.
        width: its columns.
    """
    levels = levels_of(height, width)
    parts = [level.places(height, width) for level in levels]
    places = np.concatenate([part[:, 0] * width + part[:, 1] for part in parts])
    rank = np.empty(height * width, dtype=np.int64)
    rank[places] = np.arange(height * width)
    return Order(
        levels=tuple(levels),
        counts=tuple(len(part) for part in parts),
        places=places,
        rank=rank,
        neighbours=tuple(
            _neighbours(level, part, rank.reshape(height, width))
            for level, part in zip(levels, parts, strict=True)
        ),
    )


def _neighbours(level: Level, places: Places, rank: Places) -> Places:
    """1 + rank of each position's neighbours, (p, 12), 0 where there is none."""
    if level.kind == "first":
        return np.zeros((len(places), NEIGHBOURS), dtype=np.int64)
    shifts = (_AROUND if level.kind == "diagonal" else _BESIDE) * level.spacing
    at = places[:, None] + shifts
    inside = ((at >= 0) & (at < rank.shape)).all(2)
    at = np.where(inside[:, :, None], at, 0)
    return np.where(inside, 1 + rank[at[:, :, 0], at[:, :, 1]], 0)
