"""Shapes of all values of a graph, and so what a run of it may cost, before it is run.

A graph of a few bytes may ask for any memory: a convolution padded by a million, an array joined to
itself forty times, a column added to a row. So the shape of every value is worked out first, from
the input's shape and what the file stores, in plain integers; nothing is allocated. What a run may
take is limited:

- ``MAX_LIVE``: numbers held at one time, if steps run in the file's order, each with as much aside
  as it gives, and a value is let go after its last use.
- ``MAX_TOTAL``: numbers of all values together.
- ``MAX_WORK``: multiplications, or other operations on single numbers.
- ``MAX_STORED`` and ``MAX_STORED_WORK``: the last two for what depends on stored numbers alone:
  engines work that out when they load a graph, before there is an input, so it is checked then.

onnxruntime may order steps otherwise: it holds at most MAX_TOTAL, and what it lays out for a step.
Networks of integers, which are no graphs, are held to the same limits (``integer_layers``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kinpack.errors import CodecError
from kinpack.networks.graphs.network_graph import MAX_RANK, Graph, Node

MAX_LIVE = 1 << 28
MAX_TOTAL = 1 << 30
MAX_WORK = 1 << 38
MAX_STORED = 1 << 27
MAX_STORED_WORK = 1 << 30

_TO_THE_END = (1 << 31) - 1

Shape = tuple[int, ...]
Integers = Mapping[str, tuple[int, ...]]
"""The stored rows of int64 by name: what Reshape and Slice are told."""


@dataclass(frozen=True)
class Step:
    """What one node gives and costs.

    Attributes:
        shape: of its output.
        work: operations on single numbers.
        aside: numbers held while it runs, beside its inputs and twice its output.
    """

    shape: Shape
    work: int
    aside: int = 0


def check_constants(graph: Graph) -> None:
    """Check all that a graph works out without an input.

    Raises:
        CodecError: a step does not fit its inputs, or the steps take too much.
    """
    walk = _Walk(graph)
    walk.run(total=MAX_STORED, work=MAX_STORED_WORK)


def check_run(graph: Graph, shape: Shape) -> Shape:
    """Check what a graph asks for, given an input.

    Args:
        graph: a network.
        shape: of its input.

    Returns:
        Shape of its output.

    Raises:
        CodecError: the graph does not take such an input, a step does not fit, or it takes too
            much.
    """
    if not graph.input.takes(shape):
        raise CodecError(f"takes {_stated(graph.input.shape)}, not {shape}")
    walk = _Walk(graph)
    walk.add(graph.input.name, shape)
    walk.run(total=MAX_TOTAL, work=MAX_WORK)
    return walk.shapes[graph.output.name]


class _Walk:
    """Works out shapes step by step, and adds up what they take."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._live = self._total = self._work = 0
        self.shapes: dict[str, Shape] = {}
        for name, array in graph.constants.items():
            self.add(name, array.shape)
        self._integers = {
            name: tuple(int(v) for v in array)
            for name, array in graph.constants.items()
            if array.dtype.name == "int64" and array.ndim == 1 and len(array) <= MAX_RANK
        }

    def add(self, name: str, shape: Shape) -> None:
        self.shapes[name] = shape
        self._live += math.prod(shape)
        self._total += math.prod(shape)

    def run(self, *, total: int, work: int) -> None:
        """Take all steps whose inputs are known."""
        last_uses = self._graph.last_uses
        for place, node in enumerate(self._graph.nodes):
            if not all(name in self.shapes for name in node.inputs):
                continue
            step = _step(node, [self.shapes[name] for name in node.inputs], self._integers)
            if len(step.shape) > MAX_RANK:
                raise CodecError(f"{node.op} gives an array of more than {MAX_RANK} sides")
            self.add(node.output, step.shape)
            self._work += step.work
            # Two arrays of one size: what is given, and what it is worked out of.
            live = self._live + math.prod(step.shape) + step.aside
            sides = max(step.shape, default=0)  # an array without numbers can still be long
            if live > MAX_LIVE or self._total > total or self._work > work or sides > MAX_TOTAL:
                raise CodecError(f"asks for too much memory or work: {node.op} gives {step.shape}")
            for name in {*node.inputs, node.output}:
                if last_uses.get(name, place) <= place:
                    self._live -= math.prod(self.shapes[name])


