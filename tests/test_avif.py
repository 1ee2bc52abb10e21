"""AVIF payloads: what is left out is written again byte for byte, and damage is refused."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.codec.classic import avif
from kinpack.codec.classic.av1 import Sequence, level
from kinpack.codec.classic.avif import decode_avif, encode_avif, rebuild, strip
from kinpack.errors import CodecError, PayloadError
from kinpack.pictures.images import Image
from tests.pictures import broken, grid, waves

WHOLE_FRAME, WHOLE_FILE = 0x80, 0xC0


def save(image: Image, **options: Any) -> bytes:
    """A file of Pillow's."""
    file = io.BytesIO()
    PIL.Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(
        file, "AVIF", **options
    )
    return file.getvalue()


def as_encoded(image: Image, *, quality: int, speed: int, **options: Any) -> bytes:
    """The file that `encode_avif` makes a payload of."""
    return save(
        image,
        quality=quality,
        speed=speed,
        subsampling="4:0:0" if image.shape[2] == 1 else "4:4:4",
        autotiling=False,
        max_threads=1,
        advanced={"tune": "psnr", "enable-cdef": "1", "enable-restoration": "1"},
        **options,
    )


def frame_of(file: bytes) -> bytes:
    """The frame unit of a file, without its head: found by walking the units of the stream."""
    place = file.index(b"mdat") + 4
    while True:
        kind, place = file[place], place + 1
        length = shift = 0
        while True:
            byte, place = file[place], place + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if kind == 0x32:
            assert place + length == len(file)
            return file[place:]
        place += length


@settings(max_examples=30)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(0, 99),
    speed=st.sampled_from([6, 8, 10]),
    seed=st.integers(0, 9),
)
def test_rebuilt_byte_for_byte(
    width: int, height: int, channels: int, quality: int, speed: int, seed: int
) -> None:
    image = waves(height, width, channels, seed=seed)
    file = as_encoded(image, quality=quality, speed=speed)
    size = {"width": width, "height": height, "channels": channels}
    payload = strip(file, **size)
    assert rebuild(payload, **size) == file
    assert payload[0] < WHOLE_FILE
    # Of a packed frame the head alone is shorter than the frame's own; whole frames cost one byte.
    assert len(payload) < len(frame_of(file)) + (2 if payload[0] & WHOLE_FRAME else 0)


@settings(max_examples=15)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(0, 100),
)
def test_default_speed(width: int, height: int, channels: int, quality: int) -> None:
    image = waves(height, width, channels)
    payload = encode_avif(image, avif_quality=quality)
    size = {"width": width, "height": height, "channels": channels}
    file = rebuild(payload, **size)
    assert file == as_encoded(image, quality=quality, speed=4)
    assert strip(file, **size) == payload
    picture = np.asarray(PIL.Image.open(io.BytesIO(file))).reshape(height, width, -1)
    assert np.array_equal(decode_avif(payload, **size), picture)


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (512, 288), (513, 288), (2049, 8), (8, 2049), (705, 396), (8, 2817), (2817, 8), (1089, 612),
        (8, 4353), (4353, 8), (5505, 8), (8, 3097), (6145, 8), (8, 3457), (4097, 40), (8193, 8),
        (8, 8193), (16384, 4), (1, 1), (1, 64), (65, 1),        (600, 600),
    ],
)  # fmt: skip
def test_sizes_at_the_levels_of_av1(width: int, height: int) -> None:
    """Both sides of each bound that changes a number of the sequence header."""
    image = np.full((height, width, 1), 128, np.uint8)
    image[::5, ::7] = 90
    size = {"width": width, "height": height, "channels": 1}
    file = as_encoded(image, quality=0, speed=10)
    payload = strip(file, **size)
    assert payload[0] != WHOLE_FILE
    assert rebuild(payload, **size) == file


@pytest.mark.parametrize("speed", range(1, 11))
def test_every_speed_is_packed(speed: int) -> None:
    image = waves(40, 48, 3)
    payload = encode_avif(image, avif_quality=50, speed=speed)
    assert payload[0] < WHOLE_FRAME
    assert decode_avif(payload, width=48, height=40, channels=3).shape == image.shape


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0", "4:2:2", "4:0:0"])
@pytest.mark.parametrize("options", [{}, {"quality": 100}, {"range": "limited"}, {"speed": 10}])
def test_files_of_other_settings(subsampling: str, options: dict[str, Any]) -> None:
    image = waves(80, 700, 3)
    size = {"width": 700, "height": 80, "channels": 3}
    file = save(image, subsampling=subsampling, max_threads=1, **{"speed": 8, **options})
    payload = strip(file, **size)
    assert rebuild(payload, **size) == file
    assert len(payload) <= len(file) + 1


def test_subsampled_chroma() -> None:
    image = waves(33, 45, 3)
    payload = encode_avif(image, avif_quality=60, subsampling="4:2:0", speed=8)
    assert payload[0] >> 4 == (WHOLE_FRAME | 1 << 4) >> 4
    picture = decode_avif(payload, width=45, height=33, channels=3)
    assert np.abs(picture.astype(int) - image).mean() < 12


