"""ONNX graphs of traced networks, their large weights in eight bits.

A network is traced by ``torch.fx``, and each step becomes the operators that compute it. What is
known here is what describes a picture: convolutions, norms, activations, maxima and means, linear
maps, unit lengths. A norm that directly follows a convolution or a linear map goes into its
weights; else it is a factor and a summand a channel. Zeros that are laid around a convolution's
input are the convolution's own.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from kinpack.errors import CodecError
from kinpack.networks.onnx_writer import PlainGraph

EXACT_BELOW = 8192
"""A weight of fewer numbers than this stays float32."""
_SAMPLE = 2
"""Pictures that shapes are worked out with."""
_CLIPPED = np.linspace(0.5, 1.0, 26)
"""Shares of a filter's largest weight that are tried as the largest that eight bits reach."""

Floats: TypeAlias = NDArray[np.float64]
Norm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d
Layer: TypeAlias = nn.Conv2d | nn.Linear

_ARITHMETIC: dict[Any, str] = {
    operator.add: "Add",
    operator.sub: "Sub",
    operator.mul: "Mul",
    operator.truediv: "Div",
    torch.add: "Add",
    torch.sub: "Sub",
    torch.mul: "Mul",
    torch.div: "Div",
    **{name: name.capitalize() for name in ("add", "sub", "mul", "div")},
}
_REDUCTIONS: dict[Any, str] = {
    "mean": "ReduceMean",
    torch.mean: "ReduceMean",
    "amax": "ReduceMax",
    torch.amax: "ReduceMax",
}
_NEW_SHAPES = {"flatten", "unflatten", torch.flatten}
_RELU = {"relu", torch.relu, functional.relu}
_SIX = (0.0, 6.0)
"""Bounds of ReLU6."""


