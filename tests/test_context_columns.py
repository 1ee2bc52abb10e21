"""Context networks as matrix products give the very numbers that convolutions give."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from kinpack.codec.codec import Codec
from kinpack.codec.learned.context_columns import ContextColumns
from kinpack.codec.learned.integer_layers import IntegerLayers
from kinpack.codec.learned.latent_coder import LatentCoder
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.networks import Network
from tests import handmade_graphs as g

IN, STOP, PLANES, HIDDEN, OUT = 7, 4, 3, 5, 6


def network(
    *,
    high: float = 255,
    weight: float = 1,
    bias: float = 1,
    unit: float = 2.0**-7,
    pads: int = 1,
    engine: str = "onnxruntime",
    scale: str = "Mul",
) -> Network:
    """Two layers in the form of a context network, or nearly so."""
    rng = np.random.default_rng(1)

    def whole(*shape: int) -> NDArray[np.float32]:
        return rng.integers(-127, 128, shape).astype(np.float32)

    def plane(value: float, channels: int) -> NDArray[np.float32]:
        return np.full((1, channels, 1, 1), value, np.float32)

    def scalar(value: float) -> NDArray[np.float32]:
        return np.array(value, np.float32)

    constants = {
        "factor": plane(0.25, IN),
        "half": scalar(0.5),
        "low": scalar(-high),
        "high": scalar(high),
        "w1": weight * whole(HIDDEN, IN, 3, 3),
        "b1": bias * whole(HIDDEN),
        "u1": plane(unit, HIDDEN),
        "zero": scalar(0),
        "most": scalar(255),
        "w2": whole(OUT, HIDDEN, 1, 1),
        "b2": whole(OUT),
        "u2": plane(2.0**-3, OUT),
        "least": scalar(-32767),
        "largest": scalar(32767),
    }
    nodes = [
        g.node(scale, ["x", "factor"], "a"),
        g.node("Add", ["a", "half"], "b"),
        g.node("Floor", ["b"], "c"),
        g.node("Clip", ["c", "low", "high"], "d"),
        g.node("Conv", ["d", "w1", "b1"], "e", kernel_shape=[3, 3], pads=[pads] * 4),
        g.node("Mul", ["e", "u1"], "f"),
        g.node("Floor", ["f"], "g"),
        g.node("Clip", ["g", "zero", "most"], "h"),
        g.node("Conv", ["h", "w2", "b2"], "i", kernel_shape=[1, 1]),
        g.node("Mul", ["i", "u2"], "j"),
        g.node("Floor", ["j"], "k"),
        g.node("Clip", ["k", "least", "largest"], "y"),
    ]
    model = g.model(
        g.graph(
            nodes,
            inputs=[g.value("x", ["n", IN, "h", "w"])],
            outputs=[g.value("y", ["n", OUT, "i", "j"])],
            constants=[g.tensor(name, values) for name, values in constants.items()],
        )
    )
    return Network(model, name="context", engine=engine)  # type: ignore[arg-type]


def columns(network: Network, *, known: int = STOP) -> ContextColumns | None:
    return ContextColumns.of(network, known=known, stop=STOP, planes=PLANES, outputs=OUT)


def latents(n: int, h: int, w: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    y_hat = rng.integers(-3000, 3000, (n, STOP + 2, h, w))
    return y_hat, rng.integers(-255, 256, (n, PLANES)).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 2), (2, 2, 2), (5, 4, 4), (2, 7, 3)])
@pytest.mark.parametrize("parity", [-1, 0, 1])
@pytest.mark.parametrize("known", [0, 2, STOP])
def test_products_equal_the_convolution(
    shape: tuple[int, int, int], parity: int, known: int
) -> None:
    n, h, w = shape
    y_hat, planes = latents(*shape, seed=h * w)
    y_hat[:, known:] = 0
    where = np.ones((h, w), dtype=np.bool_)
    if parity >= 0:
        where = np.add.outer(np.arange(h), np.arange(w)) % 2 == parity
    whole = network()
    x = np.empty((n, IN, h, w), np.float32)
    x[:, :STOP], x[:, STOP:] = y_hat[:, :STOP], planes[:, :, None, None]
    made = columns(whole, known=known)
    assert made is not None
    found = made(y_hat, planes, where)
    assert found.dtype == np.int64
    assert np.array_equal(found, whole(x)[:, :, where])
    if where.any():
        assert len(np.unique(found)) > 3


def test_pieces_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    y_hat, planes = latents(9, 5, 5, seed=0)
    where = np.ones((5, 5), dtype=np.bool_)
    made = columns(network())
    assert made is not None
    whole = made(y_hat, planes, where)
    monkeypatch.setattr("kinpack.codec.learned.context_columns._COLUMNS", 2 * 25 * 9 * STOP)
    assert np.array_equal(made(y_hat, planes, where), whole)


def test_what_may_not_be_exact_is_left_alone() -> None:
    assert columns(network()) is not None
    for other in (
        network(high=40_000),  # a sum may reach 2^24
        network(high=255.5),
        network(weight=0.5),
        network(bias=0.5),
        network(bias=2.0**18),
        network(unit=0.3),
        network(unit=0.0),
    ):
        assert columns(other) is None


def test_other_forms_are_left_alone() -> None:
    assert columns(network(pads=0)) is None
    assert columns(network(scale="Div")) is None
    assert columns(network(engine="numpy")) is None
    assert ContextColumns.of(network(), known=4, stop=4, planes=2, outputs=OUT) is None
    assert ContextColumns.of(network(), known=4, stop=4, planes=3, outputs=OUT + 1) is None


@cache
def shipped() -> LatentCoder:
    return Codec.load("default", threads=1).learned_coder().latents


def test_the_shipped_networks_are_taken_apart() -> None:
    coder = shipped()
    assert all(IntegerLayers.of(network.graph) for network in coder._context)
    assert all(one is not None for one in coder._columns)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9)])
def test_the_shipped_predictions_are_those_of_convolutions(size: tuple[int, int]) -> None:
    coder, rng = shipped(), np.random.default_rng(3)
    M, K, _ = coder._code_context.shape
    codes = rng.integers(K, size=(3, M)).astype(np.uint8)
    y_hat = np.zeros((3, coder.latent.channels, *size), dtype=np.int64)
    for index, (start, stop, _) in enumerate(coder.latent.steps):
        planes = np.concatenate(
            [
                coder._code_context[np.arange(M), codes].sum(1).clip(-255, 255),
                np.array([[-20], [0], [30]]),
            ],
            axis=1,
        ).astype(np.float32)
        where = np.ones(size, dtype=np.bool_)
        made = coder._columns[index]
        assert made is not None
        assert np.array_equal(
            made(y_hat, planes, where), coder._convolved(index, y_hat, planes, where)
        )
        y_hat[:, start:stop] = rng.integers(-2000, 2000, (3, stop - start, *size))


def test_the_graphs_of_products_are_onnx() -> None:
    """The package onnx, where it is installed, finds nothing wrong with what is written by hand."""
    onnx = pytest.importorskip("onnx")
    from kinpack.codec.learned.context_columns import _graph

    layers = IntegerLayers.of(network().graph)
    assert layers is not None
    for known in (0, STOP):
        onnx.checker.check_model(onnx.load_from_string(_graph(layers, known=known, stop=STOP)))


def test_graphs_are_read_before_they_are_taken_apart() -> None:
    layers = IntegerLayers.of(read_graph(network()._bytes))
    assert layers is not None
    assert [layer.weight.shape[0] for layer in layers.layers] == [HIDDEN, OUT]
    assert (layers.low, layers.high) == (-255, 255)
