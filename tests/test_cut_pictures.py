"""Files that are not quite sound: viewers show them, and so they are taken, unless refused."""

from __future__ import annotations

import io
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeCodec
from kinpack.archive.archive import Archive
from kinpack.errors import ImageError
from kinpack.pictures.images import Image, load_image
from kinpack.pictures.reading import missing_noted
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source
from tests.picture_files import ADAM7, PNG, chunk, coded, interlaced_png, png
from tests.pictures import waves

PICTURE = waves(160, 240, 3)
NOTES = {
    b"iCCP": b"profile\0\0nonsense",
    b"tEXt": b"Title\0a picture",
    b"pHYs": bytes(9),
    b"tIME": bytes(7),
    b"eXIf": b"II*\0" + bytes(8),
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": bytes(32),
    b"prVt": b"somebody's own",
}


def kept(data: bytes, **options: Any) -> tuple[Image, list[float]]:
    """A damaged file's image, and the share noted missing."""
    with missing_noted() as missing:
        return load_image(data, damaged="keep", **options), missing


@pytest.mark.parametrize("name", NOTES)
def test_a_wrong_checksum_of_a_note_in_a_png_does_not_matter(name: bytes) -> None:
    spoilt = chunk(name, NOTES[name], wrong=True)
    for data in (png(PICTURE, spoilt), png(PICTURE, after=spoilt)):
        np.testing.assert_array_equal(load_image(data), PICTURE)
        image, missing = kept(data)
        np.testing.assert_array_equal(image, PICTURE)
        assert missing == []


def test_sound_notes_beside_a_spoilt_one_count() -> None:
    turn = PIL.Image.Exif()
    turn[0x0112] = 3
    exif = chunk(b"eXIf", turn.tobytes()[6:])
    data = png(PICTURE, chunk(b"tEXt", b"a\0b", wrong=True), exif, chunk(b"tIME", b"", wrong=True))
    np.testing.assert_array_equal(load_image(data), PICTURE[::-1, ::-1])


def test_a_wrong_checksum_of_what_pixels_hang_on_is_damage() -> None:
    picture = PIL.Image.fromarray(PICTURE).quantize(16)
    data = coded(picture, "PNG")
    place = data.index(b"PLTE") + 8
    spoilt = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    with pytest.raises(ImageError, match="damaged"):
        load_image(spoilt, damaged="keep")


