"""A second engine: networks of integers, run in numpy alone.

Where every number is an integer below 2^24 in size and so is every partial sum, float32 arithmetic
is exact in any order of summation, and this engine gives the bytes that onnxruntime gives. It is
there for the machines on which onnxruntime does not, and to prove it on all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kinpack.networks.integer_arithmetic import Stored, planes

Array = NDArray[np.float32]

_COLUMNS = 1 << 22
"""Most numbers of the columns that a convolution lays out at a time, 16 MiB; one at least."""


class NumpySteps:
    """Steps of a network of integers in numpy; for several threads at a time, if need be."""

    def convolved(self, x: Array, weight: NDArray[Any], bias: NDArray[Any]) -> Array:
        """Lay the windows out as columns, block by block, and multiply the weights with them."""
        o, _, side, _ = weight.shape
        edge = (side // 2,) * 2
        x = np.pad(x, ((0, 0), (0, 0), edge, edge)) if side > 1 else x
        windows = sliding_window_view(x, (side, side), axis=(2, 3))
        n, _, height, width = windows.shape[:4]
        y = np.empty((n, o, height, width), np.float32)
        rows = weight.reshape(o, -1).astype(np.float32)
        for pictures, lines, places in _blocks(n, height, width, most=_COLUMNS // rows.shape[1]):
            block = windows[pictures, :, lines, places].transpose(1, 4, 5, 0, 2, 3)
            product = rows @ block.reshape(rows.shape[1], -1)
            product = product.reshape(o, *block.shape[3:]).transpose(1, 0, 2, 3)
            y[pictures, :, lines, places] = product
        y += bias.astype(np.float32)[:, None, None]
        return y

    def times(self, x: Array, factor: Stored) -> Array:
        """Multiply by what is stored."""
        y: Array = x * planes(factor)
        return y

    def plus(self, x: Array, term: Stored) -> Array:
        """Add what is stored."""
        y: Array = x + planes(term)
        return y

    def added(self, x: Array, y: Array) -> Array:
        """Add two arrays."""
        return x + y

    def floor(self, x: Array) -> Array:
        """Round down."""
        return np.floor(x)

    def clipped(self, x: Array, low: int, high: int) -> Array:
        """Clip to bounds."""
        return x.clip(np.float32(low), np.float32(high))

    def shuffled(self, x: Array, block: int) -> Array:
        """Make b² channels one of b times as many positions along both sides, rows first."""
        n, channels, h, w = x.shape
        cells = x.reshape(n, channels // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return cells.reshape(n, channels // block**2, h * block, w * block)


def _blocks(n: int, height: int, width: int, *, most: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut n planes into blocks of at most this many places, or of one."""
    places = min(max(1, most), width)
    lines = min(max(1, most // width), height)
    pictures = max(1, most // (width * height))
    for i in range(0, n, pictures):
        for j in range(0, height, lines):
            for k in range(0, width, places):
                yield slice(i, i + pictures), slice(j, j + lines), slice(k, k + places)
