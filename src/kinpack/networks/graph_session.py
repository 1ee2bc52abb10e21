"""ONNX graphs in numpy, for machines that have no onnxruntime: slower, and rounded otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.graphs.graph_shapes import Integers, slices, windows
from kinpack.networks.graphs.network_graph import Graph, Node
from kinpack.networks.numpy_engine import numpy_step, padded_windows

Arrays = Sequence[NDArray[Any]]


class GraphSession:
    """Runs a graph as a session of onnxruntime does.

    Args:
        graph: it; what it asks for is checked by whoever runs it.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._integers = {
            name: tuple(array.tolist())
            for name, array in graph.constants.items()
            if array.dtype == np.int64 and array.ndim == 1
        }

    def run(
        self, output_names: None, input_feed: Mapping[str, NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Give the one output for the input by its name."""
        graph = self._graph
        values: dict[str, NDArray[Any]] = {**graph.constants, **input_feed}
        last_uses = graph.last_uses
        with np.errstate(all="ignore"):
            for place, node in enumerate(graph.nodes):
                inputs = [values[name] for name in node.inputs]
                values[node.output] = self._step(node, inputs)
                for name in {*node.inputs, node.output}:
                    if last_uses.get(name, place) <= place:
                        del values[name]
        return [values[graph.output.name]]

    def _step(self, node: Node, inputs: Arrays) -> NDArray[Any]:
        if node.op in _STEPS:
            return _STEPS[node.op](node, inputs, self._integers)
        return numpy_step(node.op, *inputs, **node.attributes)


def _clip(_: Node, inputs: Arrays, __: Integers) -> NDArray[Any]:
    x, *bounds = inputs
    clipped: NDArray[Any] = np.clip(x, *bounds, *(None for _ in range(2 - len(bounds))))
    return clipped


def _flatten(node: Node, inputs: Arrays, _: Integers) -> NDArray[Any]:
    (x,) = inputs
    axis = node.integer("axis", 1)
    axis = axis if axis >= 0 else axis + x.ndim
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _linear(node: Node, inputs: Arrays, _: Integers) -> NDArray[Any]:
    x, weight, *bias = inputs
    y: NDArray[Any] = x @ (weight.T if node.integer("transB", 0) else weight)
    return sum(bias, start=y)


def _maximum_pool(node: Node, inputs: Arrays, _: Integers) -> NDArray[Any]:
    (x,) = inputs
    kernel = node.integers("kernel_shape", ())
    strides, dilations = (node.integers(name, (1, 1)) for name in ("strides", "dilations"))
    top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
    places, (tall, wide) = windows(node, x.shape[2:], kernel)
    # The last window may reach beyond what is stated, where the number of windows is rounded up.
    ends = [
        (count - 1) * stride + (k - 1) * d + 1
        for count, stride, k, d in zip(places, strides, kernel, dilations, strict=True)
    ]
    pads = (top, left, bottom + max(0, ends[0] - tall), right + max(0, ends[1] - wide))
    seen = padded_windows(x, kernel, pads, strides, dilations, fill=-np.inf)
    most: NDArray[Any] = seen[:, :, : places[0], : places[1]].max(axis=(4, 5))
    return most


def _reduction(
    reduced: Callable[..., NDArray[Any]], node: Node, inputs: Arrays, _: Integers
) -> NDArray[Any]:
    return reduced(inputs[0], axis=node.integers("axes", ()), keepdims=node.integer("keepdims", 1))


def _length(x: NDArray[Any], **options: Any) -> NDArray[Any]:
    length: NDArray[Any] = np.sqrt(np.square(x).sum(**options))
    return length


def _reshape(node: Node, inputs: Arrays, integers: Integers) -> NDArray[Any]:
    x, target = inputs[0], integers[node.inputs[1]]
    return x.reshape([x.shape[i] if side == 0 else side for i, side in enumerate(target)])


def _slice(node: Node, inputs: Arrays, integers: Integers) -> NDArray[Any]:
    x = inputs[0]
    parts = slices(node, x.shape, integers)
    return x[tuple(parts.get(axis, slice(None)) for axis in range(x.ndim))]


_erf = np.vectorize(math.erf, otypes=[np.float32])

_STEPS: Mapping[str, Callable[[Node, Arrays, Integers], NDArray[Any]]] = {
    "Cast": lambda _, inputs, __: inputs[0].astype(np.float32),
    "Clip": _clip,
    "Concat": lambda node, inputs, _: np.concatenate(inputs, axis=node.integer("axis", 0)),
    "Div": lambda _, inputs, __: np.divide(*inputs),
    "Erf": lambda _, inputs, __: _erf(inputs[0]),
    "Flatten": _flatten,
    "Gemm": _linear,
    "Identity": lambda _, inputs, __: inputs[0],
    "Max": lambda _, inputs, __: reduce(np.maximum, inputs),
    "MaxPool": _maximum_pool,
    "Min": lambda _, inputs, __: reduce(np.minimum, inputs),
    "ReduceL2": partial(_reduction, _length),
    "ReduceMax": partial(_reduction, np.max),
    "ReduceMean": partial(_reduction, np.mean),
    "Relu": lambda _, inputs, __: np.maximum(inputs[0], 0),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sub": lambda _, inputs, __: np.subtract(*inputs),
}
"""All operators of `network_graph.OPERATORS` that ``numpy_step`` lacks."""
