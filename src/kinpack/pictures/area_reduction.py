"""Area reduction: an image averaged over a grid of equal areas, the same numbers everywhere."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from kinpack.pictures.images import Image, composite_on_white


def area_reduction(image: Image, side: int = 32) -> npt.NDArray[np.float32]:
    """Average an image over a grid of side × side equal areas, whatever its shape.

    Cell (i, j) of the result is the mean of the picture, taken as a function that is constant on
    each pixel, over the rectangle [i H/side, (i+1) H/side) × [j W/side, (j+1) W/side). It is the
    same number on every machine: up to the last division the sums are integers below 2^53 held in
    float64, exact in any order of summation.

    Args:
        image: uint8 (H, W, C); RGBA is composited on white, grey replicated.
        side: cells along each side of the grid.

    Returns:
        float32 (side, side, 3): mean red, green and blue of the cell in row i and column j,
        0 to 255.
    """
    grey = image.shape[2] == 1
    if image.shape[2] == 4:
        image = composite_on_white(image)
    height, width, channels = image.shape
    if height == width == side:
        cells = image.astype(np.float32)
    else:
        rows = _cell_sums(image.reshape(height, width * channels), side)
        by_column = rows.reshape(side, width, channels).swapaxes(0, 1)
        sums = _cell_sums(by_column.reshape(width, side * channels), side)
        means = (sums / (height * width)).astype(np.float32)
        cells = means.reshape(side, side, channels).swapaxes(0, 1)
    return np.repeat(cells, 3, axis=2) if grey else np.ascontiguousarray(cells)


def _cell_sums(lines: npt.NDArray[Any], side: int) -> npt.NDArray[np.float64]:
    """Sum n lines (n, m) of integers over ``side`` equal cells: (side, m), times ``side``."""
    n = len(lines)
    overlaps = _overlaps(n, side)
    if side * lines.size <= 1 << 19:
        return np.asarray(overlaps @ lines.astype(np.float64))
    # A cell touches few lines of a large picture. einsum, unlike a product that large, starts no
    # threads of BLAS, which wait for each other when the cores are busy.
    sums = np.empty((side, lines.shape[1]))
    for i in range(side):
        first, stop = i * n // side, -(-(i + 1) * n // side)
        touched = lines[first:stop].astype(np.float64)
        np.einsum("i,ij->j", overlaps[i, first:stop], touched, out=sums[i])
    return sums


@functools.lru_cache(maxsize=16)
def _overlaps(n: int, side: int) -> npt.NDArray[np.float64]:
    """Overlap of cell i with line y in units of 1/side line: integers (side, n), rows sum to n."""
    cell = np.arange(side)[:, None] * n
    line = np.arange(n)[None, :] * side
    overlaps = np.minimum(cell + n, line + side) - np.maximum(cell, line)
    return np.asarray(np.maximum(overlaps, 0), dtype=np.float64)
