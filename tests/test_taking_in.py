"""What people have in folders: taken by content, or told by kind and number; nothing is silent."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from kinpack.errors import ImageError, SourceError
from kinpack.pictures.formats import Extra, format_of
from kinpack.pictures.images import load_image
from kinpack.sources.items import Source
from kinpack.sources.opening import left_out_of, open_source, subset
from tests.cli_runs import ask, run
from tests.picture_files import coded, png, tiff
from tests.pictures import waves

PICTURE = waves(24, 32, 3)
JPEG = coded(PIL.Image.fromarray(PICTURE), "JPEG")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
JXL = b"\xff\x0a" + bytes(40)


@pytest.fixture(autouse=True)
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but Pillow reads pictures, whatever is installed."""
    monkeypatch.setattr(Extra, "is_installed", False)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ids(source: Source) -> list[str]:
    return [item.id for item in source]


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.mpo", "a.JPE", "a.png", "a", "a.jpg_old"])
def test_a_jpeg_is_one_by_whatever_name(name: str, tmp_path: Path) -> None:
    (item,) = open_source(write(tmp_path, {name: JPEG}))
    assert item.id == name
    np.testing.assert_array_equal(item.load(), load_image(JPEG))


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_formats_are_told_by_their_first_bytes(format_: str, tmp_path: Path) -> None:
    data = coded(PIL.Image.fromarray(PICTURE), format_)
    source = open_source(write(tmp_path, {"noname": data, "odd.xyz": data}))
    assert ids(source) == ["noname", "odd.xyz"]
    for item in source:
        np.testing.assert_array_equal(item.load(), load_image(data))
    found = format_of(data)
    assert found is not None
    assert found.decoder == format_


def test_what_is_not_taken_is_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "good.jpg": JPEG,
            "a/b.heic": HEIC,
            "b.HEIC": HEIC,
            "c.jxl": JXL,
            "raw.cr2": b"II*\0\x10\0\0\0CR" + bytes(60),
            "raw.dng": tiff((PICTURE, {})),  # raw files begin as TIFF does
            "no suffix": b"text",
            "notes.txt": b"text",
            "d.psd": b"8BPS" + bytes(60),
            ".DS_Store": b"",
            ".git/x.png": png(PICTURE),
            "a/@eaDir/b/SYNOPHOTO_THUMB.jpg": JPEG,
            "#recycle/old.jpg": JPEG,
            "$RECYCLE.BIN/old.jpg": JPEG,
            "__MACOSX/old.jpg": JPEG,
            ".Trash-1000/old.jpg": JPEG,
            ".thumbnails/old.jpg": JPEG,
            "table.parquet": b"PAR1",
        },
    )
    source = open_source(tmp_path)
    assert ids(source) == ["good.jpg"]
    left_out = left_out_of(source)
    kinds = {".heic": 2, ".jxl": 1, ".cr2": 1, ".dng": 1, "": 1, ".txt": 1, ".psd": 1}
    assert left_out.kinds == {**kinds, ".parquet": 1}
    assert left_out.hidden == 1
    assert left_out.folders == (
        *("#recycle", "$RECYCLE.BIN", ".Trash-1000", ".git", ".thumbnails", "__MACOSX"),
        "a/@eaDir",
    )
    for words in (".heic 2", "no suffix 1", "hidden files 1", "@eaDir 1", "camera raw"):
        assert words in str(left_out)
    assert left_out_of(subset(source, stop=1)) == left_out
    assert not left_out_of(open_source([tmp_path / "good.jpg"]))


def test_a_pipe_and_a_file_that_may_not_be_read_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {"good.jpg": JPEG})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere.link").symlink_to("gone")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    source = open_source(tmp_path)
    assert ids(source) == ["good.jpg"]
    assert left_out_of(source).kinds == {"": 2, ".link": 1}


