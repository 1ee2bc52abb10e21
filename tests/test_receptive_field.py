"""Receptive fields: what is computed of a graph is what a plain loop finds by changing inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.errors import CodecError
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.graphs.receptive_field import check_tiles
from kinpack.networks.networks import Network, run_tiled
from kinpack.networks.tiling import Tiling
from tests.handmade_graphs import Steps

TILE = 12


def fits(graph: bytes, halo: int, *, tile: int = TILE, up: int = 1, down: int = 1) -> bool:
    read = read_graph(graph, name="g", owner="codec")
    try:
        check_tiles(read, tile=tile, halo=halo, up=up, down=down)
    except CodecError:
        return False
    return True


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def convolved(steps: Steps, at: str, kernel: tuple[int, int], **attributes: Any) -> str:
    return steps.add("Conv", at, steps.constant(ones(1, 1, *kernel)), **attributes)


windows = st.tuples(
    st.sampled_from(["Conv", "MaxPool"]),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),  # kernel
    st.tuples(st.integers(1, 3), st.integers(1, 3)),  # dilations
)


@settings(max_examples=40, deadline=None)
@given(st.lists(windows, min_size=1, max_size=3), st.booleans())
def test_halos_are_as_small_as_a_plain_loop_finds(chain: list[Any], joined: bool) -> None:
    steps, at = Steps(), "x"
    for op, kernel, dilations in chain:
        whole = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        begin = [min(part // 2, k - 1) for part, k in zip(whole, kernel, strict=True)]
        end = [part - b for part, b in zip(whole, begin, strict=True)]
        pads = (*begin, *end)
        if op == "Conv":
            at = convolved(steps, at, kernel, pads=pads, dilations=dilations)
        elif max(end) < min(kernel):
            at = steps.add(op, at, kernel_shape=kernel, pads=pads, dilations=dilations)
    at = steps.add("Add", at, "x") if joined else at
    graph = steps.to_bytes(at)
    network = Network(graph, name="g", threads=1)
    size, middle = 61, 30
    rows, columns = np.zeros((2, size, 1, size, size), np.float32)
    for place in range(size):
        rows[place, :, place], columns[place, :, :, place] = 1, 1
    seen = [network(x)[:, 0, middle, middle] != 0 for x in (rows, columns)]
    reach = max(abs(place - middle) for line in seen for place in np.flatnonzero(line).tolist())
    halos = [halo for halo in range(40) if fits(graph, halo)]
    assert halos == list(range(reach, 40))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (1, 1, 50, 41)).astype(np.float32)
    tiles = run_tiled(network, x, Tiling(TILE, reach), channels=1)
    assert tiles.tobytes() == network(x).tobytes()


def narrowed_and_widened(stride: int, block: int) -> bytes:
    steps = Steps()
    at = steps.add(
        "Conv", "x", steps.constant(ones(block**2, 1, stride, stride)), strides=(stride, stride)
    )
    return steps.to_bytes(steps.add("DepthToSpace", at, blocksize=block, mode="CRD"))


def test_steps_between_positions_must_fit_tiles() -> None:
    both = narrowed_and_widened(4, 4)
    assert fits(both, 0)
    assert fits(both, 4)
    assert not fits(both, 3)  # a tile would begin between two steps
    assert not fits(both, 4, tile=10)
    assert fits(narrowed_and_widened(4, 1), 4, down=4)
    assert fits(narrowed_and_widened(1, 8), 0, up=8)
    assert not fits(narrowed_and_widened(1, 8), 0, up=4)
    assert not fits(narrowed_and_widened(2, 4), 2)
    assert fits(narrowed_and_widened(2, 4), 2, up=2)


def test_a_wide_network_behind_wider_steps() -> None:
    steps = Steps()
    at = steps.add("Conv", "x", steps.constant(ones(1, 1, 4, 4)), strides=(4, 4))
    at = convolved(steps, at, (3, 3), pads=(1, 1, 1, 1))
    at = steps.add("Conv", at, steps.constant(ones(16, 1, 1, 1)))
    graph = steps.to_bytes(steps.add("DepthToSpace", at, blocksize=4, mode="CRD"))
    assert [halo for halo in range(13) if fits(graph, halo)] == [4, 8, 12]


def everywhere(build: Callable[[Steps], str]) -> bool:
    steps = Steps()
    return fits(steps.to_bytes(build(steps)), TILE)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.add("ReduceMean", "x", axes=(2, 3)),
        lambda s: s.add("Sub", "x", s.add("ReduceMax", "x", axes=(-1,))),
        lambda s: s.add("ReduceMean", "x", axes=(1,), keepdims=0),
        lambda s: s.add("Add", "x", s.constant(np.arange(5))),
        lambda s: s.add("Add", "x", s.constant(ones(1, 1, 5, 1))),
        lambda s: s.add("Add", "x", s.constant(ones(1, 1, 1, 1, 1))),
        lambda s: s.add("Concat", "x", "x", axis=2),
        lambda s: s.add("Concat", "x", s.constant(ones(1, 1, 5, 5)), axis=1),
        lambda s: s.add("Conv", "x", "x"),
        lambda s: s.add("Flatten", "x"),
        lambda s: s.add("Reshape", "x", s.constant([0, 0, 0, 0], np.int64)),
        lambda s: s.add("Slice", "x", *(s.constant(row, np.int64) for row in ([1], [9], [3]))),
        lambda s: s.add("Add", s.constant(ones(1)), s.constant(ones(1))),
        lambda s: convolved(s, "x", (1, 1), strides=(0, 1)),
        lambda s: convolved(s, "x", (1, 1), strides=(1,)),
    ],
)
def test_what_does_not_work_alike_everywhere_is_refused(build: Callable[[Steps], str]) -> None:
    assert not everywhere(build)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.add("ReduceMean", "x", axes=(1,)),
        lambda s: s.add("Clip", s.add("Mul", "x", s.constant(ones(1, 7, 1, 1))), s.constant(0.0)),
        lambda s: s.add("Concat", "x", s.add("Relu", "x"), axis=1),
        lambda s: s.add("Slice", "x", *(s.constant(row, np.int64) for row in ([1], [9], [1]))),
        lambda s: s.add("Add", "x", s.add("Cast", s.constant(ones(3, 1, 1), np.int8), to=1)),
    ],
)
def test_what_works_on_channels_alone_is_taken(build: Callable[[Steps], str]) -> None:
    assert everywhere(build)


def test_what_is_not_used_does_not_count() -> None:
    steps = Steps()
    steps.add("Flatten", "x")
    assert fits(steps.to_bytes(steps.add("Relu", "x")), 0)


def test_a_network_that_sees_too_much_is_refused_for_small_pictures_too() -> None:
    steps = Steps()
    network = Network(
        steps.to_bytes(convolved(steps, "x", (5, 1), pads=(2, 0, 2, 0))), name="context0", threads=1
    )
    x = np.zeros((1, 1, 4, 4), np.float32)
    for _ in range(2):
        with pytest.raises(CodecError, match="'context0' of the codec cannot be run in tiles: it"):
            run_tiled(network, x, Tiling(64, 1), channels=1)
    assert run_tiled(network, x, Tiling(64, 2), channels=1).shape == x.shape
