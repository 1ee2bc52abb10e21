"""A second engine: networks of integers, run in numpy alone.

Where every number is an integer below 2^24 in size and so is every partial sum, float32 arithmetic
is exact in any order of summation, and this engine gives the bytes that onnxruntime gives. It is
there for the machines on which onnxruntime does not, and to prove it on all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]

_COLUMNS = 1 << 22
"""Most numbers of the columns that a convolution lays out at a time, 16 MiB; one at least."""


def numpy_step(op: str, x: Array, /, *inputs: NDArray[Any], **attributes: Any) -> Array:
    """Carry out one step of a network of integers, all arrays float32 or integers stored."""
    stored = (one.astype(np.float32, copy=False) for one in inputs)
    y: Array = _STEPS[op](x, *stored, **attributes)
    return y


def _convolution(
    x: Array, weight: Array, bias: Array | None = None, *, pads: tuple[int, ...] = (0,)
) -> Array:
    """Lay the windows out as columns, block by block, and multiply the weights with them."""
    o, _, side, _ = weight.shape
    edge = pads[:1] * 2
    x = np.pad(x, ((0, 0), (0, 0), edge, edge)) if pads[0] else x
    windows = sliding_window_view(x, (side, side), axis=(2, 3))
    n, _, height, width = windows.shape[:4]
    y = np.empty((n, o, height, width), np.float32)
    rows = weight.reshape(o, -1)
    for pictures, lines, places in _blocks(n, height, width, most=_COLUMNS // rows.shape[1]):
        block = windows[pictures, :, lines, places].transpose(1, 4, 5, 0, 2, 3)
        product = rows @ block.reshape(rows.shape[1], -1)
        product = product.reshape(o, *block.shape[3:]).transpose(1, 0, 2, 3)
        y[pictures, :, lines, places] = product
    if bias is not None:
        y += bias[:, None, None]
    return y


def _depth_to_space(x: Array, *, blocksize: int, mode: str) -> Array:
    n, channels, h, w = x.shape
    b = blocksize
    cells = x.reshape(n, channels // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return cells.reshape(n, channels // b**2, h * b, w * b)


def _blocks(n: int, height: int, width: int, *, most: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut n planes into blocks of at most this many places, or of one."""
    places = min(max(1, most), width)
    lines = min(max(1, most // width), height)
    pictures = max(1, most // (width * height))
    for i in range(0, n, pictures):
        for j in range(0, height, lines):
            for k in range(0, width, places):
                yield slice(i, i + pictures), slice(j, j + lines), slice(k, k + places)


_STEPS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Clip": np.clip,
    "Conv": _convolution,
    "DepthToSpace": _depth_to_space,
    "Floor": np.floor,
    "Mul": np.multiply,
}