def test_a_data_set_stays_one_beside_files_of_another_sort(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [{"bytes": JPEG, "path": "a.jpg"}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "train.parquet")
    write(tmp_path, {"README": b"text", "logo": JPEG})
    assert ids(open_source(tmp_path)) == ["train/00000"]
    with pytest.raises(SourceError, match="by pattern 2"):
        open_source(tmp_path, exclude=["*.parquet", "logo"])


def test_patterns_choose(tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "x/b.jpg", "x/y/c.jpg", "z/raw/e.jpg", "z/y/d.jpg"]
    write(tmp_path, dict.fromkeys(names, JPEG))

    def chosen(**patterns: Any) -> list[str]:
        source = open_source(tmp_path, **patterns)
        found = ids(source)
        assert bool(left_out_of(source).excluded) == (found != names)
        return found

    assert chosen() == names
    assert chosen(include=["*.png"]) == ["a.png"]
    assert chosen(exclude=["*.png", "raw"]) == ["a.jpg", "x/b.jpg", "x/y/c.jpg", "z/y/d.jpg"]
    assert chosen(exclude=["y"]) == ["a.jpg", "a.png", "x/b.jpg", "z/raw/e.jpg"]
    assert chosen(exclude=["x/*"]) == ["a.jpg", "a.png", "z/raw/e.jpg", "z/y/d.jpg"]
    assert chosen(exclude=["x/y", "./z"]) == ["a.jpg", "a.png", "x/b.jpg"]
    assert chosen(include=["x/*", "z/*"], exclude=["[bc].jpg/", "nothing"]) == names[4:]
    with pytest.raises(SourceError, match="by pattern 6"):
        chosen(include=["nothing"])


def test_patterns_are_checked(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": JPEG})
    wrong: list[Any] = ["*.jpg", [""], [3]]
    for patterns in wrong:
        with pytest.raises(SourceError, match="patterns are a list"):
            open_source(tmp_path, include=patterns)
    for spec in (tmp_path / "a.jpg", [tmp_path / "a.jpg"], np.zeros((1, 4, 4), np.uint8)):
        with pytest.raises(SourceError, match="patterns choose"):
            open_source(spec, exclude=["*.png"])


TWELVE = JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c")
WIDE = np.zeros((8, 8, 3), np.float32)
VALID: dict[str, tuple[bytes, str]] = {
    "a JPEG of 12 bits": (TWELVE, "valid JPEG of 12 bits a sample"),
    "a lossless JPEG": (JPEG.replace(b"\xff\xc0", b"\xff\xc3"), "valid lossless JPEG"),
    "JPEG-LS": (JPEG.replace(b"\xff\xc0", b"\xff\xf7"), "valid JPEG-LS"),
    "float RGB": (tiff((WIDE, {})), "valid TIFF of 3 float samples of 32 bits"),
    "float16": (tiff((WIDE[:, :, 0].astype(np.float16), {})), "1 float sample of 16 bits"),
    "five bands": (
        tiff((np.zeros((8, 8, 5), np.uint8), {262: 1, 338: [0] * 4})),
        "5 unsigned samples of 8 bits",
    ),
    "a strange compression": (tiff((PICTURE, {259: 50002})), "TIFF of the compression 50002"),
    "HEIC": (HEIC, "HEIC"),
    "JPEG XL": (JXL, "JPEG XL"),
    "a raw file": (tiff((PICTURE, {50706: [1, 4, 0, 0]})), "camera raw"),
    "Photoshop": (b"8BPS" + bytes(40), "Photoshop, which is not read; convert it"),
    "OpenEXR": (b"v/1\x01" + bytes(40), "OpenEXR"),
    "DICOM": (bytes(128) + b"DICM" + bytes(40), "DICOM"),
}


@pytest.mark.parametrize("what", VALID)
def test_what_is_valid_but_not_read_is_named(what: str) -> None:
    data, words = VALID[what]
    with pytest.raises(ImageError) as error:
        load_image(data, where="x.png")
    message = str(error.value)
    assert message.startswith("x.png: ")
    assert words in message
    assert "damaged" not in message


def test_damaged_directories_are_still_called_damaged() -> None:
    usual = tiff((PICTURE, {262: 9999}))  # of colours that nobody knows
    for data in (b"II*\0" + struct.pack("<I", 8) + b"\xff" * 30, b"\xff\xd8\xff\xc0", usual):
        with pytest.raises(ImageError, match="damaged"):
            load_image(data)


def test_a_camera_s_preview_is_not_taken_for_its_picture(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"camera raw is read where the package rawpy"):
        open_source(write(tmp_path, {"a.nef": tiff((PICTURE, {}))}))


def test_extras_are_not_imported_without_need(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": JPEG, "b": png(PICTURE)})
    code = (
        "import sys; from kinpack import open_source\n"
        "for item in open_source(sys.argv[1]): item.load()\n"
        "print([m for m in ('pillow_heif', 'pillow_jxl', 'rawpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


CLASSIC = ("--codec", "classic", "--describer", "none")


def test_pack_tells_what_it_left_out_and_goes_on(tmp_path: Path) -> None:
    many = {f"{number:02}.jpg": JPEG for number in range(12)}
    folder = write(tmp_path / "photos", {**many, "x.heic": HEIC, "bad.png": b"no", "~.txt": b""})
    (folder / "99.jpg").write_bytes(JPEG[:-60])
    done = run("pack", folder, "-o", tmp_path / "x.kin", *CLASSIC, code=3)
    assert "13 images added, 1 of them cut short, 1 left out that cannot be read" in done.stdout
    told = done.stderr.splitlines()
    assert len(told) == 3
    assert ".heic 1, .txt 1" in told[0]
    assert "cut short, and taken: 99.jpg" in told[1]
    assert "left out: " in told[2]
    assert "bad.png" in told[2]
    answer = json.loads(
        run("pack", folder, "-o", tmp_path / "y.kin", *CLASSIC, "--json", code=3).stdout
    )
    assert answer["added"] == 13
    assert answer["left_out"]["kinds"] == {".heic": 1, ".txt": 1}
    assert [one["id"] for one in answer["broken"]] == ["bad.png"]
    assert [one["id"] for one in answer["damaged"]] == ["99.jpg"]
    assert 0 < answer["damaged"][0]["missing"] < 1
    run("pack", folder, "-o", tmp_path / "z.kin", *CLASSIC, "--skip-broken")
    assert len(ask("ls", tmp_path / "z.kin")) == 13


def test_pack_stops_by_choice_and_keeps_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", {"a.jpg": JPEG, "b.jpg": JPEG[:-2], "c.png": png(PICTURE)})
    stopped = run("pack", folder, "-o", tmp_path / "x.kin", *CLASSIC, "--strict", code=0)
    assert "3 images added" in stopped.stdout
    words = (*CLASSIC, "--damaged", "refuse")
    stopped = run("pack", folder, "-o", tmp_path / "y.kin", *words, "--strict", code=1)
    assert "b.jpg" in stopped.stderr
    assert "--skip-broken" in stopped.stderr
    assert not (tmp_path / "y.kin").exists()
    run("pack", folder, "-o", tmp_path / "y.kin", *words, code=3)
    assert [one["id"] for one in ask("ls", tmp_path / "y.kin")] == ["a.jpg", "c.png"]
    run("pack", folder, "-o", tmp_path / "q.kin", *CLASSIC, "--strict", "--skip-broken", code=2)


def test_add_and_pack_choose_by_pattern(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", {"a.jpg": JPEG, "x/b.jpg": JPEG, "x/c.png": png(PICTURE)})
    run("pack", folder, "-o", tmp_path / "x.kin", *CLASSIC, "--include", "a*")
    run("add", tmp_path / "x.kin", folder, "--exclude", "*.png", "--exclude", "a.jpg")
    assert [one["id"] for one in ask("ls", tmp_path / "x.kin")] == ["a.jpg", "x/b.jpg"]
    run(
        "add", tmp_path / "x.kin", write(tmp_path / "more", {"q.png": b"no", "r.jpg": JPEG}), code=3
    )
    assert len(ask("ls", tmp_path / "x.kin")) == 3


def test_the_range_of_grey_is_an_option(tmp_path: Path) -> None:
    deep = np.full((8, 8), 8000, np.uint16)
    folder = write(tmp_path / "photos", {"a.tif": tiff((deep, {})), "b.tif": tiff((deep, {}))})
    words = (*CLASSIC, "--quality", "100", "--range", "0,16000")
    run("pack", folder, "-o", tmp_path / "x.kin", *words)
    run("get", tmp_path / "x.kin", "a.tif", "-o", tmp_path / "a.png")
    assert np.unique(load_image(tmp_path / "a.png")).tolist() == [128]
    run("add", tmp_path / "x.kin", write(tmp_path / "more", {"c.tif": tiff((deep, {}))}))
    run("get", tmp_path / "x.kin", "c.tif", "-o", tmp_path / "c.png")
    assert np.unique(load_image(tmp_path / "c.png")).tolist() == [128]
    for wrong in ("5", "9,3", "a,b", "0,nan", "1,2,3"):
        run("pack", folder, "-o", tmp_path / "y.kin", "--range", wrong, code=2)
