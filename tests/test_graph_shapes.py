"""What a graph asks for is known before it runs: shapes are onnxruntime's, bombs do not go off.

What it gives in numpy is what it gives in onnxruntime.
"""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graph_session import GraphSession
from kinpack.networks.graphs.graph_shapes import check_run
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.networks import OnnxNetwork
from tests.handmade_graphs import Steps

small = st.integers(1, 4)


def filled(shape: Sequence[int]) -> NDArray[np.float32]:
    """Numbers of both signs, none alike."""
    numbers: NDArray[np.float32] = np.cos(1 + np.arange(math.prod(shape)) ** 1.5).astype(np.float32)
    return numbers.reshape(shape)


def onnxruntime_gives(graph: bytes, x: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """What onnxruntime gives, without any check of ours; None where it refuses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        found: NDArray[np.float32] = session.run(None, {"x": x})[0]
    except Exception:  # whatever it says: its errors share no base class
        return None
    return found


def same(steps: Steps, at: str, shape: tuple[int, ...], rank: int | None = None) -> None:
    """Hold our shape against onnxruntime's, and what numpy gives against what it gives."""
    sides = [f"i{i}" for i in range(len(shape))]
    outputs = None if rank is None else [f"o{i}" for i in range(rank)]
    data = steps.to_bytes(at, inputs=sides, outputs=outputs)
    theirs = onnxruntime_gives(data, filled(shape))
    try:
        ours = check_run(read_graph(data), shape)
    except CodecError:
        ours = None
    assert ours == (None if theirs is None else theirs.shape)
    if theirs is not None:
        found = GraphSession(read_graph(data)).run(None, {"x": filled(shape)})[0]
        assert found.dtype == theirs.dtype
        assert found.shape == theirs.shape
        np.testing.assert_allclose(found, theirs, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(small, small, st.integers(1, 9), st.integers(1, 9)),
    st.tuples(small, small, small, small),
    st.integers(1, 2),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
    st.tuples(small, small),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_convolutions(
    shape: Any, weight: Any, group: int, pads: list[int], strides: Any, dilations: Any
) -> None:
    steps = Steps()
    o, c, *kernel = weight
    shape = (shape[0], c * group, *shape[2:])
    w = steps.constant(filled((o * group, c, *kernel)))
    at = steps.add(
        "Conv",
        "x",
        w,
        steps.constant(filled((o * group,))),
        kernel_shape=kernel,
        pads=pads,
        strides=list(strides),
        dilations=list(dilations),
        group=group,
    )
    same(steps, at, shape)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.just(1), st.just(2), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(small, small),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.tuples(small, small),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.booleans(),
)
def test_maximum_pools(
    shape: Any, kernel: Any, pads: list[int], strides: Any, dilations: Any, ceil: bool
) -> None:
    steps = Steps()
    pads = [min(p, kernel[i % 2] - 1) for i, p in enumerate(pads)]
    # onnxruntime pools a picture that is smaller than the window, to nothing or otherwise.
    fits = [
        s + pads[i] + pads[i + 2] > dilations[i] * (kernel[i] - 1) for i, s in enumerate(shape[2:])
    ]
    assume(all(fits))
    at = steps.add(
        "MaxPool",
        "x",
        kernel_shape=list(kernel),
        pads=pads,
        strides=list(strides),
        dilations=list(dilations),
        ceil_mode=int(ceil),
    )
    same(steps, at, shape)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(small, min_size=0, max_size=4),
    st.lists(small, min_size=0, max_size=4),
    st.sampled_from(["Add", "Sub", "Mul", "Div", "Max", "Min"]),
)
def test_element_wise_operators(shape: list[int], other: list[int], op: str) -> None:
    steps = Steps()
    at = steps.add(op, "x", steps.constant(filled(other)))
    same(steps, at, tuple(shape), max(len(shape), len(other)))


