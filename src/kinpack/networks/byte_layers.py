"""Networks of bytes, as a codec file holds them: every layer takes 8 bits and gives 8 bits.

```
 stream    integers; to begin with the input
 bytes     round(stream / 2^s), clipped to low … low + 255; or what the layer before gives
 a layer   round((conv(bytes, weight) + bias) / 2^shift), clipped to low … low + 255
 then      times 2^grow and shuffled into finer positions, a new stream or a part of the old one
 at last   round((stream + block layer(input)) / 2^drop), clipped to 0 … 255
```
``low`` is 0 or −128, halves are rounded to even. Weights lie within ±63, for some processors add
products of bytes two by two in 16 bits. Every sum is an exact integer, of float32 in the layers
and of float64 in the block layer, which carries the picture: so all engines give the same numbers.
That this is so is shown here, from weights and from bounds on the input, before anything is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import MAX_LIVE, MAX_STORED, MAX_TOTAL, MAX_WORK
from kinpack.networks.integer_layers import (
    EXACT,
    MAX_LAYERS,
    check_form,
    halo_of,
    numbers_of,
    require,
    shifts_fit,
    stored_array,
)

MOST_WEIGHT = 63
"""Largest size of a weight."""
SIGNED = -128
"""Smallest byte where bytes have a sign."""

_MAX_GROW = 12


@dataclass(frozen=True, eq=False)
class ByteLayer:
    """A convolution of bytes that keeps the size.

    Attributes:
        weight: int8 (out, in, k, k) within ±63, k odd, at most 7.
        bias: int32 (out,).
        shift: uint8 (out,), 0 to 22.
        low: smallest result, 0 or −128; the largest is 255 more.
        reads: uint8 (in,), shifts by which it reads the stream; None: it takes the bytes of the
            layer before.
        reads_low: smallest byte that it reads of the stream, 0 or −128.
        shuffle: b: on its way into the stream, b² channels become one of b times as many positions
            along both sides.
        grow: uint8 (out,), 0 to 12: its result times 2^grow goes into the stream; None: the next
            layer alone takes it.
        adds: whether it is added to the stream, in place of beginning a new one.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    low: int
    reads: NDArray[np.uint8] | None = None
    reads_low: int = 0
    shuffle: int = 1
    grow: NDArray[np.uint8] | None = None
    adds: bool = False

    @property
    def channels(self) -> int:
        """Number of channels that it gives."""
        return len(self.weight) // self.shuffle**2

    def check(self, channels: int, low: int) -> None:
        """See that it fits bytes of so many channels, from ``low`` on, and stays exact."""
        check_form(self, channels)
        require(shifts_fit(self.shift, len(self.weight)), "has shifts out of range")
        require(self.low in (0, SIGNED), "gives bytes from a bound that is neither 0 nor −128")
        weight = self.weight.astype(np.int64)
        require(np.abs(weight).max() <= MOST_WEIGHT, f"has weights beyond ±{MOST_WEIGHT}")
        # Engines may take bytes with a sign as those from 0 to 255, and take 128 away in the end.
        sums = np.abs(weight).sum((1, 2, 3)) * 255 + np.abs(self.bias.astype(np.int64))
        require(int(sums.max()) < EXACT, "leaves exact arithmetic")


@dataclass(frozen=True, eq=False)
class BlockLayer:
    """A 1×1 layer on the whole input: round(weight · x / 2^shift) + bias, shuffled.

    Attributes:
        weight: int16 (out, in).
        bias: int32 (out,).
        shift: 0 to 31.
        shuffle: as of a layer.
    """

    weight: NDArray[np.int16]
    bias: NDArray[np.int32]
    shift: int
    shuffle: int

    def check(self, channels: int, reach: int) -> int:
        """See that it fits its input, within ±reach, and stays exact; returns its own reach."""
        weight = np.abs(self.weight.astype(np.int64))
        require(weight.ndim == 2 and weight.size > 0, "has no (out, in) weights")
        require(weight.shape[1] == channels, "has weights that do not fit its input")
        require(self.bias.shape == weight.shape[:1], "has a bias that does not fit its weights")
        require(0 <= self.shift <= 31, "has a shift out of range")
        largest = int(weight.sum(1).max()) * reach
        require(largest < 1 << 53, "leaves exact arithmetic")
        return (largest >> self.shift) + 1 + int(np.abs(self.bias.astype(np.int64)).max())


