"""Modes and profiles: whatever a picture holds comes out as plain sRGB."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from kinpack.pictures.images import load_image


def coded(picture: PIL.Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def profile(kind: Any) -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes())


def swapped_profile() -> bytes:
    """Make sRGB with its red and green primaries exchanged."""
    return (
        profile("sRGB")
        .replace(b"rXYZ", b"none")
        .replace(b"gXYZ", b"rXYZ")
        .replace(b"none", b"gXYZ")
    )


def linear_grey_profile() -> bytes:
    """Make a grey profile of gamma 1 from parts of sRGB's."""
    data = bytearray(profile("sRGB"))
    data[16:20] = b"GRAY"
    (n_tags,) = struct.unpack_from(">I", data, 128)
    for i in range(n_tags):
        name, place, size = struct.unpack_from(">4sII", data, 132 + 12 * i)
        if name == b"rTRC":
            data[132 + 12 * i : 136 + 12 * i] = b"kTRC"
            data[place : place + size] = b"curv".ljust(size, b"\0")  # no entries: the identity
    return bytes(data)


def black_only_profile() -> bytes:
    """Make a CMYK profile whose lightness is 100 (1 − K), whatever the coloured inks."""
    ramp = bytes(range(256))
    clut = b"".join(bytes([0 if ink & 1 else 255, 128, 128]) for ink in range(16))  # K runs fastest
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + identity + 4 * ramp + clut + 3 * ramp
    head = struct.pack(
        ">I4sI4s4s4s", 144 + len(lut), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += struct.pack(">6H4s", 2022, 10, 16, 0, 0, 0, b"acsp").ljust(32, b"\0")
    head += struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)  # D50
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut


def test_cmyk_is_converted_from_its_profile(rng: np.random.Generator) -> None:
    inks = rng.integers(0, 256, (8, 256, 4), dtype=np.uint8)
    inks[:, :, 3] = np.arange(256)
    picture = PIL.Image.fromarray(inks, "CMYK")
    got = load_image(coded(picture, "TIFF", icc_profile=black_only_profile())).astype(int)
    assert got.shape == (8, 256, 3)
    assert np.ptp(got, axis=(0, 2)).max() <= 1  # the coloured inks change nothing
    assert got[0, 0].min() >= 254
    assert got[0, 255].max() <= 1
    assert (np.diff(got[0, :, 1]) <= 0).all()
    middle = load_image(coded(picture, "TIFF"))[:, 128]
    assert np.ptp(middle) > 100  # without the profile they do


def test_colours_are_converted_from_their_profile(rng: np.random.Generator) -> None:
    picture = PIL.Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8))
    got = load_image(coded(picture, icc_profile=swapped_profile())).astype(int)
    assert np.abs(got - np.asarray(picture)[:, :, [1, 0, 2]]).max() <= 1


def test_alpha_passes_a_profile_untouched(rng: np.random.Generator) -> None:
    picture = PIL.Image.fromarray(rng.integers(0, 256, (12, 20, 4), dtype=np.uint8))
    got = load_image(coded(picture, icc_profile=swapped_profile())).astype(int)
    assert np.abs(got - np.asarray(picture)[:, :, [1, 0, 2, 3]]).max() <= 1
    np.testing.assert_array_equal(got[:, :, 3], np.asarray(picture)[:, :, 3])


def test_palettes_are_converted_from_their_profile() -> None:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    got = load_image(coded(picture, icc_profile=swapped_profile())).astype(int)
    assert np.abs(got - [[[0, 255, 0], [0, 0, 255]]]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_is_converted_from_its_profile_and_stays_grey(mode: str) -> None:
    level = np.arange(256)
    if mode == "I;16":
        picture = PIL.Image.fromarray((level * 257).astype(np.uint16)[None])
    else:
        picture = PIL.Image.fromarray(level.astype(np.uint8)[None]).convert(mode)
    got = load_image(coded(picture, icc_profile=linear_grey_profile()))
    assert got.shape == (1, 256, 4 if mode == "LA" else 1)
    linear = level / 255
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(got[0, :, 0] - 255 * srgb).max() <= 1.5


def test_srgb_broken_and_foreign_profiles_change_nothing(rng: np.random.Generator) -> None:
    picture = PIL.Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8))
    cut = profile("sRGB")[:200]
    foreign = (profile("LAB"), profile("XYZ"), linear_grey_profile())
    for icc in (profile("sRGB"), cut, b"nonsense", *foreign):
        np.testing.assert_array_equal(load_image(coded(picture, icc_profile=icc)), picture)
    grey = picture.convert("L")
    got = load_image(coded(grey, icc_profile=profile("sRGB")))
    np.testing.assert_array_equal(got[:, :, 0], grey)


