"""Alpha planes come back exactly; unseen colour is filled smoothly and changes nothing seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.classic.avif import encode_avif
from kinpack.errors import PayloadError
from tests.pictures import broken, grid, waves

Plane = NDArray[np.uint8]


def round_trip(alpha: Plane) -> bytes:
    part = encode_alpha(alpha)
    height, width = alpha.shape
    back = decode_alpha(part, width=width, height=height)
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    assert np.array_equal(back, alpha)
    return part


def planes(height: int, width: int, seed: int) -> dict[str, Plane]:
    """Planes of many sorts; each way of coding is the shortest for one of them."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width), dtype=np.uint8)
    disc = np.ascontiguousarray(waves(height, width, 4, seed=seed)[:, :, 3])
    rows = np.ascontiguousarray(np.broadcast_to(noise[:1], (height, width)))
    columns = np.ascontiguousarray(np.broadcast_to(noise[:, :1], (height, width)))
    mask = ((noise > 240) * np.uint8(255)).astype(np.uint8)
    return {"noise": noise, "disc": disc, "rows": rows, "columns": columns, "mask": mask}


@settings(max_examples=25)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    sort=st.sampled_from(["noise", "disc", "rows", "columns", "mask"]),
    seed=st.integers(0, 9),
)
def test_planes_come_back(height: int, width: int, sort: str, seed: int) -> None:
    alpha = planes(height, width, seed)[sort]
    assert len(round_trip(alpha)) <= alpha.size + 16


def test_every_way_is_used() -> None:
    ways = set()
    for height, width in ((3, 5), (1, 40), (40, 1), (12, 12), (64, 64), (80, 33)):
        for alpha in planes(height, width, 1).values():
            part = round_trip(alpha)
            if len(part) > 1:
                ways.add(part[0] & 3)
    assert ways == {0, 1, 2}


def test_large_planes() -> None:
    alpha = np.zeros((700, 900), np.uint8)
    alpha[100:600, 200:700] = 255
    assert len(round_trip(alpha)) < 100


@pytest.mark.parametrize(("value", "part"), [(255, b""), (0, b"\x00"), (77, b"\x4d")])
def test_constant_planes_cost_nothing_but_their_value(value: int, part: bytes) -> None:
    assert round_trip(np.full((31, 17), value, np.uint8)) == part


def test_join_and_split() -> None:
    for length in (0, 1, 2, 127, 128, 400, 20000):
        alpha, colour = bytes(length), b"colour"
        payload = join(alpha, colour)
        assert split(payload) == (alpha, colour)
        assert len(payload) == len(alpha) + len(colour) + (
            1 if length < 128 else 2 + (length > 16383)
        )


@pytest.mark.parametrize("payload", [b"", b"\x05abcd", b"\x80", b"\xff" * 12, b"\x80\x00", b"\x81"])
def test_broken_lengths_are_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        split(payload)


@pytest.mark.parametrize("sort", ["noise", "disc", "rows", "columns", "mask"])
def test_damage_is_refused_or_gives_a_plane_of_the_size(sort: str) -> None:
    alpha = planes(24, 19, 3)[sort]
    for part in broken(encode_alpha(alpha), flips=150):
        try:
            back = decode_alpha(part, width=19, height=24)
        except PayloadError:
            continue
        assert back.shape == alpha.shape


@pytest.mark.parametrize("way", [0, 1, 2, 4, 5, 6])
def test_each_way_refuses_what_ends_early(way: int) -> None:
    with pytest.raises(PayloadError):
        decode_alpha(bytes([way, 0, 0, 0, 0, 0, 0]), width=90, height=80)


@pytest.mark.parametrize("way", [3, 7, 8, 128, 255])
def test_unknown_ways_are_refused(way: int) -> None:
    with pytest.raises(PayloadError, match="no known form"):
        decode_alpha(bytes([way]) + bytes(40), width=5, height=5)


@settings(max_examples=30)
@given(height=st.integers(1, 50), width=st.integers(1, 50), seen=st.integers(0, 100))
def test_filling_keeps_what_is_seen(height: int, width: int, seen: int) -> None:
    rng = np.random.default_rng(seen)
    rgb = waves(height, width, 3)
    alpha = ((rng.random((height, width)) < seen / 100) * np.uint8(9)).astype(np.uint8)
    filled = fill_transparent(rgb, alpha)
    assert filled.shape == rgb.shape
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[alpha > 0], rgb[alpha > 0])
    if (alpha > 0).any():  # an average never leaves the range of what is averaged
        visible = rgb[alpha > 0]
        assert (filled >= visible.min(axis=0)).all()
        assert (filled <= visible.max(axis=0)).all()