@dataclass(frozen=True, eq=False)
class ByteLayers:
    """A network of bytes.

    Attributes:
        layers: in order.
        block: the layer beside them.
        drop: bits that are dropped of the sum of both, 0 to 15.
    """

    layers: tuple[ByteLayer, ...]
    block: BlockLayer
    drop: int

    @property
    def channels(self) -> tuple[int, int]:
        """Channels that it takes, and that it gives."""
        return self.block.weight.shape[1], len(self.block.weight) // self.block.shuffle**2

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest number that it gives."""
        return 0, 255

    @property
    def up(self) -> int:
        """Positions that it gives for each of its input, along a side."""
        return self.block.shuffle

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
        stored = sum(layer.weight.size for layer in self.layers) + 4 * self.block.weight.size
        require(stored <= MAX_STORED, "has too many weights")
        try:
            whole = self.block.check(self.block.weight.shape[-1], reach)
        except CodecError as error:
            raise CodecError(f"has a block layer that {error}") from error
        stream = (self.channels[0], 1, reach)
        given: tuple[int, int] | None = None
        up = 1
        for i, layer in enumerate(self.layers):
            try:
                given, stream, up = _follow(layer, given, stream, up)
            except CodecError as error:
                raise CodecError(f"has a layer {i} that {error}") from error
        fits = stream[:2] == (self.channels[1], self.up) and self.layers[-1].grow is not None
        require(fits, "has a block layer that does not fit what the other layers give")
        require(0 <= self.drop <= 15, "drops more than 15 bits")
        require(whole + stream[2] + (1 << self.drop) < EXACT, "leaves exact arithmetic at its end")

    def check_run(self, shape: tuple[int, ...]) -> None:
        """Check what a run takes, given an input's shape, by the limits of ``graph_shapes``.

        Raises:
            CodecError: the network does not take such an input, or asks for too much.
        """
        channels = self.channels[0]
        if len(shape) != 4 or shape[1] != channels:
            raise CodecError(f"takes (any, {channels}, any, any), not {shape}")
        n, _, h, w = shape
        given = n * h * w * len(self.block.weight)
        work, live = 2 * given * channels, 3 * given + 3 * n * h * w * channels
        total = live
        for layer in self.layers:
            out, taken, k, _ = layer.weight.shape
            padded = n * taken * (h + k - 1) * (w + k - 1)
            work += n * h * w * out * taken * k * k
            total += 2 * padded + 4 * n * h * w * out
            live = max(live, given + 2 * padded + 4 * n * h * w * out)
            h, w = h * layer.shuffle, w * layer.shuffle
        if live > MAX_LIVE or total > MAX_TOTAL or work > MAX_WORK:
            raise CodecError(f"asks for too much memory or work for {shape}")

    def to_parts(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what a codec file keeps of it: plain values, and arrays of names of its own."""
        arrays: dict[str, NDArray[Any]] = {
            f"{name}_block_weight": self.block.weight,
            f"{name}_block_bias": self.block.bias,
        }
        listed = []
        for i, layer in enumerate(self.layers):
            reads = None if layer.reads is None else layer.reads_low
            gives = None if layer.grow is None else int(layer.adds)
            listed.append(
                {"low": layer.low, "shuffle": layer.shuffle, "reads": reads, "adds": gives}
            )
            arrays |= {f"{name}_{key}{i}": getattr(layer, key) for key in _ARRAYS}
            optional = {"reads": layer.reads, "grow": layer.grow}
            arrays |= {f"{name}_{key}{i}": one for key, one in optional.items() if one is not None}
        block = {key: getattr(self.block, key) for key in _BLOCK}
        return {"layers": listed, "block": block, "drop": self.drop}, arrays

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
        listed = values.get("layers")
        keys = {"layers", "block", "drop"}
        require(set(values) == keys and isinstance(listed, list), "is described by other keys")
        drop = numbers_of({"drop": values["drop"]}, ("drop",), "end")["drop"]
        layers = []
        for i, one in enumerate(listed):
            numbers = numbers_of(one, _LAYER, f"layer {i}", free=("reads", "adds"))
            reads, adds = numbers.pop("reads"), numbers.pop("adds")
            require(adds in (None, 0, 1), f"has a layer {i} that neither adds nor begins a stream")
            stored: dict[str, Any] = {
                key: stored_array(arrays, f"{name}_{key}{i}", dtype)
                for key, dtype in _ARRAYS.items()
            }
            if reads is not None:
                stored["reads"] = stored_array(arrays, f"{name}_reads{i}", "uint8")
                stored["reads_low"] = reads
            if adds is not None:
                stored["grow"] = stored_array(arrays, f"{name}_grow{i}", "uint8")
            layers.append(ByteLayer(**stored, **numbers, adds=bool(adds)))
        block = BlockLayer(
            stored_array(arrays, f"{name}_block_weight", "int16"),
            stored_array(arrays, f"{name}_block_bias", "int32"),
            **numbers_of(values["block"], _BLOCK, "block layer"),
        )
        return cls(tuple(layers), block, drop)


_LAYER = ("low", "shuffle", "reads", "adds")
_BLOCK = ("shift", "shuffle")
_ARRAYS = {"weight": "int8", "bias": "int32", "shift": "uint8"}

_Stream = tuple[int, int, int]
"""Channels, positions for one of the input along a side, and largest size of a number."""


def _follow(
    layer: ByteLayer, given: tuple[int, int] | None, stream: _Stream, up: int
) -> tuple[tuple[int, int] | None, _Stream, int]:
    """Check a layer, given the bytes of the one before (channels, low), the stream and its place.

    Returns the same of what follows.
    """
    channels, at, reach = stream
    if layer.reads is None:
        if given is None:
            raise CodecError("takes bytes that the layer before does not give")
        layer.check(*given)
    else:
        require(at == up, "reads a stream of other positions")
        require(shifts_fit(layer.reads, channels), "reads by shifts out of range")
        require(layer.reads_low in (0, SIGNED), "reads from a bound that is neither 0 nor −128")
        require(reach + (1 << int(layer.reads.max())) < EXACT, "reads what is no exact integer")
        layer.check(channels, layer.reads_low)
    up *= layer.shuffle
    bytes_given = (layer.channels, layer.low) if layer.shuffle == 1 else None
    if layer.grow is None:
        require(bytes_given is not None, "shuffles what does not go into the stream")
        return bytes_given, stream, up
    fits = shifts_fit(layer.grow, len(layer.weight), most=_MAX_GROW)
    require(fits, "grows by bits that do not fit, or are out of range")
    own = max(-layer.low, layer.low + 255) << int(layer.grow.max())
    if layer.adds:
        require((channels, at) == (layer.channels, up), "adds what does not fit")
        own += reach
    require(own < EXACT, "leaves exact arithmetic")
    return bytes_given, (layer.channels, up, own), up
