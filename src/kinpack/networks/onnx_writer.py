"""ONNX graphs written by hand, for what kinpack itself lets onnxruntime compute.

Only what such graphs need: float32 inputs of free sides, stored arrays, and operators told integers
or texts. `onnx_reader` reads the graphs of files; these never come from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.varint import write_varint

OPSET = 17
IR_VERSION = 8

_FLOAT, _INT64 = 1, 7

Attribute = int | str | Sequence[int]


class PlainGraph:
    """Collects the steps of a graph, each of one output.

    Args:
        inputs: names of the float32 inputs, and how many sides each has.
    """

    def __init__(self, inputs: Sequence[tuple[str, int]]) -> None:
        self._inputs = list(inputs)
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Store an array, float32 or int64; returns its name."""
        name = f"w{len(self._constants)}"
        array = np.ascontiguousarray(values)
        stored = _INT64 if array.dtype == np.int64 else _FLOAT
        raw = array.astype("<i8" if stored == _INT64 else "<f4").tobytes()
        sides = b"".join(_number(1, side) for side in array.shape)
        self._constants.append(sides + _number(2, stored) + _text(8, name) + _bytes(9, raw))
        return name

    def node(self, op: str, *inputs: str, **attributes: Attribute) -> str:
        """Append one operator; returns the name of its output."""
        name = f"v{len(self._nodes)}"
        told = b"".join(_bytes(5, _attribute(key, told)) for key, told in attributes.items())
        self._nodes.append(
            b"".join(_text(1, one) for one in inputs) + _text(2, name) + _text(4, op) + told
        )
        return name

    def to_bytes(self, at: str, *, sides: int) -> bytes:
        """Serialise the model.

        Args:
            at: value to return.
            sides: that it has.
        """
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _text(2, "kinpack"),
                *(_bytes(5, constant) for constant in self._constants),
                *(_bytes(11, _value(name, count)) for name, count in self._inputs),
                _bytes(12, _value(at, sides)),
            ]
        )
        return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def _attribute(name: str, value: Attribute) -> bytes:
    """An attribute of a node: one integer, a text, or a row of integers."""
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, 3)
    return _text(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _value(name: str, sides: int) -> bytes:
    """A float32 array whose sides are all free."""
    shape = b"".join(_bytes(1, _text(2, f"{name}_{side}")) for side in range(sides))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, shape)))


@cache
def _key(field: int, sort: int) -> bytes:
    return write_varint(field << 3 | sort)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + write_varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + write_varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
