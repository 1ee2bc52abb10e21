"""Networks of integers as a codec file holds them: arrays, layer by layer.

```
 what is read    floor(x / 2^s + 1/2), clipped; only where a layer says so
 a layer         floor((conv(what is read, weight) + bias) / 2^shift), clipped
 then            shuffled into finer positions; added to the result of an earlier layer, clipped
```
Weights and activations are integers carried in float32. Where every partial sum is below 2^24, sums
are exact in any order, so that every engine gives the same numbers. That this is so is shown here,
of each layer, from its weights and from bounds on its input, before anything is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import MAX_LIVE, MAX_STORED, MAX_TOTAL, MAX_WORK

EXACT = 1 << 24
"""Integers of float32 are exact below this."""
MOST_READ = 255
"""Largest integer that a layer reads where it reads in 8 bits."""
HIGH, SPLIT = 256, 128
"""A whole input is high · 256 + low, a whole weight high · 128 + low."""

MAX_LAYERS = 64
"""Most layers of a network."""
_MAX_CHANNELS = 1 << 12
_MAX_SHIFT = 22
_MAX_SHUFFLE = 16
_SIDES = (1, 3, 5, 7)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a layer reads of its input in 8 bits: floor(x / 2^shift + 1/2), clipped.

    Attributes:
        shift: uint8 (in,), 0 to 22.
        low: smallest number read, −255 to 0; the largest is 255.
    """

    shift: NDArray[np.uint8]
    low: int


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution of integers that keeps the size: floor((conv + bias) / 2^shift), clipped.

    Attributes:
        weight: int8 (out, in, k, k), k odd, at most 7.
        bias: int32 (out,), the half that makes floor round included.
        shift: uint8 (out,), 0 to 22.
        low: smallest result.
        high: largest result.
        reading: what it reads; None: its input as it is.
        shuffle: b: b² channels become one of b times as many positions along both sides.
        adds: number of layers back whose result is added, and the sum clipped; 0 for none.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    low: int
    high: int
    reading: Reading | None = None
    shuffle: int = 1
    adds: int = 0

    @property
    def channels(self) -> int:
        """Number of channels that it gives."""
        return len(self.weight) // self.shuffle**2

    @property
    def reach(self) -> int:
        """Largest size of a result."""
        return max(abs(self.low), abs(self.high))

    def largest_sum(self, reach: int) -> int:
        """Bound on the size of every partial sum, for what is read within ±reach."""
        sums = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3)) * reach
        return int((sums + np.abs(self.bias.astype(np.int64))).max())

    def check(self, channels: int, reach: int) -> None:
        """See that it fits an input of so many channels, within ±reach, and stays exact."""
        check_form(self, channels)
        fits = shifts_fit(self.shift, len(self.weight))
        require(fits, "has shifts that do not fit, or are out of range")
        require(-EXACT < self.low <= self.high < EXACT, "has bounds that are out of range")
        if self.reading is not None:
            shift = self.reading.shift
            require(shifts_fit(shift, channels), "reads by shifts that do not fit")
            require(-MOST_READ <= self.reading.low <= 0, "reads from a bound out of range")
            require(reach + (1 << int(shift.max())) < EXACT, "reads what is no exact integer")
            reach = MOST_READ
        require(self.largest_sum(reach) < EXACT, "leaves exact arithmetic")


