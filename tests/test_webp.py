"""WebP payloads: what is left out is written again byte for byte, lossless is exact."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.codec.classic.webp import (
    decode_webp,
    decode_webp_lossless,
    encode_webp,
    encode_webp_lossless,
    rebuild_lossless,
    rebuild_lossy,
    strip_lossless,
    strip_lossy,
)
from kinpack.errors import CodecError, PayloadError
from kinpack.pictures.images import Image
from tests.pictures import broken, grid, waves


def save(image: Image, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "WEBP", **options)
    return file.getvalue()


@settings(max_examples=20)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    quality=st.integers(0, 100),
    method=st.sampled_from([0, 4, 6]),
)
def test_lossy_file_is_rebuilt(width: int, height: int, quality: int, method: int) -> None:
    file = save(waves(height, width, 3), quality=quality, method=method)
    payload = strip_lossy(file, width=width, height=height)
    assert rebuild_lossy(payload, width=width, height=height) == file
    assert len(payload) in (len(file) - 27, len(file) - 28)  # 28 with a padding byte
    picture = np.asarray(PIL.Image.open(io.BytesIO(file)))
    drawn = decode_webp(payload, width=width, height=height, channels=3)
    assert np.array_equal(drawn, picture)


@settings(max_examples=20)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 120),
    channels=st.sampled_from([1, 3, 4]),
    noisy=st.booleans(),
    seed=st.integers(0, 99),
)
def test_lossless_is_exact(width: int, height: int, channels: int, noisy: bool, seed: int) -> None:
    size = {"width": width, "height": height, "channels": channels}
    image = waves(height, width, channels, seed=seed)
    if noisy:  # every value, and any colour under alpha 0
        image = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
        image[: height // 2, :, -1] = 0
    payload = encode_webp_lossless(image)
    assert np.array_equal(decode_webp_lossless(payload, **size), image)
    file = rebuild_lossless(payload, **size)
    assert strip_lossless(file, **size) == payload


@pytest.mark.parametrize(("width", "height"), [(16383, 1), (1, 16383), (2000, 1500)])
def test_large_sizes(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, ::3] = 200
    size = {"width": width, "height": height, "channels": 3}
    assert np.array_equal(decode_webp_lossless(encode_webp_lossless(image), **size), image)
    payload = encode_webp(image, webp_quality=50, method=0)
    assert decode_webp(payload, **size).shape == image.shape


def test_opaque_alpha_comes_back() -> None:
    image = waves(20, 20, 4)
    image[:, :, 3] = 255
    payload = encode_webp_lossless(image)
    drawn = decode_webp_lossless(payload, width=20, height=20, channels=4)
    assert np.array_equal(drawn, image)


def test_grey_is_drawn_as_grey() -> None:
    image = waves(30, 40, 1)
    drawn = decode_webp(encode_webp(image, webp_quality=90), width=40, height=30, channels=1)
    assert drawn.shape == image.shape
    assert np.abs(drawn.astype(int) - image).mean() < 4


def test_more_methods_are_never_longer() -> None:
    image = waves(40, 40, 3)
    single = [len(encode_webp_lossless(image, methods=(method,))) for method in (0, 3, 4)]
    assert len(encode_webp_lossless(image, methods=(0, 3, 4))) == min(single)


def test_files_of_another_form_are_refused() -> None:
    image = waves(20, 30, 3)
    extended = save(image, icc_profile=b"not a profile")
    with pytest.raises(CodecError, match="not known"):
        strip_lossy(extended, width=30, height=20)
    with pytest.raises(CodecError, match="not known"):
        strip_lossless(extended, width=30, height=20, channels=3)
    with pytest.raises(CodecError, match="not known"):
        strip_lossy(save(image), width=20, height=30)


@pytest.mark.parametrize("channels", [1, 3])
def test_damaged_lossy_payloads(channels: int) -> None:
    image = waves(21, 18, channels)
    size = {"width": 18, "height": 21, "channels": channels}
    refused = 0
    for payload in broken(encode_webp(image, webp_quality=40)):
        try:
            assert decode_webp(payload, **size).shape == image.shape
        except PayloadError:
            refused += 1
    assert refused


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_damaged_lossless_payloads(channels: int) -> None:
    image = waves(13, 12, channels)
    size = {"width": 12, "height": 13, "channels": channels}
    refused = 0
    for payload in broken(encode_webp_lossless(image)):
        try:
            assert decode_webp_lossless(payload, **size).shape == image.shape
        except PayloadError:
            refused += 1
    assert refused


@pytest.mark.parametrize(("width", "height"), [(16384, 1), (1, 16384), (65535, 65535)])
def test_sizes_that_webp_cannot_hold(width: int, height: int) -> None:
    with pytest.raises(PayloadError, match="more than it can hold"):
        decode_webp(bytes(50), width=width, height=height, channels=3)
    with pytest.raises(PayloadError, match="more than it can hold"):
        decode_webp_lossless(bytes(50), width=width, height=height, channels=4)


GOLDEN_LOSSY = (
    "f002003f1174b4513fa6a522b00803f022096500b6c830d60000fee467d62eeffff159fcb6bc0e4eadee7aff"
    "f7d2de9f9bbf53a287f919ac30fcf256000000"
)
GOLDEN_LOSSLESS = {
    1: "b90a44f43fa0260001c60aa67f2e97041191c85617",
    3: "cd6544ff631711fd0f83a2b66da05ec0ca1f575f43308dff08c4047cd8259f00",
    4: ("01cd6544ff631711fd0fa8094080b182e99fcb25c1f88f8082b651e0d4bd802c2600306497cf7701"),
}
SHA_LOSSY = "dc0c303930a3acf9"


def test_golden_lossy_payload() -> None:
    """A payload of version 1 of the format, which every later version must draw."""
    payload = bytes.fromhex(GOLDEN_LOSSY)
    file = rebuild_lossy(payload, width=20, height=12)
    assert hashlib.sha256(file).hexdigest()[:16] == SHA_LOSSY
    drawn = decode_webp(payload, width=20, height=12, channels=3)
    assert np.abs(drawn.astype(int) - grid(12, 20, 3)).mean() < 20


@pytest.mark.parametrize("channels", GOLDEN_LOSSLESS)
def test_golden_lossless_payloads(channels: int) -> None:
    """Payloads of version 1 of the format, which every later version must draw."""
    payload = bytes.fromhex(GOLDEN_LOSSLESS[channels])
    drawn = decode_webp_lossless(payload, width=9, height=5, channels=channels)
    assert np.array_equal(drawn, grid(5, 9, channels))