def test_what_is_unseen_does_not_matter() -> None:
    rgb, alpha = waves(40, 40, 3), waves(40, 40, 4)[:, :, 3]
    other = rgb.copy()
    other[alpha == 0] = 17
    assert np.array_equal(fill_transparent(rgb, alpha), fill_transparent(other, alpha))
    assert not fill_transparent(rgb, np.zeros_like(alpha)).any()


def test_filling_saves_bytes() -> None:
    rng = np.random.default_rng(0)
    image = waves(64, 64, 4)
    rgb, alpha = image[:, :, :3].copy(), image[:, :, 3]
    rgb[alpha == 0] = rng.integers(0, 256, ((alpha == 0).sum(), 3))
    filled = encode_avif(fill_transparent(rgb, alpha), avif_quality=50, speed=8)
    black = np.where(alpha[:, :, None] == 0, np.uint8(0), rgb)
    assert len(filled) < len(encode_avif(black, avif_quality=50, speed=8))
    assert len(filled) < len(encode_avif(rgb, avif_quality=50, speed=8)) / 2


GOLDEN = {
    0: (
        "00b93244f43fa026921486a48b4116125086b258514784dab66d187a77ca192035b60e20b8e61fda44e3"
        "f7a2b7e4faafa800"
    ),
    1: (
        "016360e1e011109190894948c9c82928a9d8b1e7c09113672e5c6162e3e2131293928b4b4acbca2b2aab"
        "dab5efd0b153e72e5d832a57802aaf812abf0155ae04555e07557e0baa5c05aabc01aafc0e54b91a5479"
        "1354f93da8720da8f216a8f20750e55a50e56d50e58f7c024222406e3730b1b07170f1f081b9cf2f282c"
        "0ae47623332b3b27372f3f98fba0ca73a0ca0360ee832acf832a0f82b90faabc00aa3c04e63ea8f222a8"
        "f23098fba0ca4ba0ca23a0ca75a0cacba0caa3a0caf5407220b703bddad13361ca0ca0579fbc78f3e10b"
        "00"
    ),
    2: (
        "0200013f2b76c77ceee1879be6b3a900d617aec16396f7a6c04ccf4e42131d3ebe02fcee6fbdc57742d8"
        "9fb855b2cc1c5317adff6f316449e1b60dd6e6a979ff2d49e06744da2ebb31acda0ee914a8e91361fec5"
        "e8dfd4715df2e1d3ea014f84b61a1d9306ded8681b9fb5d7ec498c5012ea537dd918ddf779f8861ab5fc"
        "d3e0ac324fa763c1f1bc5c846a8fec1ff3cda6aa7437bb6fef71ee7e1827175f18ce34719f"
    ),
    4: (
        "04b93244f43fa026921486a48b4116125086b2547d1f11020182023248a62ed3367a452116b548f8fedc"
        "1f50fb09"
    ),
    6: (
        "060000a49c8118ce1128ae39568e92e808029bc2c1126ae1bde3e72120b991b1eb76514eeaff934d65f5"
        "7b41da5d40120696989bfc8a02db0f72ea42b789fcbfaa5efdfa1a1f37d396a7519ca33ce5ffa359e121"
        "3f77e77cb0c3483bcffa064a7173c50a5ed49cd5d319a824514fd3d39d388ab07c4181b64088cef61ed1"
        "c2b6233fc9f5bf0e05094876a7bc932ce02c545918631ad817f671e0c819900c8c3dfe99914d049200ca"
        "12e165c6ff"
    ),
}
"""Parts of a plane of 24×17, by way of coding."""


@pytest.mark.parametrize("way", GOLDEN)
def test_golden_parts(way: int) -> None:
    """Alpha parts of version 1 of the format, which every later version must read."""
    part = bytes.fromhex(GOLDEN[way])
    assert part[0] == way
    assert np.array_equal(decode_alpha(part, width=24, height=17), grid(17, 24, 1)[:, :, 0])


@pytest.mark.shared
def test_emoji_come_back(shared: Path) -> None:
    for path in sorted((shared / "emoji").glob("*/*.png"))[::90]:
        round_trip(np.ascontiguousarray(np.asarray(PIL.Image.open(path).convert("RGBA"))[:, :, 3]))
