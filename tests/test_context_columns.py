"""Context networks as matrix products give the very numbers that convolutions give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kinpack.codec.learned.latent_coder import ContextColumns
from kinpack.networks.integer_layers import IntegerLayers, Reading
from kinpack.networks.integer_network import IntegerNetwork
from tests.integer_networks import STREAM, random_layer

IN, STOP, PLANES, HIDDEN, OUT = 7, 4, 3, 5, 6
BIAS, SHIFT = np.zeros(HIDDEN, np.int32), np.zeros(HIDDEN, np.uint8)


def network(*, engine: str = "onnxruntime", k: int = 3, **values: Any) -> IntegerNetwork:
    """Two layers in the form of a context network, or nearly so, the second changed."""
    rng = np.random.default_rng(1)
    first = random_layer(rng, IN, HIDDEN, k=k)
    last = random_layer(rng, HIDDEN, OUT, low=-STREAM, high=STREAM)
    layers = (
        replace(first, reading=Reading(np.full(IN, 2, np.uint8), -255)),
        replace(last, **values),
    )
    return IntegerNetwork(
        IntegerLayers(layers),
        reach=STREAM,
        name="context",
        engine=engine,  # type: ignore[arg-type]
    )


def columns(network: IntegerNetwork, *, known: int = STOP) -> ContextColumns | None:
    return ContextColumns.of(network, known=known, stop=STOP)


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
    monkeypatch.setattr("kinpack.codec.learned.latent_coder.COLUMNS", 2 * 25 * 9 * STOP)
    assert np.array_equal(made(y_hat, planes, where), whole)


def test_other_forms_are_left_alone() -> None:
    assert columns(network()) is not None
    for other in (
        network(engine="numpy"),
        network(k=1),
        network(weight=np.ones((OUT, HIDDEN, 3, 3), np.int8)),
        network(reading=Reading(np.zeros(HIDDEN, np.uint8), 0)),
        network(weight=np.ones((HIDDEN, HIDDEN, 1, 1), np.int8), bias=BIAS, shift=SHIFT, adds=1),
        network(
            weight=np.ones((4, HIDDEN, 1, 1), np.int8), bias=BIAS[:4], shift=SHIFT[:4], shuffle=2
        ),
    ):
        assert columns(other) is None


def test_the_graphs_of_products_are_onnx() -> None:
    """The package onnx, where it is installed, finds nothing wrong with what is written by hand."""
    onnx = pytest.importorskip("onnx")
    from kinpack.codec.learned.latent_coder import _graph

    layers = network().layers.layers
    for known in (0, STOP):
        onnx.checker.check_model(onnx.load_from_string(_graph(layers, known=known, stop=STOP)))
