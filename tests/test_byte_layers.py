"""Networks of bytes: every engine gives what integers give, and what may not is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.byte_layers import MOST_WEIGHT, SIGNED, BlockLayer, ByteLayer, ByteLayers
from kinpack.networks.integer_layers import EXACT
from kinpack.networks.integer_network import ByteNetwork
from kinpack.networks.networks import run_tiled
from kinpack.networks.tiling import Tiling
from tests.integer_networks import STREAM, Ints, convolved, shuffled

CHANNELS, WIDTH = 5, 3


def halved(values: Ints, shift: NDArray[Any]) -> Ints:
    """value / 2^shift, halves to even, in integers."""
    shift = shift.astype(np.int64)[:, None, None]
    floor, rest = values >> shift, values & ((1 << shift) - 1)
    half = (1 << shift) >> 1
    up = (rest > half) | ((rest == half) & (shift > 0) & (floor & 1 == 1))
    made: Ints = floor + up
    return made


def reference(layers: ByteLayers, x: Ints) -> Ints:
    """What a network gives, in integers."""
    stream = at = x
    for layer in layers.layers:
        if layer.reads is not None:
            at = halved(stream, layer.reads).clip(layer.reads_low, layer.reads_low + 255)
        at = halved(convolved(at, layer.weight, layer.bias), layer.shift)
        at = at.clip(layer.low, layer.low + 255)
        if layer.grow is not None:
            grown = shuffled(at << layer.grow.astype(np.int64)[:, None, None], layer.shuffle)
            stream = stream + grown if layer.adds else grown
    block = layers.block
    none = np.zeros(len(block.weight), np.int64)
    sums = convolved(x, block.weight[:, :, None, None], none)
    sums = (
        halved(sums, np.full(len(none), block.shift)) + block.bias.astype(np.int64)[:, None, None]
    )
    summed = stream + shuffled(sums, block.shuffle)
    return halved(summed, np.full(summed.shape[1], layers.drop)).clip(0, 255)


def byte_layer(rng: np.random.Generator, channels: int, out: int, low: int) -> ByteLayer:
    """A layer near the edge of exact arithmetic, or of few bits, where halves are frequent."""
    if rng.random() < 0.5:
        weight = rng.integers(-2, 3, (out, channels, 3, 3))
        bias, most = rng.integers(-9, 10, out), 3
    else:
        weight = rng.integers(-MOST_WEIGHT, MOST_WEIGHT + 1, (out, channels, 3, 3))
        room = EXACT - 1 - np.abs(weight).sum((1, 2, 3)) * 255
        bias, most = rng.integers(-room, room + 1), 22
    return ByteLayer(
        weight.astype(np.int8),
        bias.astype(np.int32),
        rng.integers(0, most + 1, out).astype(np.uint8),
        low,
    )


def random_layers(seed: int) -> ByteLayers:
    """Two scales, each with a layer that begins a stream and a pair that adds to it."""
    rng = np.random.default_rng(seed)
    layers: list[ByteLayer] = []
    channels = CHANNELS

    def add(layer: ByteLayer, *, reads: int | None, grows: bool = True, **values: Any) -> None:
        if reads is not None:
            taken = layer.weight.shape[1]
            shift = rng.integers(0, 9, taken) if rng.random() < 0.5 else np.full(taken, 4)
            values |= {"reads": shift.astype(np.uint8), "reads_low": reads}
        if grows:
            grow = rng.integers(0, 9, len(layer.weight)).astype(np.uint8)
            values["grow"] = grow if rng.random() < 0.5 else np.full_like(grow, 5)
        layers.append(replace(layer, **values))

    for shuffle in (1, 2):
        begun = byte_layer(rng, channels, WIDTH * shuffle**2, SIGNED)
        add(begun, reads=SIGNED, shuffle=shuffle)
        channels = WIDTH
        add(byte_layer(rng, WIDTH, 2, 0), reads=0, grows=False)
        add(byte_layer(rng, 2, WIDTH, SIGNED), reads=None, adds=True)
    add(byte_layer(rng, WIDTH, 12, SIGNED), reads=0, shuffle=2)
    block = BlockLayer(
        rng.integers(-32000, 32000, (48, CHANNELS)).astype(np.int16),
        rng.integers(-60000, 60000, 48).astype(np.int32),
        shift=int(rng.integers(10, 20)),
        shuffle=4,
    )
    return ByteLayers(tuple(layers), block, int(rng.integers(0, 6)))


def inputs(seed: int, shape: tuple[int, ...]) -> Ints:
    """Integers of every size, and some as large as there are."""
    rng = np.random.default_rng(seed)
    size = 2.0 ** rng.uniform(0, 15, shape)
    x = np.rint(rng.uniform(-1, 1, shape) * size).astype(np.int64)
    return np.where(rng.random(shape) < 0.1, STREAM * rng.choice([-1, 1], shape), x)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 30), h=st.integers(1, 7), w=st.integers(1, 7))
def test_every_engine_gives_what_integers_give(seed: int, h: int, w: int) -> None:
    layers = random_layers(seed)
    x = inputs(seed, (2, CHANNELS, h, w))
    wanted = reference(layers, x)
    for engine, threads, optimise in (
        ("numpy", None, True),
        ("onnxruntime", 1, True),
        ("onnxruntime", 2, True),
        ("onnxruntime", 1, False),
    ):
        network = ByteNetwork(
            layers,
            reach=STREAM,
            name="net",
            engine=engine,  # type: ignore[arg-type]
            threads=threads,
            optimise=optimise,
        )
        assert (network(x.astype(np.float32)) == wanted).all(), (engine, threads, optimise)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("low", [0, SIGNED])
def test_sums_of_the_largest_bytes_are_exact(sign: int, low: int) -> None:
    """Pairs of products of the largest numbers still fit the 16 bits that some processors have."""
    channels, k = 100, 3
    out = 16
    weight = np.full((out, channels, k, k), sign * MOST_WEIGHT, np.int8)
    byte = replace(
        ByteLayer(weight, np.zeros(out, np.int32), np.full(out, 17, np.uint8), SIGNED),
        reads=np.zeros(channels, np.uint8),
        reads_low=low,
        grow=np.zeros(out, np.uint8),
    )
    block = BlockLayer(
        np.zeros((out, channels), np.int16), np.full(out, 128, np.int32), shift=0, shuffle=1
    )
    layers = ByteLayers((byte,), block, 0)
    x = np.full((1, channels, 6, 6), 255, np.int64)
    wanted = reference(layers, x)
    for engine in ("numpy", "onnxruntime"):
        network = ByteNetwork(layers, reach=255, name="net", engine=engine)
        assert (network(x.astype(np.float32)) == wanted).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1 << 30))
def test_parts_are_the_network(seed: int) -> None:
    values, arrays = random_layers(seed).to_parts("net")
    found = ByteLayers.from_parts(values, arrays, "net")
    again, stored = found.to_parts("net")
    assert again == values
    assert stored.keys() == arrays.keys()
    assert all(stored[k].tobytes() == a.tobytes() for k, a in arrays.items())
    found.check(STREAM)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v, a: v.pop("drop"), "other keys"),
        (lambda v, a: v.update(more=1), "other keys"),
        (lambda v, a: v.update(layers={}), "other keys"),
        (lambda v, a: v.update(drop=None), "drop is no integer"),
        (lambda v, a: v["layers"][1].pop("adds"), "layer 1 of other keys"),
        (lambda v, a: v["layers"][1].update(adds=2), "layer 1 that neither adds"),
        (lambda v, a: v["layers"][1].update(low=None), "whose low is no integer"),
        (lambda v, a: v["block"].update(shift=[9]), "block layer whose shift is no integer"),
        (lambda v, a: a.pop("net_bias0"), "lacks the array 'net_bias0' of int32"),
        (lambda v, a: a.pop("net_reads0"), "lacks the array 'net_reads0' of uint8"),
        (lambda v, a: a.pop("net_grow2"), "lacks the array 'net_grow2' of uint8"),
        (lambda v, a: a.pop("net_block_weight"), "lacks the array 'net_block_weight' of int16"),
        (lambda v, a: a.update(net_weight0=a["net_weight0"].astype(float)), "of int8"),
    ],
)
def test_other_descriptions_are_refused(change: Callable[..., Any], said: str) -> None:
    values, arrays = random_layers(3).to_parts("net")
    change(values, arrays)
    with pytest.raises(CodecError, match=said) as caught:
        ByteLayers.from_parts(values, arrays, "net")
    assert "\n" not in str(caught.value)


def refused(layers: ByteLayers) -> str:
    with pytest.raises(CodecError) as caught:
        ByteNetwork(layers, reach=STREAM, name="net")
    message = str(caught.value)
    assert message.startswith("network 'net' of the codec ")
    assert "\n" not in message
    return message


def changed(place: int, **values: Any) -> ByteLayers:
    """A network with another layer at a place."""
    whole = random_layers(3)
    layers = list(whole.layers)
    layers[place] = replace(layers[place], **values)
    return replace(whole, layers=tuple(layers))


def test_layers_that_do_not_fit_are_refused() -> None:
    whole = random_layers(3)
    second, third = whole.layers[1:3]
    shift = np.full(9, 3, np.uint8)
    beyond = second.weight.copy()
    beyond[0, 0, 0, 0] = MOST_WEIGHT + 1
    for place, values, said in (
        (1, {"weight": second.weight[:, :, 0]}, "no (out, in, k, k) weights"),
        (1, {"weight": second.weight[:, :-1]}, "takes 2 channels"),
        (1, {"weight": second.weight[:, :, :2, :2]}, "windows of 2×2"),
        (1, {"weight": beyond}, "weights beyond ±63"),
        (1, {"bias": second.bias[:-1]}, "a bias that does not fit"),
        (1, {"bias": np.full(2, EXACT - 1, np.int32)}, "leaves exact arithmetic"),
        (1, {"shift": np.full(2, 23, np.uint8)}, "shifts out of range"),
        (1, {"low": -1}, "neither 0 nor −128"),
        (1, {"reads_low": -255}, "neither 0 nor −128"),
        (1, {"reads": shift[:2]}, "reads by shifts out of range"),
        (1, {"shuffle": 0}, "cannot shuffle"),
        (1, {"shuffle": 2}, "cannot shuffle"),
        (2, {"weight": third.weight[:1], "bias": third.bias[:1], "shift": third.shift[:1],
             "grow": shift[:1]}, "adds what does not fit"),
        (2, {"grow": shift[:1]}, "grows by bits that do not fit"),
        (2, {"grow": np.full(3, 13, np.uint8)}, "grows by bits that do not fit"),
        (0, {"reads": None}, "takes bytes that the layer before does not give"),
        (6, {"shuffle": 1}, "does not fit what the other layers give"),
    ):  # fmt: skip
        assert said in refused(changed(place, **values)), said
    assert "has 0 layers" in refused(replace(whole, layers=()))
    assert "drops more than 15 bits" in refused(replace(whole, drop=16))
    block = whole.block
    for values, said in (
        ({"weight": block.weight[0]}, "no (out, in) weights"),
        ({"bias": block.bias[:-1]}, "a bias that does not fit"),
        ({"shift": 32}, "a shift out of range"),
        ({"shift": 0}, "leaves exact arithmetic at its end"),
        ({"shuffle": 2}, "does not fit what the other layers give"),
    ):
        assert said in refused(replace(whole, block=replace(block, **values))), said


def test_a_run_of_too_much_is_refused() -> None:
    network = ByteNetwork(random_layers(3), reach=STREAM, name="net")
    for shape, said in (
        ((1, 4, 8, 8), "takes"),
        ((1, 5, 1 << 14, 1 << 14), "too much memory or work"),
    ):
        with pytest.raises(CodecError, match=said):
            network(np.broadcast_to(np.float32(0), shape))


def test_pieces_are_the_whole() -> None:
    layers = random_layers(3)
    network = ByteNetwork(layers, reach=STREAM, name="net", threads=1)
    tiling = Tiling(tile=4, halo=layers.halo, up=layers.up)
    network.check_fits(tiling, takes=CHANNELS, gives=3)
    x = inputs(0, (1, CHANNELS, 9, 30)).astype(np.float32)
    assert (run_tiled(network, x, tiling, channels=3) == network(x)).all()
    with pytest.raises(CodecError, match="halo"):
        network.check_fits(replace(tiling, halo=layers.halo - 1), takes=CHANNELS, gives=3)


def test_the_graph_is_onnx() -> None:
    """The package onnx, where it is installed, finds nothing wrong with what is written by hand."""
    onnx = pytest.importorskip("onnx")
    written = ByteNetwork(random_layers(0), reach=STREAM, name="net")._graph()
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
