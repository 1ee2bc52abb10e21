"""Receptive fields: whether a network gives in tiles what it gives in one run.

A tile is run with a halo of its neighbours. Its outputs are those of the whole if they see nothing
beyond the halo, and if steps between positions, wherever the network makes them wider or narrower,
fall in a tile as they fall in the whole. Both follow from the operators alone: outputs of a tile
are followed back, side by side, to the inputs that they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import Shape, constant_shapes, slices
from kinpack.networks.graphs.network_graph import Graph, Node

Span: TypeAlias = tuple[int, int]
"""First and last position along a side."""

_POINTWISE = frozenset(
    ("Add", "Cast", "Clip", "Div", "Erf", "Floor", "Identity", "Max", "Min", "Mul", "Relu", "Sub")
)


def check_tiles(graph: Graph, *, tile: int, halo: int, up: int, down: int) -> None:
    """See that a graph can be run in tiles.

    Args:
        graph: of input (n, channels, H, W) and output (n, channels, H·up/down, W·up/down).
        tile: side of a tile at the input, without its halo.
        halo: what is added on each side.
        up: output positions for each input position along a side.
        down: input positions for each output position.

    Raises:
        CodecError: an output sees more than the halo, or a step does not work alike everywhere.
    """
    if len(graph.input.shape) != 4:
        raise CodecError("takes no pictures")
    moving = _moving(graph)
    if graph.output.name not in moving:
        raise CodecError("gives something that does not depend on its input")
    shapes = constant_shapes(graph)
    try:
        for side in (0, 1):
            scales = _scales(graph, moving, shapes, side)
            _check_steps(scales, tile, halo)
            scale = scales[graph.output.name]
            if scale != Fraction(up, down):
                raise CodecError(f"gives {scale} positions for one, not {Fraction(up, down)}")
            first, last = _seen(graph, moving, shapes, side, (0, tile * up // down - 1))
            beyond = max(-first, last - tile + 1)
            if beyond > halo:
                raise CodecError(
                    f"sees {beyond} positions beyond a tile, which has a halo of {halo}"
                )
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise CodecError("has attributes that do not fit") from error


def _moving(graph: Graph) -> dict[str, Node | None]:
    """The values that depend on the input and that the output depends on, each with its node."""
    depends: dict[str, Node | None] = {graph.input.name: None}
    for node in graph.nodes:
        if any(name in depends for name in node.inputs):
            depends[node.output] = node
    wanted = {graph.output.name}
    for node in reversed(graph.nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
    return {name: node for name, node in depends.items() if name in wanted}


def _check_steps(scales: Mapping[str, Fraction], tile: int, halo: int) -> None:
    for name, scale in scales.items():
        if (scale * tile).denominator != 1 or (scale * halo).denominator != 1:
            raise CodecError(f"has a value, {name[:40]!r}, whose steps do not fit tiles")


def _scales(
    graph: Graph, moving: Mapping[str, Node | None], shapes: Mapping[str, Shape], side: int
) -> dict[str, Fraction]:
    """How many positions each value has for one of the input, along a side."""
    integers = {
        name: tuple(int(v) for v in array)
        for name, array in graph.constants.items()
        if array.dtype.name == "int64" and array.ndim == 1
    }
    scales = {graph.input.name: Fraction(1)}
    for name, node in moving.items():
        if node is None:
            continue
        known = {scales[source] for source in node.inputs if source in moving}
        fixed = [shapes[source] for source in node.inputs if source not in moving]
        if len(known) != 1 or not _works_alike(node, fixed, integers):
            raise CodecError(f"{node.op} does not work alike everywhere in a picture")
        (scale,) = known
        if node.op in ("Conv", "MaxPool"):
            scale /= node.integers("strides", (1, 1))[side]
        elif node.op == "DepthToSpace":
            scale *= node.integer("blocksize", 1)
        scales[name] = scale
    return scales


def _works_alike(
    node: Node, fixed: list[tuple[int, ...]], integers: Mapping[str, tuple[int, ...]]
) -> bool:
    """Whether a step treats all positions of a picture in the same way."""
    if node.op in _POINTWISE:
        return all(len(shape) <= 4 and set(shape[-2:]) <= {1} for shape in fixed)
    if node.op == "Slice":
        return set(slices(node, (1, 1, 1, 1), integers)) <= {1}
    if node.op == "Concat":
        return not fixed and node.integer("axis", 0) in (1, -3)
    if node.op.startswith("Reduce"):
        return node.integers("axes", ()) in ((1,), (-3,)) and node.integer("keepdims", 1) == 1
    if node.op == "Conv":
        return len(fixed) == len(node.inputs) - 1 and len(fixed[0]) == 4
    return node.op in ("DepthToSpace", "MaxPool")


def _seen(
    graph: Graph,
    moving: Mapping[str, Node | None],
    shapes: Mapping[str, Shape],
    side: int,
    span: Span,
) -> Span:
    """The positions of the input on which positions of the output depend, along a side."""
    spans = {graph.output.name: span}
    for node in reversed(graph.nodes):
        if node.output not in moving:
            continue
        found = _read(node, spans[node.output], shapes, side)
        for name in node.inputs:
            if name in moving:
                first, last = spans.get(name, found)
                spans[name] = min(first, found[0]), max(last, found[1])
    return spans[graph.input.name]


def _read(node: Node, span: Span, shapes: Mapping[str, Shape], side: int) -> Span:
    """The positions that a step reads for some that it gives, along a side."""
    first, last = span
    if node.op == "DepthToSpace":
        block = node.integer("blocksize", 1)
        return first // block, last // block
    if node.op not in ("Conv", "MaxPool"):
        return span
    kernel = shapes[node.inputs[1]][2:] if node.op == "Conv" else node.integers("kernel_shape", ())
    stride, dilation = (node.integers(name, (1, 1))[side] for name in ("strides", "dilations"))
    begin = node.integers("pads", (0, 0, 0, 0))[side]
    return first * stride - begin, last * stride - begin + dilation * (kernel[side] - 1)
