"""Integer layers: what a file says of them is what was stored, or it is refused in one line."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.errors import CodecError
from kinpack.networks.integer_layers import IntegerLayer, IntegerLayers, Reading
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import run_tiled
from kinpack.networks.tiling import Tiling
from tests.integer_networks import STREAM, Form, synthesis

Parts = tuple[dict[str, Any], dict[str, Any]]


def whole() -> IntegerLayers:
    return synthesis(np.random.default_rng(3))


def refusal(layers: IntegerLayers, reach: int = STREAM) -> str:
    with pytest.raises(CodecError) as caught:
        IntegerNetwork(layers, reach=reach, name="net")
    message = str(caught.value)
    assert message.startswith("network 'net' of the codec ")
    assert "\n" not in message
    return message


def changed(place: int, **values: Any) -> IntegerLayers:
    """The network with another layer at a place."""
    layers = list(whole().layers)
    layers[place] = replace(layers[place], **values)
    return replace(whole(), layers=tuple(layers))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1 << 30), st.integers(1, 4), st.booleans())
def test_parts_are_the_network(seed: int, width: int, beside: bool) -> None:
    made = synthesis(np.random.default_rng(seed), Form(width=width, whole=beside))
    values, arrays = made.to_parts("net")
    found = IntegerLayers.from_parts(values, arrays, "net")
    again, stored = found.to_parts("net")
    assert again == values
    assert stored.keys() == arrays.keys()
    assert all(
        np.array_equal(stored[k], a) and stored[k].dtype == a.dtype for k, a in arrays.items()
    )
    found.check(STREAM)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v, a: v.pop("layers"), "other keys"),
        (lambda v, a: v.update(more=1), "other keys"),
        (lambda v, a: v.update(layers={}), "other keys"),
        (lambda v, a: v["layers"][1].pop("adds"), "layer 1 of other keys"),
        (lambda v, a: v["layers"][1].update(pads=3), "layer 1 of other keys"),
        (lambda v, a: v["layers"].insert(0, 7), "layer 0 of other keys"),
        (lambda v, a: v["layers"][1].update(low=0.5), "whose low is no integer"),
        (lambda v, a: v["layers"][1].update(low=None), "whose low is no integer"),
        (lambda v, a: v["layers"][1].update(high=True), "whose high is no integer"),
        (lambda v, a: v["layers"][1].update(reads="0"), "whose reads is no integer"),
        (lambda v, a: v["layers"].append(v["layers"][0]), "lacks the array 'net_weight"),
        (lambda v, a: v.update(whole=None), "whole layer of other keys"),
        (lambda v, a: v["whole"].update(shift=[9]), "whole layer whose shift is no integer"),
        (lambda v, a: a.pop("net_bias0"), "lacks the array 'net_bias0' of int32"),
        (lambda v, a: a.pop("net_read0"), "lacks the array 'net_read0' of uint8"),
        (lambda v, a: a.pop("net_whole_weight"), "lacks the array 'net_whole_weight' of int16"),
        (lambda v, a: a.update(net_weight0=a["net_weight0"].astype(float)), "of int8"),
        (lambda v, a: a.update(net_shift0=a["net_shift0"].astype(np.int8)), "of uint8"),
    ],
)
def test_other_descriptions_are_refused(change: Callable[..., Any], said: str) -> None:
    values, arrays = whole().to_parts("net")
    change(values, arrays)
    with pytest.raises(CodecError, match=said) as caught:
        IntegerLayers.from_parts(values, arrays, "net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, "text", [], [1]])
def test_another_sort_of_description_is_refused(value: Any) -> None:
    with pytest.raises(CodecError, match="described by"):
        IntegerLayers.from_parts(value, {}, "net")


def test_layers_that_do_not_fit_are_refused() -> None:
    layer = whole().layers[1]
    out, channels, _, _ = layer.weight.shape
    read = layer.reading
    assert read is not None
    assert "has 0 layers" in refusal(IntegerLayers(()))
    assert "has 65 layers" in refusal(IntegerLayers((layer,) * 65))
    for values, said in (
        ({"weight": layer.weight[:, :, 0]}, "has no (out, in, k, k) weights"),
        ({"weight": layer.weight[:0]}, "has no (out, in, k, k) weights"),
        ({"weight": layer.weight[:, :, :, :0]}, "has no (out, in, k, k) weights"),
        ({"weight": layer.weight[:, :-1]}, f"takes {channels - 1} channels"),
        ({"weight": layer.weight[:, :, :2, :2]}, "has windows of 2×2"),
        ({"weight": layer.weight[:, :, :1]}, "has windows of 1×3"),
        ({"bias": layer.bias[:-1]}, "has a bias that does not fit"),
        ({"bias": layer.bias[:, None]}, "has a bias that does not fit"),
        ({"shift": layer.shift[:-1]}, "has shifts that do not fit"),
        ({"shift": np.full(out, 23, np.uint8)}, "has shifts that do not fit, or are out of range"),
        ({"low": 9, "high": 8}, "has bounds that are out of range"),
        ({"high": 1 << 24}, "has bounds that are out of range"),
        ({"low": -(10**40)}, "has bounds that are out of range"),
        ({"shuffle": 0}, "cannot shuffle"),
        ({"shuffle": -1}, "cannot shuffle"),
        ({"shuffle": 10**30}, "cannot shuffle"),
        ({"shuffle": 3}, "cannot shuffle"),
        ({"adds": -1}, "adds what is not there"),
        ({"adds": 2}, "adds what is not there"),
        ({"adds": 10**30}, "adds what is not there"),
        ({"adds": 1}, "adds what does not fit"),
        ({"reading": replace(read, low=-256)}, "reads from a bound"),
        ({"reading": replace(read, low=1)}, "reads from a bound"),
        ({"reading": replace(read, shift=np.zeros(1, np.uint8))}, "reads by shifts"),
    ):
        assert f"has a layer 1 that {said}" in refusal(changed(1, **values))


def test_whole_layers_that_do_not_fit_are_refused() -> None:
    made = whole()
    beside = made.whole
    assert beside is not None
    for values, said in (
        ({"weight": beside.weight[:, :-1]}, "weights that do not fit"),
        ({"weight": beside.weight[0]}, "weights that do not fit"),
        ({"bias": beside.bias[:-1]}, "a bias that does not fit"),
        ({"weight": beside.weight[:16], "bias": beside.bias[:16]}, "does not fit what the other"),
        ({"shuffle": 2}, "does not fit what the other"),
        ({"shift": 6}, "shifts out of range"),
        ({"shift": 16}, "shifts out of range"),
        ({"drop": -1}, "shifts out of range"),
        ({"drop": 16}, "shifts out of range"),
        ({"low": 5, "high": 4}, "bounds that are out of range"),
        ({"bias": np.full_like(beside.bias, -(1 << 31))}, "leaves exact arithmetic"),
    ):
        message = refusal(replace(made, whole=replace(beside, **values)))
        assert "has a whole layer that" in message
        assert said in message


def test_what_may_not_be_exact_is_refused() -> None:
    """For the inputs that there may be, not for those alone that were there when it was learned."""
    IntegerNetwork(whole(), reach=STREAM, name="net")
    assert "reads what is no exact integer" in refusal(whole(), reach=(1 << 24) - 1)
    assert "whole layer that leaves exact arithmetic" in refusal(whole(), reach=(1 << 24) - 1000)
    # The next layer reads this one's results as they are, or the sum of two.
    assert "layer 2 that leaves exact arithmetic" in refusal(changed(1, high=1 << 20))
    assert "layer 2 that leaves exact arithmetic" in refusal(changed(2, high=(1 << 24) - 1))


def blurred(chain: list[tuple[int, int, bool]]) -> IntegerLayers:
    """Layers of ones, so that nothing cancels: windows, blocks of shuffles, whether one adds."""
    layers: list[IntegerLayer] = []
    for k, block, adds in chain:
        layers.append(
            IntegerLayer(
                np.ones((block**2, 1, k, k), np.int8),
                np.zeros(block**2, np.int32),
                np.zeros(block**2, np.uint8),
                0,
                255,
                Reading(np.zeros(1, np.uint8), 0),
                shuffle=block,
                adds=1 if adds and layers and block == 1 else 0,
            )
        )
    return IntegerLayers(tuple(layers))


def seen_by(network: IntegerNetwork, size: int) -> int:
    """How far a position in the middle sees: rows of the input are changed one at a time."""
    rows = np.zeros((size, 1, size, 1), np.float32)
    rows[range(size), 0, range(size)] = 1
    middle, up = size // 2, network.layers.up
    drawn = network(rows)[:, 0, middle * up : (middle + 1) * up].any((1, 2))
    return int(np.abs(np.flatnonzero(drawn) - middle).max())


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, 5, 7]), st.sampled_from([1, 1, 2]), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_halos_are_as_small_as_a_plain_loop_finds(layers: list[tuple[int, int, bool]]) -> None:
    made = blurred(layers)
    network = IntegerNetwork(made, reach=1000, name="net", threads=1)
    halo, up = made.halo, made.up
    assert seen_by(network, 41) == halo
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (1, 1, 19, 23)).astype(np.float32)
    pieces = run_tiled(network, x, Tiling(4, halo, up=up), channels=1)
    assert pieces.tobytes() == network(x).tobytes()
    network.check_fits(Tiling(4, halo, up=up), takes=1, gives=1)
    for tiling, gives, said in (
        (Tiling(4, halo, up=up + 1), 1, f"gives {up} positions for one, not {up + 1}"),
        (Tiling(4, halo, up=up), 2, "takes 1 channels and gives 1, not 1 and 2"),
        (Tiling(4, halo - 1, up=up), 1, f"sees {halo} positions beyond a tile"),
    ):
        with pytest.raises(CodecError, match=said):
            network.check_fits(tiling, takes=1, gives=gives)


@pytest.mark.parametrize("engine", ["onnxruntime", "numpy"])
@pytest.mark.parametrize(
    ("block", "layers", "shape"),
    [
        (16, 7, (1, 1, 4, 4)),  # positions by the billion
        (1, 1, (1, 1, 1 << 15, 1 << 15)),
        (1, 64, (1, 1, 1 << 12, 1 << 13)),  # each layer a little
    ],
)
def test_what_a_run_may_take_is_limited(
    engine: Any, block: int, layers: int, shape: tuple[int, ...]
) -> None:
    made = blurred([(7, block, False)] * layers)
    network = IntegerNetwork(made, reach=255, name="net", engine=engine)
    x = np.broadcast_to(np.float32(0), shape)  # takes no memory
    tracemalloc.start()
    with pytest.raises(CodecError, match="asks for too much") as caught:
        network(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (1, 1, 4), (1, 1, 4, 4, 1), ()])
def test_inputs_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    network = IntegerNetwork(blurred([(3, 1, False)]), reach=255, name="net")
    with pytest.raises(CodecError, match=r"\(any, 1, any, any\)"):
        network(np.zeros(shape, np.float32))
