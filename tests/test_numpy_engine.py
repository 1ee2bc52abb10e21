"""The second engine: for networks of integers it gives the bytes that onnxruntime gives."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks import numpy_engine
from kinpack.networks.container import read_container
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.networks import Network
from tests.handmade_graphs import Steps

EXACT = 1 << 24
Floats = NDArray[np.float32]


def engines(graph: bytes) -> list[Network]:
    """The plain engine, then onnxruntime in all its ways."""
    plain = Network(graph, name="plain", engine="numpy")
    ways = itertools.product((1, 2), (True, False))
    return [
        plain,
        *[Network(graph, name="net", threads=t, optimise=o) for t, o in ways],
    ]


def agreed(graph: bytes, x: Floats) -> Floats:
    """What all engines give, on the whole batch and on its pictures one by one."""
    found = [network(x) for network in engines(graph)]
    found.append(np.concatenate([Network(graph, name="n", engine="numpy")(one[None]) for one in x]))
    for y in found:
        assert y.shape == found[0].shape
        assert y.tobytes() == found[0].tobytes()
    assert (np.floor(found[0]) == found[0]).all()
    assert np.abs(found[0]).max() < EXACT
    return found[0]


class IntegerNetwork:
    """A random network of integers: convolutions, rescaled and clipped, and what joins them."""

    def __init__(self, rng: np.random.Generator, channels: int) -> None:
        self.rng, self.steps = rng, Steps()
        self.limit = 255  # of the numbers that are there
        self.channels = channels

    def convolution(
        self, at: str, out: int, *, k: tuple[int, int], stride: tuple[int, int], pads: list[int]
    ) -> str:
        weight = self.rng.integers(-127, 128, (out, self.channels, *k))
        if self.rng.random() < 0.3:
            weight[:] = 127  # all at the border
        room = (EXACT - 1) // (self.limit * max(1, int(np.abs(weight).sum((1, 2, 3)).max())))
        assert room > 0
        bias = self.rng.integers(-100, 100, out)
        stored = self.steps.constant(weight, np.int8)
        weights = self.steps.add("Cast", stored, to=1)
        self.channels = out
        made = self.steps.add(
            "Conv",
            at,
            weights,
            self.steps.constant(bias),
            kernel_shape=list(k),
            strides=list(stride),
            pads=pads,
        )
        return self.rescaled(made)

    def rescaled(self, at: str) -> str:
        steps = self.steps
        shift = self.rng.integers(0, 12, (1, self.channels, 1, 1))
        at = steps.add("Mul", at, steps.constant(2.0**-shift))
        at = steps.add("Floor", steps.add("Add", at, steps.constant(0.5)))
        self.limit = 255
        if self.rng.random() < 0.5:
            return steps.add("Clip", at, steps.constant(-255), steps.constant(255))
        at = steps.add("Relu", at)
        return steps.add("Min", at, steps.constant([255]))

    def join(self, at: str, kind: int) -> str:
        steps, c = self.steps, self.channels
        if kind == 0:
            self.limit *= 2
            return steps.add("Add", at, steps.add("Relu", at))
        if kind == 1:
            self.channels = 2 * c
            return steps.add("Concat", at, steps.add("Max", at, steps.constant(-3)), axis=1)
        if kind == 2:
            first = int(self.rng.integers(0, c))
            self.channels = c - first
            rows = [steps.constant([v], np.int64) for v in (first, 1 << 40, 1)]
            return steps.add("Slice", at, *rows)
        if kind == 3 and c % 4 == 0:
            self.channels = c // 4
            return steps.add("DepthToSpace", at, blocksize=2, mode="CRD")
        if kind == 4:
            half = steps.add("Floor", steps.add("Mul", at, steps.constant(0.5)))
            return steps.add("Sub", at, steps.add("Max", half, at))
        return at


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1 << 30),
    layers=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 4, 8]),
            st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from([1, 3])),
            st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2, 3])),
            st.lists(st.integers(0, 2), min_size=4, max_size=4),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=3,
    ),
    size=st.tuples(st.sampled_from([1, 5]), st.integers(3, 13), st.integers(3, 13)),
)
def test_random_integer_networks(seed: int, layers: list[Any], size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    n, height, width = size
    channels = int(rng.integers(1, 5))
    network, at = IntegerNetwork(rng, channels), "x"
    h, w = height, width
    for out, k, stride, pads, kind in layers:
        if h + pads[0] + pads[2] < k[0] or w + pads[1] + pads[3] < k[1]:
            break
        at = network.convolution(at, out, k=k, stride=stride, pads=pads)
        at = network.join(at, kind)
        h = (h + pads[0] + pads[2] - k[0]) // stride[0] + 1
        w = (w + pads[1] + pads[3] - k[1]) // stride[1] + 1
    x = rng.integers(-255, 256, (n, channels, height, width)).astype(np.float32)
    agreed(network.steps.to_bytes(at), x)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 1, 1), (1, 1, 7), (3, 2, 1), (2, 33, 17)])
def test_sizes(size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(3)
    n, h, w = size
    network = IntegerNetwork(rng, 6)
    at = network.convolution("x", 16, k=(3, 3), stride=(1, 1), pads=[1] * 4)
    at = network.convolution(at, 8, k=(1, 1), stride=(1, 1), pads=[0] * 4)
    at = network.convolution(at, 12, k=(3, 3), stride=(2, 2), pads=[1] * 4)
    at = network.join(at, 3)
    x = rng.integers(-255, 256, (n, 6, h, w)).astype(np.float32)
    assert agreed(network.steps.to_bytes(at), x).shape == (n, 3, -(-h // 2) * 2, -(-w // 2) * 2)


def test_sums_up_to_the_bound_are_exact() -> None:
    """The largest sums that integers of float32 hold, of either sign, in any order."""
    steps = Steps()
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], (4, 57, 3, 3))
    weight = (signs * rng.integers(100, 128, signs.shape)).astype(np.int64)
    bias = EXACT - 1 - np.abs(weight).sum((1, 2, 3)) * 255
    assert (bias > 0).all()
    at = steps.add("Conv", "x", steps.constant(weight), steps.constant(bias), pads=[1] * 4)
    x = (255 * signs).astype(np.float32)
    y = agreed(steps.to_bytes(at), np.concatenate([x, -x]))
    assert [int(y[i, i, 1, 1]) for i in range(4)] == [EXACT - 1] * 4


def loops(x: Any, weight: Any, bias: Any, *, strides: Any, pads: Any) -> NDArray[np.float64]:
    """One convolution in loops, as it is written down in ONNX."""
    n, _, height, width = x.shape
    o, c, kh, kw = weight.shape
    rows = (height + pads[0] + pads[2] - kh) // strides[0] + 1
    columns = (width + pads[1] + pads[3] - kw) // strides[1] + 1
    y = np.zeros((n, o, rows, columns))
    for i, j, r, q in np.ndindex(*y.shape):
        total = float(bias[j])
        for m, a, b in np.ndindex(c, kh, kw):
            row, column = r * strides[0] + a - pads[0], q * strides[1] + b - pads[1]
            if 0 <= row < height and 0 <= column < width:
                total += float(weight[j, m, a, b]) * float(x[i, m, row, column])
        y[i, j, r, q] = total
    return y


@pytest.mark.parametrize("columns", [1, 30, 200, 1 << 22])
def test_a_convolution_against_loops(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """However the columns are cut into blocks, also where one is larger than a block."""
    monkeypatch.setattr(numpy_engine, "_COLUMNS", columns)
    rng = np.random.default_rng(5)
    for strides, pads, k in [
        ((1, 1), [0, 0, 0, 0], (1, 1)),
        ((2, 1), [1, 0, 2, 3], (3, 2)),
        ((3, 2), [4, 4, 0, 0], (2, 5)),
    ]:
        x = rng.integers(-99, 100, (3, 2, 5, 6)).astype(np.float32)
        weight, bias = rng.integers(-99, 100, (4, 2, *k)), rng.integers(-99, 100, 4)
        steps = Steps()
        at = steps.add(
            "Conv",
            "x",
            steps.constant(weight),
            steps.constant(bias),
            strides=list(strides),
            pads=pads,
        )
        y = agreed(steps.to_bytes(at), x)
        assert np.array_equal(y, loops(x, weight, bias, strides=strides, pads=pads))


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-9, 9) | st.sampled_from([-(1 << 31), (1 << 63) - 1]),
            st.integers(-9, 9) | st.sampled_from([-(1 << 31), 1 << 30, -(1 << 63)]),
            st.integers(-3, 3).filter(bool),
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_slices(rows: list[tuple[int, int, int]]) -> None:
    steps = Steps()
    starts, ends, strides = (steps.constant(row, np.int64) for row in zip(*rows, strict=True))
    axes = steps.constant([-1, 2][: len(rows)], np.int64)
    graph = steps.to_bytes(steps.add("Slice", "x", starts, ends, axes, strides))
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    found = [network(x) for network in engines(graph)]
    for y in found:
        assert y.shape == found[0].shape
        assert y.tobytes() == found[0].tobytes()


def test_operators_on_what_broadcasts() -> None:
    steps = Steps()
    column = steps.constant([[[3]], [[-4]]])
    at = steps.add("Mul", "x", column)
    at = steps.add("Max", at, steps.constant(-50), column)
    at = steps.add("Min", at, steps.constant([[60.0]]))
    at = steps.add("Clip", at, steps.constant(-45))
    at = steps.add("Sub", column, at)
    at = steps.add("Add", at, steps.constant([1, 2, 3]))
    rng = np.random.default_rng(0)
    x = rng.integers(-40, 41, (4, 2, 5, 3)).astype(np.float32)
    y = agreed(steps.to_bytes(at), x)
    three = np.array([3, -4])[:, None, None]
    limited = np.maximum(np.maximum(x * three, three), -45).clip(-50, 60)
    assert np.array_equal(y, three - limited + [1, 2, 3])


def test_zeros_have_no_sign() -> None:
    steps = Steps()
    graph = steps.to_bytes(steps.add("Floor", steps.add("Mul", "x", steps.constant(-1))))
    y = agreed(graph, np.zeros((1, 1, 2, 2), np.float32))
    assert not np.signbit(y).any()


def test_what_depends_on_no_input_and_what_is_not_used() -> None:
    steps = Steps()
    twice = steps.add("Add", steps.constant([1, 2, 3]), steps.constant(2))
    steps.add("Floor", "x")
    at = steps.add("Add", "x", steps.add("Floor", twice))
    x = np.zeros((2, 1, 1, 3), np.float32)
    assert agreed(steps.to_bytes(at), x).tolist() == [[[[3, 4, 5]]]] * 2
    graph = steps.to_bytes(twice, outputs=["a"])
    assert [network(x).tolist() for network in engines(graph)] == [[3, 4, 5]] * 5


def test_an_empty_batch() -> None:
    network = IntegerNetwork(np.random.default_rng(1), 3)
    at = network.convolution("x", 8, k=(3, 3), stride=(1, 1), pads=[1] * 4)
    graph = network.steps.to_bytes(network.join(at, 3))
    y = Network(graph, name="n", engine="numpy")(np.zeros((0, 3, 4, 5), np.float32))
    assert y.shape == (0, 2, 8, 10)


def test_several_threads_at_a_time() -> None:
    network = IntegerNetwork(np.random.default_rng(1), 3)
    at = network.convolution("x", 8, k=(3, 3), stride=(1, 1), pads=[1] * 4)
    graph = network.steps.to_bytes(network.join(at, 1))
    shared = Network(graph, name="n", engine="numpy")
    rng = np.random.default_rng(2)
    x = [rng.integers(-255, 256, (1, 3, i + 1, 9)).astype(np.float32) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared, x))
    alone = Network(graph, name="n")
    assert all(y.tobytes() == alone(one).tobytes() for y, one in zip(found, x, strict=True))


def test_what_is_not_run_is_said_before() -> None:
    x = np.zeros((1, 4, 8, 8), np.float32)

    def refusal(op: str, *weights: Any, **attributes: Any) -> str:
        steps = Steps()
        graph = steps.to_bytes(steps.add(op, "x", *map(steps.constant, weights), **attributes))
        Network(graph, name="net")(x)  # onnxruntime does
        with pytest.raises(CodecError) as caught:
            Network(graph, name="net", engine="numpy")(x)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refusal("Erf") == (
        "network 'net' of the codec uses Erf, which the plain engine does not run; "
        "run it in onnxruntime"
    )
    assert "uses MaxPool" in refusal("MaxPool", kernel_shape=[2, 2])
    assert "in groups or with gaps" in refusal("Conv", np.ones((4, 2, 2, 2)), group=2)
    assert "in groups or with gaps" in refusal("Conv", np.ones((4, 4, 2, 2)), dilations=[2, 1])


def test_context_networks_of_the_shipped_codec() -> None:
    place = resources.files("kinpack") / "codecs" / "default.kinc"
    blobs = read_container(place.read_bytes(), where="default").blobs
    rng = np.random.default_rng(0)
    names = [name for name in blobs if name.startswith("context")]
    assert names
    for name in names:
        network = Network(blobs[name], name=name, engine="numpy")
        with pytest.raises(CodecError, match="takes"):
            network(np.zeros((1, 1, 1, 1), np.float32))
        channels = int(str(read_graph(blobs[name]).input.shape[1]))
        for n, h, w in [(1, 1, 1), (5, 4, 4), (1, 9, 13)]:
            x = rng.integers(-(1 << 14), 1 << 14, (n, channels, h, w)).astype(np.float32)
            assert np.abs(agreed(blobs[name], x)).max() > 0
