"""Sources in one file, and archives as sources: what comes out is what went in."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.errors import ImageError, KinpackError, SourceError
from kinpack.integrations.exporting import export
from kinpack.pictures.picture_writing import encode_image
from kinpack.sources.items import Source
from kinpack.sources.opening import open_source
from tests.archive_checks import CODEC, content, expected, make, reopened
from tests.cli_runs import ask, pack_six, run


def png(level: int) -> bytes:
    return encode_image(np.full((2, 3, 3), level, np.uint8), format="png", where="x")


FILES = {
    "cat/1.png": png(1),
    "2.png": png(2),
    "cat/notes.txt": b"no picture",
    "deep/er/3.jpg": png(3),
    "4.png": png(4),
    "4.json": json.dumps({"id": "four", "label": "dog"}).encode(),
    "5.png": png(5),
    "5.cls": b"7\n",
    "6.png": png(6),
    "6.json": json.dumps({"label": -1}).encode(),
    "6b.png": png(8),
    "6b.cls": b"-1",
    "7.png": png(7),
    "7.json": b"{broken",
}
WANTED = [
    ("cat/1.png", "cat", 1),
    ("2.png", None, 2),
    ("deep/er/3.jpg", "deep", 3),
    ("four", "dog", 4),
    ("5.png", "7", 5),
    ("6.png", None, 6),
    ("6b.png", None, 8),
    ("7.png", None, 7),
]


def packed(path: Path, files: dict[str, bytes] = FILES) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def told(source: Source) -> list[tuple[str, str | None, int]]:
    return [(item.id, item.label, int(item.load()[0, 0, 0])) for item in source]


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_pictures_in_a_file_are_those_of_a_folder(suffix: str, tmp_path: Path) -> None:
    path = packed(tmp_path / f"x{suffix}")
    source = open_source(path)
    assert told(source) == told(source) == WANTED
    assert len(source) == len(WANTED)
    assert told(open_source(tmp_path)) == WANTED  # a folder of such files
    chosen = open_source(path, include=["*.jpg"], prefix="y/")
    assert [item.id for item in chosen] == ["y/deep/er/3.jpg"]


def test_shards_follow_each_other(tmp_path: Path) -> None:
    one = packed(tmp_path / "1.tar", {"a.png": png(1)})
    two = packed(tmp_path / "2.zip", {"b.png": png(2)})
    wanted = [("b.png", None, 2), ("a.png", None, 1)]
    assert told(open_source([two, one])) == wanted
    with pytest.raises(SourceError, match=r"two .*a\.png"):
        open_source([one, one])


def test_what_export_writes_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(7))
    with reopened(path) as archive:
        export(archive, tmp_path / "set", "webdataset", format="png")
        again = make(tmp_path / "b.kin", open_source(tmp_path / "set"))
    assert content(again) == expected(pictures(7))


def downloaded(number: int) -> dict[str, Any]:
    """What img2dataset tells of a picture, of which the third could not be had."""
    there = number != 2
    return {
        "key": f"{number:09}",
        "url": f"https://example.org/{number}.jpg",
        "caption": f"picture {number}",
        "status": "success" if there else "failed_to_download",
        "width": 3 if there else None,
        "score": number / 2 if number % 2 else number // 2,
        "exif": {"nested": []},
    }


def test_what_img2dataset_writes_into_tars_is_read(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for number in (0, 1, 3):
        files |= {
            f"{number:09}.jpg": png(number),
            f"{number:09}.txt": f"picture {number}\n".encode(),
            f"{number:09}.json": json.dumps(downloaded(number)).encode(),
        }
    packed(tmp_path / "00000.tar", files)
    about = pa.Table.from_pylist([downloaded(number) for number in range(4)])
    pq.write_table(about, tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    assert told(open_source(tmp_path)) == [(f"{n:09}.jpg", None, n) for n in (0, 1, 3)]
    source = open_source(tmp_path, columns=["caption", "score", "txt"])
    assert [dict(item.columns) for item in source] == [
        {"caption": f"picture {n}", "score": s, "txt": f"picture {n}"}
        for n, s in ((0, 0), (1, 0.5), (3, 1.5))
    ]
    for name in ("nothing", "exif"):
        with pytest.raises(SourceError, match=f"'{name}'"):
            open_source(tmp_path, columns=[name])
    with pytest.raises(SourceError, match="width"):
        open_source(tmp_path, columns=["width"])  # which an archive has of its own


def test_what_img2dataset_writes_into_parquet_is_read(tmp_path: Path) -> None:
    rows = [{**downloaded(n), "jpg": png(n) if n != 2 else None} for n in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "00000.parquet")
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        report = archive.add(open_source(tmp_path, columns=["url"]), skip_broken=True)
        assert [name for name, _ in report.broken] == ["train/00002"]
        urls = {entry.id: entry.columns["url"] for entry in archive.entries()}
    assert urls == {f"train/{n:05}": downloaded(n)["url"] for n in (0, 1, 3)}


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_damaged_files_are_told(suffix: str, tmp_path: Path) -> None:
    path = packed(tmp_path / f"x{suffix}")
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(60):
        broken = bytearray(data[: int(rng.integers(1, len(data) + 1))])
        broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        errors: list[str] = []
        try:
            for item in open_source(path):
                try:
                    item.load()
                except ImageError as error:
                    errors.append(str(error))
        except KinpackError as error:
            errors.append(str(error))
        assert not any("\n" in error for error in errors)
    for wrong in (b"", b"no tar at all", b"\x1f\x8b\x08" + bytes(600)):
        path.write_bytes(wrong)
        with pytest.raises(SourceError, match=r"x\."):
            open_source(path)


def test_arrays_have_ids_and_no_label_of_minus_one() -> None:
    arrays = np.zeros((3, 2, 2, 3), np.uint8)
    source = open_source(arrays, ids=["a", "b", "c"], labels=[-1, np.int64(-1), 0])
    assert [(item.id, item.label) for item in source] == [("a", None), ("b", None), ("c", "0")]
    for wrong in (["a", "b"], ["a", "a", "b"]):
        with pytest.raises(SourceError, match="ids"):
            open_source(arrays, ids=wrong)


def test_an_archive_is_coded_anew(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(5))
    with reopened(path) as archive:
        again = make(tmp_path / "b.kin", archive)  # type: ignore[arg-type]
    assert content(again) == expected(pictures(5))


@pytest.mark.slow
def test_pack_takes_archives_and_files(tmp_path: Path) -> None:
    path = pack_six(tmp_path)
    options = ("--codec", "classic", "--describer", "none", "--quality", "20")
    before = {row["id"]: row for row in ask("ls", path)}
    run("pack", path, "-o", tmp_path / "new.kin", *options)
    after = {row["id"]: row for row in ask("ls", tmp_path / "new.kin")}
    assert after.keys() == before.keys()
    assert {row["quality"] for row in after.values()} == {20}
    assert [row["label"] for row in after.values()] == [row["label"] for row in before.values()]
    seal(path, tmp_path / "a.zip")
    run("pack", tmp_path / "a.zip", "-o", tmp_path / "z.kin", *options, "--include", "beach/*")
    assert {row["label"] for row in ask("ls", tmp_path / "z.kin")} == {"beach"}
    packed(tmp_path / "pictures.zip")
    run("pack", tmp_path / "pictures.zip", "-o", tmp_path / "p.kin", *options)
    assert len(ask("ls", tmp_path / "p.kin")) == len(WANTED)
