"""Networks of integers: numpy and onnxruntime, however they run, give what integers give."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks import numpy_engine
from kinpack.networks.integer_layers import EXACT, MOST_READ, IntegerLayer, IntegerLayers, Reading
from kinpack.networks.integer_network import IntegerNetwork
from tests.integer_networks import (
    STREAM,
    Form,
    Ints,
    chain,
    random_layer,
    reference,
    synthesis,
)

Floats = NDArray[np.float32]
WAYS = [
    ("numpy", 1, True),
    *(("onnxruntime", *w) for w in itertools.product((1, 2), (True, False))),
]


def engines(layers: IntegerLayers) -> list[IntegerNetwork]:
    """The plain engine, then onnxruntime in all its ways."""
    return [
        IntegerNetwork(layers, reach=STREAM, name="net", engine=e, threads=t, optimise=o)  # type: ignore[arg-type]
        for e, t, o in WAYS
    ]


def agreed(layers: IntegerLayers, x: Ints) -> Floats:
    """What all engines give, on the whole batch and on its pictures one by one, and integers."""
    as_floats = x.astype(np.float32)
    networks = engines(layers)
    found = [network(as_floats) for network in networks]
    found.append(np.concatenate([networks[0](one[None]) for one in as_floats]))
    wanted = (reference(layers, x) + 0.0).astype(np.float32)
    for y in found:
        assert y.shape == wanted.shape
        assert y.tobytes() == wanted.tobytes()
    return wanted


sizes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
seeds = st.integers(0, 1 << 30)


def inputs(rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
    return rng.integers(-STREAM, STREAM + 1, shape) >> int(rng.integers(0, 15))


@settings(deadline=None, max_examples=25)
@given(seed=seeds, widths=st.lists(st.integers(1, 9), min_size=2, max_size=4), size=sizes)
def test_chains(seed: int, widths: list[int], size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    layers = chain(rng, widths)
    agreed(layers, inputs(rng, (size[0], widths[0], *size[1:])))


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    seed=seeds,
    form=st.builds(Form, st.integers(1, 6), st.integers(1, 4), st.integers(0, 2), st.booleans()),
    size=sizes,
)
def test_networks_of_all_that_there_is(seed: int, form: Form, size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    layers = synthesis(rng, form)
    y = agreed(layers, inputs(rng, (size[0], form.channels, *size[1:])))
    assert y.shape == (size[0], 3, 4 * size[1], 4 * size[2])
    low, high = layers.bounds
    assert low <= y.min() <= y.max() <= high


def test_sizes_of_real_networks() -> None:
    """So that the runtime takes its real paths."""
    rng = np.random.default_rng(7)
    layers = chain(rng, [40, 64, 64, 32])
    agreed(layers, rng.integers(-(1 << 14), 1 << 14, (16, 40, 9, 11)))
    form = Form(channels=24, width=48)
    agreed(synthesis(rng, form), rng.integers(-(1 << 14), 1 << 14, (3, 24, 9, 11)))


def edge(rng: np.random.Generator) -> IntegerLayers:
    """One layer whose largest sum is the largest there may be."""
    signs = rng.choice([-1, 1], (4, 57, 3, 3))
    weight = signs * rng.integers(100, 128, signs.shape)
    bias = EXACT - 1 - np.abs(weight).sum((1, 2, 3)) * MOST_READ
    assert (bias > 0).all()
    layer = IntegerLayer(
        weight.astype(np.int8), bias.astype(np.int32), np.zeros(4, np.uint8), 1 - EXACT, EXACT - 1
    )
    return IntegerLayers((replace(layer, reading=Reading(np.zeros(57, np.uint8), -MOST_READ)),))


def test_sums_up_to_the_bound_are_exact() -> None:
    """The largest sums that integers of float32 hold, of either sign, in any order."""
    layers = edge(np.random.default_rng(0))
    layer = layers.layers[0]
    x = STREAM * np.sign(layer.weight.astype(np.int64))
    y = agreed(layers, np.concatenate([x, -x]))
    assert [int(y[i, i, 1, 1]) for i in range(4)] == [EXACT - 1] * 4


def test_one_more_is_refused() -> None:
    layers = edge(np.random.default_rng(0))
    layer = layers.layers[0]
    more = IntegerLayers((replace(layer, bias=layer.bias + np.int32(1)),))
    with pytest.raises(CodecError, match=r"layer 0 .*exact"):
        IntegerNetwork(more, reach=STREAM, name="net")


@pytest.mark.parametrize("columns", [1, 30, 200])
def test_however_the_columns_are_cut(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Also where one is larger than a block."""
    monkeypatch.setattr(numpy_engine, "COLUMNS", columns)
    rng = np.random.default_rng(5)
    agreed(synthesis(rng), inputs(rng, (3, 5, 5, 6)))


def test_zeros_have_no_sign() -> None:
    layer = random_layer(np.random.default_rng(0), 1, 1)
    still = replace(layer, weight=-np.ones_like(layer.weight), bias=np.zeros(1, np.int32))
    y = agreed(IntegerLayers((replace(still, low=-9),)), np.zeros((1, 1, 2, 2), np.int64))
    assert not np.signbit(y).any()


def test_an_empty_batch() -> None:
    for network in engines(synthesis(np.random.default_rng(1))):
        assert network(np.zeros((0, 5, 4, 5), np.float32)).shape == (0, 3, 16, 20)


def test_several_threads_at_a_time() -> None:
    rng = np.random.default_rng(1)
    plain, other, *_ = engines(synthesis(rng))
    x = [inputs(rng, (1, 5, i + 1, 9)).astype(np.float32) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(plain, x))
    assert all(y.tobytes() == other(one).tobytes() for y, one in zip(found, x, strict=True))


def test_the_graph_is_onnx() -> None:
    """The package onnx, where it is installed, finds nothing wrong with what is written by hand."""
    onnx = pytest.importorskip("onnx")
    layers = synthesis(np.random.default_rng(0))
    written = IntegerNetwork(layers, reach=STREAM, name="net")._graph()
    graph = onnx.load_from_string(written)
    onnx.checker.check_model(graph)
