"""Fitting: how a picture of any shape becomes the square of cells that a network sees.

Along each side a picture is reduced by means over equal areas. Where it is smaller it is enlarged:
in blocks, by that same rule, or smoothly, by straight lines between the middles of its pixels. Up
to the last division all sums are integers below 2^53 held in float64, exact in any order of
summation, so cells are the same numbers on every machine; and a mirrored picture has mirrored
cells, however it is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.pictures.images import Image, composite_on_white

FITS = ("squeeze", "crop", "letterbox")
"""The whole picture, made square; its middle square; the whole one between two grey bars."""
ENLARGEMENTS = ("blocks", "smooth")
"""Pixels become areas of one colour; colours between their middles lie on straight lines."""
_BAR = 128
"""Level of red, green and blue of the bars."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How a picture becomes a square of cells, as a describer's file says.

    Attributes:
        fit: one of ``FITS``.
        enlarge: one of ``ENLARGEMENTS``.

    Raises:
        CodecError: a value is none of these.
    """

    fit: str = "squeeze"
    enlarge: str = "blocks"

    def __post_init__(self) -> None:
        for key, value, known in (
            ("fit", self.fit, FITS),
            ("enlarge", self.enlarge, ENLARGEMENTS),
        ):
            if value not in known:
                raise CodecError(
                    f"the value {value!r} of {key!r} is not known, only {', '.join(known)}; "
                    "make the describer anew, or install a newer kinpack"
                )

    def to_dict(self) -> dict[str, Any]:
        """Give the values, ready for a header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, header: Mapping[str, Any]) -> Self:
        """Take the values from a header; those that are missing are as files were first written."""
        return cls(**{key: header[key] for key in ("fit", "enlarge") if key in header})

    def cells(self, image: Image, side: int) -> NDArray[np.float32]:
        """Fit an image to a square of cells.

        Args:
            image: uint8 (H, W, C); RGBA is composited on white, grey replicated.
            side: cells along each side, at least 1.

        Returns:
            float32 (side, side, 3): red, green and blue, 0 to 255.
        """
        height, width = image.shape[:2]
        smooth = self.enlarge == "smooth"
        if self.fit == "crop":
            # A pixel more where else the middle would not be the picture's own, and a mirrored
            # picture would be cut elsewhere.
            rows = min(height, width + (height - width) % 2)
            columns = min(width, height + (width - height) % 2)
            top, left = (height - rows) // 2, (width - columns) // 2
            image = image[top : top + rows, left : left + columns]
        elif self.fit == "letterbox":
            rows, columns = (_inner(n, max(height, width), side) for n in (height, width))
            boxed = np.full((side, side, 3), _BAR, np.float32)
            top, left = (side - rows) // 2, (side - columns) // 2
            inside = resampled(image, rows, columns, smooth=smooth)
            boxed[top : top + rows, left : left + columns] = inside
            return boxed
        return resampled(image, side, side, smooth=smooth)


def resampled(
    image: Image, rows: int, columns: int, *, smooth: bool = False
) -> NDArray[np.float32]:
    """Bring an image to a grid of cells, whatever its shape.

    Args:
        image: uint8 (H, W, C); RGBA is composited on white, grey replicated.
        rows: of cells, at least 1.
        columns: of cells, at least 1.
        smooth: whether a side that has fewer pixels than cells is enlarged smoothly.

    Returns:
        float32 (rows, columns, 3): red, green and blue of each cell, 0 to 255.
    """
    grey = image.shape[2] == 1
    if image.shape[2] == 4:
        image = composite_on_white(image)
    height, width, channels = image.shape
    if (height, width) == (rows, columns):
        cells = image.astype(np.float32)
    else:
        down, n_down = _sums(image.reshape(height, width * channels), rows, smooth)
        by_column = down.reshape(rows, width, channels).swapaxes(0, 1)
        across, n_across = _sums(by_column.reshape(width, rows * channels), columns, smooth)
        means = (across / (n_down * n_across)).astype(np.float32)
        cells = means.reshape(columns, rows, channels).swapaxes(0, 1)
    return np.repeat(cells, 3, axis=2) if grey else np.ascontiguousarray(cells)


def _inner(n: int, longest: int, side: int) -> int:
    """Cells of a side of n pixels between bars that are equal on both ends."""
    cells = max(1, (2 * side * n + longest) // (2 * longest))
    return cells + (side - cells) % 2


def _sums(lines: NDArray[Any], cells: int, smooth: bool) -> tuple[NDArray[np.float64], int]:
    """Weighted sums of n lines (n, m) of integers: (cells, m), and the sum of a cell's weights."""
    n = len(lines)
    if smooth and n < cells:
        return np.asarray(_between(n, cells) @ lines.astype(np.float64)), 2 * cells
    overlaps = _overlaps(n, cells)
    if cells * lines.size <= 1 << 19:
        return np.asarray(overlaps @ lines.astype(np.float64)), n
    # A cell touches few lines of a large picture. einsum, unlike a product that large, starts no
    # threads of BLAS, which wait for each other when the cores are busy.
    sums = np.empty((cells, lines.shape[1]))
    for i in range(cells):
        first, stop = i * n // cells, -(-(i + 1) * n // cells)
        touched = lines[first:stop].astype(np.float64)
        np.einsum("i,ij->j", overlaps[i, first:stop], touched, out=sums[i])
    return sums, n


@lru_cache(maxsize=16)
def _overlaps(n: int, cells: int) -> NDArray[np.float64]:
    """Overlap of cell i with line y in units of 1/cells line: integers, rows sum to n."""
    cell = np.arange(cells)[:, None] * n
    line = np.arange(n)[None, :] * cells
    overlaps = np.minimum(cell + n, line + cells) - np.maximum(cell, line)
    return np.asarray(np.maximum(overlaps, 0), dtype=np.float64)


@lru_cache(maxsize=16)
def _between(n: int, cells: int) -> NDArray[np.float64]:
    """Nearness of the middle of cell i to that of line y: integers, rows sum to 2 · cells."""
    place = (2 * np.arange(cells) + 1) * n - cells  # from the first line's middle, times 2 · cells
    before, past = np.divmod(place, 2 * cells)
    weights = np.zeros((cells, n))
    cell = np.arange(cells)
    np.add.at(weights, (cell, before.clip(0, n - 1)), 2 * cells - past)
    np.add.at(weights, (cell, (before + 1).clip(0, n - 1)), past)
    return weights