def test_a_file_with_more_than_the_picture() -> None:
    image = waves(20, 30, 3)
    file = save(image, icc_profile=b"not a profile", speed=10)
    size = {"width": 30, "height": 20, "channels": 3}
    payload = strip(file, **size)
    assert payload == bytes([WHOLE_FILE]) + file
    assert rebuild(payload, **size) == file
    assert decode_avif(payload, **size).shape == image.shape
    with pytest.raises(PayloadError, match="30×20 pixels"):
        decode_avif(payload, width=20, height=30, channels=3)


@pytest.mark.parametrize("file", [b"", b"mdat", b"mdat\x12\x00\x0a", b"no picture", bytes(400)])
def test_what_is_no_file_comes_back(file: bytes) -> None:
    payload = strip(file, width=3, height=3, channels=3)
    assert rebuild(payload, width=3, height=3, channels=3) == file
    with pytest.raises(PayloadError):
        decode_avif(payload, width=3, height=3, channels=3)


def test_grey_is_drawn_as_grey() -> None:
    image = waves(64, 64, 1)
    payload = encode_avif(image, avif_quality=90)
    picture = decode_avif(payload, width=64, height=64, channels=1)
    assert picture.shape == (64, 64, 1)
    assert picture.flags.c_contiguous
    assert np.abs(picture.astype(int) - image).max() < 12
    whole = bytes([0x86]) + frame_of(rebuild(payload, width=64, height=64, channels=1))
    assert np.array_equal(decode_avif(whole, width=64, height=64, channels=1), picture)
    with pytest.raises(PayloadError, match="a grey picture"):
        decode_avif(whole, width=64, height=64, channels=3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 70])
def test_damage_is_refused_or_draws_a_picture_of_the_size(channels: int, side: int) -> None:
    image = waves(side, side + 3, channels)
    size = {"width": side + 3, "height": side, "channels": channels}
    refused = []
    for payload in broken(encode_avif(image, avif_quality=30, speed=8)):
        try:
            picture = decode_avif(payload, **size)
        except PayloadError as error:
            refused.append(str(error))
        else:
            assert picture.shape == image.shape
    assert refused
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize("first", [0x81, 0xB0, 0xC1, 0xE0, 0xFF])
def test_unknown_forms_are_refused(first: int) -> None:
    with pytest.raises(PayloadError, match="no known form"):
        rebuild(bytes([first]) + bytes(50), width=8, height=8, channels=3)


def test_empty_payload_is_refused() -> None:
    with pytest.raises(PayloadError, match="empty"):
        decode_avif(b"", width=8, height=8, channels=3)


def test_without_avif_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL._avif", None)
    monkeypatch.delattr("PIL._avif", raising=False)
    with pytest.raises(CodecError, match="built without AVIF"):
        avif.encode_avif(waves(8, 8, 3), avif_quality=50)


def test_sequence_header_bits() -> None:
    """The header of a 32×32 picture, field by field from the AV1 specification."""
    bits = (
        "001" "1" "1" "00000"  # profile 1, still, reduced, level 2.0
        "0100" "0100" "11111" "11111"  # 5 bits each: 31, 31
        "0" "1" "1" "0" "1" "1"  # 64×64, filter intra, edge filter, no superres, cdef, restoration
        "0" "1" "00000001" "00001101" "00000110" "1" "0"  # 8 bits, BT.709, sRGB, BT.601, full range
        "0" "1"  # no film grain; trailing bit
    )  # fmt: skip
    bits += "0" * (-len(bits) % 8)
    expected = int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert Sequence(chroma=2).header(32, 32) == expected


def test_levels() -> None:
    sizes = {(512, 288): 0, (288, 512): 0, (289, 512): 1, (2048, 72): 0, (2049, 1): 1, (1, 1153): 1}
    assert {size: level(*size) for size in sizes} == sizes
    assert level(16384, 8704) == 31


GOLDEN = {
    (20, 12, 3): (
        "5181c448e1a4c9f5e99974a6ad4d87a24a89824f9264b0ecd0acc7722a57ee75523f596dc8",
        "0b7e447002d4c3f3",
    ),
    (12, 20, 1): (
        "518102b30375cf556898da8d000229b251fb3f51eb0bfd31ac23f0",
        "c7c00298a57dfb7d",
    ),
    (70, 9, 3): (
        "0b1a69a2cba0e98543bd1225d0a230be4641657e2954e9ad9ece9644570211e5fd643cd4811b6ff1611c23754a"
        "7fbe2ee55f9d89199026f82075509d537499b7d4e768a9841f22fb4bb7c64866fbbbbe234fa25356ca2e940033"
        "0cc11d534f4893ff0dd18235b22bcd6b6bc452dde4f614dff62974ab4711fd43f4992f7265844a96002c3c15cd",
        "e85195e88c021433",
    ),
}
"""Width, height and channels; the payload; the start of the SHA-256 of the file it stands for."""


@pytest.mark.parametrize("size", GOLDEN)
def test_golden_payloads(size: tuple[int, int, int]) -> None:
    """Payloads of version 1 of the format, which every later version must draw."""
    width, height, channels = size
    coded, digest = GOLDEN[size]
    payload = bytes.fromhex(coded)
    place = {"width": width, "height": height, "channels": channels}
    file = rebuild(payload, **place)
    assert hashlib.sha256(file).hexdigest()[:16] == digest
    assert strip(file, **place) == payload
    picture = decode_avif(payload, **place)
    assert np.abs(picture.astype(int) - grid(height, width, channels)).mean() < 20
