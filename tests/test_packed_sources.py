"""Sources in one file, and archives as sources: what comes out is what went in."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.care.sealing import seal
from kinpack.errors import ImageError, KinpackError, SourceError
from kinpack.integrations.exporting import export
from kinpack.pictures.picture_writing import encode_image
from kinpack.sources.items import Source
from kinpack.sources.opening import open_source
from tests.archive_checks import content, expected, make, reopened
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