@settings(deadline=None, max_examples=60)
@given(st.lists(small, min_size=1, max_size=4), st.data())
def test_new_shapes(shape: list[int], data: st.DataObject) -> None:
    steps = Steps()
    target = data.draw(st.lists(st.integers(-1, 4), min_size=1, max_size=4))
    at = steps.add("Reshape", "x", steps.constant(target, np.int64))
    same(steps, at, tuple(shape), len(target))
    steps = Steps()
    axis = data.draw(st.integers(-len(shape), len(shape)))
    same(steps, steps.add("Flatten", "x", axis=axis), tuple(shape), 2)


@settings(deadline=None, max_examples=40)
@given(st.lists(small, min_size=1, max_size=4), st.data())
def test_reductions_and_joins(shape: list[int], data: st.DataObject) -> None:
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(-rank, rank - 1), min_size=1, max_size=rank))
    if len({axis % rank for axis in axes}) == len(axes):
        kept = data.draw(st.integers(0, 1))
        op = data.draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceL2"]))
        steps = Steps()
        at = steps.add(op, "x", axes=axes, keepdims=kept)
        same(steps, at, tuple(shape), rank if kept else rank - len(axes))
    steps = Steps()
    other = data.draw(st.lists(small, min_size=rank, max_size=rank))
    axis = data.draw(st.integers(-rank, rank - 1))
    at = steps.add("Concat", "x", steps.constant(filled(other)), "x", axis=axis)
    same(steps, at, tuple(shape), rank)


@settings(deadline=None, max_examples=40)
@given(st.tuples(small, small, small, small), st.integers(0, 1), st.data())
def test_linear_maps_and_shuffles(shape: Any, transposed: int, data: st.DataObject) -> None:
    steps = Steps()
    weight = steps.constant(filled(shape[2:]))
    bias = steps.constant(filled(data.draw(st.sampled_from([(), (1,), (shape[3],), (3, 1)]))))
    same(steps, steps.add("Gemm", "x", weight, bias, transB=transposed), shape[:2], 2)
    steps = Steps()
    at = steps.add("DepthToSpace", "x", blocksize=data.draw(st.integers(1, 2)), mode="CRD")
    same(steps, at, shape)


@pytest.mark.parametrize("op", ["Erf", "Identity", "Relu"])
def test_elements(op: str) -> None:
    steps = Steps()
    same(steps, steps.add(op, "x"), (2, 3, 5))


@pytest.mark.parametrize("bounds", [[], [-0.5], [-0.5, 0.25]])
def test_clipping(bounds: list[float]) -> None:
    steps = Steps()
    stored = [steps.constant(np.array(bound, np.float32)) for bound in bounds]
    same(steps, steps.add("Clip", "x", *stored), (3, 4))


@pytest.mark.parametrize("kind", [np.float16, np.int8, np.uint8, np.int16])
def test_stored_numbers_of_other_types(kind: type[np.generic]) -> None:
    steps = Steps()
    stored = steps.constant(np.arange(4), kind)
    same(steps, steps.add("Mul", "x", steps.add("Cast", stored, to=1)), (3, 4))


@settings(deadline=None, max_examples=60)
@given(st.lists(small, min_size=1, max_size=4), st.data())
def test_parts(shape: list[int], data: st.DataObject) -> None:
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    n = len(axes)
    rows = [data.draw(st.lists(st.integers(-6, 6), min_size=n, max_size=n)) for _ in range(2)]
    strides = data.draw(st.lists(st.sampled_from([-2, -1, 1, 2]), min_size=n, max_size=n))
    steps = Steps()
    stored = [steps.constant(row, np.int64) for row in (*rows, axes, strides)]
    same(steps, steps.add("Slice", "x", *stored), tuple(shape), rank)


def bomb(graph: bytes, shape: tuple[int, ...] = (1, 4, 16, 16)) -> str:
    """What is said of a graph that asks for too much; quickly, and without taking it."""
    x = np.zeros(shape, np.float32)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(CodecError) as caught:
        OnnxNetwork(graph, name="net")(x)
    said = str(caught.value)
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 10_000_000
    assert "\n" not in said
    return said


