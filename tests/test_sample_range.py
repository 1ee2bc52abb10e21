"""Grey of more than 8 bits: which samples are black and white; TIFF's pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from kinpack.errors import ImageError
from kinpack.pictures.images import load_image
from kinpack.pictures.large_pictures import LARGE_PICTURE
from tests.picture_files import coded, tiff
from tests.pictures import waves


def plain(samples: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Sample by sample what rounds to 8 bits."""
    out = np.empty(samples.shape)
    for place, sample in np.ndenumerate(samples):
        out[place] = 255 * (min(max(float(sample), low), high) - low) / (high - low)
    return out


def check(samples: NDArray[Any], low: float, high: float, **options: Any) -> None:
    got = load_image(tiff((samples, options.pop("tags", {}))), **options)
    assert got.shape == (*samples.shape, 1)
    assert np.abs(got[:, :, 0] - plain(samples, low, high)).max() <= 0.5001


def ramp(low: float, high: float, dtype: Any) -> NDArray[Any]:
    return np.linspace(low, high, 13 * 7).reshape(13, 7).astype(dtype)


def test_whole_numbers_in_16_bits() -> None:
    for high, range_ in ((4095, 4095), (3000, 4095), (4096, 65535), (65535, 65535), (200, 255)):
        check(ramp(0, high, np.uint16), 0, range_)
    check(np.zeros((3, 3), np.uint16), 0, 255)
    png = coded(PIL.Image.fromarray(ramp(0, 4095, np.uint16)), "PNG")
    assert load_image(png).max() == 255


def test_a_stated_range_counts() -> None:
    check(ramp(0, 900, np.uint16), 0, 1023, tags={281: 1023})
    check(ramp(200, 900, np.uint16), 100, 1000, tags={280: 100, 281: 1000})
    # Samples beyond it, or one that is none, make it void.
    check(ramp(0, 4095, np.uint16), 0, 4095, tags={281: 255})
    check(ramp(0, 4095, np.uint16), 0, 4095, tags={280: 5, 281: 5})


def test_floats_and_signed_numbers() -> None:
    for low, high, range_ in (
        (0, 1, (0, 1)),
        (0, 0.2, (0, 1)),
        (0, 255, (0, 255)),
        (0, 60000, (0, 65535)),
        (-1, 1, (-1, 1)),
        (-40, 3000, (-40, 3000)),
        (0, 1e6, (0, 1e6)),
    ):
        check(ramp(low, high, np.float32), *range_)
    check(ramp(-1024, 3071, np.int16), -1024, 3071)
    check(ramp(0, 4095, np.int16), 0, 4095)
    check(ramp(-70000, 70000, np.int32), -70000, 70000)
    assert load_image(tiff((np.full((2, 2), -5, np.int16), {}))).tolist() == [[[0], [0]]] * 2


def test_a_range_that_is_given_counts_alone() -> None:
    check(ramp(0, 4095, np.uint16), 1000, 2000, sample_range=(1000, 2000))
    check(ramp(-5, 5, np.float32), -1, 1, sample_range=(-1, 1), tags={281: 9})
    eight = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(
        load_image(tiff((eight, {})), sample_range=(0, 9))[:, :, 0], eight
    )
    wrong: list[Any] = [(5, 5), (9, 3), (0, np.inf), "all", (1,), 7]
    for one in wrong:
        with pytest.raises(ImageError, match="sample_range is"):
            load_image(tiff((eight, {})), sample_range=one)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_needs_a_range(bad: float) -> None:
    samples = ramp(0, 1, np.float32)
    samples[4, 3] = bad
    with pytest.raises(ImageError, match="no numbers; give their range"):
        load_image(tiff((samples, {})))
    got = load_image(tiff((samples, {})), sample_range=(0, 1))
    assert got[4, 3, 0] == (255 if bad == np.inf else 0)
    assert got[12, 6, 0] == 255


