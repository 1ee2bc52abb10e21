"""ONNX graphs written by hand: what learning stores, and what onnxruntime is given to compute.

Only what such graphs need: float32 inputs, stored arrays, and operators told integers or texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.varint import write_varint

OPSET = 17
IR_VERSION = 8

_FLOAT = 1
FLOAT64 = 11
_TYPES = {"float32": _FLOAT, "int8": 3, "int64": 7, "float16": 10}
_ALL_TYPES = {**_TYPES, "uint8": 2, "int32": 6, "float64": FLOAT64}

Attribute = int | str | Sequence[int]
Shape = Sequence[int | str]
"""Sides of an array, with names where they are free."""


class PlainGraph:
    """Collects the steps of a graph, each of one output; what it gives is called ``y``.

    Args:
        inputs: names of the float32 inputs, and their shapes.
    """

    def __init__(self, inputs: Sequence[tuple[str, Shape]]) -> None:
        self._inputs = list(inputs)
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Store an array; of float16 or int8 as it is, to be cast when the graph loads.

        Others are stored as int64, or else float32. Returns the name of a float32 or int64 array.
        """
        array = np.ascontiguousarray(values)  # a number becomes a row of one
        array = array if array.dtype.name in _TYPES else array.astype(np.float32)
        name = self.stored(array)
        return self.node("Cast", name, to=_FLOAT) if array.dtype.itemsize < 4 else name

    def stored(self, values: NDArray[Any]) -> str:
        """Store an array of numbers as it is; returns its name."""
        name = f"w{len(self._constants)}"
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        sides = b"".join(_number(1, side) for side in values.shape)
        stored = _ALL_TYPES[values.dtype.name]
        self._constants.append(sides + _number(2, stored) + _text(8, name) + _bytes(9, raw))
        return name

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Append one operator; returns the name of its output."""
        name = f"v{len(self._nodes)}"
        self._append(op, inputs, name, attributes)
        return name

    def to_bytes(self, at: str, shape: Shape) -> bytes:
        """Serialise the model.

        Args:
            at: value to return.
            shape: that it has.
        """
        self._append("Identity", [at], "y", {})
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _text(2, "kinpack"),
                *(_bytes(5, constant) for constant in self._constants),
                *(_bytes(11, _value(name, sides)) for name, sides in self._inputs),
                _bytes(12, _value("y", shape)),
            ]
        )
        return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))

    def _append(
        self, op: str, inputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]
    ) -> None:
        told = b"".join(_bytes(5, _attribute(key, told)) for key, told in attributes.items())
        self._nodes.append(
            b"".join(_text(1, one) for one in inputs) + _text(2, name) + _text(4, op) + told
        )


def _attribute(name: str, value: Attribute) -> bytes:
    """An attribute of a node: one integer, a text, or a row of integers."""
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, 3)
    return _text(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _value(name: str, shape: Shape) -> bytes:
    """A float32 array."""
    sides = (_number(1, side) if isinstance(side, int) else _text(2, side) for side in shape)
    dimensions = b"".join(_bytes(1, side) for side in sides)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, dimensions)))


@cache
def _key(field: int, sort: int) -> bytes:
    return write_varint(field << 3 | sort)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + write_varint(value & (1 << 64) - 1)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + write_varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