def cuts(data: bytes) -> list[int]:
    return [len(data) - 2, len(data) - 100, len(data) * 3 // 4, len(data) // 2, len(data) // 4]


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_that_is_cut_is_taken_with_its_missing_share(
    channels: int, options: dict[str, Any]
) -> None:
    picture = PIL.Image.fromarray(waves(160, 240, channels).squeeze())
    data = coded(picture, "JPEG", quality=90, **options)
    whole = load_image(data).astype(int)
    shares = []
    for end in cuts(data):
        with pytest.raises(ImageError, match="cut short"):
            load_image(data[:end])
        image, (missing,) = kept(data[:end])
        assert image.shape == whole.shape
        shares.append(missing)
        # All rows above those of the first block that is missing are exact, and the rows below
        # the last block that is there are not.
        rows = int((1 - missing) * 160) // 16 * 16 - 16
        assert (image[: max(0, rows)] == whole[: max(0, rows)]).all()
        if missing > 0.2:
            assert np.abs(image[rows + 40 :] - whole[rows + 40 :]).mean() > 5
    assert shares == sorted(shares)
    assert shares[0] == 0  # the end's mark alone
    np.testing.assert_array_equal(kept(data[:-2])[0], whole)
    assert 0 < shares[1] < 0.15
    for share, end in zip(shares[2:], cuts(data)[2:], strict=True):
        assert abs(share - (1 - end / len(data))) < 0.12


def test_a_flat_end_that_is_missing_counts() -> None:
    flat = np.full((160, 240, 3), 90, np.uint8)
    flat[::40] = 200
    data = coded(PIL.Image.fromarray(flat), "JPEG")
    start = data.index(b"\xff\xda") + 14
    _, (missing,) = kept(data[: start + (len(data) - start) // 2])
    assert 0.35 < missing < 0.65


def test_a_progressive_jpeg_lacks_detail() -> None:
    data = coded(PIL.Image.fromarray(PICTURE), "JPEG", quality=90, progressive=True)
    whole = load_image(data).astype(int)
    shares, errors = [], []
    for end in cuts(data):
        image, (missing,) = kept(data[:end])
        shares.append(missing)
        errors.append(np.abs(image - whole).mean())
    assert shares == sorted(shares)
    assert errors == sorted(errors)
    assert shares[0] == errors[0] == 0
    assert 0.2 < shares[3] < 0.8
    assert errors[3] < 10


def test_a_reduced_jpeg_that_is_cut_is_taken_too() -> None:
    picture = PIL.Image.fromarray(waves(640, 480, 3))
    for progressive in (False, True):
        data = coded(picture, "JPEG", progressive=progressive)
        image, (missing,) = kept(data[: len(data) // 2], size=60)
        assert image.shape == (60, 45, 3)
        assert 0.2 < missing < 0.8


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_that_is_cut_is_taken_with_its_missing_share(channels: int) -> None:
    image = waves(160, 240, channels)
    data = coded(PIL.Image.fromarray(image.squeeze()), "PNG")
    for end in cuts(data)[1:]:
        with pytest.raises(ImageError, match="cut short"):
            load_image(data[:end])
        got, (missing,) = kept(data[:end])
        rows = int((1 - missing) * 160)
        assert abs((1 - missing) - end / len(data)) < 0.1
        np.testing.assert_array_equal(got[: rows - 1], image[: rows - 1])
        assert not got[rows + 1 :].any()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_of_an_interlaced_png_earlier_passes_stand_for_later_ones(channels: int) -> None:
    image = waves(50, 70, channels)
    data, ends = interlaced_png(image)
    np.testing.assert_array_equal(load_image(data), image)
    there = np.zeros((50, 70), bool)
    for at, end in zip(ADAM7[:-1], ends, strict=False):
        there[at] = True
        with pytest.raises(ImageError, match="cut short"):
            load_image(data[:end])
        got, (missing,) = kept(data[:end])
        assert missing == pytest.approx(1 - there.mean())
        np.testing.assert_array_equal(got[there], image[there])
        # The plain rule: the nearest pixel above and to the left that is there, in blocks that
        # halve in turns.
        for y, x in zip(*np.nonzero(~there), strict=True):
            blocks = [(2, 1), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8)]
            corners = [(y // h * h, x // w * w) for h, w in blocks]
            corner = next(corner for corner in corners if there[corner])
            np.testing.assert_array_equal(got[y, x], image[corner])


@pytest.mark.parametrize("size", [None, 30])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("marker", [b"\xff\xc0\0\2", b"\xff\xd8", b"\xff\xdb\0\3\x40"])
def test_a_marker_that_spoils_a_scan_ends_it(
    marker: bytes, progressive: bool, size: int | None
) -> None:
    picture = PIL.Image.fromarray(waves(480, 640, 3))
    data = coded(picture, "JPEG", quality=90, progressive=progressive)
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    spoilt = data[:middle] + marker + data[middle + len(marker) :]
    with pytest.raises(ImageError, match="damaged"):
        load_image(spoilt, size=size)
    image, (missing,) = kept(spoilt, size=size)
    cut, (share,) = kept(data[:middle], size=size)
    assert missing == share > 0.3
    np.testing.assert_array_equal(image, cut)


ROW_BY_ROW: dict[str, tuple[str, dict[str, Any]]] = {
    "GIF": ("GIF", {"interlace": 0}),
    "PPM": ("PPM", {}),
    "TGA": ("TGA", {"compression": "tga_rle", "orientation": 1}),
    "TIFF": ("TIFF", {}),
    "WebP": ("WEBP", {"quality": 95}),
    "WebP, lossless": ("WEBP", {"lossless": True}),
    "WebP, with notes": ("WEBP", {"lossless": True, "xmp": b"x" * 50}),
}


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_other_formats_that_are_cut_are_taken_as_far_as_they_go(name: str) -> None:
    form, options = ROW_BY_ROW[name]
    data = coded(PIL.Image.fromarray(PICTURE), form, **options)
    whole, shares = load_image(data), []
    for end in (len(data) * 9 // 10, len(data) * 2 // 3, len(data) // 2):
        with pytest.raises(ImageError, match="cut short"):
            load_image(data[:end])
        image, (missing,) = kept(data[:end])
        shares.append(missing)
        assert abs((1 - missing) - end / len(data)) < 0.25
        rows = int((1 - missing) * 160)
        np.testing.assert_array_equal(image[:rows], whole[:rows])
        assert np.ptp(image[rows + 1 :]) <= np.ptp(whole) * (form == "GIF")  # of one colour
    assert shares == sorted(shares)


def test_of_a_webp_only_notes_may_be_missing() -> None:
    data = coded(PIL.Image.fromarray(PICTURE), "WEBP", lossless=True, xmp=b"x" * 50)
    image, (missing,) = kept(data[:-20])
    assert missing == 0
    np.testing.assert_array_equal(image, PICTURE)


def test_an_interlaced_gif_that_is_cut_shows_all_of_it() -> None:
    data = coded(PIL.Image.fromarray(PICTURE), "GIF", interlace=1)
    whole = load_image(data)
    image, (missing,) = kept(data[: len(data) // 2])
    assert 0.3 < missing < 0.7
    same = (image == whole).all(axis=2)
    assert 1 - missing <= same.mean() + 1e-9
    for row, column in np.argwhere(~same).tolist():
        above = [whole[row // step * step, column].tolist() for step in (2, 4, 8)]
        assert image[row, column].tolist() in above


def test_what_lies_around_the_frame_of_a_gif_is_not_missing() -> None:
    picture = PIL.Image.fromarray(PICTURE).quantize(200)
    data = bytearray(coded(picture, "GIF", interlace=0))
    data[6:10] = struct.pack("<HH", 480, 320)  # of the canvas
    image, (missing,) = kept(bytes(data[: len(data) // 2]))
    assert image.shape[:2] == (320, 480)
    assert 0.1 < missing < 0.15  # half of a quarter


def test_nothing_of_a_picture_is_no_picture() -> None:
    jpeg = coded(PIL.Image.fromarray(PICTURE), "JPEG")
    scan = jpeg.index(b"\xff\xda") + 14
    whole = png(PICTURE)
    pixels = whole.index(b"IDAT") + 4
    laced, _ = interlaced_png(PICTURE)
    webp = coded(PIL.Image.fromarray(PICTURE), "WEBP")
    gif = coded(PIL.Image.fromarray(PICTURE), "GIF")
    nothing = (laced[: laced.index(b"IDAT") + 4], webp[:20], gif[: gif.index(b",") + 10])
    for data in (jpeg[:scan], jpeg[: scan - 20], whole[:pixels], PNG, *nothing):
        with pytest.raises(ImageError, match=r"damaged|not a picture"):
            load_image(data, damaged="keep")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damage_that_is_kept_raises_nothing_but_image_errors(data: st.DataObject) -> None:
    formats = ["PNG", "JPEG", "progressive", "interlaced", "GIF", "WEBP", "TIFF", "BMP", "TGA"]
    format_ = data.draw(st.sampled_from(formats))
    picture = PIL.Image.fromarray(waves(40, 30, 3))
    if format_ == "interlaced":
        good = bytearray(interlaced_png(waves(40, 30, 3))[0])
    elif format_ == "progressive":
        good = bytearray(coded(picture, "JPEG", progressive=True))
    else:
        good = bytearray(coded(picture, format_))
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
        good[place] ^= data.draw(st.integers(1, 255))
    cut = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        image, missing = kept(cut)
    except ImageError:
        return
    assert image.ndim == 3
    assert all(0 <= share < 1 for share in missing)


def test_an_archive_tells_what_was_cut(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    data = coded(PIL.Image.fromarray(PICTURE), "JPEG")
    (folder / "a.jpg").write_bytes(data)
    (folder / "b.jpg").write_bytes(data[: len(data) // 2])
    (folder / "c.jpg").write_bytes(data[:-2])
    with Archive.create(tmp_path / "x.kin", FakeCodec(), describer=None) as archive:
        report = archive.add(open_source(folder))
        assert report.added == 3
        assert report.broken == []
        (half, share), (end, nothing) = report.damaged
        assert (half, end, nothing) == ("b.jpg", "c.jpg", 0)
        assert 0.3 < share < 0.7
        told = {entry.id: entry.columns["missing"] for entry in archive.entries()}
        assert told == {"a.jpg": None, "b.jpg": share, "c.jpg": 0}
    strict = open_source(folder, damaged="refuse")
    with Archive.create(tmp_path / "y.kin", FakeCodec(), describer=None) as archive:
        report = archive.add(strict, skip_broken=True)
        assert [name for name, _ in report.broken] == ["b.jpg", "c.jpg"]
        assert report.damaged == []


@pytest.mark.parametrize("values", [{"missing": "a hat"}, {"missing": None}])
def test_a_column_of_ones_own_keeps_its_meaning(tmp_path: Path, values: dict[str, Any]) -> None:
    data = coded(PIL.Image.fromarray(PICTURE), "JPEG")
    load = partial(load_image, data, damaged="keep")
    cut = partial(load_image, data[: len(data) // 2], damaged="keep")
    with Archive.create(tmp_path / "x.kin", FakeCodec(), describer=None) as archive:
        archive.add([Item("a", None, load, {"missing": "a scarf"})])
        archive.add([Item("b", None, cut, values), Item("c", None, cut)])
        told = [entry.columns["missing"] for entry in archive.entries()]
        assert told == ["a scarf", values["missing"], None]


def test_choices_are_checked() -> None:
    wrong: Any = "maybe"
    with pytest.raises(ImageError, match="keep or refuse"):
        load_image(io.BytesIO(png(PICTURE)).getvalue(), damaged=wrong)
