"""What a network of integers computes, step by step, whatever carries the steps out."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

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

T = TypeVar("T")
Stored = NDArray[Any] | np.float32
"""What is stored for the channels: (channels,), or one number for all of them."""


class Steps(Protocol[T]):
    """Steps on arrays (n, channels, h, w) of integers in float32, in whatever form."""

    def convolved(self, x: T, weight: NDArray[Any], bias: NDArray[Any]) -> T:
        """Convolve with (out, in, k, k) weights, k odd, keeping the size, and add biases (out,)."""
        ...

    def times(self, x: T, factor: Stored) -> T:
        """Multiply by what is stored."""
        ...

    def plus(self, x: T, term: Stored) -> T:
        """Add what is stored."""
        ...

    def added(self, x: T, y: T) -> T:
        """Add two arrays."""
        ...

    def floor(self, x: T) -> T:
        """Round down."""
        ...

    def clipped(self, x: T, low: int, high: int) -> T:
        """Clip to bounds."""
        ...

    def shuffled(self, x: T, block: int) -> T:
        """Make b² channels one of b times as many positions along both sides, rows first."""
        ...


def run(layers: IntegerLayers, x: T, steps: Steps[T]) -> T:
    """Run a network.

    Args:
        layers: of it, checked.
        x: (n, channels, h, w) integers.
        steps: what carries them out.
    """
    kept: dict[int, T] = {}
    wanted = {i - layer.adds for i, layer in enumerate(layers.layers) if layer.adds}
    at = x
    for i, layer in enumerate(layers.layers):
        at = _layer(layer, at if layer.reading is None else _read(layer.reading, at, steps), steps)
        if layer.adds:
            at = steps.added(kept[i - layer.adds], at)
            at = steps.clipped(at, layer.low, layer.high)
        if i in wanted:
            kept[i] = at
    if layers.whole is None:
        return at
    whole = layers.whole
    at = steps.added(_whole(whole, x, steps), at)
    at = steps.plus(at, np.float32(2**whole.drop // 2))
    return steps.clipped(_halved(at, whole.drop, steps), whole.low, whole.high)


def _read(reading: Reading, x: T, steps: Steps[T]) -> T:
    at = steps.plus(steps.times(x, powers(reading.shift)), np.float32(0.5))
    return steps.clipped(steps.floor(at), reading.low, MOST_READ)


def _layer(layer: IntegerLayer, x: T, steps: Steps[T]) -> T:
    at = steps.convolved(x, layer.weight, layer.bias)
    at = steps.floor(steps.times(at, powers(layer.shift)))
    at = steps.clipped(at, layer.low, layer.high)
    return at if layer.shuffle == 1 else steps.shuffled(at, layer.shuffle)


def _whole(layer: WholeLayer, x: T, steps: Steps[T]) -> T:
    high, low = layer.parts
    nothing = np.zeros(len(high))
    x_high = _halved(x, 8, steps)
    x_low = steps.added(x, steps.times(x_high, np.float32(-HIGH)))
    mixed = steps.times(steps.convolved(x_high, low, nothing), np.float32(HIGH // SPLIT))
    mixed = steps.added(mixed, steps.convolved(x_low, high, nothing))
    mixed = steps.added(mixed, _halved(steps.convolved(x_low, low, nothing), 7, steps))
    mixed = _halved(mixed, layer.shift - 7, steps)
    top = steps.times(steps.convolved(x_high, high, nothing), np.float32(2.0 ** (15 - layer.shift)))
    # Each term is below 2^24 by its own bound; what leaves the range of levels is clipped anyway.
    at = steps.clipped(steps.added(top, mixed), -layer.BOUND, layer.BOUND)
    return steps.shuffled(steps.plus(at, layer.bias.astype(np.float32)), layer.shuffle)


def _halved(x: T, times: int, steps: Steps[T]) -> T:
    """floor(x / 2^times)."""
    return steps.floor(steps.times(x, np.float32(2.0**-times)))


def powers(shift: NDArray[np.uint8]) -> Stored:
    """2^-shift of shifts (channels,)."""
    factor: NDArray[np.float32] = np.exp2(-shift.astype(np.float32))
    return np.float32(factor[0]) if (shift == shift[0]).all() else factor


def planes(stored: Stored) -> NDArray[Any]:
    """What is stored for the channels, as it is combined with (n, channels, h, w)."""
    array = np.asarray(stored)
    return array[:, None, None] if array.ndim else array
