"""A second engine: steps of networks in numpy alone.

In networks of integers every number, and every partial sum, is an integer below 2^24 in size. Then
float32 arithmetic is exact in any order of summation, and this engine gives the bytes that
onnxruntime gives. It is there for the machines on which onnxruntime does not or cannot be
installed, and to prove it on all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]

COLUMNS = 1 << 22
"""Most numbers of the columns that a convolution lays out at a time, 16 MiB; one at least."""


def numpy_step(op: str, x: Array, /, *inputs: NDArray[Any], **attributes: Any) -> Array:
    """Carry out one step of a network of integers, all arrays float32 or integers stored."""
    stored = (one.astype(np.float32, copy=False) for one in inputs)
    y: Array = _STEPS[op](x, *stored, **attributes)
    return y


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    pads: tuple[int, ...] = (0, 0, 0, 0),
    strides: tuple[int, ...] = (1, 1),
    dilations: tuple[int, ...] = (1, 1),
    group: int = 1,
    kernel_shape: tuple[int, ...] = (),
) -> Array:
    """Lay the windows out as columns, block by block, and multiply the weights with them."""
    if group > 1:
        alone = partial(convolution, pads=pads, strides=strides, dilations=dilations)
        parts = zip(np.split(x, group, axis=1), np.split(weight, group), strict=True)
        whole = np.concatenate([alone(*part) for part in parts], axis=1)
        return whole if bias is None else whole + bias[:, None, None]
    o = len(weight)
    windows = padded_windows(x, weight.shape[2:], pads, strides, dilations)
    n, _, height, width = windows.shape[:4]
    y = np.empty((n, o, height, width), np.float32)
    rows = weight.reshape(o, -1)
    for pictures, lines, places in _blocks(n, height, width, most=COLUMNS // rows.shape[1]):
        block = windows[pictures, :, lines, places].transpose(1, 4, 5, 0, 2, 3)
        product = rows @ block.reshape(rows.shape[1], -1)
        product = product.reshape(o, *block.shape[3:]).transpose(1, 0, 2, 3)
        y[pictures, :, lines, places] = product
    if bias is not None:
        y += bias[:, None, None]
    return y


def padded_windows(
    x: Array,
    kernel: tuple[int, ...],
    pads: tuple[int, ...] = (0, 0, 0, 0),
    strides: tuple[int, ...] = (1, 1),
    dilations: tuple[int, ...] = (1, 1),
    fill: float = 0,
) -> Array:
    """Look at an array through a window.

    Args:
        x: float32 (n, channels, h, w).
        kernel: sides of a window.
        pads: positions added above, before, below and after.
        strides: from one window to the next.
        dilations: from one place in a window to the next.
        fill: what is in the padding.

    Returns:
        A view, (n, channels, windows down, across, places down, across).
    """
    top, left, bottom, right = pads
    if any(pads):
        edges = ((0, 0), (0, 0), (top, bottom), (left, right))
        x = np.pad(x, edges, constant_values=fill)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    seen = sliding_window_view(x, spans, axis=(2, 3))
    return seen[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def depth_to_space(x: Array, *, blocksize: int, mode: str) -> Array:
    """Shuffle channels into finer positions, as ONNX does in its mode "CRD"."""
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
    "Conv": convolution,
    "DepthToSpace": depth_to_space,
    "Floor": np.floor,
    "Mul": np.multiply,
}