def test_doubling_is_refused() -> None:
    for op, arguments in (("Concat", {"axis": 1}), ("Concat", {"axis": -1})):
        steps, at = Steps(), "x"
        for _ in range(50):
            at = steps.add(op, at, at, **arguments)
        assert "asks for too much" in bomb(steps.to_bytes(at))


def test_padding_is_refused() -> None:
    for pads in ([1 << 20] * 4, [(1 << 31) - 1] * 4, [1 << 30, 0, 0, 0]):
        steps = Steps()
        weight = steps.constant(np.ones((4, 4, 1, 1)))
        at = steps.add("Conv", "x", weight, pads=pads)
        assert "asks for too much" in bomb(steps.to_bytes(at))
        at = steps.add("Conv", "x", weight, pads=pads, strides=[1 << 30, 1 << 30])
        assert "asks for too much" in bomb(steps.to_bytes(at))


def test_columns_against_rows_are_refused() -> None:
    steps = Steps()
    column = steps.add("Reshape", "x", steps.constant([0, -1, 1], np.int64))
    row = steps.add("Reshape", "x", steps.constant([0, 1, -1], np.int64))
    at = steps.add("Add", column, row)
    assert "asks for too much" in bomb(steps.to_bytes(at), (1, 4, 128, 128))


def test_what_would_be_worked_out_while_loading_is_refused() -> None:
    """onnxruntime folds constants before there is an input."""
    steps = Steps()
    at = steps.add(
        "Mul", steps.constant(np.ones((1 << 16, 1))), steps.constant(np.ones((1, 1 << 16)))
    )
    at = steps.add("Add", "x", steps.add("ReduceMax", at, axes=[0, 1]))
    assert "does not load (asks for too much" in bomb(steps.to_bytes(at))
    steps = Steps()
    picture, weight = (steps.constant(np.ones((1, 1, side, side))) for side in (511, 255))
    at = steps.add("Conv", picture, weight)
    assert "does not load (asks for too much" in bomb(steps.to_bytes(at))


def test_endless_work_is_refused() -> None:
    steps = Steps()
    at = steps.add("MaxPool", "x", kernel_shape=[4096, 4096], pads=[2048, 2048, 2047, 2047])
    assert "asks for too much" in bomb(steps.to_bytes(at), (1, 4, 512, 512))


def test_many_filters_are_refused() -> None:
    steps = Steps()
    weight = steps.add("Cast", steps.constant(np.ones((1 << 20, 1, 1, 1)), np.int8), to=1)
    at = steps.add("Conv", "x", weight)
    assert "asks for too much" in bomb(steps.to_bytes(at), (1, 1, 640, 640))


def test_many_values_at_a_time_are_refused() -> None:
    """Each is small enough, and so are all that the file's order needs; not all together."""
    steps = Steps()
    kept = [steps.add("Relu", "x") for _ in range(64)]
    graph = steps.to_bytes(steps.add("Max", *kept))
    assert "asks for too much" in bomb(graph, (1, 1, 2048, 2048))
    steps, at = Steps(), "x"
    for _ in range(300):
        at = steps.add("Relu", at)
    assert "asks for too much" in bomb(steps.to_bytes(at), (1, 1, 2048, 2048))


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    steps = Steps()
    at = steps.add("Add", "x", steps.constant(np.ones(3)))
    with pytest.raises(CodecError) as caught:
        OnnxNetwork(steps.to_bytes(at), name="net")(np.zeros((1, 1, 4, 4), np.float32))
    assert str(caught.value) == (
        "network 'net' of the codec does not run (Add does not fit what it takes: (1, 1, 4, 4), "
        "(3,)): the codec file is faulty; make it anew"
    )
    fixed = Steps().to_bytes("x", inputs=["n", 3, 8, 8])
    with pytest.raises(CodecError, match=r"not \(1, 3, 8, 9\)"):
        OnnxNetwork(fixed, name="net")(np.zeros((1, 3, 8, 9), np.float32))
