"""HEIC, JPEG XL and raw files, where the packages are installed that read them."""

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
from kinpack.pictures.files import jxl
from kinpack.pictures.formats import Extra
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
            assert jxl.size(file) == (w, h)
            assert file.tell() == 0


def test_sides_of_a_known_ratio() -> None:
    for ratio, wide in enumerate((240, 288, 320, 360, 426, 300, 480), start=1):
        assert jxl.size(io.BytesIO(head(0, 240, ratio=ratio))) == (wide, 240)


@given(st.binary(max_size=60))
def test_no_size_is_found_in_nonsense(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG XL"):
        jxl.size(io.BytesIO(b"x" + data))


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
    if format_ == "JXL":  # not to be decoded where its size cannot be told
        with pytest.raises(ImageError):
            load_image(b"\0\0\0\x0cJXL \r\n\x87\n" + data)
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


_Entries = list[tuple[int, str, list[int]]]


def dng(preview: bytes, *, turn: int = 1) -> bytes:
    """A raw file of a camera: a small picture, what the sensor saw, and a JPEG as preview."""
    out = bytearray(b"II*\0\0\0\0\0")

    def put(data: bytes) -> int:
        place = len(out)
        out.extend(data + bytes(len(data) % 2))
        return place

    def directory(*entries: tuple[int, str, list[int]]) -> int:
        rows = []
        for tag, sort, values in sorted(entries):
            data = struct.pack(f"<{len(values)}{sort}", *values)
            kind = {"B": 1, "s": 2, "H": 3, "I": 4, "i": 10}[sort]
            row = struct.pack("<HHI", tag, kind, len(values) // (2 if sort == "i" else 1))
            data = data if len(data) <= 4 else struct.pack("<I", put(data))
            rows.append(row + data.ljust(4, b"\0"))
        return put(struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4))

    def page(
        reduced: int, width: int, height: int, data: bytes, packing: int, sort: int
    ) -> _Entries:
        channels = 1 if sort == 32803 else 3
        bits = [16] if channels == 1 else [8] * 3
        tags = {254: reduced, 256: width, 257: height, 273: put(data), 278: height, 279: len(data)}
        sorts = {259: packing, 262: sort, 277: channels}
        return [
            *((tag, "I", [value]) for tag, value in tags.items()),
            *((tag, "H", [value]) for tag, value in sorts.items()),
            (258, "H", bits),
        ]

    sensor = np.full((48, 64), 1000, np.uint16).tobytes()
    saw = page(0, 64, 48, sensor, 1, 32803)
    saw += [(33421, "H", [2, 2]), (33422, "B", [0, 1, 1, 2]), (50717, "I", [4095])]
    with PIL.Image.open(io.BytesIO(preview)) as picture:
        shown = page(1, *picture.size, preview, 7, 6)
    below = [directory(*saw), directory(*shown)]
    matrix = [one for n in range(9) for one in (int(n % 4 == 0), 1)]
    first = page(1, 4, 4, bytes(48), 1, 2)
    first += [(274, "H", [turn]), (330, "I", below), (50706, "B", [1, 4, 0, 0])]
    first += [(50721, "i", matrix), (50778, "H", [21])]
    for tag in (271, 272, 50708):
        first.append((tag, "B", list(b"Nobody\0")))
    out[4:8] = struct.pack("<I", directory(*first))
    return bytes(out)


PREVIEW = coded(PIL.Image.fromarray(PICTURE), "JPEG", quality=95)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_of_a_raw_file_the_preview_is_read(turn: int, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    data = dng(PREVIEW, turn=turn)
    for name in ("a.DNG", "b.jpg", "c"):
        (tmp_path / name).write_bytes(data)
    upright = np.rot90(load_image(PREVIEW), {1: 0, 3: 2, 6: -1, 8: 1}[turn])
    source = open_source(tmp_path)
    assert [item.id for item in source] == ["a.DNG", "b.jpg", "c"]
    for item in source:
        np.testing.assert_array_equal(item.load(), upright)


def test_raw_files_without_a_preview_or_damaged_are_refused(rng: np.random.Generator) -> None:
    pytest.importorskip("rawpy")
    data = dng(PREVIEW)
    for _ in range(60):
        spoilt = bytearray(data[: rng.integers(1, len(data) + 1)])
        for place in rng.integers(len(spoilt), size=3):
            spoilt[place] ^= 1 << int(rng.integers(8))
        try:
            assert load_image(bytes(spoilt)).ndim == 3
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017 (some are read)


def test_a_raw_file_is_named_where_nothing_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extra, "is_installed", False)
    with pytest.raises(ImageError, match=r"camera raw, .* where the package rawpy is installed"):
        load_image(dng(PREVIEW))
