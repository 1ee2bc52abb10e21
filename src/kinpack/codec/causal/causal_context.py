"""What is known of a pixel before it is decoded: its causal neighbourhood.

```
 . 3 3 3 3 3 .        three rows above, three pixels to the left, and the pixel's mirror image
 2 2 2 2 2 2 2        about the picture's middle column: what people make and what grows is
 1 1 1 1 1 1 1        often symmetric. Pixels of one wave, column + 4 · row, know nothing of
 0 0 0 ?              each other, so a whole wave is predicted at once.
```
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = (
    *((0, -d) for d in range(1, 4)),
    *((-1, d) for d in range(-3, 4)),
    *((-2, d) for d in range(-3, 4)),
    *((-3, d) for d in range(-2, 3)),
)
"""(rows down, columns right) of the neighbours that are looked at."""
MARGIN = 3
"""Pixels around a picture, and rows above it, that count as 0."""
MIRRORED = (-1, 0, 1)
"""Columns about a pixel's mirror image that are looked at."""
SLOPE = 4
"""Columns by which a wave lies further left a row down."""
PLANES = 2 * len(NEIGHBOURS) + len(MIRRORED) + 3
"""Numbers that `Frame.inputs` gives for a pixel."""
PLACES = slice(PLANES - 2, PLANES)
"""Which of them say where in the picture it lies."""
VALUES = (*range(len(NEIGHBOURS)), *range(2 * len(NEIGHBOURS), PLANES - 3))
"""Which of them are values of other pixels."""

Ints = NDArray[np.int64]


class Frame:
    """Values of n pictures of one size with a margin of zeros, as far as they are decoded.

    Args:
        n: pictures.
        height: pixels down.
        width: pixels across.
    """

    def __init__(self, n: int, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._pitch = width + 2 * MARGIN
        self._cells = np.zeros((n, (height + MARGIN) * self._pitch), dtype=np.uint8)
        self._neighbours = np.array([dy * self._pitch + dx for dy, dx in NEIGHBOURS])

    @property
    def values(self) -> NDArray[np.uint8]:
        """(n, height, width), a view."""
        whole = self._cells.reshape(len(self._cells), self.height + MARGIN, self._pitch)
        return whole[:, MARGIN:, MARGIN : MARGIN + self.width]

    def put(self, pixels: Ints, values: NDArray[np.uint8]) -> None:
        """Enter values (n, p) of pixels (p,), each row · width + column."""
        self._cells[:, self._place(*np.divmod(pixels, self.width))] = values

    def inputs(self, pixels: Ints, *, step: int) -> Ints:
        """What a network is told of pixels.

        Args:
            pixels: (p,) row · width + column.
            step: Δ in grey levels.

        Returns:
            (n, p, PLANES) integers of 0 to 255: values of the neighbours; for each 255 where it is
            0; values about the mirror image, in the lowest row that is decoded that far; 2Δ; row
            and column as shares of the picture.
        """
        y, x = np.divmod(pixels, self.width)
        near = self._cells[:, self._place(y, x)[:, None] + self._neighbours]
        across = (self.width - 1 - x)[:, None] + np.array(MIRRORED)
        row = np.maximum(y[:, None] - rows_up(across - x[:, None]), -1)
        mirrored = self._cells[:, self._place(row, across)]
        made = np.empty((*near.shape[:2], PLANES), dtype=np.int64)
        k, m = len(NEIGHBOURS), len(MIRRORED)
        made[:, :, :k] = near
        made[:, :, k : 2 * k] = 255 * (near == 0)
        made[:, :, 2 * k : 2 * k + m] = mirrored
        made[:, :, -3] = min(2 * step, 255)
        made[:, :, -2] = 255 * y // max(1, self.height - 1)
        made[:, :, -1] = 255 * x // max(1, self.width - 1)
        return made

    def _place(self, y: Ints, x: Ints) -> Ints:
        return (y + MARGIN) * self._pitch + x + MARGIN


def rows_up(right: Ints) -> Ints:
    """Rows above a pixel from which on all is decoded that lies so many columns to its right."""
    return np.maximum(right // SLOPE + 1, 0)


@lru_cache(maxsize=64)
def waves(height: int, width: int) -> tuple[Ints, ...]:
    """Pixels of each wave, in the order of coding: (p,) row · width + column, from the top down."""
    y, x = np.divmod(np.arange(height * width), width)
    wave = x + SLOPE * y
    order = np.argsort(wave, kind="stable")
    bounds = np.flatnonzero(np.diff(wave[order])) + 1
    return tuple(np.split(order, bounds))