def traced_graph(network: nn.Module, *, side: int, exact_below: int = EXACT_BELOW) -> bytes:
    """Graph of a network from pictures (n, 3, side, side), 0 to 1, to vectors (n, D).

    Args:
        network: it is traced as it computes in evaluation; not changed.
        side: of the pictures.
        exact_below: weights of fewer numbers stay float32; larger ones get eight bits, and a scale
            a filter that makes their squared error least.

    Returns:
        The ONNX model, with input ``x`` and output ``y``.

    Raises:
        CodecError: the network cannot be traced, does something that is not known here, or does
            not give vectors.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    try:
        traced = fx.symbolic_trace(network)
        with torch.no_grad():
            ShapeProp(traced).propagate(torch.zeros(_SAMPLE, 3, side, side))
    except Exception as error:  # whatever a forward pass leads to
        raise CodecError(
            f"the network cannot be traced ({' '.join(str(error).split())[:200]}); let its forward "
            "pass not depend on values"
        ) from error
    with torch.no_grad():
        return _Graph(traced, exact_below, side).to_bytes()


class _Graph:
    """The graph of one traced network, written step by step."""

    def __init__(self, traced: fx.GraphModule, exact_below: int, side: int) -> None:
        self._traced = traced
        self._modules = dict(traced.named_modules())
        self._exact_below = exact_below
        self._writer = PlainGraph([("x", ["n", 3, side, side])])
        self._names: dict[fx.Node, str] = {}
        self._weights: dict[tuple[str, str | None], tuple[str, str]] = {}
        self._zeros: dict[fx.Node, list[int]] = {}

    def to_bytes(self) -> bytes:
        for node in self._traced.graph.nodes:
            if node.op == "output":
                result = node.args[0]
                shape = _shape(result) if isinstance(result, fx.Node) else ()
                if len(shape) != 2:
                    raise CodecError("a describer's network gives one vector a picture")
                return self._writer.to_bytes(self._names[result], ["n", shape[1]])
            if node not in self._names:  # a norm may be there already, in the layer before it
                self._names[node] = self._step(node)
        raise CodecError("the network gives nothing")

    def _step(self, node: fx.Node) -> str:
        if node.op == "placeholder":
            return "x"
        if node.op == "get_attr":
            return self._constant(operator.attrgetter(str(node.target))(self._traced))
        what: Any = node.target
        if node.op == "call_module":
            what = self._modules[str(node.target)]
        write = self._writer.node
        if what in _ARITHMETIC and not node.kwargs:
            return write(_ARITHMETIC[what], *map(self._value, node.args[:2]))
        if isinstance(what, nn.Conv2d):
            return self._layer(node, what, self._names[_node(node.args[0])])
        at = self._value(node.args[0])
        match what:
            case nn.Linear():
                return self._layer(node, what, at)
            case nn.Hardtanh():  # ReLU6 is one
                return self._clip(at, what.min_val, what.max_val)
            case nn.ZeroPad2d():
                return self._pad(node, at, what.padding)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                return self._norm(what, at, rank=len(_shape(node)))
            case nn.GELU(approximate="none"):
                return self._gelu(at)
            case nn.MaxPool2d():
                return self._maximum(what, at)
            case nn.Flatten() | nn.Unflatten():
                return self._reshape(node, at)
            case nn.Identity() | nn.Dropout():
                return at
        if what in _RELU or isinstance(what, nn.ReLU):
            return write("Relu", at)
        if what is functional.relu6:
            return self._clip(at, *_SIX)
        if what is functional.hardtanh:
            bounds = (_argument(node, 1, "min_val", -1.0), _argument(node, 2, "max_val", 1.0))
            return self._clip(at, *bounds)
        if what is functional.pad:
            if _argument(node, 2, "mode", "constant") != "constant" or _argument(
                node, 3, "value", None
            ):
                raise _unknown("padding by something else than zeros")
            return self._pad(node, at, _argument(node, 1, "pad", ()))
        if what is functional.gelu and node.kwargs.get("approximate", "none") == "none":
            return self._gelu(at)
        if what in _REDUCTIONS:
            axes = _axes(_argument(node, 1, "dim", None), rank=len(_shape(node.args[0])))
            kept = int(bool(_argument(node, 2, "keepdim", False)))
            return write(_REDUCTIONS[what], at, axes=axes, keepdims=kept)
        if what in _NEW_SHAPES:
            return self._reshape(node, at)
        if what in ("flip", torch.flip):
            given = node.args[1] if len(node.args) == 2 else node.args[1:]
            return self._flip(at, _axes(given, rank=len(_shape(node))))
        if what is functional.normalize:
            return self._unit_length(node, at)
        if what in ("contiguous", "float"):
            return at
        named = type(what) if isinstance(what, nn.Module) else what
        raise _unknown(getattr(named, "__name__", str(named)))

    def _layer(self, node: fx.Node, layer: Layer, at: str) -> str:
        users = list(node.users)
        norm = self._modules.get(str(users[0].target)) if len(users) == 1 else None
        follows = isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        follows = follows and users[0].op == "call_module"
        # A network that sees two pictures has each layer twice, but its weights once.
        key = str(node.target), str(users[0].target) if follows else None
        if key not in self._weights:
            self._weights[key] = self._folded(layer, norm if follows else None)
        weight, bias = self._weights[key]
        if isinstance(layer, nn.Linear):
            if len(_shape(node)) != 2:
                raise _unknown("linear map of more than vectors")
            done = self._writer.node("Gemm", at, weight, bias, transB=1)
        else:
            if layer.padding_mode != "zeros":
                raise _unknown("convolution padded by something else than zeros")
            laid = self._zeros.get(_node(node.args[0]), [0] * 4)
            own = zip(_own_zeros(layer), laid, strict=True)
            done = self._writer.node(
                "Conv",
                at,
                weight,
                bias,
                kernel_shape=list(layer.kernel_size),
                strides=list(layer.stride),
                pads=[one + other for one, other in own],
                dilations=list(layer.dilation),
                group=layer.groups,
            )
        if follows:
            self._names[users[0]] = done
        return done

    def _folded(self, layer: Layer, norm: nn.Module | None) -> tuple[str, str]:
        """Store a layer's weights and biases, a norm among them; gives their names."""
        weight = _array(layer.weight)
        bias = np.zeros(len(weight)) if layer.bias is None else _array(layer.bias)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            factor, summand = _affine(norm)
            weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
            bias = bias * factor + summand
        if weight.size < self._exact_below:
            name = self._constant(weight)
        else:
            small, scale = eight_bits(weight)
            name = self._writer.node("Mul", self._writer.constant(small), self._constant(scale))
        return name, self._constant(bias)

    def _norm(self, norm: Norm, at: str, *, rank: int) -> str:
        shape = [1, -1, *[1] * (rank - 2)]
        factor, summand = (self._constant(v.reshape(shape)) for v in _affine(norm))
        scaled = self._writer.node("Mul", at, factor)
        return self._writer.node("Add", scaled, summand)

    def _gelu(self, at: str) -> str:
        """Append x · (1 + erf(x / √2)) / 2, in the order that runtimes know as one operator."""
        write = self._writer.node
        within = write("Div", at, self._constant(np.array(math.sqrt(2))))
        share = write("Add", write("Erf", within), self._constant(np.array(1.0)))
        return write("Mul", write("Mul", at, share), self._constant(np.array(0.5)))

    def _clip(self, at: str, least: float, most: float) -> str:
        bounds = (self._constant(np.array(float(bound))) for bound in (least, most))
        return self._writer.node("Clip", at, *bounds)

    def _pad(self, node: fx.Node, at: str, given: Any) -> str:
        """Note the zeros around an array: left, right, above, below, as torch counts them."""
        zeros = [int(count) for count in given]
        if len(_shape(node)) != 4 or len(zeros) not in (2, 4) or min(zeros) < 0:
            raise _unknown("padding of something else than maps' sides")
        left, right, above, below = (*zeros, 0, 0)[:4]
        self._zeros[node] = [above, left, below, right]
        return at

    def _maximum(self, pool: nn.MaxPool2d, at: str) -> str:
        if pool.return_indices:
            raise _unknown("maximum that gives its place")
        pads = _pair(pool.padding)
        return self._writer.node(
            "MaxPool",
            at,
            kernel_shape=_pair(pool.kernel_size),
            strides=_pair(pool.stride),
            pads=[*pads, *pads],
            dilations=_pair(pool.dilation),
            ceil_mode=int(pool.ceil_mode),
        )

    def _reshape(self, node: fx.Node, at: str) -> str:
        shape = _shape(node)
        if shape[0] != _SAMPLE:
            raise _unknown("change of shape across pictures")
        return self._writer.node("Reshape", at, self._integers([0, *shape[1:]]))

    def _flip(self, at: str, axes: Sequence[int]) -> str:
        n = len(axes)
        bounds = [[-1] * n, [-(2**31)] * n, list(axes), [-1] * n]
        return self._writer.node("Slice", at, *map(self._integers, bounds))

    def _unit_length(self, node: fx.Node, at: str) -> str:
        p, dim = _argument(node, 1, "p", 2.0), _argument(node, 2, "dim", 1)
        least = self._constant(np.array(_argument(node, 3, "eps", 1e-12)))
        if p != 2.0:
            raise _unknown(f"length by the norm {p}")
        axes = _axes(dim, rank=len(_shape(node)))
        length = self._writer.node("ReduceL2", at, axes=axes, keepdims=1)
        return self._writer.node("Div", at, self._writer.node("Max", length, least))

    def _value(self, value: Any) -> str:
        """Name of a step's result, or of a number that is stored."""
        if isinstance(value, fx.Node):
            if value in self._zeros:
                raise _unknown("padding that no convolution follows")
            return self._names[value]
        if isinstance(value, int | float):
            return self._constant(np.array(float(value)))
        raise _unknown(f"step on a {type(value).__name__}")

    def _constant(self, values: Any) -> str:
        array = _array(values) if isinstance(values, torch.Tensor) else values
        return self._writer.constant(np.asarray(array, np.float32))

    def _integers(self, values: Sequence[int]) -> str:
        return self._writer.constant(np.array(values, np.int64))


