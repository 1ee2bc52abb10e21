"""ONNX graphs written node by node: only what the networks need, with small weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kinpack.errors import CodecError
from kinpack.learn.freezing.traced_graph import EXACT_BELOW, eight_bits
from kinpack.learn.models.networks import Analysis, Residual
from kinpack.networks.onnx_writer import PlainGraph, Shape


def float_graph(network: nn.Module, *, inputs: Shape, outputs: Shape) -> bytes:
    """Graph of a float network, its weights stored in float16; large ones of an analysis in 8 bits.

    What a trunk adds to the block transform is small, so that 8 bits a weight say enough of it.

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


def _append(writer: PlainGraph, at: str, layer: nn.Module, *, small: bool = False) -> str:
    if isinstance(layer, nn.Sequential):
        for part in layer:
            at = _append(writer, at, part, small=small)
        return at
    if isinstance(layer, Analysis):
        trunk = _append(
            writer, _append(writer, at, layer.trunk, small=True), layer.last, small=True
        )
        return writer.node("Add", _append(writer, at, layer.linear), trunk)
    if isinstance(layer, nn.Conv2d):
        weight, bias = _weight(writer, layer, small), writer.constant(half(layer.bias))
        stride, padding = int(layer.stride[0]), int(layer.padding[0])
        return writer.node("Conv", at, weight, bias, strides=(stride,) * 2, pads=(padding,) * 4)
    if isinstance(layer, Residual):
        inner = writer.node("Relu", at)
        inner = writer.node("Relu", _append(writer, inner, layer.down, small=small))
        return writer.node("Add", at, _append(writer, inner, layer.up, small=small))
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


def _weight(writer: PlainGraph, layer: nn.Conv2d, small: bool) -> str:
    if not small or layer.weight.numel() < EXACT_BELOW:
        return writer.constant(half(layer.weight))
    rounded, scale = eight_bits(layer.weight.detach().double().numpy())
    return writer.node("Mul", writer.constant(rounded), writer.constant(scale))


def half(parameter: Any) -> NDArray[np.float16]:
    """Parameter as it is stored: float16."""
    return np.asarray(parameter.detach().cpu().numpy()).astype(np.float16)
