"""Exports: other programs read the same images, ids and labels."""

from __future__ import annotations

import csv
import json
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.errors import ArchiveError, MissingExtraError, PayloadError
from kinpack.integrations import exporting
from kinpack.integrations.exporting import export
from kinpack.pictures.images import load_image
from kinpack.pictures.picture_writing import encode_image
from kinpack.sources.opening import open_source
from tests.archive_checks import CODEC, make, reopened

SOURCE = pictures(30)
LANCE = ["lance"] if find_spec("lance") else []
Rows = list[tuple[str, str | None, Any]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("export") / "a.kin", SOURCE)


def same(rows: Rows) -> None:
    assert [row[:2] for row in rows] == [row[:2] for row in SOURCE.images]
    for (_, _, image), (_, _, wanted) in zip(rows, SOURCE.images, strict=True):
        assert np.array_equal(image, wanted)


def parquet_rows(folder: Path) -> Rows:
    rows: Rows = []
    for path in sorted(folder.iterdir()):
        table = pq.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        for row in table.to_pylist():
            label = None if row["label"] is None else features["label"]["names"][row["label"]]
            rows.append((row["id"], label, load_image(row["image"]["bytes"])))
    return rows


def tar_rows(folder: Path) -> Rows:
    rows: Rows = []
    for path in sorted(folder.iterdir()):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for picture, about in zip(members[::2], members[1::2], strict=True):
                assert picture.name.partition(".")[0] == about.name.partition(".")[0]
                data, text = tar.extractfile(picture), tar.extractfile(about)
                assert data is not None
                assert text is not None
                facts = json.load(text)
                rows.append((facts["id"], facts["label"], load_image(data.read())))
    return rows


def lance_rows(folder: Path) -> Rows:
    table = pytest.importorskip("lance").dataset(str(folder)).to_table()
    assert table.schema.names == ["id", "label", "image"]
    return [(row["id"], row["label"], load_image(row["image"])) for row in table.to_pylist()]


@pytest.mark.parametrize("shard_bytes", [1, 700, 1 << 28])
@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_every_image_is_in_a_shard(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, shard_bytes: int
) -> None:
    monkeypatch.setattr(exporting, "SHARD_BYTES", shard_bytes)
    done: list[int] = []
    with reopened(archive) as opened:
        assert export(opened, tmp_path / "out", form, progress=done.append) == sum(done) == 30
        export(opened, tmp_path / "again", form)
    shards = sorted((tmp_path / "out").iterdir())
    assert (len(shards) == 30) == (shard_bytes == 1)
    assert (len(shards) == 1) == (shard_bytes == 1 << 28)
    same((parquet_rows if form == "parquet" else tar_rows)(tmp_path / "out"))
    for shard in shards:
        assert shard.read_bytes() == (tmp_path / "again" / shard.name).read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again", "out"]


def test_parquet_is_a_data_set(archive: Path, tmp_path: Path) -> None:
    with reopened(archive) as opened:
        export(opened, tmp_path / "out", "parquet", format="webp")
    source = open_source(tmp_path / "out")
    assert [item.label for item in source] == [label for _, label, _ in SOURCE.images]
    (path,) = (tmp_path / "out").iterdir()
    frame = pytest.importorskip("pandas").read_parquet(path)
    assert list(frame["id"]) == [name for name, *_ in SOURCE.images]


@pytest.mark.parametrize("group", [1, 7, 1000])
def test_a_lance_data_set(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    lance = pytest.importorskip("lance")
    monkeypatch.setattr(exporting, "GROUP", group)
    done: list[int] = []
    with reopened(archive) as opened:
        assert export(opened, tmp_path / "out", "lance", progress=done.append) == sum(done) == 30
    same(lance_rows(tmp_path / "out"))
    one = lance.dataset(str(tmp_path / "out")).to_table(filter="id = 'set/00007'")
    assert one.num_rows == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_the_extra_lance_is_not_exported(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    with (
        reopened(archive) as opened,
        pytest.raises(MissingExtraError, match=r"pip install 'kinpack\[lance\]'"),
    ):
        export(opened, tmp_path / "out", "lance")
    assert list(tmp_path.iterdir()) == []


def test_an_image_folder(archive: Path, tmp_path: Path) -> None:
    with reopened(archive) as opened:
        assert export(opened, tmp_path / "out", "imagefolder") == 30
    with (tmp_path / "out" / "labels.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    out = tmp_path / "out"
    same([(row["id"], row["label"] or None, load_image(out / row["file"])) for row in table])
    for row in table:
        assert row["file"].startswith(f"{row['label'] or 'unlabelled'}/set/")


def test_what_cannot_be_exported(archive: Path, tmp_path: Path) -> None:
    odd = FakeSource([("x", "a/b", SOURCE.images[0][2])])
    with reopened(make(tmp_path / "odd.kin", odd)) as opened:
        with pytest.raises(ArchiveError, match=r"'a/b'.*parquet"):
            export(opened, tmp_path / "out", "imagefolder")
        export(opened, tmp_path / "fine", "webdataset")
    up = FakeSource([("x", "..", SOURCE.images[0][2])])
    with (
        reopened(make(tmp_path / "up.kin", up)) as opened,
        pytest.raises(ArchiveError, match="leads upward"),
    ):
        export(opened, tmp_path / "out", "imagefolder", unsafe="refuse")
    (tmp_path / "there").mkdir()
    forms: list[Any] = ["parquet", *LANCE, "webdataset", "imagefolder"]
    with reopened(archive) as opened:
        for form in forms:
            with pytest.raises(ArchiveError, match="this path exists"):
                export(opened, tmp_path / "there", form)
    with Archive.create(tmp_path / "empty.kin", CODEC, describer=None):
        pass
    with reopened(tmp_path / "empty.kin") as opened:
        for form in forms:
            assert export(opened, tmp_path / f"none-{form}", form) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "file"), [("parquet", "train-00000.parquet"), ("webdataset", "shard-000000.tar")]
)
def test_a_link_that_takes_the_place_of_an_export_is_not_followed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, file: str
) -> None:
    """Whoever else may write in that folder may rename what grows there."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / file).write_text("theirs")
    encode = encode_image

    def planting(*given: Any, **options: Any) -> bytes:
        monkeypatch.setattr(exporting, "encode_image", encode)
        (part,) = tmp_path.glob(".*.part")
        part.rename(tmp_path / "taken")
        part.symlink_to(theirs)
        return encode(*given, **options)

    monkeypatch.setattr(exporting, "encode_image", planting)
    with (
        reopened(archive) as opened,
        pytest.raises(ArchiveError, match="something in its place"),
    ):
        export(opened, tmp_path / "out", form)
    assert (theirs / file).read_text() == "theirs"
    assert [path.name for path in theirs.iterdir()] == [file]
    assert not (tmp_path / "out").exists()


def test_an_interrupted_export_leaves_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> bytes:
        raise PayloadError("it cannot be drawn")

    monkeypatch.setattr(exporting, "encode_image", fail)
    forms: list[Any] = ["parquet", *LANCE, "webdataset"]
    with reopened(archive) as opened:
        for form in forms:
            with pytest.raises(PayloadError):
                export(opened, tmp_path / "out", form)
            with pytest.raises(ArchiveError, match="cannot write"):
                export(opened, tmp_path / "none" / "out", form)
    assert list(tmp_path.iterdir()) == []