def _step(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    try:
        return _STEPS[node.op](node, shapes, integers)
    except (IndexError, ValueError, ZeroDivisionError) as error:
        found = ", ".join(str(shape) for shape in shapes)[:200]
        raise CodecError(f"{node.op} does not fit what it takes: {found}") from error


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _element_wise(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    rank = max(len(shape) for shape in shapes)
    sides = []
    for column in zip(*[(1,) * (rank - len(s)) + s for s in shapes], strict=True):
        wide = {side for side in column if side != 1}
        _require(len(wide) < 2)
        sides.append(wide.pop() if wide else 1)
    return _plain(tuple(sides), len(shapes))


def _plain(shape: Shape, times: int = 1) -> Step:
    return Step(shape, math.prod(shape) * times)


def _same(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    return _plain(shapes[0])


def _clip(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    _require(all(bound in ((), (1,)) for bound in shapes[1:]))
    return _plain(shapes[0], 2)


def _concat(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    first = list(shapes[0])
    axis = _axis(node.integer("axis", 0), len(first))
    for shape in shapes[1:]:
        _require(len(shape) == len(first))
        _require(
            all(a == b for i, (a, b) in enumerate(zip(first, shape, strict=True)) if i != axis)
        )
    first[axis] = sum(shape[axis] for shape in shapes)
    return _plain(tuple(first))


def _convolution(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    (n, channels, *sides), weight = shapes[0], shapes[1]
    groups = node.integer("group", 1)
    _require(len(sides) == 2 and len(weight) == 4 and groups > 0)
    _require(channels == weight[1] * groups and weight[0] % groups == 0)
    _require(all(shape == weight[:1] for shape in shapes[2:]))
    _require(node.integers("kernel_shape", weight[2:]) == weight[2:])
    places, padded = windows(node, sides, weight[2:])
    shape = (n, weight[0], *places)
    work = math.prod(shape) * (math.prod(weight[1:]) + 1)
    return Step(shape, work, aside=n * channels * math.prod(padded))


def _maximum_pool(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    n, channels, *sides = shapes[0]
    kernel = node.integers("kernel_shape", ())
    _require(len(sides) == 2 and len(kernel) == 2 and min(kernel) > 0)
    # Windows of padding alone have no maximum.
    _require(all(p < kernel[i % 2] for i, p in enumerate(node.integers("pads", (0, 0, 0, 0)))))
    places, _ = windows(node, sides, kernel)
    shape = (n, channels, *places)
    return Step(shape, math.prod(shape) * math.prod(kernel))


def windows(node: Node, sides: Sequence[int], kernel: Shape) -> tuple[Shape, Shape]:
    """Count the windows of a kernel along two sides; also gives the sides with their padding."""
    pads = node.integers("pads", (0, 0, 0, 0))
    strides, dilations = (node.integers(name, (1, 1)) for name in ("strides", "dilations"))
    ceil = node.integer("ceil_mode", 0)
    _require(len(pads) == 4 and len(strides) == len(dilations) == 2 and ceil in (0, 1))
    _require(min(pads) >= 0 and min(strides) > 0 and min(dilations) > 0)
    places, padded = [], []
    for i, side in enumerate(sides):
        whole = side + pads[i] + pads[i + 2]
        room = whole - dilations[i] * (kernel[i] - 1) - 1
        _require(room >= 0)
        count = (room + ceil * (strides[i] - 1)) // strides[i] + 1
        # The last window begins on the picture or on the padding before it.
        count -= ceil and (count - 1) * strides[i] >= side + pads[i]
        places.append(count)
        padded.append(whole)
    return tuple(places), tuple(padded)


def _depth_to_space(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    n, channels, height, width = shapes[0]
    b = node.integer("blocksize", 0)
    _require(b > 0 and channels % b**2 == 0)
    return _plain((n, channels // b**2, height * b, width * b))


def _flatten(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    shape, axis = shapes[0], node.integer("axis", 1)
    axis = axis if axis == len(shape) else _axis(axis, len(shape))
    return _plain((math.prod(shape[:axis]), math.prod(shape[axis:])))


def _linear(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    (n, length), weight = shapes[0], shapes[1]
    transposed = node.integer("transB", 0)
    _require(len(weight) == 2 and transposed in (0, 1) and length == weight[1 - (not transposed)])
    wide = weight[0] if transposed else weight[1]
    for bias in shapes[2:]:
        _require(_element_wise(node, [bias, (n, wide)], integers).shape == (n, wide))
    return Step((n, wide), n * wide * (length + 1))


def _reduction(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    shape, kept = shapes[0], node.integer("keepdims", 1)
    axes = [_axis(axis, len(shape)) for axis in node.integers("axes", ())]
    _require(len(axes) == len(set(axes)) > 0 and kept in (0, 1))
    _require(all(shape[axis] > 0 for axis in axes))
    sides = [1 if i in axes else side for i, side in enumerate(shape) if kept or i not in axes]
    return Step(tuple(sides), math.prod(shape))


def _reshape(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    shape, target = shapes[0], integers.get(node.inputs[1], ())
    _require(shapes[1] == (len(target),) and min(target, default=0) >= -1)
    sides = [shape[i] if side == 0 else side for i, side in enumerate(target)]
    if -1 in sides:
        _require(sides.count(-1) == 1)
        free = sides.index(-1)
        sides[free] = math.prod(shape) // math.prod(sides[:free] + sides[free + 1 :])
    _require(math.prod(sides) == math.prod(shape))
    return _plain(tuple(sides))


def _slice(node: Node, shapes: Sequence[Shape], integers: Integers) -> Step:
    shape = list(shapes[0])
    for axis, part in slices(node, shapes[0], integers).items():
        shape[axis] = len(range(*part.indices(shape[axis])))
    return _plain(tuple(shape))


def slices(node: Node, shape: Shape, integers: Integers) -> dict[int, slice]:
    """Give what a Slice takes along each axis that it names."""
    rows = [integers[name] for name in node.inputs[1:] if name in integers]
    _require(len(rows) == len(node.inputs) - 1 and len({len(row) for row in rows}) == 1)
    starts, ends = rows[:2]
    axes = [_axis(a, len(shape)) for a in (rows[2] if len(rows) > 2 else range(len(starts)))]
    steps = rows[3] if len(rows) > 3 else (1,) * len(starts)
    _require(len(set(axes)) == len(axes) and 0 not in steps)
    # onnxruntime takes the largest int32 and int64 as "to the end", backwards too; ONNX does not.
    _require(all(end < _TO_THE_END or step > 0 for end, step in zip(ends, steps, strict=True)))
    parts = zip(axes, starts, ends, steps, strict=True)
    return {axis: _part(start, end, step, shape[axis]) for axis, start, end, step in parts}


def _part(start: int, end: int, step: int, side: int) -> slice:
    """Part of a side as ONNX reads it: backwards from before the first is the first."""
    start, end = (place + side if place < 0 else place for place in (start, end))
    if step > 0:
        return slice(min(max(start, 0), side), min(max(end, 0), side), step)
    if not side:
        return slice(0, 0)
    start, end = min(max(start, 0), side - 1), min(max(end, -1), side - 1)
    return slice(start, None if end < 0 else end, step)


def _axis(axis: int, rank: int) -> int:
    _require(-rank <= axis < rank)
    return axis % rank


def _stated(shape: Sequence[int | str | None]) -> str:
    return (
        "(" + ", ".join("any" if not isinstance(side, int) else str(side) for side in shape) + ")"
    )


_STEPS: Mapping[str, Callable[[Node, Sequence[Shape], Integers], Step]] = MappingProxyType(
    {
        **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), _element_wise),
        **dict.fromkeys(("Cast", "Erf", "Identity", "Relu"), _same),
        **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean"), _reduction),
        "Clip": _clip,
        "Concat": _concat,
        "Conv": _convolution,
        "DepthToSpace": _depth_to_space,
        "Flatten": _flatten,
        "Gemm": _linear,
        "MaxPool": _maximum_pool,
        "Reshape": _reshape,
        "Slice": _slice,
    }
)
