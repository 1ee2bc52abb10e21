"""Small networks on rows of integers, exact on every machine.

Weights, biases and activations are integers carried in float32. Every partial sum stays below 2^24,
which is checked when a network is read, so that any library may sum in any order. Rescaling is by
powers of two and floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.networks import Network, Session
from kinpack.networks.onnx_writer import PlainGraph

EXACT = 1 << 24
"""Integers of float32 are exact below this."""
READ = 255
"""Largest size of what a layer reads."""
MAX_SHIFT = 22
"""Largest shift of a layer."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class DenseLayer:
    """floor((x · weight + bias) · 2^-shift), clipped.

    Attributes:
        weight: (in, out) int8 or int16.
        bias: (out,) int32.
        shift: (out,) uint8.
        low: smallest result.
        high: largest result.
    """

    weight: NDArray[np.int8] | NDArray[np.int16]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    low: int
    high: int

    @property
    def fits(self) -> bool:
        """Whether shapes agree and no sum of inputs within ±255 can leave exact arithmetic."""
        weight, bias, shift = self.weight, self.bias, self.shift
        shapes = weight.ndim == 2 and weight.size and bias.shape == shift.shape == weight.shape[1:]
        if not shapes or int(shift.max()) > MAX_SHIFT or not -EXACT < self.low < self.high < EXACT:
            return False
        sums = np.abs(weight.astype(np.int64)).sum(0) * READ + np.abs(bias.astype(np.int64))
        return int(sums.max()) < EXACT


class DenseLayers:
    """A network of dense layers.

    Args:
        layers: in order; all but the last give 0 to 255.

    Raises:
        CodecError: the layers do not fit together, or a sum could leave exact arithmetic.
    """

    def __init__(self, layers: tuple[DenseLayer, ...]) -> None:
        sizes = [layer.weight.shape for layer in layers]
        chained = all(a[1:] == b[:1] for a, b in pairwise(sizes))
        bounded = all(layer.low == 0 and layer.high == READ for layer in layers[:-1])
        if not layers or not chained or not bounded or not all(layer.fits for layer in layers):
            raise CodecError("a context network leaves exact arithmetic; make the codec anew")
        self.layers = layers
        self._weights = [layer.weight.astype(np.float32) for layer in layers]
        self._biases = [layer.bias.astype(np.float32) for layer in layers]
        self._factors = [np.exp2(-layer.shift.astype(np.float32)) for layer in layers]

    @property
    def inputs(self) -> int:
        """Numbers of a row that it reads."""
        return int(self.layers[0].weight.shape[0])

    @property
    def outputs(self) -> int:
        """Numbers of a row that it gives."""
        return int(self.layers[-1].weight.shape[1])

    def __call__(self, rows: Array) -> NDArray[np.int64]:
        """Run the network.

        Args:
            rows: (…, inputs) float32, integers within ±255.

        Returns:
            (…, outputs) int64.
        """
        at = rows.reshape(-1, self.inputs)
        for layer, weight, bias, factor in zip(
            self.layers, self._weights, self._biases, self._factors, strict=True
        ):
            at = at @ weight
            at += bias
            at *= factor
            np.floor(at, out=at)
            # Of small arrays both bounds apart are faster than clip.
            np.maximum(at, layer.low, out=at)
            np.minimum(at, layer.high, out=at)
        return at.reshape(*rows.shape[:-1], self.outputs).astype(np.int64)

    def graph(self) -> bytes:
        """The network as a graph from x, (n, inputs), to what it gives, (n, outputs), float32."""
        graph = PlainGraph([("x", ["n", self.inputs])])
        at = "x"
        for layer, weight, bias, factor in zip(
            self.layers, self._weights, self._biases, self._factors, strict=True
        ):
            at = graph.node("MatMul", at, graph.constant(weight))
            at = graph.node("Add", at, graph.constant(bias))
            at = graph.node("Floor", graph.node("Mul", at, graph.constant(factor)))
            at = graph.node("Max", at, graph.constant(np.array([layer.low], np.float32)))
            at = graph.node("Min", at, graph.constant(np.array([layer.high], np.float32)))
        return graph.to_bytes(at, ["n", "m"])

    def to_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The network as arrays of a codec file, their names beginning with ``name``."""
        arrays: dict[str, NDArray[Any]] = {}
        for index, layer in enumerate(self.layers):
            arrays[f"{name}.{index}.weight"] = layer.weight
            arrays[f"{name}.{index}.bias"] = layer.bias
            arrays[f"{name}.{index}.shift"] = layer.shift
            arrays[f"{name}.{index}.bounds"] = np.array([layer.low, layer.high], dtype=np.int32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> Self:
        """Read what ``to_arrays`` gave.

        Raises:
            CodecError: an array is missing or of another type, or the layers do not fit.
        """
        layers: list[DenseLayer] = []
        types = {"weight": "int8 int16", "bias": "int32", "shift": "uint8", "bounds": "int32"}
        while f"{name}.{len(layers)}.weight" in arrays:
            found = {part: arrays.get(f"{name}.{len(layers)}.{part}") for part in types}
            values = {
                part: array
                for part, array in found.items()
                if array is not None and array.dtype.name in types[part].split()
            }
            if len(values) < len(types) or values["bounds"].shape != (2,):
                raise CodecError(f"the network {name!r} of a codec is unreadable; make it anew")
            low, high = (int(bound) for bound in values.pop("bounds"))
            layers.append(DenseLayer(**values, low=low, high=high))
        return cls(tuple(layers))


Run = Callable[[Array], NDArray[np.int64]]
"""Runs a network on rows (…, inputs), as `DenseLayers` does."""


class DenseNetwork(Network):
    """Dense layers in onnxruntime: the same integers in half of numpy's time.

    BLAS, which numpy multiplies by, starts as many threads as there are cores for each small
    product; onnxruntime keeps to ``threads``.

    Args:
        layers: of it.
        name: for messages.
        threads: of one run; None leaves the choice to onnxruntime.
        optimise: whether onnxruntime may rearrange the graph.
    """

    def __init__(
        self, layers: DenseLayers, *, name: str, threads: int | None, optimise: bool
    ) -> None:
        super().__init__(name=name, threads=threads, owner="codec", optimise=optimise)
        self._layers = layers

    def rows(self, rows: Array) -> NDArray[np.int64]:
        """Run the network on (…, inputs) integers within ±255; gives (…, outputs)."""
        made = self(rows.reshape(-1, self._layers.inputs))
        return made.reshape(*rows.shape[:-1], self._layers.outputs).astype(np.int64)

    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        return lambda shape: None  # rows are as many as latents, which tiles bound

    def _engine(self) -> Session:
        return self.session_of(self._layers.graph())


def read(values: NDArray[Any], shift: NDArray[Any]) -> Array:
    """What a layer reads of integers: floor(value · 2^-shift + ½), within ±255.

    Args:
        values: integers below 2^23 in size, any shape.
        shift: of each number of the last side.
    """
    half = (np.int64(1) << shift.astype(np.int64)) >> 1
    shifted = (values + half) >> shift.astype(np.int64)
    found: Array = shifted.clip(-READ, READ).astype(np.float32)
    return found
