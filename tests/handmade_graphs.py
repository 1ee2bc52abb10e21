"""ONNX models written byte by byte, good and bad ones: nothing here needs the package onnx."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "float16": 10,
    "float64": 11,
}

IR_VERSION, PRODUCER, GRAPH, OPSET, FUNCTIONS = 1, 2, 7, 8, 25
NODE, CONSTANT, INPUT, OUTPUT = 1, 5, 11, 12


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, value: int | float | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: Any) -> bytes:
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, 3)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> bytes:
    return (
        b"".join(field(1, name) for name in inputs)
        + field(2, output)
        + field(4, op)
        + b"".join(field(5, attribute(k, v)) for k, v in attributes.items())
    )


def tensor(
    name: str, values: NDArray[Any], *, dims: Sequence[int] | None = None, more: bytes = b""
) -> bytes:
    sides = b"".join(field(1, d) for d in (values.shape if dims is None else dims))
    kind = field(2, TYPES[values.dtype.name])
    return sides + kind + field(8, name) + field(9, values.tobytes()) + more


def value(name: str, shape: Sequence[int | str], *, kind: int = 1) -> bytes:
    sides = b"".join(field(1, field(1 if isinstance(s, int) else 2, s)) for s in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sides)))


def opset(version: int, domain: str | None = "") -> bytes:
    return (b"" if domain is None else field(1, domain)) + field(2, version)


def graph(
    nodes: Iterable[bytes],
    constants: Iterable[bytes] = (),
    *,
    inputs: Sequence[bytes] = (value("x", ["n", "c", "h", "w"]),),
    outputs: Sequence[bytes] = (value("y", ["n", "d", "i", "j"]),),
    more: bytes = b"",
) -> bytes:
    return (
        b"".join(field(NODE, n) for n in nodes)
        + field(2, "g")
        + b"".join(field(CONSTANT, c) for c in constants)
        + b"".join(field(INPUT, v) for v in inputs)
        + b"".join(field(OUTPUT, v) for v in outputs)
        + more
    )


def model(
    graphs: bytes | Sequence[bytes], *, opsets: Sequence[bytes] = (opset(17),), more: bytes = b""
) -> bytes:
    parts = [graphs] if isinstance(graphs, bytes) else graphs
    return (
        field(IR_VERSION, 8)
        + field(PRODUCER, "tests")
        + b"".join(field(GRAPH, g) for g in parts)
        + more
        + b"".join(field(OPSET, o) for o in opsets)
    )


class Steps:
    """A graph that grows step by step; each gives the name of its value."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.constants)}"
        self.constants.append(tensor(name, np.asarray(values, dtype)))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs, name, **attributes))
        return name

    def to_bytes(
        self,
        at: str,
        *,
        inputs: Sequence[int | str] = ("n", "c", "h", "w"),
        outputs: Sequence[int | str] | None = None,
    ) -> bytes:
        """Finish; outputs are four free sides by default."""
        sides = [f"o{i}" for i in range(4)] if outputs is None else outputs
        last = node("Identity", [at], "y")
        return model(
            graph(
                [*self.nodes, last],
                self.constants,
                inputs=[value("x", inputs)],
                outputs=[value("y", sides)],
            )
        )
