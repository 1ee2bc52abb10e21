"""Deleted images: nothing of them is in what is made of an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.segments import segment_stream as writer_module
from kinpack.integrations.exporting import export
from kinpack.integrations.unpacking import unpack
from tests.archive_checks import CODEC, content, make, reopened
from tests.describer_checks import make_embedded, soft
from tests.traces import files_of, found, traces_of

GONE = ["set/00003", "set/00004", "set/00021"]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight images, so that few images make several."""
    monkeypatch.setattr(writer_module, "ROWS", 8)


def deleted(path: Path) -> Path:
    """An archive of five segments; of two of them images were deleted."""
    make(path, pictures(40, side=30))
    with reopened(path) as archive:
        archive.remove(GONE)
    return path


MAKERS: dict[str, Callable[[Any, Path], object]] = {
    "seal": seal,
    "unseal": unseal,
    "copy": copy,
    "merge": lambda archive, target: merge([archive], target),
    "unpack": unpack,
    **{
        form: lambda archive, target, form=form: export(archive, target, form)  # type: ignore[misc]
        for form in ("parquet", "lance", "webdataset", "imagefolder")
    },
}


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_that_is_made_of_an_archive_holds_them(tmp_path: Path, maker: str) -> None:
    if maker == "lance":
        pytest.importorskip("lance")
    path = deleted(tmp_path / "a.kin")
    with reopened(path, at=1) as before:
        traces = traces_of(before, GONE)
    assert len(found(files_of(path), traces)) >= 3
    target = tmp_path / "made"
    target.mkdir()
    with reopened(path) as archive:
        MAKERS[maker](archive, target / "made")
        left = traces_of(archive, ["set/00005", "set/00039"])
    files = files_of(target)
    assert found(files, traces) == []
    if maker != "lance":  # which packs its files
        assert len(found(files, left)) >= 2  # the search does find what is there
    if maker in ("seal", "unseal", "copy", "merge"):
        assert content(target / "made") == content(path)


def test_segments_without_deleted_images_are_sealed_byte_for_byte(tmp_path: Path) -> None:
    path = deleted(tmp_path / "a.kin")
    with reopened(path) as archive:
        seal(archive, tmp_path / "a.kin.zip")
        whole = {entry.name for entry in archive.manifest.segments if not entry.deleted}
    assert len(whole) == 3
    with reopened(tmp_path / "a.kin.zip") as sealed, reopened(path) as archive:
        entries = sealed.manifest.segments
        assert sum(entry.name in whole for entry in entries) == 3
        assert [entry.rows for entry in entries] == [6, 8, 7, 8, 8]
        assert sealed.ids == archive.ids
        assert [sealed.packet(name) for name in sealed.ids] == [
            archive.packet(name) for name in archive.ids
        ]


def test_long_ids_that_are_left_alone_still_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of a segment may need several, since ids may take more bytes the more rows."""
    monkeypatch.setattr(writer_module, "ROWS", 1 << 16)
    source = FakeSource(pictures(40).images)
    source.images += [
        (f"{number}" * 20_000, None, image)
        for number, (_, _, image) in enumerate(pictures(20, first=40).images, start=40)
    ]
    path = make(tmp_path / "a.kin", source)
    with reopened(path) as archive:
        archive.remove([name for name, *_ in source.images[:39]])
        seal(archive, tmp_path / "a.kin.zip")
    assert content(tmp_path / "a.kin.zip") == content(path)


def test_codes_of_deleted_images_are_not_sealed(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(20))
    with reopened(path) as archive:
        archive.remove(["set/00002", "set/00003", "set/00017"])
        seal(archive, tmp_path / "a.kin.zip")
        seal(archive, tmp_path / "again.kin.zip")
        codes, ids = archive.codes_of("tiny")[0], archive.ids
        hits = archive.search("set/00005", 5)
    with reopened(tmp_path / "a.kin.zip") as sealed:
        assert sealed.ids == ids
        assert (sealed.codes_of("tiny")[0] == codes).all()
        assert sealed.search("set/00005", 5) == hits
        named = [file for entry in sealed.manifest.segments for file in entry.codes]
        assert sum(file.bytes for file in named) == codes.nbytes
        unseal(sealed, tmp_path / "b.kin")
    assert (tmp_path / "again.kin.zip").read_bytes() == (tmp_path / "a.kin.zip").read_bytes()
    with Archive.open(tmp_path / "b.kin", codec=CODEC) as archive:
        assert archive.verify(deep=True).ok