def test_palette_and_colour_keys() -> None:
    picture = PIL.Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([0, 1, 2])
    opaque = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    assert load_image(coded(picture))[0].tolist() == opaque
    clear = [[*colour, alpha] for colour, alpha in zip(opaque, (255, 0, 255), strict=True)]
    assert load_image(coded(picture, transparency=1))[0].tolist() == clear
    assert load_image(coded(picture, "GIF", transparency=1))[0].tolist() == clear
    partly = [[*colour, alpha] for colour, alpha in zip(opaque, (255, 128, 7), strict=True)]
    assert load_image(coded(picture, transparency=bytes([255, 128, 7])))[0].tolist() == partly
    rgb = coded(picture.convert("RGB"), transparency=(40, 50, 60))
    assert load_image(rgb)[0].tolist() == clear


def test_grey_with_transparency_becomes_rgba() -> None:
    grey = PIL.Image.fromarray(np.array([[5, 99, 200]], np.uint8))
    wanted = [[5, 5, 5, 255], [99, 99, 99, 0], [200, 200, 200, 255]]
    assert load_image(coded(grey, transparency=99))[0].tolist() == wanted
    both = PIL.Image.merge("LA", (grey, PIL.Image.fromarray(np.array([[255, 0, 255]], np.uint8))))
    assert load_image(coded(both))[0].tolist() == wanted
    deep = PIL.Image.fromarray(np.array([[5, 99, 200]], np.uint16) * 257)
    assert load_image(coded(deep, transparency=99 * 257))[0].tolist() == wanted


def test_one_bit_is_black_and_white() -> None:
    picture = PIL.Image.fromarray(np.array([[True, False, True]]))
    assert picture.mode == "1"
    assert load_image(coded(picture)).tolist() == [[[255], [0], [255]]]


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_rounded_to_eight(format_: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    got = load_image(coded(PIL.Image.fromarray(levels), format_))
    assert got.shape == (256, 256, 1)
    np.testing.assert_array_equal(got[:, :, 0], np.rint(levels / 257))


def test_cmyk_jpeg(rng: np.random.Generator) -> None:
    flat = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    picture = PIL.Image.fromarray(flat).convert("CMYK")
    for icc in (None, profile("sRGB")):  # a profile of another colour space is ignored
        got = load_image(coded(picture, "JPEG", quality=100, icc_profile=icc)).astype(int)
        assert np.abs(got - flat).max() <= 3


def test_lab_and_ycbcr(rng: np.random.Generator) -> None:
    colours = rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)
    for mode, error in (("LAB", 10), ("YCbCr", 3)):
        got = load_image(coded(PIL.Image.fromarray(colours).convert(mode), "TIFF")).astype(int)
        assert got.shape == (8, 8, 3)
        assert np.abs(got - colours).max() <= error


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "HSV", "RGBX"])
def test_modes_that_only_live_in_memory(mode: str) -> None:
    steps = {"La": ["LA"], "RGBa": ["RGBA"], "PA": ["P"]}.get(mode, [])
    picture = PIL.Image.new("RGB", (4, 2), (102, 102, 102))  # a colour of the web palette
    for step in [*steps, mode]:
        picture = picture.convert(step)
    got = load_image(picture)
    assert got.shape[:2] == (2, 4)
    assert np.abs(got[:, :, :3].astype(int) - 102).max() <= 1
