"""Context networks read as integer layers, where their arithmetic is provably exact.

Where every number is an integer and no sum can reach 2^24, whatever sums these layers gives the
same numbers: a convolution may be taken apart into matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.graphs.network_graph import Graph, Node

EXACT = 1 << 24
"""Integers of float32 are exact below this."""

Array = NDArray[np.float32]


class _OtherError(Exception):
    """A graph is of another form."""


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution of integers, floor((conv(x, weight) + bias) · unit), clipped.

    Attributes:
        weight: (out, in, k, k) float32, integers.
        bias: (out,) float32, integers.
        unit: (out,) float32, powers of two.
        low: smallest result.
        high: largest result.
    """

    weight: Array
    bias: Array
    unit: Array
    low: float
    high: float


@dataclass(frozen=True)
class IntegerLayers:
    """A network of a 3×3 layer and 1×1 layers after it, on integers.

    Attributes:
        factor: (in,) float32, powers of two that inputs are multiplied by.
        offset: that is added then, before rounding down.
        low: smallest number that the first layer reads.
        high: largest number that it reads.
        layers: in order.
    """

    factor: Array
    offset: float
    low: float
    high: float
    layers: tuple[IntegerLayer, ...]

    @classmethod
    def of(cls, graph: Graph) -> Self | None:
        """Read a checked graph; None if it is of another form, or if a sum may not be exact."""
        try:
            made = cls._read(graph)
        except _OtherError:
            return None
        return made if made.exact else None

    @property
    def exact(self) -> bool:
        """Whether all numbers are integers, and all sums of them below 2^24."""
        if not (_powers_of_two(self.factor) and np.isfinite(self.offset)):
            return False
        reach = _reach(self.low, self.high)
        for layer in self.layers:
            if not (
                reach < EXACT
                and _powers_of_two(layer.unit)
                and _integers(layer.weight)
                and _integers(layer.bias)
            ):
                return False
            sums = np.abs(layer.weight.astype(np.float64)).sum((1, 2, 3)) * reach
            if (sums + np.abs(layer.bias.astype(np.float64))).max() >= EXACT:
                return False
            reach = _reach(layer.low, layer.high)
        return reach < EXACT

    def read(self, values: NDArray[Any], first: int, last: int) -> Array:
        """What the first layer reads of some input channels, in the last side of ``values``."""
        x = values * self.factor[first:last]
        x += np.float32(self.offset)
        np.floor(x, out=x)
        read: Array = x.clip(self.low, self.high, out=x)
        return read

    @classmethod
    def _read(cls, graph: Graph) -> Self:
        constants = {**graph.constants}
        steps: list[Node] = []
        for node in graph.nodes:
            if node.op == "Cast" and node.inputs[0] in graph.constants:
                constants[node.output] = graph.constants[node.inputs[0]].astype(np.float32)
            elif node.op != "Identity":
                steps.append(node)
        if len(steps) < 8 or len(steps) % 4:
            raise _OtherError
        row = iter(steps)
        _chained(graph, steps)
        channels = graph.input.shape[1] if len(graph.input.shape) == 4 else None
        if not isinstance(channels, int):
            raise _OtherError
        factor = _planes(_operand(row, "Mul", constants), channels)
        offset = _number(_operand(row, "Add", constants))
        low, high = _rounded(row, constants)
        layers: list[IntegerLayer] = []
        side = 3
        while len(layers) < len(steps) // 4 - 1:
            weight, bias = _convolution(row, constants, channels, side)
            channels, side = len(weight), 1
            unit = _planes(_operand(row, "Mul", constants), channels)
            layers.append(IntegerLayer(weight, bias, unit, *_rounded(row, constants)))
        return cls(factor, offset, low, high, tuple(layers))


def _chained(graph: Graph, steps: list[Node]) -> None:
    """See that each step works on what the last one gave, and nothing else is used of them."""
    at = graph.input.name
    names = {node.output: node.inputs[0] for node in graph.nodes if node.op == "Identity"}
    for node in steps:
        if node.inputs[0] != at:
            raise _OtherError
        at = node.output
    end = graph.output.name
    if names.get(end, end) != at or len(names) > 1:
        raise _OtherError


def _next(row: Iterator[Node], op: str, constants: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The stored inputs of the next step, which is of this sort."""
    node = next(row)
    if node.op != op or not all(name in constants for name in node.inputs[1:]):
        raise _OtherError
    return [constants[name] for name in node.inputs[1:]]


def _operand(row: Iterator[Node], op: str, constants: dict[str, NDArray[Any]]) -> NDArray[Any]:
    (array,) = _next(row, op, constants)
    return array


def _rounded(row: Iterator[Node], constants: dict[str, NDArray[Any]]) -> tuple[float, float]:
    """Bounds of the clip after rounding down."""
    _next(row, "Floor", constants)
    bounds = [_number(bound) for bound in _next(row, "Clip", constants)]
    if len(bounds) != 2 or any(bound != np.floor(bound) for bound in bounds):
        raise _OtherError
    return bounds[0], bounds[1]


def _convolution(
    row: Iterator[Node], constants: dict[str, NDArray[Any]], channels: int, side: int
) -> tuple[Array, Array]:
    node = next(row)
    inputs = [constants.get(name) for name in node.inputs[1:]]
    if node.op != "Conv" or len(inputs) != 2 or any(array is None for array in inputs):
        raise _OtherError
    weight, bias = (np.asarray(array) for array in inputs)
    pads, plain = (side // 2,) * 4, (1, 1)
    if (
        weight.shape[1:] != (channels, side, side)
        or bias.shape != weight.shape[:1]
        or node.integers("pads", (0, 0, 0, 0)) != pads
        or node.integers("strides", plain) != plain
        or node.integers("dilations", plain) != plain
        or node.integer("group", 1) != 1
        or not {weight.dtype, bias.dtype} == {np.dtype(np.float32)}
    ):
        raise _OtherError
    return weight, bias


def _planes(array: NDArray[Any], channels: int) -> Array:
    """One number for each channel."""
    if array.dtype != np.float32 or array.shape not in ((1, channels, 1, 1), (1, 1, 1, 1)):
        raise _OtherError
    return np.broadcast_to(array, (1, channels, 1, 1)).reshape(channels)


def _number(array: NDArray[Any]) -> float:
    if array.dtype != np.float32 or array.size != 1 or not np.isfinite(array).all():
        raise _OtherError
    return float(array.ravel()[0])


def _integers(array: Array) -> bool:
    return bool(np.isfinite(array).all() and (np.floor(array) == array).all())


def _powers_of_two(array: Array) -> bool:
    return bool(np.isfinite(array).all() and (np.frexp(array)[0] == 0.5).all())


def _reach(low: float, high: float) -> float:
    return max(abs(low), abs(high))
