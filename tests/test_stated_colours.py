"""Colours that files state by numbers come out as by the formulas of the standards."""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from kinpack.pictures.images import Image, load_image
from tests.picture_files import chunk, coded, png
from tests.test_colour import swapped_profile

SRGB = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]
BT2020 = [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)]
D65 = (0.3127, 0.3290)


def to_xyz(points: list[tuple[float, float]]) -> NDArray[np.float64]:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in points]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def srgb_light(sample: float) -> float:
    v = sample / 255
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def srgb_sample(light: float) -> float:
    light = min(1.0, max(0.0, light))
    v = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return 255 * v


def pq_light(sample: float) -> float:
    v = (sample / 255) ** (1 / 78.84375)
    nits = 10000 * (max(v - 0.8359375, 0) / (18.8515625 - 18.6875 * v)) ** (1 / 0.1593017578125)
    return float(min(1.0, nits / 203))


def wanted(image: Image, points: list[tuple[float, float]], light: object) -> NDArray[np.float64]:
    """Pixel by pixel what an image of three channels is in sRGB."""
    assert callable(light)
    matrix = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(points)
    out = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        out[place] = [srgb_sample(v) for v in matrix @ [light(int(v)) for v in image[place]]]
    return out


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full]))


def colours(rng: np.random.Generator) -> Image:
    image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image[0, 0] = (60, 200, 60)
    image[:, -1] = np.arange(12)[:, None] * 23
    return image


def test_cicp_of_display_p3(rng: np.random.Generator) -> None:
    image = colours(rng)
    got = load_image(png(image, cicp(12, 13))).astype(float)
    assert np.abs(got[0, 0] - (0, 203, 11)).max() <= 1
    assert np.abs(got - wanted(image, P3, srgb_light)).max() <= 1.6
    grey = got[:, -1]
    assert np.abs(grey - image[:, -1]).max() <= 1  # white stays white


def test_cicp_of_pq() -> None:
    levels = np.arange(0, 256, 4, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    got = load_image(png(levels, cicp(9, 16))).astype(float)
    assert np.abs(got - wanted(levels, BT2020, pq_light)).max() <= 2
    assert got[0, 37].min() >= 254  # 148 stands for 203 cd/m², the white of a page
    grey = load_image(png(levels[:, :, :1].copy(), cicp(9, 16)))
    assert grey.shape == (1, 64, 1)
    assert np.abs(grey[:, :, 0] - got[:, :, 1]).max() <= 1


def test_cicp_of_hlg_has_its_white_at_three_quarters() -> None:
    levels = np.array([0, 96, 191, 255], np.uint8)[None, :, None].repeat(3, axis=2)
    got = load_image(png(levels, cicp(9, 18)))[0, :, 0].tolist()
    assert got[0] == 0
    assert 90 < got[1] < 160
    assert got[2] >= 254
    assert got[3] == 255


def test_cicp_comes_before_a_profile_and_alpha_passes(rng: np.random.Generator) -> None:
    import zlib

    image = rng.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(swapped_profile()))
    got = load_image(png(image, cicp(1, 13), profile))
    np.testing.assert_array_equal(got, image)
    got = load_image(png(image, cicp(12, 13), profile)).astype(float)
    np.testing.assert_array_equal(got[:, :, 3], image[:, :, 3])
    assert np.abs(got[:, :, :3] - wanted(image[:, :, :3], P3, srgb_light)).max() <= 1.6


@pytest.mark.parametrize(
    "data",
    [
        cicp(1, 13),
        cicp(1, 1),
        cicp(2, 2),
        cicp(9, 99),
        cicp(99, 13),
        cicp(12, 13, matrix=1),
        cicp(12, 13, full=0),
        chunk(b"cICP", b"\x0c"),
    ],
)
def test_numbers_that_mean_srgb_or_nothing_change_nothing(
    data: bytes, rng: np.random.Generator
) -> None:
    image = colours(rng)
    np.testing.assert_array_equal(load_image(png(image, data)), image)


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * value)))


def chrm(points: list[tuple[float, float]]) -> bytes:
    flat = [round(100_000 * v) for point in [D65, *points] for v in point]
    return chunk(b"cHRM", struct.pack(">8I", *flat))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 0.5555, 0.25])
def test_a_png_s_gamma(gamma: float, channels: int) -> None:
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(channels, axis=2)
    got = load_image(png(levels, gama(gamma)))
    assert got.shape == levels.shape
    expected = [srgb_sample((v / 255) ** (1 / gamma)) for v in range(256)]
    assert np.abs(got[0, :, 0] - np.array(expected)).max() <= 1.1
    if gamma == 1:
        assert got[0, 55, 0] == 128


def test_a_png_s_gamma_with_primaries_and_beside_srgb(rng: np.random.Generator) -> None:
    image = colours(rng)
    got = load_image(png(image, gama(0.45455), chrm(P3))).astype(float)
    assert np.abs(got - wanted(image, P3, srgb_light)).max() <= 1.6
    for notes in (
        (chunk(b"sRGB", b"\0"), gama(1.0)),
        (gama(0.45455),),
        (gama(0.45455), chrm(SRGB)),
        (chrm(P3),),  # alone it says nothing of the curve, and others pass over it
        (gama(0.0),),
        (gama(0.45455), chunk(b"cHRM", bytes(32))),
        (gama(0.45455), chunk(b"cHRM", b"\xff" * 32)),
    ):
        np.testing.assert_array_equal(load_image(png(image, *notes)), image)


def avif(image: Image, primaries: int, transfer: int) -> bytes:
    data = coded(PIL.Image.fromarray(image), "AVIF", quality=100, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def test_avif_s_numbers(rng: np.random.Generator) -> None:
    image = colours(rng).repeat(8, axis=0).repeat(8, axis=1)
    plain = load_image(avif(image, 1, 13))
    for points, numbers, light in ((P3, (12, 13), srgb_light), (BT2020, (9, 16), pq_light)):
        got = load_image(avif(image, *numbers)).astype(float)
        some = np.s_[::8, ::8]
        assert np.abs(got[some] - wanted(plain[some], points, light)).max() <= 2
    np.testing.assert_array_equal(load_image(avif(image, 2, 2)), plain)
    profile = coded(PIL.Image.fromarray(image), "AVIF", icc_profile=swapped_profile())
    assert np.abs(load_image(profile)[0, 0].astype(int) - (200, 60, 60)).max() < 12


def test_boxes_of_nonsense_do_no_harm(rng: np.random.Generator) -> None:
    image = colours(rng).repeat(4, axis=0).repeat(4, axis=1)
    data = avif(image, 12, 13)
    place = data.index(b"colrnclx")
    for at in range(place - 4, place + 10):
        for value in (0, 1, 255):
            spoilt = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                assert load_image(spoilt).shape == image.shape
            except Exception as error:
                assert type(error).__name__ == "ImageError"  # noqa: PT017 (most are read)
