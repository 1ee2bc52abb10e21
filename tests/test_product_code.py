"""The product code and the descriptor that it quantises, against their laws and plain loops."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.describers.descriptor import LinearDescriptor, area_reduction, blocks
from kinpack.describers.product_books import learn_books
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError


def random_quantiser(seed: int, M: int, K: int, d: int) -> ProductQuantiser:
    rng = np.random.default_rng(seed)
    return ProductQuantiser(rng.normal(size=(M, K, d)).astype(np.float32))


SHAPES = st.tuples(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.sampled_from([1, 2, 7, 16, 17, 256]),
    st.integers(1, 4),
)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(0, 20))
def test_encode_names_the_nearest_word(shape: tuple[int, int, int, int], n: int) -> None:
    quantiser = random_quantiser(*shape)
    _, M, K, d = shape
    x = np.random.default_rng(n).normal(size=(n, M * d)).astype(np.float32)
    indices = quantiser.encode(x)
    assert indices.dtype == np.uint8
    assert indices.shape == (n, M)
    for i in range(n):
        for m in range(M):
            part = x[i, m * d : (m + 1) * d].astype(float)
            distances = [
                float(np.sum((part - quantiser.codebooks[m, k].astype(float)) ** 2))
                for k in range(K)
            ]
            assert distances[indices[i, m]] == pytest.approx(min(distances), rel=1e-5, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(0, 20))
def test_words_are_their_own_nearest(shape: tuple[int, int, int, int], n: int) -> None:
    quantiser = random_quantiser(*shape)
    _, M, K, d = shape
    indices = np.random.default_rng(n).integers(0, K, (n, M), dtype=np.uint8)
    decoded = quantiser.decode(indices)
    assert decoded.dtype == np.float32
    assert decoded.shape == (n, M * d)
    for i in range(n):
        for m in range(M):
            word = quantiser.codebooks[m, indices[i, m]]
            assert decoded[i, m * d : (m + 1) * d].tolist() == word.tolist()
    assert np.array_equal(quantiser.encode(decoded), indices)


def test_the_lowest_index_wins_a_tie() -> None:
    words = np.array([[[5.0], [1.0], [-1.0], [1.0]]], np.float32)
    assert ProductQuantiser(words).encode(np.array([[0.0], [1.0], [3.0]])).tolist() == [
        [1],
        [1],
        [0],
    ]


def test_a_vector_has_one_code_in_any_batch(rng: np.random.Generator) -> None:
    quantiser = random_quantiser(1, 16, 16, 2)
    x = rng.normal(size=(300, 32)).astype(np.float32)
    together = quantiser.encode(x)
    alone = np.concatenate([quantiser.encode(row[None]) for row in x])
    assert np.array_equal(together, alone)


def test_fit_finds_clusters_and_repeats(rng: np.random.Generator) -> None:
    centres = rng.normal(size=(8, 4)).astype(np.float32) * 10
    x = centres[rng.integers(0, 8, 2000)] + rng.normal(size=(2000, 4)).astype(np.float32) * 0.01
    first = learn_books(x, M=2, K=8, seed=3)
    again = learn_books(x, M=2, K=8, seed=3)
    assert np.array_equal(first.codebooks, again.codebooks)
    assert not np.array_equal(first.codebooks, learn_books(x, M=2, K=8, seed=4).codebooks)
    error = np.abs(first.decode(first.encode(x)) - x).max()
    assert error < 0.1


def test_fit_leaves_no_word_dead(rng: np.random.Generator) -> None:
    x = np.concatenate([rng.normal(size=(5000, 2)) * 0.01, rng.normal(size=(50, 2)) * 100])
    quantiser = learn_books(x, M=1, K=16, seed=0)
    used = np.bincount(quantiser.encode(x)[:, 0], minlength=16)
    assert (used > 0).all()


def test_more_rounds_of_fit_do_not_raise_the_error(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1000, 8)).astype(np.float32)
    errors = []
    for iterations in (0, 1, 5, 25):
        quantiser = learn_books(x, M=4, K=16, seed=0, iterations=iterations)
        errors.append(float(np.square(quantiser.decode(quantiser.encode(x)) - x).mean()))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fit_takes_fewer_vectors_than_words(n: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(n, 4)).astype(np.float32)
    quantiser = learn_books(x, M=2, K=16, seed=0)
    assert np.allclose(quantiser.decode(quantiser.encode(x)), x)


@settings(deadline=None)
@given(st.data())
def test_codes_come_back_from_bytes(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 9))
    M = data.draw(st.integers(1, 9))
    K = data.draw(st.integers(1, 256))
    indices = data.draw(hnp.arrays(np.uint8, (n, M), elements=st.integers(0, K - 1)))
    quantiser = random_quantiser(0, M, K, 1)
    packed = quantiser.pack(indices)
    assert packed.dtype == np.uint8
    assert packed.shape == (n, (M + 1) // 2 if K <= 16 else M) == (n, quantiser.code_bytes)
    assert packed.flags.c_contiguous
    assert np.array_equal(quantiser.unpack(packed), indices)


def test_the_byte_order_of_a_packed_code() -> None:
    indices = np.arange(16, dtype=np.uint8)[None]
    assert random_quantiser(0, 16, 16, 1).pack(indices).tobytes().hex() == "1032547698badcfe"
    assert random_quantiser(0, 3, 16, 1).pack(indices[:, :3]).tobytes().hex() == "1002"
    assert random_quantiser(0, 16, 17, 1).pack(indices).tobytes() == bytes(range(16))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: random_quantiser(0, 2, 16, 1).pack(np.full((1, 2), 16, np.uint8)), "no word"),
        (lambda: random_quantiser(0, 2, 9, 1).pack(np.full((1, 2), 9, np.uint8)), "no word"),
        (lambda: random_quantiser(0, 2, 4, 1).pack(np.zeros((1, 2), np.int64)), "uint8"),
        (lambda: random_quantiser(0, 2, 4, 1).pack(np.zeros(2, np.uint8)), "shape"),
        (lambda: random_quantiser(0, 2, 4, 1).pack(np.zeros((1, 3), np.uint8)), "shape"),
        (lambda: random_quantiser(0, 14, 4, 1).unpack(np.zeros((1, 8), np.uint8)), "take 7 bytes"),
        (lambda: random_quantiser(0, 2, 9, 1).unpack(np.full((1, 1), 0x90, np.uint8)), "damaged"),
        (lambda: random_quantiser(0, 3, 9, 1).unpack(np.full((1, 2), 0x10, np.uint8)), "must be 0"),
        (lambda: random_quantiser(0, 2, 4, 3).encode(np.zeros((1, 5))), "same codec"),
        (lambda: random_quantiser(0, 2, 4, 3).encode(np.zeros(6)), "shape"),
        (lambda: random_quantiser(0, 2, 4, 3).encode(np.full((1, 6), np.nan)), "finite"),
        (lambda: random_quantiser(0, 2, 4, 3).decode(np.full((1, 2), 4, np.uint8)), "damaged"),
        (lambda: random_quantiser(0, 2, 4, 3).decode(np.zeros((1, 3), np.uint8)), "shape"),
        (lambda: ProductQuantiser(np.zeros((2, 3), np.float32)), "shape"),
        (lambda: ProductQuantiser(np.zeros((2, 300, 1), np.float32)), "256"),
        (lambda: ProductQuantiser(np.full((2, 3, 1), np.inf, np.float32)), "finite"),
        (lambda: learn_books(np.zeros((0, 16))), "at least one"),
        (lambda: learn_books(np.zeros((3, 17))), "multiple of M"),
        (lambda: learn_books(np.zeros((3, 16)), K=0), "K goes"),
        (lambda: learn_books(np.zeros((3, 16)), M=0), "books"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(act: Any, says: str) -> None:
    with pytest.raises(CodecError, match=says) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_a_quantiser_cannot_be_changed() -> None:
    source = np.zeros((2, 3, 1), np.float32)
    quantiser = ProductQuantiser(source)
    source[:] = 1
    assert not quantiser.codebooks.any()
    with pytest.raises(ValueError, match="read-only"):
        quantiser.codebooks[0] = 1
    with pytest.raises(FrozenInstanceError):
        quantiser.codebooks = source  # type: ignore[misc]
    assert (quantiser.M, quantiser.K, quantiser.D, quantiser.code_bytes) == (2, 3, 2, 1)


def random_descriptor(seed: int, side: int, floor: float | None, unit: bool) -> LinearDescriptor:
    rng = np.random.default_rng(seed)
    return LinearDescriptor(
        matrix=rng.integers(-127, 128, (6, 3 * side * side)).astype(np.int8),
        scale=rng.uniform(0.001, 0.01, 6).astype(np.float32),
        offset=rng.normal(size=6).astype(np.float32),
        side=side,
        contrast_floor=floor,
        unit_length=unit,
    )


def loop_descriptor(descriptor: LinearDescriptor, image: np.ndarray) -> list[float]:
    """Follow the words: means of blocks in levels, less their mean, over contrast, projected."""
    side, cells = descriptor.side, area_reduction(image)
    f = 32 // side
    x = []
    for row in range(side):
        for column in range(side):
            for colour in range(3):
                block = cells[row * f : (row + 1) * f, column * f : (column + 1) * f, colour]
                x.append(float(block.mean(dtype=np.float64)))
    if descriptor.contrast_floor is not None:
        mean = sum(x) / len(x)
        sigma = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x))
        x = [(v - mean) / (sigma + descriptor.contrast_floor) for v in x]
    z = []
    for r in range(descriptor.D):
        total = sum(float(w) * v for w, v in zip(descriptor.matrix[r], x, strict=True))
        z.append(total * float(descriptor.scale[r]) - float(descriptor.offset[r]))
    if descriptor.unit_length:
        length = math.sqrt(sum(v * v for v in z))
        z = [v / length for v in z]
    return z


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 1000),
    st.sampled_from([1, 2, 4, 8, 16, 32]),
    st.sampled_from([None, 2.0, 8.0]),
    st.booleans(),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
)
def test_descriptor_is_that_of_a_plain_loop(
    seed: int, side: int, floor: float | None, unit: bool, height: int, width: int, channels: int
) -> None:
    descriptor = random_descriptor(seed, side, floor, unit)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    got = descriptor.describe([image])
    assert got.dtype == np.float32
    assert got.shape == (1, 6)
    # The definition rounds cells to sixteenths of a level, the loop does not.
    expected = loop_descriptor(descriptor, image)
    assert got[0] == pytest.approx(expected, abs=0.02 * max(1.0, *map(abs, expected)))
    if (height, width) == (32, 32) and channels != 4:
        assert got[0] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("floor", [None, 8.0])
@pytest.mark.parametrize("side", [8, 32])
def test_descriptor_of_32_by_32_pixels_is_exact(side: int, floor: float | None) -> None:
    descriptor = random_descriptor(5, side, floor, True)
    image = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = loop_descriptor(descriptor, image)
    assert descriptor.describe([image])[0] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_image_has_one_descriptor_in_any_batch(rng: np.random.Generator) -> None:
    descriptor = random_descriptor(3, 8, 8.0, True)
    images = [
        rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8)
        for h, w in rng.integers(1, 80, (40, 2))
    ]
    together = descriptor.describe(images)
    alone = np.concatenate([descriptor.describe([image]) for image in images])
    assert together.tobytes() == alone.tobytes()


def test_more_images_than_a_batch(rng: np.random.Generator) -> None:
    descriptor = random_descriptor(3, 8, 8.0, True)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    got = descriptor.describe([image] * 600)
    assert got.shape == (600, 6)
    assert (got == got[0]).all()


def test_flat_pictures_and_none() -> None:
    descriptor = random_descriptor(3, 8, 8.0, True)
    assert descriptor.describe([]).shape == (0, 6)
    black, white = np.zeros((3, 5, 1), np.uint8), np.full((1, 1, 4), 255, np.uint8)
    got = descriptor.describe([black, white])
    assert np.allclose(got[0], got[1], atol=1e-6)
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    no_offset = LinearDescriptor(
        matrix=descriptor.matrix,
        scale=descriptor.scale,
        offset=np.zeros(6, np.float32),
        side=8,
        contrast_floor=8.0,
        unit_length=True,
    )
    assert not no_offset.describe([black]).any()


def test_descriptor_comes_back_from_its_description() -> None:
    descriptor = random_descriptor(9, 8, None, False)
    config = json.loads(json.dumps(descriptor.to_dict()))
    again = LinearDescriptor.from_dict(config, descriptor.arrays())
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    assert np.array_equal(descriptor.describe([image]), again.describe([image]))
    with pytest.raises(CodecError, match="incomplete"):
        LinearDescriptor.from_dict({"side": 8}, descriptor.arrays())
    with pytest.raises(CodecError, match="newer"):
        LinearDescriptor.from_dict({**config, "colour": "lab"}, descriptor.arrays())


@pytest.mark.parametrize(
    "change",
    [
        {"side": 3},
        {"side": 16},
        {"contrast_floor": 0.0},
        {"contrast_floor": math.nan},
        {"matrix": np.zeros((6, 192), np.float32)},
        {"matrix": np.zeros((0, 192), np.int8)},
        {"scale": np.zeros(5, np.float32)},
        {"offset": np.full(6, np.nan, np.float32)},
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    descriptor = random_descriptor(9, 8, 8.0, True)
    fields = {**descriptor.to_dict(), **descriptor.arrays(), **change}
    with pytest.raises(CodecError, match=r"descriptor|contrast"):
        LinearDescriptor(**fields)
    with pytest.raises(CodecError, match="shape"):
        descriptor.of_reductions(np.zeros((1, 16, 16, 3), np.float32))


def test_blocks_are_whole_numbers(rng: np.random.Generator) -> None:
    cells = rng.uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    for side in (1, 8, 32):
        x = blocks(cells, side)
        assert np.array_equal(x, np.rint(x))
        levels = x.reshape(3, side, side, 3).mean(axis=(1, 2)) / (16 * (32 // side) ** 2)
        assert np.allclose(levels, cells.mean(axis=(1, 2)), atol=0.05)
