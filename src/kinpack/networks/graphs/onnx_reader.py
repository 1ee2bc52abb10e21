"""ONNX graphs, read by hand and believed in nothing: what onnxruntime may see of a file.

A codec or describer file comes from a stranger. Its networks are read here first, and refused
unless they consist of the operators of ``network_graph.OPERATORS`` on arrays that the file itself
holds: no external data, no functions, no graphs within graphs, no operators of other domains. What
is accepted has one meaning to all readers (module ``protobuf``), so that onnxruntime sees what was
checked here. ``docs/format.md`` states the rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import check_constants
from kinpack.networks.graphs.network_graph import (
    MAX_RANK,
    OPERATORS,
    Attribute,
    AttributeKind,
    Graph,
    Node,
    Operator,
    Value,
    network_fault,
)
from kinpack.networks.graphs.onnx_messages import (
    ARRAY_TYPE,
    ATTRIBUTE,
    GRAPH,
    MODEL,
    NODE,
    OPERATOR_SET,
    SHAPE,
    SIDE,
    TENSOR,
    VALUE,
    VALUE_TYPE,
)
from kinpack.networks.graphs.protobuf import Message, MessageReader

MAX_BYTES = 1 << 26
"""Most bytes of a graph."""
MAX_NODES = 1 << 10
"""Most steps: onnxruntime takes time that grows with the square of them to load a graph."""
MAX_CONSTANTS = 1 << 10
MAX_WEIGHTS = 1 << 25
"""Most numbers that a graph stores, in all: 128 MiB as float32."""
MAX_INTEGER = (1 << 31) - 1
"""Largest size of an attribute, and of a side that a graph states: no sum of a few overflows."""
OPSETS = (13, 17)
"""First and last version of ONNX's operators; in these the ones allowed mean the same."""
IR_VERSIONS = (7, 10)

_FLOAT = 1
_INT64 = 7
# ONNX's number of an element type -> its type, and the typed field that may hold it.
_TYPES: Mapping[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    10: ("<f2", "int32_data"),  # as the integers of its bits
}
_ATTRIBUTE_TYPES: Mapping[AttributeKind, int] = {"int": 2, "text": 3, "ints": 7}


def read_graph(data: bytes, *, name: str = "network", owner: str = "codec") -> Graph:
    """Read and check the graph of a network.

    Args:
        data: a serialised ONNX model.
        name: of the network, for messages.
        owner: whose it is, for messages.

    Returns:
        The graph; its constants are views of ``data``.

    Raises:
        CodecError: the bytes are no such model, or it holds anything that is not allowed.
    """
    try:
        graph = _Reader().model(data)
        check_constants(graph)
    except CodecError as error:
        raise network_fault(f"does not load ({error})", name=name, owner=owner) from error
    return graph