def eight_bits(weight: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round weights to eight bits a number and a scale a filter.

    Args:
        weight: (out, …).

    Returns:
        int8 of the same shape, and float32 (out, 1, …); their product is near the weights. Of the
        scales that were tried it is the one of least squared error.
    """
    rows = weight.reshape(len(weight), -1)
    reach = np.abs(rows).max(axis=1, keepdims=True)
    reach = np.where(reach > 1e-30, reach, 1.0)  # smaller ones have no scale in float32
    best = np.full((len(rows), 1), np.inf)
    scale = reach / 127
    for share in _CLIPPED:
        tried = (share * reach / 127).astype(np.float32).astype(np.float64)
        error = ((_rounded(rows, tried) * tried - rows) ** 2).sum(axis=1, keepdims=True)
        scale = np.where(error <= best, tried, scale)
        best = np.minimum(error, best)
    shape = (len(weight), *[1] * (weight.ndim - 1))
    small = _rounded(rows, scale).reshape(weight.shape)
    return small.astype(np.int8), scale.reshape(shape).astype(np.float32)


def _rounded(rows: Floats, scale: Floats) -> Floats:
    return np.rint(rows / scale).clip(-127, 127)


def _affine(norm: Norm) -> tuple[Floats, Floats]:
    """Factor and summand (C,) of a norm in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise _unknown("norm without running statistics")
    mean, variance = _array(norm.running_mean), _array(norm.running_var)
    factor = 1 / np.sqrt(variance + norm.eps)
    if norm.weight is not None:
        factor = factor * _array(norm.weight)
    shift = np.zeros(len(mean)) if norm.bias is None else _array(norm.bias)
    return factor, shift - mean * factor


def _array(tensor: torch.Tensor) -> Floats:
    array: Floats = tensor.detach().double().numpy()
    return array


def _shape(node: Any) -> tuple[int, ...]:
    """Shape of a step's result for the sample."""
    found = node.meta.get("tensor_meta") if isinstance(node, fx.Node) else None
    if found is None:
        raise _unknown("step that gives no array")
    return tuple(found.shape)


def _node(value: Any) -> fx.Node:
    if not isinstance(value, fx.Node):
        raise _unknown(f"step on a {type(value).__name__}")
    return value


def _own_zeros(layer: nn.Conv2d) -> list[int]:
    """Zeros that a convolution lays itself: above, left, below, right."""
    if layer.padding == "same":
        whole = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        before = [zeros // 2 for zeros in whole]
        return [*before, *(zeros - one for zeros, one in zip(whole, before, strict=True))]
    if isinstance(layer.padding, str):
        return [0] * 4
    return [*layer.padding, *layer.padding]


def _argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _axes(given: Any, *, rank: int) -> list[int]:
    if given is None:
        raise _unknown("mean or maximum over all pictures")
    axes = [given] if isinstance(given, int) else list(given)
    axes = [axis % rank for axis in axes]
    if 0 in axes:
        raise _unknown("mean, maximum or turn across pictures")
    return axes


def _pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _unknown(what: str) -> CodecError:
    return CodecError(f"a {what} has no place in a describer file; use what is known there")
