"""Pictures and folders of strangers: each is read, or refused by an error that names the file."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fakes.fake_codec import FakeCodec
from kinpack.archive.archive import Archive
from kinpack.errors import ImageError, KinpackError, SourceError
from kinpack.limits import most_pixels, too_many
from kinpack.pictures.images import load_image
from kinpack.sources.opening import open_source


def chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"\0") -> bytes:
    """A grey PNG that states a size, whatever it holds."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def coded(picture: PIL.Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def refusal_of(data: bytes) -> str | None:
    try:
        load_image(data, where="x.png")
    except ImageError as error:
        return str(error)
    return None


GREY = PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
FRAMES = [PIL.Image.fromarray(np.full((6, 5, 3), level, np.uint8)) for level in range(100)]
ROWS = bytes(9 * 8)  # of an 8×8 grey picture, with a filter's byte each


def test_sizes_are_refused_before_they_are_allocated(tmp_path: Path) -> None:
    for name, data in {
        "png": png(65535, 65535),
        "beyond.png": png(1 << 30, 1 << 30),
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 60000, 60000, 1, 24, *[0] * 6),
        "ppm": b"P6 60000 60000 255 " + bytes(99),
        "gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(20),
        "tga": bytes([0, 0, 2]) + bytes(9) + struct.pack("<HHBB", 65535, 65535, 24, 0) + bytes(99),
    }.items():
        path = tmp_path / f"x.{name}"
        path.write_bytes(data)
        with pytest.raises(ImageError) as error:
            load_image(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_the_limit_on_pixels_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(8, 8, data=ROWS)
    assert most_pixels() == 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)
    monkeypatch.setenv("KINPACK_MAX_PIXELS", "63")
    with pytest.raises(ImageError, match=r"^x: .*KINPACK_MAX_PIXELS=64"):
        load_image(data, where="x")
    with pytest.raises(ImageError, match="8×8"):
        load_image(GREY)
    monkeypatch.setenv("KINPACK_MAX_PIXELS", "64")
    assert load_image(data).shape == (8, 8, 1)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    assert load_image(data).shape == (8, 8, 1)  # Pillow's limit is raised to ours
    assert PIL.Image.MAX_IMAGE_PIXELS == 64
    monkeypatch.delenv("KINPACK_MAX_PIXELS")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    assert too_many(65535, 65535) is None


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e9", "9" * 30, "٣"])
def test_a_senseless_limit_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPACK_MAX_PIXELS", value)
    with pytest.raises(ImageError, match="KINPACK_MAX_PIXELS is"):
        load_image(GREY)


def test_text_profiles_and_notes_do_no_harm() -> None:
    bomb = zlib.compress(bytes(1 << 24), 9)
    for extra in (
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        chunk(b"iCCP", b"profile\0\0" + bomb),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"no profile")),
        chunk(b"eXIf", b"MM\0*" + b"\xff" * 400),
    ):
        data = png(8, 8, extra, data=ROWS)
        if refusal := refusal_of(data):
            assert refusal.startswith("x.png: ")
        else:
            assert load_image(data).shape == (8, 8, 1)


def test_a_directory_of_notes_that_leads_to_itself_does_no_harm() -> None:
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)  # the place of more notes: these themselves
    notes = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    data = coded(GREY, "JPEG", exif=notes)
    assert load_image(data).shape == (8, 8, 1)


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "PNG", "WEBP"])
def test_of_many_frames_the_first_is_read(format_: str) -> None:
    data = coded(FRAMES[0], format_, save_all=True, append_images=FRAMES[1:])
    assert load_image(data).shape == (6, 5, 3)


def test_a_folder_of_bad_files_is_packed_without_them(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    whole = png(8, 8, data=ROWS)
    bad = {
        "bomb.png": png(65535, 65535),
        "cut.png": whole[:44],
        "text.jpg": b"not a picture",
        "empty.gif": b"",
        "page.tif": b"II*\0" + struct.pack("<I", 8) + b"\xff" * 30,
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "good.png").write_bytes(whole)
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "null.png").symlink_to("/dev/zero")
    (folder / "back").symlink_to(".")
    source = open_source(folder)
    for item in source:
        if item.id == "good.png":
            assert item.load().shape == (8, 8, 1)
            continue
        with pytest.raises(ImageError) as error:
            item.load()
        assert str(folder / item.id) in str(error.value)
        assert "\n" not in str(error.value)
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        report = archive.add(source, skip_broken=True)
        assert archive.ids == ["good.png"]
    assert len(report.broken) == len(source) - 1
    with (
        Archive.create(tmp_path / "b.kin", FakeCodec(), describer=None) as archive,
        pytest.raises(KinpackError),
    ):
        archive.add(source)


def test_tables_that_are_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.parquet")
    assert stat.S_ISFIFO((tmp_path / "train.parquet").stat().st_mode)
    for spec in (tmp_path, tmp_path / "train.parquet"):
        with pytest.raises(SourceError, match="not a regular file"):
            open_source(spec)


def test_links_among_folders_do_not_multiply_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinpack.sources.folders.MOST_LINKED", 100)
    folders = [tmp_path / f"f{n}" for n in range(9)]
    for folder in folders:
        folder.mkdir()
        (folder / "x.png").write_bytes(b"x")
    for folder in folders:
        for other in folders:
            (folder / f"to{other.name}").symlink_to(other)
    with pytest.raises(SourceError, match="same folders"):
        open_source(tmp_path)