class _Reader:
    """Reads one model; each method one message of it."""

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._room = MAX_WEIGHTS

    def model(self, data: bytes) -> Graph:
        if len(data) > MAX_BYTES:
            raise CodecError(f"it has {len(data)} bytes, more than {MAX_BYTES}")
        model = self._reader.read(memoryview(data), MODEL, "the model")
        version = _one(model, "format version", "the model")
        if not IR_VERSIONS[0] <= version <= IR_VERSIONS[1]:
            raise CodecError(f"it is of ONNX's format {version}, not {_span(IR_VERSIONS)}")
        opset = self._opset(model)
        return self._graph(_one(model, "graph", "the model"), opset)

    def _opset(self, model: Message) -> int:
        sets = [
            self._reader.read(part, OPERATOR_SET, "an operator set")
            for part in model["operator set"]
        ]
        for found in sets:
            if found["domain"] not in ([], [""]):
                raise CodecError(f"it uses operators of the domain {found['domain'][0]!r}")
        if len(sets) != 1:
            raise CodecError(f"it names {len(sets)} operator sets, not one")
        version = int(_one(sets[0], "version", "the operator set"))
        if not OPSETS[0] <= version <= OPSETS[1]:
            raise CodecError(f"it is of operator set {version}, not {_span(OPSETS)}")
        return version

    def _graph(self, data: memoryview, opset: int) -> Graph:
        graph = self._reader.read(data, GRAPH, "the graph")
        if len(graph["node"]) > MAX_NODES or len(graph["constant"]) > MAX_CONSTANTS:
            raise CodecError(f"it has more than {MAX_NODES} nodes or {MAX_CONSTANTS} constants")
        taken = self._value(graph["input"], "takes")
        given = self._value(graph["output"], "gives")
        constants: dict[str, NDArray[Any]] = {}
        for part in graph["constant"]:
            name, array = self._constant(part)
            if name in constants or name == taken.name:
                raise CodecError(f"two values are named {name!r}")
            constants[name] = array
        known = {name: array.dtype.name for name, array in constants.items()}
        known[taken.name] = "float32"
        nodes = []
        for part in graph["node"]:
            node = self._node(part, known)
            if node.output in known:
                raise CodecError(f"two values are named {node.output!r}")
            known[node.output] = "float32"
            nodes.append(node)
        if all(node.output != given.name for node in nodes):
            raise CodecError(f"no node gives its output {given.name!r}")
        return Graph(
            input=taken,
            output=given,
            nodes=tuple(nodes),
            constants=MappingProxyType(constants),
            opset=opset,
        )

    def _value(self, parts: Sequence[memoryview], verb: str) -> Value:
        else_than = f"{verb} something else than one float32 array"
        if len(parts) != 1:
            raise CodecError(else_than)
        value = self._reader.read(parts[0], VALUE, "a value")
        kind = self._reader.read(_one(value, "type", "a value"), VALUE_TYPE, "a value's type")
        array = self._reader.read(_one(kind, "array", else_than), ARRAY_TYPE, "a value's type")
        if _one(array, "type", else_than) != _FLOAT:
            raise CodecError(else_than)
        shape = self._reader.read(_one(array, "shape", "a value"), SHAPE, "a value's shape")
        if len(shape["side"]) > MAX_RANK:
            raise CodecError(f"{verb} an array of more than {MAX_RANK} sides")
        sides: list[int | str | None] = []
        for part in shape["side"]:
            side = self._reader.read(part, SIDE, "a side")
            if side["size"] and (side["name"] or not 0 < side["size"][0] <= MAX_INTEGER):
                raise CodecError(f"{verb} an array whose sides make no sense")
            sides.append(next(iter([*side["size"], *side["name"]]), None))
        return Value(name=_name(value, "a value"), shape=tuple(sides))

    def _constant(self, data: memoryview) -> tuple[str, NDArray[Any]]:
        tensor = self._reader.read(data, TENSOR, "a constant")
        name = _name(tensor, "a constant")
        what = f"the constant {name!r}"
        if tensor["place"] not in ([], [0]):
            raise CodecError(f"{what} has its data in another file, which is not allowed")
        number = _one(tensor, "type", what)
        if number not in _TYPES:
            raise CodecError(f"{what} is of the type {number}, which is not allowed")
        dtype, typed = np.dtype(_TYPES[number][0]), _TYPES[number][1]
        (sides,) = tensor["sides"]
        shape = tuple(int(side) for side in sides[: MAX_RANK + 1])
        if len(shape) > MAX_RANK or not all(0 < side <= MAX_INTEGER for side in shape):
            raise CodecError(f"{what} has sides that make no sense")
        # Counted before anything is made of it: a few bytes can state any size.
        count = math.prod(shape)
        self._room -= count
        if self._room < 0:
            raise CodecError(f"it stores more than {MAX_WEIGHTS} numbers")
        rows = {row: tensor[row][0] for row in ("float_data", "int32_data", "int64_data")}
        if any(len(rows[row]) for row in rows if row != typed or tensor["raw"]):
            raise CodecError(f"{what} has its numbers twice, or as another type")
        if tensor["raw"]:
            raw = tensor["raw"][0]
            if len(raw) != count * dtype.itemsize:
                raise CodecError(f"{what} has {len(raw)} bytes for {count} numbers")
            return name, np.frombuffer(raw, dtype).reshape(shape)
        values = rows[typed]
        if len(values) != count:
            raise CodecError(f"{what} has {len(values)} numbers, {count} expected")
        array = _narrowed(values, dtype, what).reshape(shape)
        array.flags.writeable = False
        return name, array

    def _node(self, data: memoryview, known: Mapping[str, str]) -> Node:
        node = self._reader.read(data, NODE, "a node")
        op = _one(node, "operator", "a node")
        if node["domain"] not in ([], [""]):
            raise CodecError(f"it uses an operator of the domain {node['domain'][0]!r}")
        allowed = OPERATORS.get(op)
        if allowed is None:
            raise CodecError(f"it uses the operator {op!r}, which is not allowed")
        inputs, outputs = node["input"], node["output"]
        if not allowed.least <= len(inputs) <= allowed.most or len(outputs) != 1 or not outputs[0]:
            raise CodecError(f"{op} takes {len(inputs)} values and gives {len(outputs)}")
        for place, name in enumerate(inputs):
            if name not in known:
                raise CodecError(f"{op} takes {name!r} before it is there")
            expected = "int64" if place >= allowed.integers else "float32"
            if known[name] != expected and op != "Cast":
                raise CodecError(f"{op} takes {name!r} of {known[name]}, {expected} expected")
        attributes = dict(self._attribute(part, op, allowed) for part in node["attribute"])
        if len(attributes) != len(node["attribute"]) or set(allowed.required) - set(attributes):
            raise CodecError(f"{op} lacks an attribute, or has one twice")
        return Node(
            op=op, inputs=tuple(inputs), output=outputs[0], attributes=MappingProxyType(attributes)
        )

    def _attribute(self, data: memoryview, op: str, allowed: Operator) -> tuple[str, Attribute]:
        attribute = self._reader.read(data, ATTRIBUTE, f"an attribute of {op}")
        name = _one(attribute, "name", f"an attribute of {op}")
        what = f"the attribute {name!r} of {op}"
        if name not in allowed.attributes:
            raise CodecError(f"{what} is not allowed")
        kind = allowed.attributes[name]
        others = [*attribute["int"], *attribute["text"], *attribute["ints"][0]]
        if _one(attribute, "type", what) != _ATTRIBUTE_TYPES[kind]:
            raise CodecError(f"{what} is of another type")
        value: Attribute
        if kind == "ints":
            value = tuple(int(v) for v in attribute["ints"][0][: 2 * MAX_RANK])
        else:
            value = _one(attribute, kind, what)
        if len(others) != (len(value) if isinstance(value, tuple) else 1):
            raise CodecError(f"{what} has several values")
        sizes = value if isinstance(value, tuple) else (value,)
        if any(isinstance(v, int) and abs(v) > MAX_INTEGER for v in sizes):
            raise CodecError(f"{what} is out of range")
        if name in allowed.only and value != allowed.only[name]:
            raise CodecError(f"{what} is {value!r}, not {allowed.only[name]!r}")
        return name, value


def _one(message: Message, field: str, what: str) -> Any:
    """Value of a field that must be there."""
    if not message[field]:
        raise CodecError(f"{what} has no {field}")
    return message[field][0]


def _name(message: Message, what: str) -> str:
    """Name that must be there and not be empty: ONNX lets an empty one stand for nothing."""
    name = str(_one(message, "name", what))
    if not name:
        raise CodecError(f"{what} has no name")
    return name


def _narrowed(values: NDArray[Any], dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    """Numbers of a typed field in their own type; those of float16 are its bits."""
    stored = np.dtype("<u2") if dtype == np.dtype("<f2") else dtype
    if stored.kind != "f":
        limits = np.iinfo(stored)
        if len(values) and (values.min() < limits.min or values.max() > limits.max):
            raise CodecError(f"{what} holds numbers out of range")
    return values.astype(stored).view(dtype)


def _span(limits: tuple[int, int]) -> str:
    return f"{limits[0]} to {limits[1]}"
