"""HEIC and JPEG XL, where the packages are installed that read them."""

from __future__ import annotations

import importlib
import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinpack.errors import ImageError
from kinpack.pictures import jxl_files
from kinpack.pictures.images import load_image
from kinpack.sources.opening import left_out_of, open_source
from tests.picture_files import coded
from tests.pictures import waves

PICTURE = waves(60, 90, 3)


def head(width: int, height: int, *, ratio: int = 0) -> bytes:
    """The mark and the size of a JPEG XL code stream, its bits written one after the other."""
    bits: list[int] = []

    def put(value: int, count: int) -> None:
        bits.extend(value >> place & 1 for place in range(count))

    def put_side(side: int) -> None:
        choice = next(n for n, count in enumerate((9, 13, 18, 30)) if side <= 1 << count)
        put(choice, 2)
        put(side - 1, (9, 13, 18, 30)[choice])

    small = height % 8 == 0 and height <= 256 and (ratio or (width % 8 == 0 and width <= 256))
    put(int(bool(small)), 1)
    put(height // 8 - 1, 5) if small else put_side(height)
    put(ratio, 3)
    if not ratio:
        put(width // 8 - 1, 5) if small else put_side(width)
    number = sum(bit << place for place, bit in enumerate(bits))
    return b"\xff\x0a" + number.to_bytes(16, "little")


def boxed(stream: bytes, name: bytes) -> bytes:
    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", 8 + len(data)) + kind + data

    start = (
        box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"Exif", bytes(99))
    )
    return start + box(name, (b"\0\0\0\0" if name == b"jxlp" else b"") + stream)


@given(width=st.integers(1, 1 << 30), height=st.integers(1, 1 << 30))
def test_the_size_of_a_jpeg_xl_is_told_by_its_head(width: int, height: int) -> None:
    for w, h in ((width, height), (width % 300 + 1, height % 300 + 1), (8, 256), (256, 8)):
        stream = head(w, h)
        for data in (stream, boxed(stream, b"jxlc"), boxed(stream, b"jxlp")):
            file = io.BytesIO(data)
            assert jxl_files.size(file) == (w, h)
            assert file.tell() == 0


def test_sides_of_a_known_ratio() -> None:
    for ratio, wide in enumerate((240, 288, 320, 360, 426, 300, 480), start=1):
        assert jxl_files.size(io.BytesIO(head(0, 240, ratio=ratio))) == (wide, 240)


@given(st.binary(max_size=60))
def test_no_size_is_found_in_nonsense(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG XL"):
        jxl_files.size(io.BytesIO(b"x" + data))


@pytest.fixture(params=["HEIF", "JXL"])
def format_(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    module = pytest.importorskip({"HEIF": "pillow_heif", "JXL": "pillow_jxl"}[name])
    if name == "HEIF":
        importlib.import_module(module.__name__).register_heif_opener()
    return name


def test_they_are_taken_by_name_and_by_content(format_: str, tmp_path: Path) -> None:
    data = coded(PIL.Image.fromarray(PICTURE), format_, quality=95)
    suffix = {"HEIF": ".HEIC", "JXL": ".jxl"}[format_]
    for name in (f"a{suffix}", "b.jpg", "c"):
        (tmp_path / name).write_bytes(data)
    source = open_source(tmp_path)
    assert [item.id for item in source] == [f"a{suffix}", "b.jpg", "c"]
    assert not left_out_of(source)
    for item in source:
        assert np.abs(item.load().astype(int) - PICTURE).mean() < 4


def test_they_are_turned_once(format_: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = coded(PIL.Image.fromarray(PICTURE), format_, quality=95, exif=exif.tobytes())
    upright = np.rot90(PICTURE, -1)
    assert np.abs(load_image(data).astype(int) - upright).mean() < 4


def test_they_are_held_to_the_limit_on_pixels(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coded(PIL.Image.fromarray(PICTURE), format_)
    monkeypatch.setenv("KINPACK_MAX_PIXELS", str(60 * 90 - 1))
    with pytest.raises(ImageError, match="KINPACK_MAX_PIXELS"):
        load_image(data)
    if format_ == "JXL":
        with pytest.raises(ImageError, match="1073741824×1073741824"):
            load_image(head(1 << 30, 1 << 30) + bytes(40))


def test_damaged_ones_raise_nothing_but_image_errors(
    format_: str, rng: np.random.Generator
) -> None:
    data = coded(PIL.Image.fromarray(PICTURE), format_)
    for _ in range(60):
        spoilt = bytearray(data[: rng.integers(1, len(data) + 1)])
        spoilt[rng.integers(len(spoilt))] ^= 1 << int(rng.integers(8))
        try:
            assert load_image(bytes(spoilt)).ndim == 3
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017 (some are read)