@dataclass(frozen=True, eq=False)
class WholeLayer:
    """A 1×1 layer on whole inputs beside all others, and how both are brought together.

    Inputs are split into high · 256 + low and weights into high · 128 + low, so that each of four
    products is exact: weight · x = 2^15 · high·high + 2^7 · (high·low + 2 · low·high) + low·low.

    Attributes:
        weight: int16 (out, in).
        bias: int32 (out,), in what the sum counts in.
        shift: 7 to 15; the sum of products is divided by 2^shift.
        shuffle: as of a layer.
        drop: bits that are dropped of the sum of this layer and the others, rounded.
        low: smallest result.
        high: largest result.
    """

    weight: NDArray[np.int16]
    bias: NDArray[np.int32]
    shift: int
    shuffle: int
    drop: int
    low: int
    high: int

    BOUND = 1 << 22
    """What products sum up to is clipped to this size before the bias is added."""

    @property
    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """High and low weights, (out, in, 1, 1)."""
        whole = self.weight.astype(np.int64)[:, :, None, None]
        high = (whole + SPLIT // 2) // SPLIT
        return high, whole - high * SPLIT

    def check(self, channels: int, reach: int, others: IntegerLayer, *, up: int) -> None:
        """See that it fits its input, and what the other layers give, and stays exact.

        Args:
            channels: of its input.
            reach: largest size of a number there.
            others: the last of them.
            up: positions that they give for each of the input, along a side.
        """
        weight, block = self.weight, self.shuffle
        require(
            weight.ndim == 2 and weight.shape[1] == channels,
            "has weights that do not fit its input",
        )
        require(self.bias.shape == weight.shape[:1], "has a bias that does not fit its weights")
        require(
            block == up and len(weight) == others.channels * block**2,
            "does not fit what the other layers give",
        )
        require(7 <= self.shift <= 15 and 0 <= self.drop <= 15, "has shifts out of range")
        require(-EXACT < self.low <= self.high < EXACT, "has bounds that are out of range")
        high, low = (int(np.abs(part).sum((1, 2, 3)).max()) for part in self.parts)
        top = reach // HIGH + 1
        middle = high * (HIGH - 1) + 2 * low * top + low * HIGH // SPLIT
        largest = max(middle, low * (HIGH - 1), high * top)
        bias = int(np.abs(self.bias.astype(np.int64)).max())
        summed = self.BOUND + bias + others.reach + (1 << self.drop)
        require(reach < EXACT and max(largest, summed) < EXACT, "leaves exact arithmetic")


@dataclass(frozen=True, eq=False)
class IntegerLayers:
    """A network of integers.

    Attributes:
        layers: in order; each reads what the one before gives.
        whole: a layer beside them; None where there is none.
    """

    layers: tuple[IntegerLayer, ...]
    whole: WholeLayer | None = None

    @property
    def channels(self) -> tuple[int, int]:
        """Channels that it takes, and that it gives."""
        return self.layers[0].weight.shape[1], self.layers[-1].channels

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest number that it gives."""
        last = self.whole or self.layers[-1]
        return last.low, last.high

    @property
    def up(self) -> int:
        """Positions that it gives for each of its input, along a side."""
        return math.prod(layer.shuffle for layer in self.layers)

    @property
    def halo(self) -> int:
        """Positions of the input beyond its own that a position of the output depends on."""
        return halo_of(self.layers)

    def check(self, reach: int) -> None:
        """See that all layers fit together, and that every sum is exact.

        Args:
            reach: largest size of a number of the input; all are integers.

        Raises:
            CodecError: they do not, or a sum may not be.
        """
        count = len(self.layers)
        require(0 < count <= MAX_LAYERS, f"has {count} layers, not 1 to {MAX_LAYERS}")
        stored = sum(layer.weight.size for layer in self.layers)
        stored += 0 if self.whole is None else 2 * self.whole.weight.size
        require(stored <= MAX_STORED, "has too many weights")
        shape = self.layers[0].weight.shape
        channels = first = shape[1] if len(shape) == 4 else 0
        size, up, given = reach, 1, []
        for i, layer in enumerate(self.layers):
            try:
                layer.check(channels, size)
                channels, size, up = layer.channels, layer.reach, up * layer.shuffle
                given.append((channels, up))
                if layer.adds:
                    require(0 < layer.adds <= i, "adds what is not there")
                    require(given[i - layer.adds] == given[i], "adds what does not fit")
                    added = size + self.layers[i - layer.adds].reach
                    require(added < EXACT, "leaves exact arithmetic")
            except CodecError as error:
                raise CodecError(f"has a layer {i} that {error}") from error
        if self.whole is not None:
            try:
                self.whole.check(first, reach, self.layers[-1], up=up)
            except CodecError as error:
                raise CodecError(f"has a whole layer that {error}") from error

    def check_run(self, shape: tuple[int, ...]) -> None:
        """Check what a run takes, given an input's shape, by the limits of ``graph_shapes``.

        Raises:
            CodecError: the network does not take such an input, or asks for too much.
        """
        channels, _ = self.channels
        if len(shape) != 4 or shape[1] != channels:
            raise CodecError(f"takes (any, {channels}, any, any), not {shape}")
        n, _, h, w = shape
        kept_for_later = {i - layer.adds for i, layer in enumerate(self.layers) if layer.adds}
        held = total = n * channels * h * w
        work = live = 0
        if self.whole is not None:
            products = n * h * w * self.whole.weight.size
            given = n * h * w * len(self.whole.weight)
            work, held, total = 4 * products, held + given, 3 * total + 8 * given
            live = held + 2 * given + 2 * n * channels * h * w
        for i, layer in enumerate(self.layers):
            out, channels, k, _ = layer.weight.shape
            given, read = n * h * w * out, n * channels * h * w
            padded = n * channels * (h + k - 1) * (w + k - 1)
            work += given * (channels * k * k + 6) + 4 * read
            total += 4 * read + padded + 6 * given
            live = max(live, held + 2 * read + padded + 3 * given)
            held += given if i in kept_for_later else 0
            h, w = h * layer.shuffle, w * layer.shuffle
        if live > MAX_LIVE or total > MAX_TOTAL or work > MAX_WORK:
            raise CodecError(f"asks for too much memory or work for {shape}")

    def to_parts(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what a codec file keeps of it: plain values, and arrays of names of its own."""
        values: dict[str, Any] = {"layers": []}
        arrays: dict[str, NDArray[Any]] = {}
        for i, layer in enumerate(self.layers):
            numbers = {key: getattr(layer, key) for key in _LAYER}
            reading = layer.reading
            values["layers"].append({**numbers, "reads": None if reading is None else reading.low})
            for key, dtype in _ARRAYS.items():
                arrays[f"{name}_{key}{i}"] = getattr(layer, key).astype(dtype)
            if reading is not None:
                arrays[f"{name}_read{i}"] = reading.shift.astype(np.uint8)
        if self.whole is not None:
            values["whole"] = {key: getattr(self.whole, key) for key in _WHOLE}
            arrays[f"{name}_whole_weight"] = self.whole.weight.astype(np.int16)
            arrays[f"{name}_whole_bias"] = self.whole.bias.astype(np.int32)
        return values, arrays

    @classmethod
    def from_parts(cls, values: Any, arrays: Mapping[str, NDArray[Any]], name: str) -> Self:
        """Build from ``to_parts``'s values.

        Args:
            values: of the header.
            arrays: of the file.
            name: of the network.

        Raises:
            CodecError: something is missing, or of another sort. Whether all fits together is told
                by ``check``.
        """
        require(isinstance(values, Mapping), "is described by no object")
        extra = set(values) - {"layers", "whole"}
        listed = values.get("layers")
        require(not extra and isinstance(listed, list), "is described by other keys")
        layers = []
        for i, one in enumerate(listed):
            numbers = numbers_of(one, (*_LAYER, "reads"), f"layer {i}", free=("reads",))
            stored: dict[str, Any] = {
                key: stored_array(arrays, f"{name}_{key}{i}", dtype)
                for key, dtype in _ARRAYS.items()
            }
            low = numbers.pop("reads")
            read = (
                None
                if low is None
                else Reading(stored_array(arrays, f"{name}_read{i}", "uint8"), low)
            )
            layers.append(IntegerLayer(**stored, **numbers, reading=read))
        whole = None
        if "whole" in values:
            whole = WholeLayer(
                stored_array(arrays, f"{name}_whole_weight", "int16"),
                stored_array(arrays, f"{name}_whole_bias", "int32"),
                **numbers_of(values["whole"], _WHOLE, "whole layer"),
            )
        return cls(tuple(layers), whole)


_LAYER = ("low", "high", "shuffle", "adds")
_WHOLE = ("shift", "shuffle", "drop", "low", "high")
_ARRAYS = {"weight": "int8", "bias": "int32", "shift": "uint8"}


class Convolution(Protocol):
    """What layers of integers and of bytes have in common; `IntegerLayer` says what each is."""

    @property
    def weight(self) -> NDArray[np.int8]:
        """Weights (out, in, k, k)."""

    @property
    def bias(self) -> NDArray[np.int32]:
        """Biases (out,)."""

    @property
    def shuffle(self) -> int:
        """Block of the shuffle that follows."""


def check_form(layer: Convolution, channels: int) -> None:
    """See that a layer takes so many channels, and that its weights, bias and shuffle fit."""
    shape = layer.weight.shape
    require(layer.weight.ndim == 4 and 0 not in shape, "has no (out, in, k, k) weights")
    require(max(shape[:2]) <= _MAX_CHANNELS, f"has more than {_MAX_CHANNELS} channels")
    require(shape[1] == channels, f"takes {shape[1]} channels, not {channels}")
    require(shape[2] == shape[3] and shape[2] in _SIDES, f"has windows of {shape[2]}×{shape[3]}")
    require(layer.bias.shape == shape[:1], "has a bias that does not fit its weights")
    block = layer.shuffle
    require(0 < block <= _MAX_SHUFFLE and shape[0] % block**2 == 0, "cannot shuffle its channels")


def halo_of(layers: Sequence[Convolution]) -> int:
    """Positions of the input beyond its own that a position of the output depends on."""
    seen = 0
    for layer in reversed(layers):
        # What is added was seen through fewer layers.
        seen = -(-seen // layer.shuffle) + layer.weight.shape[2] // 2
    return seen


def require(condition: bool, otherwise: str) -> None:
    """Refuse a network that is otherwise."""
    if not condition:
        raise CodecError(otherwise)


def shifts_fit(shift: NDArray[Any], channels: int, *, most: int = _MAX_SHIFT) -> bool:
    """Whether there is a shift for each channel, and none is above the most."""
    return shift.shape == (channels,) and 0 <= int(shift.min()) <= int(shift.max()) <= most


def numbers_of(
    values: Any, keys: tuple[str, ...], what: str, *, free: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Integers under exactly these keys; null is allowed under some of them."""
    require(isinstance(values, Mapping) and set(values) == set(keys), f"has a {what} of other keys")
    for key, value in values.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole or (key in free and value is None), f"has a {what} whose {key} is no integer")
    return dict(values)


def stored_array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: str) -> NDArray[Any]:
    """An array of a codec file, of a type."""
    array = arrays.get(name)
    if array is None or array.dtype.name != dtype:
        raise CodecError(f"lacks the array {name!r} of {dtype}")
    return array
