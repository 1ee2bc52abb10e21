"""A second engine: networks of integers, run in numpy alone.

Where every number is an integer below 2^24 in size and so is every partial sum, float32 arithmetic
is exact in any order of summation, and this engine gives the bytes that onnxruntime gives. It is
there for the machines on which onnxruntime does not, and to prove it on all others. It runs what
networks of integers are made of; a graph with another operator is refused before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import slices
from kinpack.networks.graphs.network_graph import Graph, Node

Array = NDArray[np.float32]

_COLUMNS = 1 << 22
"""Most numbers of the columns that a convolution lays out at a time, 16 MiB; one at least."""


class NumpyEngine:
    """Runs a graph in numpy; from several threads at a time, if need be.

    Args:
        graph: a checked network.

    Raises:
        CodecError: it uses an operator, or an option of one, that this engine does not run.
    """

    def __init__(self, graph: Graph) -> None:
        for node in graph.nodes:
            dilated = any(d != 1 for d in node.integers("dilations", ()))
            if node.op not in _OPERATIONS or node.integer("group", 1) != 1 or dilated:
                what = "a convolution in groups or with gaps" if node.op == "Conv" else node.op
                raise CodecError(f"uses {what}, which the plain engine does not run")
        self._graph = graph
        self._stored: dict[str, NDArray[Any]] = dict(graph.constants)
        self._steps: list[tuple[int, Node]] = []
        with np.errstate(all="ignore"):
            for place, node in enumerate(graph.nodes):
                if all(name in self._stored for name in node.inputs):
                    self._stored[node.output] = _run(node, self._stored)
                else:
                    self._steps.append((place, node))

    def __call__(self, x: Array) -> Array:
        """Run the graph.

        Args:
            x: float32, of a shape that was checked.

        Returns:
            float32 array.
        """
        values: dict[str, NDArray[Any]] = {**self._stored, self._graph.input.name: x}
        last_uses = self._graph.last_uses
        with np.errstate(all="ignore"):
            for place, node in self._steps:
                values[node.output] = _run(node, values)
                for name in {*node.inputs, node.output}:
                    if last_uses.get(name, place) == place:
                        del values[name]
        return values[self._graph.output.name]


def _run(node: Node, values: Mapping[str, NDArray[Any]]) -> Array:
    return _OPERATIONS[node.op](node, [values[name] for name in node.inputs])


def _cast(node: Node, inputs: Sequence[NDArray[Any]]) -> Array:
    return inputs[0].astype(np.float32)


def _clip(node: Node, inputs: Sequence[Array]) -> Array:
    y = inputs[0]
    if len(inputs) > 1:
        y = np.maximum(y, inputs[1])
    return np.minimum(y, inputs[2]) if len(inputs) > 2 else y


def _concat(node: Node, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=node.integer("axis", 0))


def _convolution(node: Node, inputs: Sequence[Array]) -> Array:
    """Lay the windows out as columns, block by block, and multiply the weights with them."""
    x, weight = inputs[:2]
    o, _, *kernel = weight.shape
    top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
    down, across = node.integers("strides", (1, 1))
    if top or left or bottom or right:
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(x, tuple(kernel), axis=(2, 3))[:, :, ::down, ::across]
    n, _, height, width = windows.shape[:4]
    y = np.empty((n, o, height, width), np.float32)
    rows = np.ascontiguousarray(weight.reshape(o, -1))
    for pictures, lines, places in _blocks(n, height, width, most=_COLUMNS // rows.shape[1]):
        block = windows[pictures, :, lines, places].transpose(1, 4, 5, 0, 2, 3)
        product = rows @ block.reshape(rows.shape[1], -1)
        product = product.reshape(o, *block.shape[3:]).transpose(1, 0, 2, 3)
        y[pictures, :, lines, places] = product
    if len(inputs) > 2:
        y += inputs[2][:, None, None]
    return y


def _blocks(n: int, height: int, width: int, *, most: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut n planes into blocks of at most this many places, or of one."""
    places = min(max(1, most), width)
    lines = min(max(1, most // width), height)
    pictures = max(1, most // (width * height))
    for i in range(0, n, pictures):
        for j in range(0, height, lines):
            for k in range(0, width, places):
                yield slice(i, i + pictures), slice(j, j + lines), slice(k, k + places)


def _depth_to_space(node: Node, inputs: Sequence[Array]) -> Array:
    n, channels, h, w = inputs[0].shape
    b = node.integer("blocksize", 1)
    cells = inputs[0].reshape(n, channels // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return cells.reshape(n, channels // b**2, h * b, w * b)


def _slice(node: Node, inputs: Sequence[NDArray[Any]]) -> Array:
    stored = zip(node.inputs[1:], inputs[1:], strict=True)
    integers = {name: tuple(int(v) for v in row) for name, row in stored}
    parts = slices(node, inputs[0].shape, integers)
    return inputs[0][tuple(parts.get(axis, slice(None)) for axis in range(inputs[0].ndim))]


_OPERATIONS: Mapping[str, Callable[[Node, Sequence[NDArray[Any]]], Array]] = MappingProxyType(
    {
        "Add": lambda node, inputs: np.add(*inputs),
        "Cast": _cast,
        "Clip": _clip,
        "Concat": _concat,
        "Conv": _convolution,
        "DepthToSpace": _depth_to_space,
        "Floor": lambda node, inputs: np.floor(inputs[0]),
        "Identity": lambda node, inputs: inputs[0],
        "Max": lambda node, inputs: reduce(np.maximum, inputs),
        "Min": lambda node, inputs: reduce(np.minimum, inputs),
        "Mul": lambda node, inputs: np.multiply(*inputs),
        "Relu": lambda node, inputs: np.maximum(inputs[0], np.float32(0)),
        "Slice": _slice,
        "Sub": lambda node, inputs: np.subtract(*inputs),
    }
)
