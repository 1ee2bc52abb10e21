"""What a network of bytes computes: in plain numpy, and as a graph of 8-bit convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.byte_layers import SIGNED, BlockLayer, ByteLayer, ByteLayers
from kinpack.networks.numpy_engine import Array, convolution, depth_to_space
from kinpack.networks.onnx_writer import FLOAT64, PlainGraph


def run_bytes(layers: ByteLayers, x: Array) -> Array:
    """Run a network, checked, in numpy.

    Args:
        layers: of it.
        x: (n, channels, h, w) integers.

    Returns:
        (n, channels given, h · up, w · up), 0 to 255.
    """
    stream = at = x
    for layer in layers.layers:
        if layer.reads is not None:
            at = _rounded(stream, layer.reads).clip(layer.reads_low, layer.reads_low + 255)
        weight = layer.weight.astype(np.float32)
        at = convolution(at, weight, pads=(weight.shape[2] // 2,) * 4)
        at += layer.bias.astype(np.float32)[:, None, None]
        at = _rounded(at, layer.shift).clip(layer.low, layer.low + 255)
        if layer.grow is not None:
            grown = at * np.exp2(layer.grow.astype(np.float32))[:, None, None]
            grown = depth_to_space(grown, blocksize=layer.shuffle, mode="CRD")
            stream = stream + grown if layer.adds else grown
    stream = stream + _block(layers.block, x)
    y: Array = np.rint(stream * np.float32(2.0**-layers.drop)).clip(0, 255)
    return y


def _rounded(x: Array, shift: NDArray[np.uint8]) -> Array:
    return np.rint(x * np.exp2(-shift.astype(np.float32))[:, None, None])


def _block(block: BlockLayer, x: Array) -> Array:
    n, channels, h, w = x.shape
    rows = x.reshape(n, channels, h * w).astype(np.float64)
    sums = np.rint(block.weight.astype(np.float64) @ rows * 2.0**-block.shift)
    sums += block.bias[:, None]
    whole = sums.astype(np.float32).reshape(n, -1, h, w)
    return depth_to_space(whole, blocksize=block.shuffle, mode="CRD")


def byte_graph(layers: ByteLayers) -> bytes:
    """Write a network, checked, as a graph from x, (n, channels, h, w), to what it gives."""
    return _Writer(layers).graph


class _Writer:
    """Writes a graph; bytes with a sign are held as those from 0 to 255 with 128 as their zero."""

    def __init__(self, layers: ByteLayers) -> None:
        self._graph = PlainGraph([("x", ["n", "c", "h", "w"])])
        self._zeros = {low: self._stored(np.uint8(-low)) for low in (0, SIGNED)}
        self._one = self._stored(np.float32(1))
        stream = at = "x"
        low = 0
        for layer in layers.layers:
            if layer.reads is not None:
                at, low = (
                    self._between("QuantizeLinear", stream, layer.reads, layer.reads_low),
                    layer.reads_low,
                )
            at, low = self._layer(layer, at, low), layer.low
            if layer.grow is not None:
                grown = self._between("DequantizeLinear", at, layer.grow, low)
                grown = self._shuffled(grown, layer.shuffle)
                stream = self._node("Add", stream, grown) if layer.adds else grown
        summed = self._node("Add", stream, self._block(layers.block))
        scaled = self._node("Mul", summed, self._stored(np.float32(2.0**-layers.drop)))
        bounds = (self._stored(np.float32(bound)) for bound in (0, 255))
        y = self._node("Clip", self._node("Round", scaled), *bounds)
        self.graph = self._graph.to_bytes(y, ["n", "d", "i", "j"])

    def _between(self, op: str, at: str, shift: NDArray[np.uint8], low: int) -> str:
        """From the stream to bytes, or back, by shifts of channels."""
        scale = np.exp2(shift.astype(np.float32))
        if (scale == scale[0]).all():
            return self._node(op, at, self._stored(scale[0]), self._zeros[low])
        zeros = self._stored(np.full(len(scale), -low, np.uint8))
        return self._node(op, at, self._stored(scale), zeros, axis=1)

    def _layer(self, layer: ByteLayer, at: str, low: int) -> str:
        scale = self._stored(np.exp2(-layer.shift.astype(np.float32)))
        weight, bias = self._stored(layer.weight), self._stored(layer.bias)
        zeros = self._stored(np.zeros(len(layer.weight), np.int8))
        given = (at, self._one, self._zeros[low], weight, scale, zeros)
        pads = (layer.weight.shape[2] // 2,) * 4
        return self._node("QLinearConv", *given, self._one, self._zeros[layer.low], bias, pads=pads)

    def _block(self, block: BlockLayer) -> str:
        rows = self._node("Reshape", "x", self._stored(np.array([0, 0, -1], np.int64)))
        rows = self._node("Cast", rows, to=FLOAT64)
        sums = self._node("MatMul", self._stored(block.weight.astype(np.float64)), rows)
        sums = self._node("Mul", sums, self._stored(np.float64(2.0**-block.shift)))
        sums = self._node("Add", self._node("Round", sums), self._bias(block))
        sides = self._node("Shape", "x")
        ends = [self._stored(np.array([end], np.int64)) for end in (0, 1, 2, 4)]
        count = self._stored(np.array([len(block.weight)], np.int64))
        n, hw = (self._node("Slice", sides, *pair) for pair in (ends[:2], ends[2:]))
        shape = self._node("Concat", n, count, hw, axis=0)
        whole = self._node("Reshape", self._node("Cast", sums, to=1), shape)
        return self._shuffled(whole, block.shuffle)

    def _bias(self, block: BlockLayer) -> str:
        return self._stored(block.bias.astype(np.float64)[:, None])

    def _shuffled(self, at: str, block: int) -> str:
        if block == 1:
            return at
        return self._node("DepthToSpace", at, blocksize=block, mode="CRD")

    def _node(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self._graph.node(op, *inputs, **attributes)

    def _stored(self, values: Any) -> str:
        return self._graph.stored(np.asarray(values))
