"""The describer `look`: what its form ignores, what its books keep, and what it ships with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.finding.changes import changed
from benchmarks.finding.methods import CodeFinder
from fakes.fake_codec import FakeCodec, FakeSource
from fakes.tiny_describer import GOLDEN, soft_picture, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.describers.describer import SHIPPED, Describer
from kinpack.describers.describing import product_codes
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from kinpack.search.distances.distance import asymmetric_table, symmetric_table


def made(**arrays: NDArray[Any]) -> Describer:
    """The tiny describer with further arrays."""
    plain = read_container(GOLDEN.read_bytes(), where="tiny", kind=DESCRIBER_FILE)
    whole = Container(plain.header, plain.blobs, {**plain.arrays, **arrays}, kind=DESCRIBER_FILE)
    return Describer.from_bytes(whole.to_bytes(), where="some.kine")


def test_weights_are_those_of_the_distance() -> None:
    weights = np.array([1, 0, 2.5, 0.25], np.float32)
    describer = made(weights=weights)
    pictures = [soft_picture(seed) for seed in range(20)]
    vectors, codes = describer.describe(pictures), product_codes(describer, pictures)
    assert (codes == product_codes(tiny_describer(), pictures)).all()  # the words are the same
    words = describer.quantiser.decode(codes)
    parts = np.square(vectors[0] - words).reshape(20, describer.quantiser.M, -1).sum(2)
    table = asymmetric_table(describer.searched, describer.weighted(vectors)[0])
    assert table.in_units(table.steps(codes)) == pytest.approx(parts @ weights, abs=1e-5)
    apart = np.square(words[0] - words).reshape(20, describer.quantiser.M, -1).sum(2)
    table = symmetric_table(describer.searched, codes[0])
    assert table.in_units(table.steps(codes)) == pytest.approx(apart @ weights, abs=1e-5)


def test_without_weights_all_books_count_alike() -> None:
    describer = tiny_describer()
    assert describer.weights.tolist() == [1] * describer.quantiser.M
    assert describer.searched is describer.quantiser


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(3, np.float32),
        np.ones(4),
        np.zeros(4, np.float32),
        np.array([1, 1, 1, -1], np.float32),
        np.array([1, 1, 1, np.nan], np.float32),
        np.ones((4, 1), np.float32),
    ],
)
def test_weights_that_fit_no_books_are_refused(weights: NDArray[Any]) -> None:
    with pytest.raises(CodecError, match="weights of describer"):
        made(weights=weights)


def test_without_decoder_nothing_is_drawn() -> None:
    describer = tiny_describer()
    with pytest.raises(CodecError, match="no decoder"):
        describer.placeholder(np.zeros((1, 4), np.uint8))


def test_bits_used_are_the_entropy_of_the_words() -> None:
    describer = tiny_describer()
    assert describer.bits_used(np.zeros((9, 4), np.uint8)) == 0
    assert describer.bits_used(np.empty((0, 4), np.uint8)) == 0
    every = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 4, axis=1)
    assert describer.bits_used(every) == pytest.approx(16)
    halves = np.array([[0, 1, 2, 3], [0, 1, 2, 9]], np.uint8)
    assert describer.bits_used(halves) == pytest.approx(1)


@pytest.fixture(scope="module")
def look() -> Describer:
    return Describer.load("look")


@pytest.fixture(scope="module")
def drawn() -> list[NDArray[np.uint8]]:
    """Pictures of soft coloured noise: nothing that it learned from."""
    return [soft_picture(seed, 60, 80, 3) for seed in range(1000, 1080)]


def test_look_ships_with_both_codes_and_a_decoder(look: Describer) -> None:
    assert "look" in SHIPPED
    assert look.code_bytes == 8
    assert look.weights.tolist() == [1] * 12 + [0] * 4
    assert look.finer().code_bytes == 32
    assert look.finer().turned
    assert look.turned
    assert look.n_bytes <= 1_500_000


@pytest.mark.parametrize(
    "change",
    ["brightness −20 %", "contrast +40 %", "gamma 0.6", "grey", "mirror", "quarter turn", "blur 2"],
)
def test_look_finds_changed_pictures(
    look: Describer, drawn: list[NDArray[np.uint8]], change: str
) -> None:
    for fine in (False, True):
        finder = CodeFinder(drawn, look, fine=fine)
        found = 0
        for number in range(0, 80, 8):
            query = changed(change, drawn[number], np.random.default_rng(number))
            found += int(finder.distances(query).argmin()) == number
        # Of ten: some of these waves, turned or mirrored, are nearly the same picture.
        assert found >= (10 if fine else 7)


def test_tone_is_in_the_code_but_not_in_the_distance(look: Describer) -> None:
    picture = soft_picture(7, 60, 80, 3)
    paler = (picture // 2 + 100).astype(np.uint8)
    codes = product_codes(look, [picture, paler])
    assert (codes[0, 12:] != codes[1, 12:]).any()
    far = symmetric_table(look.searched, codes[0])
    assert far.steps(np.concatenate([codes[0, :12], codes[1, 12:]])[None])[0] == 0


def test_flat_colours_have_codes_of_their_own(look: Describer) -> None:
    colours = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 30), (30, 30, 200)]
    flat = [np.full((20, 30, 3), colour, np.uint8) for colour in colours]
    assert len(np.unique(product_codes(look, flat), axis=0)) == len(colours)


def test_placeholders_are_drawn_of_codes_alone(
    look: Describer, drawn: list[NDArray[np.uint8]]
) -> None:
    codes = product_codes(look, drawn)
    pictures = look.placeholder(codes)
    assert pictures.shape == (80, 16, 16, 3)
    assert pictures.dtype == np.uint8
    assert (look.placeholder(codes[5:6])[0] == pictures[5]).all()
    dark, bright = [picture // 3 for picture in drawn], [255 - picture // 3 for picture in drawn]
    assert look.placeholder(product_codes(look, dark)).mean((1, 2, 3)).max() < 110
    assert look.placeholder(product_codes(look, bright)).mean((1, 2, 3)).min() > 145


def test_of_equal_pictures_the_one_that_is_not_turned_comes_first(tmp_path: Path) -> None:
    picture = soft_picture(11, 60, 60, 3)
    turned = np.ascontiguousarray(np.rot90(picture))
    images = FakeSource([("turned", None, turned), ("upright", None, picture)])
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer="look") as archive:
        archive.add(images)
        for query, first in ((picture, "upright"), (turned, "turned")):
            hits = archive.search(query, 2, compare=0)
            assert hits[0].id == first
            assert hits[0].distance < hits[1].distance
