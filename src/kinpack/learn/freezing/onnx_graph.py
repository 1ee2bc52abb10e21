"""ONNX graphs written node by node: only what the networks need, with small weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from kinpack.errors import CodecError
from kinpack.learn.models.networks import Analysis, Residual

OPSET = 17
IR_VERSION = 8


class GraphWriter:
    """Collects the nodes of a graph with one input ``x`` and one output ``y``.

    Each method appends nodes to the value ``at`` and returns the name of the result.
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._count = 0

    def constant(self, values: NDArray[Any]) -> str:
        """Store an array; one of float16 or int8 is cast to float32 when the graph loads."""
        name = self._name("w")
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        if values.dtype in (np.float16, np.int8):
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        return name

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append one operator."""
        name = self._name(op.lower())
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def convolution(
        self,
        at: str,
        weight: NDArray[Any],
        bias: NDArray[Any],
        *,
        stride: int = 1,
        padding: int = 0,
    ) -> str:
        """Append a convolution of (out, in, k, k) weights and (out,) biases."""
        return self.node(
            "Conv",
            [at, self.constant(weight), self.constant(bias)],
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            pads=[padding] * 4,
        )

    def to_bytes(self, at: str, *, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
        """Finish the graph.

        Args:
            at: value to return.
            inputs: shape of the input, with names where a side is free.
            outputs: shape of the output.
        """
        self._nodes.append(helper.make_node("Identity", [at], ["y"]))
        graph = helper.make_graph(
            self._nodes,
            "kinpack",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(inputs))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(outputs))],
            self._weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="kinpack"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"


def float_graph(network: nn.Module, *, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
    """Graph of a float network, its weights stored in float16.

    Args:
        network: of convolutions, residual blocks, ReLU, sub-pixel shuffles, flattening, linear
            maps, in sequence; or analysis.
        inputs: shape of the input.
        outputs: shape of the output.

    Raises:
        CodecError: a layer of another sort is among them.
    """
    writer = GraphWriter()
    at = _append(writer, "x", network)
    return writer.to_bytes(at, inputs=inputs, outputs=outputs)


def _append(writer: GraphWriter, at: str, layer: nn.Module) -> str:
    if isinstance(layer, nn.Sequential):
        for part in layer:
            at = _append(writer, at, part)
        return at
    if isinstance(layer, Analysis):
        trunk = _append(writer, _append(writer, at, layer.trunk), layer.last)
        return writer.node("Add", [_append(writer, at, layer.linear), trunk])
    if isinstance(layer, nn.Conv2d):
        stride, padding = layer.stride[0], layer.padding[0]
        return writer.convolution(
            at, half(layer.weight), half(layer.bias), stride=int(stride), padding=int(padding)
        )
    if isinstance(layer, Residual):
        inner = writer.node("Relu", [at])
        inner = writer.node("Relu", [_append(writer, inner, layer.down)])
        return writer.node("Add", [at, _append(writer, inner, layer.up)])
    if isinstance(layer, nn.ReLU):
        return writer.node("Relu", [at])
    if isinstance(layer, nn.PixelShuffle):
        return writer.node("DepthToSpace", [at], blocksize=layer.upscale_factor, mode="CRD")
    if isinstance(layer, nn.Flatten):
        return writer.node("Flatten", [at], axis=1)
    if isinstance(layer, nn.Linear):
        weight, bias = (writer.constant(half(v)) for v in (layer.weight, layer.bias))
        return writer.node("Gemm", [at, weight, bias], transB=1)
    raise CodecError(f"a {type(layer).__name__} layer has no place in a codec file")


def half(parameter: Any) -> NDArray[np.float16]:
    """Parameter as it is stored: float16."""
    return np.asarray(parameter.detach().cpu().numpy()).astype(np.float16)
