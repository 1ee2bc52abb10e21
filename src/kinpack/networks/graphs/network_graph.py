"""Graphs of networks: what a codec or describer file may hold, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from numpy.typing import NDArray

from kinpack.errors import CodecError

Attribute = int | str | tuple[int, ...]
AttributeKind = Literal["int", "ints", "text"]

MAX_RANK = 8
"""Most sides of an array."""


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX that graphs may use.

    Attributes:
        least: fewest inputs.
        most: most inputs.
        attributes: what it may be told, and as what; ONNX's other attributes of it are refused.
        required: attributes that must be there.
        only: the one value that an attribute may have.
        integers: first of the inputs that are int64 arrays of one side, stored in the file; those
            before it are float32 (of Cast: of any type that is stored).
    """

    least: int
    most: int
    attributes: Mapping[str, AttributeKind] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    only: Mapping[str, Attribute] = field(default_factory=dict)
    integers: int = 1 << 30


_ELEMENT = Operator(1, 1)
_PAIR = Operator(2, 2)
_SEVERAL = Operator(1, 64)
_REDUCTION = Operator(1, 1, {"axes": "ints", "keepdims": "int"}, required=("axes",))
_WINDOW: Mapping[str, AttributeKind] = {
    "kernel_shape": "ints",
    "strides": "ints",
    "pads": "ints",
    "dilations": "ints",
}

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "Add": _PAIR,
        "Cast": Operator(1, 1, {"to": "int"}, required=("to",), only={"to": 1}),
        "Clip": Operator(1, 3),
        "Concat": Operator(1, 64, {"axis": "int"}, required=("axis",)),
        "Conv": Operator(2, 3, {**_WINDOW, "group": "int"}),
        "DepthToSpace": Operator(
            1,
            1,
            {"blocksize": "int", "mode": "text"},
            required=("blocksize", "mode"),
            only={"mode": "CRD"},
        ),
        "Div": _PAIR,
        "Erf": _ELEMENT,
        "Flatten": Operator(1, 1, {"axis": "int"}),
        "Gemm": Operator(2, 3, {"transB": "int"}),
        "Identity": _ELEMENT,
        "Max": _SEVERAL,
        "MaxPool": Operator(1, 1, {**_WINDOW, "ceil_mode": "int"}, required=("kernel_shape",)),
        "Min": _SEVERAL,
        "Mul": _PAIR,
        "ReduceL2": _REDUCTION,
        "ReduceMax": _REDUCTION,
        "ReduceMean": _REDUCTION,
        "Relu": _ELEMENT,
        "Reshape": Operator(2, 2, integers=1),
        "Slice": Operator(3, 5, integers=1),
        "Sub": _PAIR,
    }
)
"""What ``learn/`` writes, and a little more; all of one output, in the domain ""."""


@dataclass(frozen=True)
class Value:
    """What goes into a graph or comes out of it: a float32 array.

    Attributes:
        name: of the value.
        shape: its sides; None or a name where a side is free.
    """

    name: str
    shape: tuple[int | str | None, ...]

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of this shape is such a value."""
        return len(shape) == len(self.shape) and all(
            not isinstance(stated, int) or stated == side
            for stated, side in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class Node:
    """One step of a graph.

    Attributes:
        op: an operator of ``OPERATORS``.
        inputs: names of values that are there before it.
        output: name of what it gives.
        attributes: by name, of the types that the operator asks for.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute]

    def integer(self, name: str, default: int) -> int:
        """Value of an attribute that is one integer."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Value of an attribute that is a row of integers."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, tuple) else default


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: steps in an order in which they can be run.

    Attributes:
        input: what it takes.
        output: what it gives.
        nodes: its steps; each takes what is there before it.
        constants: arrays that are stored, read-only: float32, float16, or integers.
        opset: version of ONNX's operators, 13 to 17.
    """

    input: Value
    output: Value
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    opset: int

    @cached_property
    def last_uses(self) -> Mapping[str, int]:
        """Number of the last step that takes each value; the output is kept past the last."""
        uses = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        return {**uses, self.output.name: len(self.nodes)}


def network_fault(what: str, *, name: str, owner: str) -> CodecError:
    """Error that blames a file for what one of its networks is or does.

    Args:
        what: it does.
        name: of the network.
        owner: whose it is: ``codec`` or ``describer``.
    """
    return CodecError(
        f"network {name!r} of the {owner} {what}: the {owner} file is faulty; make it anew"
    )
