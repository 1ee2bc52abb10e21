"""What a network of integers computes, step by step, whatever carries the steps out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.integer_layers import (
    HIGH,
    MOST_READ,
    SPLIT,
    IntegerLayer,
    IntegerLayers,
    Reading,
    WholeLayer,
)


class Step(Protocol):
    """Carries out one step: Conv, Mul, Add, Floor, Clip or DepthToSpace, as ONNX has them.

    The first input is (n, channels, h, w) in some form, as is what is given; the others are stored
    arrays, or of that form too.
    """

    def __call__(self, op: str, x: Any, /, *inputs: Any, **attributes: Any) -> Any:
        """Give the output of a step."""


def run(layers: IntegerLayers, x: Any, do: Step) -> Any:
    """Run a network, checked, on (n, channels, h, w) integers."""
    kept: dict[int, Any] = {}
    wanted = {i - layer.adds for i, layer in enumerate(layers.layers) if layer.adds}
    at = x
    for i, layer in enumerate(layers.layers):
        at = _layer(layer, at if layer.reading is None else _read(layer.reading, at, do), do)
        if layer.adds:
            at = _clipped(do("Add", kept[i - layer.adds], at), layer.low, layer.high, do)
        if i in wanted:
            kept[i] = at
    if layers.whole is None:
        return at
    whole = layers.whole
    at = do("Add", _whole(whole, x, do), at)
    at = do("Add", at, np.float32(2**whole.drop // 2))
    return _clipped(_halved(at, whole.drop, do), whole.low, whole.high, do)


def _read(reading: Reading, x: Any, do: Step) -> Any:
    at = do("Add", do("Mul", x, powers(reading.shift)), np.float32(0.5))
    return _clipped(do("Floor", at), reading.low, MOST_READ, do)


def _layer(layer: IntegerLayer, x: Any, do: Step) -> Any:
    pads = (layer.weight.shape[2] // 2,) * 4
    at = do("Conv", x, layer.weight, layer.bias, pads=pads)
    at = _clipped(do("Floor", do("Mul", at, powers(layer.shift))), layer.low, layer.high, do)
    return at if layer.shuffle == 1 else _shuffled(at, layer.shuffle, do)


def _whole(layer: WholeLayer, x: Any, do: Step) -> Any:
    high, low = (part.astype(np.float32) for part in layer.parts)
    x_high = _halved(x, 8, do)
    x_low = do("Add", x, do("Mul", x_high, np.float32(-HIGH)))
    mixed = do("Mul", do("Conv", x_high, low), np.float32(HIGH // SPLIT))
    mixed = do("Add", mixed, do("Conv", x_low, high))
    mixed = do("Add", mixed, _halved(do("Conv", x_low, low), 7, do))
    top = do("Mul", do("Conv", x_high, high), np.float32(2.0 ** (15 - layer.shift)))
    # Each term is below 2^24 by its own bound; what leaves the range of levels is clipped anyway.
    at = do("Add", top, _halved(mixed, layer.shift - 7, do))
    at = _clipped(at, -layer.BOUND, layer.BOUND, do)
    return _shuffled(do("Add", at, layer.bias[:, None, None]), layer.shuffle, do)


def _clipped(x: Any, low: int, high: int, do: Step) -> Any:
    return do("Clip", x, np.float32(low), np.float32(high))


def _halved(x: Any, times: int, do: Step) -> Any:
    """floor(x / 2^times)."""
    return do("Floor", do("Mul", x, np.float32(2.0**-times)))


def _shuffled(x: Any, block: int, do: Step) -> Any:
    return do("DepthToSpace", x, blocksize=block, mode="CRD")


def powers(shift: NDArray[np.uint8]) -> NDArray[np.float32]:
    """2^-shift of shifts (channels,): (channels, 1, 1), or one number where all are the same."""
    factor: NDArray[np.float32] = np.exp2(-shift.astype(np.float32))[:, None, None]
    return factor[:1] if (shift == shift[0]).all() else factor
