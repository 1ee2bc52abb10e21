"""Integer networks: the graph gives the integers of a plain reference, however it is run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnxruntime

from kinpack.errors import CodecError
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    EXACT,
    WEIGHT,
    IntegerLayer,
    integer_graph,
    least_unit,
    quantise_layer,
)

pytestmark = pytest.mark.learn

Ints = NDArray[np.int64]


def reference(layers: Sequence[IntegerLayer], input_shift: Ints, x: Ints) -> Ints:
    """The network in Python's and numpy's integers, with shifts for powers of two."""
    shift = input_shift[None, :, None, None]
    # round(x / 2^s), halves up: floor(x / 2^s + 1/2) in integers.
    at = ((2 * x + (1 << shift)) >> (shift + 1)).clip(-ACTIVATION, ACTIVATION)
    for layer in layers:
        pad = layer.weight.shape[2] // 2
        n, _, h, w = at.shape
        padded = np.pad(at, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        total = np.broadcast_to(layer.bias[None, :, None, None], (n, len(layer.bias), h, w)).copy()
        for i, j in itertools.product(range(layer.weight.shape[2]), repeat=2):
            window = padded[:, :, i : i + h, j : j + w]
            total += np.einsum("oc,nchw->nohw", layer.weight[:, :, i, j].astype(np.int64), window)
        at = (total >> layer.shift[None, :, None, None]).clip(layer.low, layer.high)
    return at


def run(graph: bytes, x: Ints, *, threads: int = 1, optimised: bool = True) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    y: NDArray[np.float32] = session.run(None, {"x": x.astype(np.float32)})[0]
    return y


def random_layer(
    rng: np.random.Generator, channels_in: int, channels_out: int, *, k: int, low: int, high: int
) -> IntegerLayer:
    """A layer near the edge of exact arithmetic: its sums end just below 2^24."""
    weight = rng.integers(-WEIGHT, WEIGHT + 1, (channels_out, channels_in, k, k))
    sums = np.abs(weight).sum((1, 2, 3)) * ACTIVATION
    room = EXACT - 1 - sums
    assert (room > 0).all()
    bias = rng.integers(-room, room + 1)
    return IntegerLayer(
        weight=weight.astype(np.int8),
        bias=bias,
        shift=rng.integers(0, 23, channels_out),
        low=low,
        high=high,
    )


def random_network(rng: np.random.Generator, widths: Sequence[int]) -> list[IntegerLayer]:
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        low, high = (-(1 << 15), 1 << 15) if i == len(widths) - 2 else (0, ACTIVATION)
        layers.append(random_layer(rng, a, b, k=1 if i else 3, low=low, high=high))
    return layers


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1 << 30),
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    size=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
)
def test_graph_against_integers(seed: int, widths: list[int], size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    layers = random_network(rng, widths)
    assert all(layer.largest_sum(ACTIVATION) < EXACT for layer in layers)
    input_shift = rng.integers(0, 9, widths[0])
    n, h, w = size
    x = rng.integers(-(1 << 20), (1 << 20) + 1, (n, widths[0], h, w)) >> int(rng.integers(0, 21))
    graph = integer_graph(layers, input_shift=input_shift, channels_out=widths[-1])
    found = run(graph, x)
    assert np.array_equal(found, reference(layers, input_shift, x))


def test_the_worst_input_stays_exact() -> None:
    """The inputs that reach the bound of a sum are summed without an error of 1."""
    rng = np.random.default_rng(1)
    layer = random_layer(rng, 48, 6, k=3, low=-EXACT, high=EXACT)
    bias = np.where(rng.integers(2, size=6) == 1, 1, -1) * (
        EXACT - 1 - np.abs(layer.weight.astype(np.int64)).sum((1, 2, 3)) * ACTIVATION
    )
    layer = IntegerLayer(layer.weight, bias, np.zeros(6, np.int64), -EXACT, EXACT)
    assert layer.largest_sum(ACTIVATION) == EXACT - 1
    shift = np.zeros(48, np.int64)
    graph = integer_graph([layer], input_shift=shift, channels_out=6)
    # One picture for each output and sign: 255 with the sign of the weight everywhere.
    x = np.concatenate([ACTIVATION * np.sign(layer.weight.astype(np.int64)) * s for s in (1, -1)])
    found = run(graph, x)
    assert np.array_equal(found, reference([layer], shift, x))
    assert np.abs(found[:, :, 1, 1]).max() == EXACT - 1


def test_identical_bytes_however_it_runs() -> None:
    rng = np.random.default_rng(7)
    # The sizes of a real context network, so that the runtime takes its real paths.
    layers = random_network(rng, [40, 64, 64, 32])
    input_shift = rng.integers(0, 6, 40)
    x = rng.integers(-(1 << 14), 1 << 14, (16, 40, 9, 11))
    graph = integer_graph(layers, input_shift=input_shift, channels_out=32)
    expected = reference(layers, input_shift, x)
    for threads, optimised, batch in itertools.product((1, 2), (True, False), (1, 5, 16)):
        parts = [
            run(graph, x[first : first + batch], threads=threads, optimised=optimised)
            for first in range(0, 16, batch)
        ]
        assert np.concatenate(parts).tobytes() == (expected + 0.0).astype(np.float32).tobytes()


def real_layers(draw_seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(draw_seed)
    channels_in, channels_out = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    k = int(rng.choice([1, 3]))
    spread = 10.0 ** rng.uniform(-4, 2, (channels_out, 1, 1, 1))
    return {
        "weight": rng.normal(size=(channels_out, channels_in, k, k)) * spread,
        "bias": rng.normal(size=channels_out) * 10.0 ** rng.uniform(-4, 3, channels_out),
        "input_unit": 10.0 ** rng.uniform(-3, 1, channels_in),
    }


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30))
def test_quantised_layers_fit_and_follow_the_real_ones(seed: int) -> None:
    real = real_layers(seed)
    weight, bias, input_unit = real["weight"], real["bias"], real["input_unit"]
    rng = np.random.default_rng(seed + 1)
    output_unit = least_unit(**real) * 10.0 ** rng.uniform(0, 4, len(bias))
    layer = quantise_layer(**real, output_unit=output_unit, low=-EXACT, high=EXACT)
    assert layer.largest_sum(ACTIVATION) < EXACT
    assert layer.weight.dtype == np.int8
    assert int(layer.weight.min()) >= -WEIGHT
    assert (layer.shift >= 0).all()
    x = rng.integers(-ACTIVATION, ACTIVATION + 1, (1, weight.shape[1], 3, 3))
    k = weight.shape[2]
    window = x[0, :, :k, :k]
    for o in range(len(bias)):
        exact = float((weight[o] * window * input_unit[:, None, None]).sum() + bias[o])
        units = exact / output_unit[o]
        total = int((layer.weight[o].astype(np.int64) * window).sum() + layer.bias[o])
        found = total >> int(layer.shift[o])
        # Weights and bias are half a unit of the sum off, the result half a unit of the output.
        off = (np.abs(window).sum() + 1) / 2 / 2.0 ** int(layer.shift[o]) + 0.5
        assert abs(found - units) <= off + 1e-6 * abs(units)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 30))
def test_the_least_unit_is_the_least(seed: int) -> None:
    real = real_layers(seed)
    unit = least_unit(**real)
    quantise_layer(**real, output_unit=unit, low=0, high=ACTIVATION)
    for o in range(len(unit)):
        finer = unit.copy()
        finer[o] /= 2
        with pytest.raises(CodecError, match="leave exact arithmetic"):
            quantise_layer(**real, output_unit=finer, low=0, high=ACTIVATION)


def test_shifts_are_as_large_as_they_can_be() -> None:
    weight = np.array([[[[1.0]]], [[[0.3]]], [[[1e-9]]]])
    layer = quantise_layer(
        weight, np.zeros(3), input_unit=np.ones(1), output_unit=np.ones(3), low=-9, high=9
    )
    assert layer.shift.tolist() == [6, 8, 22]
    assert layer.weight.ravel().tolist() == [64, 77, 0]
    # The half that makes floor round.
    assert layer.bias.tolist() == [32, 128, 1 << 21]
