"""ONNX graphs written node by node: only what the networks need, with small weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kinpack.errors import CodecError
from kinpack.learn.models.networks import Analysis, Residual
from kinpack.networks.onnx_writer import PlainGraph, Shape


def float_graph(network: nn.Module, *, inputs: Shape, outputs: Shape) -> bytes:
    """Graph of a float network, its weights stored in float16.

    Args:
        network: of convolutions, residual blocks, ReLU, sub-pixel shuffles, flattening, linear
            maps, in sequence; or analysis.
        inputs: shape of the input.
        outputs: shape of the output.

    Raises:
        CodecError: a layer of another sort is among them.
    """
    writer = PlainGraph([("x", inputs)])
    return writer.to_bytes(_append(writer, "x", network), outputs)


def _append(writer: PlainGraph, at: str, layer: nn.Module) -> str:
    if isinstance(layer, nn.Sequential):
        for part in layer:
            at = _append(writer, at, part)
        return at
    if isinstance(layer, Analysis):
        trunk = _append(writer, _append(writer, at, layer.trunk), layer.last)
        return writer.node("Add", _append(writer, at, layer.linear), trunk)
    if isinstance(layer, nn.Conv2d):
        weight, bias = (writer.constant(half(v)) for v in (layer.weight, layer.bias))
        stride, padding = int(layer.stride[0]), int(layer.padding[0])
        return writer.node("Conv", at, weight, bias, strides=(stride,) * 2, pads=(padding,) * 4)
    if isinstance(layer, Residual):
        inner = writer.node("Relu", at)
        inner = writer.node("Relu", _append(writer, inner, layer.down))
        return writer.node("Add", at, _append(writer, inner, layer.up))
    if isinstance(layer, nn.ReLU):
        return writer.node("Relu", at)
    if isinstance(layer, nn.PixelShuffle):
        return writer.node("DepthToSpace", at, blocksize=layer.upscale_factor, mode="CRD")
    if isinstance(layer, nn.Flatten):
        return writer.node("Flatten", at, axis=1)
    if isinstance(layer, nn.Linear):
        weight, bias = (writer.constant(half(v)) for v in (layer.weight, layer.bias))
        return writer.node("Gemm", at, weight, bias, transB=1)
    raise CodecError(f"a {type(layer).__name__} layer has no place in a codec file")


def half(parameter: Any) -> NDArray[np.float16]:
    """Parameter as it is stored: float16."""
    return np.asarray(parameter.detach().cpu().numpy()).astype(np.float16)