@pytest.mark.slow
def test_a_large_picture_has_one_range() -> None:
    samples = np.zeros((LARGE_PICTURE // 4096 + 8, 4096), np.uint16)
    samples[:, ::2] = 100
    samples[-1, -1] = 4095
    got = load_image(tiff((samples, {})))
    assert np.unique(got).tolist() == [0, 6, 255]


FULL = waves(160, 240, 3)
SMALL = FULL[::4, ::4]


@pytest.mark.parametrize("tag", [{254: 1}, {255: 2}])
def test_a_reduced_page_is_not_the_picture(tag: dict[int, int]) -> None:
    np.testing.assert_array_equal(load_image(tiff((SMALL, tag), (FULL, {}))), FULL)
    np.testing.assert_array_equal(load_image(tiff((SMALL, tag), (SMALL, tag), (FULL, {}))), FULL)


def test_else_the_first_page_is() -> None:
    np.testing.assert_array_equal(load_image(tiff((SMALL, {}), (FULL, {}))), SMALL)
    np.testing.assert_array_equal(load_image(tiff((FULL, {}), (SMALL, {254: 1}))), FULL)
    np.testing.assert_array_equal(load_image(tiff((SMALL, {254: 1}), (FULL, {254: 1}))), SMALL)
    loop = bytearray(tiff((SMALL, {254: 1}), (SMALL, {254: 1})))
    loop[-4:] = loop[4:8]  # the last page leads to the first
    np.testing.assert_array_equal(load_image(bytes(loop)), SMALL)


def test_a_reduced_page_does_not_stand_for_one_that_is_lost() -> None:
    data = tiff((SMALL, {254: 1}), (FULL, {}))
    for end in (len(data) - 60, len(data) - 150, len(data) // 2, SMALL.size + 300):
        with pytest.raises(ImageError, match="damaged"):
            load_image(data[:end])


def test_pages_are_held_to_the_limit_on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPACK_MAX_PIXELS", str(SMALL.size))
    assert load_image(tiff((SMALL, {}))).shape == SMALL.shape
    with pytest.raises(ImageError, match="KINPACK_MAX_PIXELS"):
        load_image(tiff((SMALL, {254: 1}), (FULL, {})))


def test_white_may_be_zero() -> None:
    samples = ramp(0, 4095, np.uint16)
    got = load_image(tiff((samples, {262: 0})))
    assert np.abs(got[:, :, 0] - (255 - plain(samples, 0, 4095))).max() <= 0.5001
    got = load_image(tiff((samples, {262: 0})), sample_range=(0, 65535))
    assert np.abs(got[:, :, 0] - (255 - plain(samples, 0, 65535))).max() <= 0.5001


def test_twelve_bits_that_are_packed() -> None:
    samples = ramp(0, 200, np.uint16)[:, :6]
    pairs = samples.reshape(-1, 2).astype(np.uint32)
    bits = pairs[:, 0] << 12 | pairs[:, 1]
    packed = np.stack([bits >> 16, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
    data = tiff((packed.reshape(13, 9), {256: 6, 258: 12}))
    got = load_image(data)
    assert np.abs(got[:, :, 0] - plain(samples, 0, 4095)).max() <= 0.5001


@pytest.mark.parametrize("format_", ["JPEG2000", "PPM"])
def test_formats_that_scale_are_not_guessed_about(format_: str) -> None:
    data = coded(PIL.Image.fromarray(ramp(0, 4095, np.uint16)), format_)
    assert load_image(data).max() == 16


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_in_xmp_alone_is_none(format_: str) -> None:
    picture = PIL.Image.fromarray(FULL)
    options: dict[str, Any] = {"xmp": XMP}
    if format_ == "PNG":
        from PIL import PngImagePlugin

        notes = PngImagePlugin.PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": notes}
    if format_ == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = coded(picture, format_, **options)
    assert b"Orientation" in data
    assert load_image(data).shape == FULL.shape
    picture.info["xmp"] = XMP
    np.testing.assert_array_equal(load_image(picture), FULL)
    assert picture.info["xmp"] == XMP  # left as it is


def test_exif_counts_beside_xmp() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    for format_ in ("PNG", "TIFF"):
        data = coded(PIL.Image.fromarray(FULL), format_, exif=exif)
        np.testing.assert_array_equal(load_image(data), FULL[::-1, ::-1])
