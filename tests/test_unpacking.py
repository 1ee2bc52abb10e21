"""Names of unpacked files: safe, distinct on every file system, and plain where that suffices."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.fake_codec import FakeCodec, FakeSource
from kinpack.archive.archive import Archive
from kinpack.errors import ArchiveError
from kinpack.file_names import fault_of, safe_name
from kinpack.integrations.unpacking import TABLE, file_names, unpack
from kinpack.pictures.images import load_image
from kinpack.pictures.picture_writing import encode_image


def names(*ids: str, format: str = "png") -> list[str]:  # noqa: A002
    suffix = ".jpg" if format == "jpeg" else f".{format}"
    found = file_names(ids, [suffix] * len(ids), where="x.kin")
    return [name for name in found if name is not None]


def archive_of(path: Path, ids: list[tuple[str, str | None]]) -> Archive:
    rng = np.random.default_rng(3)
    images = [(name, label, rng.integers(0, 256, (5, 4, 3), np.uint8)) for name, label in ids]
    archive = Archive.create(path, FakeCodec(), describer=None)
    archive.add(FakeSource(images))
    return archive


def test_the_suffix_of_a_picture_gives_way_to_that_of_the_format() -> None:
    ids = ("a.jpg", "b/c.JPEG", "test/00042", "dots.in.name", "b/.png", "x.webp")
    assert names(*ids) == [
        "a.png",
        "b/c.png",
        "test/00042.png",
        "dots.in.name.png",
        "b/.png.png",
        "x.png",
    ]
    assert names("a.png", "b.gif", format="jpeg") == ["a.jpg", "b.jpg"]


def test_ids_that_differ_in_their_suffix_keep_it() -> None:
    assert names("a.jpg", "b.jpg", "a.png") == ["a.jpg.png", "b.png", "a.png.png"]


def test_ids_that_differ_in_case_are_told_apart() -> None:
    assert names("a.jpg", "A.jpg", "A.JPG") == ["a.jpg.png", "A.jpg~2.png", "A.JPG~3.png"]
    # The same name, composed and decomposed.
    assert names("\u00e9.png", "e\u0301.png") == ["\u00e9.png.png", "e\u0301.png~2.png"]


def test_a_file_is_never_where_a_folder_must_be() -> None:
    assert names("x", "x.png/y") == ["x~2.png", "x.png/y.png"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up.png",
        "a/../../up.png",
        "a/..",
        "a//b.png",
        "./a.png",
        "",
        "a/",
        "C:/x.png",
        "c:x.png",
        "a\\b.png",
        "..\\up.png",
        "a\nb.png",
        "a\0b.png",
        "con.png",
        "a/NUL",
        "aux/x.png",
        "com1.tar.png",
        "labels.csv/x.png",
    ],
)
def test_no_safe_path_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"^x\.kin: .* --unsafe") as error:
        names("fine.png", name)
    assert "\n" not in str(error.value)
    if name:
        archive = archive_of(tmp_path / "x.kin", [("fine.png", None), (name, None)])
        with pytest.raises(ArchiveError, match="no safe path"):
            unpack(archive, tmp_path / "out", unsafe="refuse")
        assert not (tmp_path / "out").exists()
        assert unpack(archive, tmp_path / "out", unsafe="skip") == 1
        assert files_below(tmp_path / "out") == {"fine.png", "labels.csv"}
        assert unpack(archive, tmp_path / "all") == 2
        assert len(files_below(tmp_path / "all")) == 3
        with (tmp_path / "all" / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == ["fine.png", name]
        for row in rows:
            assert fault_of(row["file"]) is None
            assert (tmp_path / "all" / row["file"]).is_file()


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@given(st.text(max_size=300) | st.text(st.sampled_from("/.\\ :cCoOnN1~\n\ud800"), max_size=400))
def test_every_id_gets_a_safe_path(name: str) -> None:
    safe = safe_name(name)
    assert fault_of(safe) is None
    assert (safe == name) == (fault_of(name) is None)


@pytest.mark.parametrize(
    "name", ["console.png", "10:30.png", "nul1.png", "日本\u3000語.png", "a b"]
)
def test_odd_but_safe_names_are_kept(name: str) -> None:
    assert names(name) == [name.removesuffix(".png") + ".png"]


part = st.text(st.sampled_from("aAbé.e\u0301ß~2x"), min_size=1, max_size=5).filter(
    lambda text: text.strip(".") != ""
)
ids = st.lists(
    st.lists(part, min_size=1, max_size=3)
    .map("/".join)
    .flatmap(lambda stem: st.sampled_from([stem, stem + ".png", stem + ".jpg", stem + ".PNG"])),
    unique=True,
    max_size=8,
)


@given(ids)
def test_files_are_distinct_on_every_file_system(ids: list[str]) -> None:
    files = names(*ids)
    keys = [unicodedata.normalize("NFC", file).casefold() for file in files]
    keys = [unicodedata.normalize("NFC", key) for key in keys]
    folders = {str(folder) for key in keys for folder in PurePosixPath(key).parents}
    assert len(set(keys)) == len(ids)
    assert not folders & set(keys)
    for name, file in zip(ids, files, strict=True):
        assert file.endswith(".png")
        assert not PurePosixPath(file).is_absolute()
        assert PurePosixPath(file).parent == PurePosixPath(name).parent
        assert file.startswith(name.rpartition(".")[0])


def test_the_table_names_and_labels_every_file(tmp_path: Path) -> None:
    given = [("a/1.jpg", "a"), ("a/1.png", "a"), ('q"uote, comma', None), ("z", "ä b")]
    archive = archive_of(tmp_path / "x.kin", given)
    done: list[int] = []
    assert unpack(archive, tmp_path / "deep" / "out", progress=done.append) == 4
    assert sum(done) == 4
    with (tmp_path / "deep" / "out" / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["label"] or None) for row in rows] == given
    for row in rows:
        drawn = load_image(tmp_path / "deep" / "out" / row["file"])
        np.testing.assert_array_equal(drawn, archive.read(row["id"]))
    assert len(list((tmp_path / "deep" / "out").rglob("*.*"))) == 5


def test_a_folder_that_is_not_empty_is_refused_unless_forced(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "x.kin", [("a.png", None), ("b.png", None)])
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    (out / "a.png").write_text("old")
    with pytest.raises(ArchiveError, match=r"not empty.*--force"):
        unpack(archive, out)
    assert (out / "a.png").read_text() == "old"
    assert not (out / "b.png").exists()
    unpack(archive, out, force=True)
    np.testing.assert_array_equal(load_image(out / "a.png"), archive.read("a.png"))
    assert (out / "mine.txt").read_text() == "mine"


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "x.kin", [("a/b/1.png", None), ("2.png", None)])
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "a").symlink_to(outside)
    with pytest.raises(ArchiveError, match="a link is in the way"):
        unpack(archive, out, force=True)
    assert not list(outside.iterdir())
    (out / "a").unlink()
    victim = outside / "victim.png"
    victim.write_text("victim")
    (out / "2.png").symlink_to(victim)
    unpack(archive, out, force=True)
    assert victim.read_text() == "victim"
    assert not (out / "2.png").is_symlink()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "x.kin", [("a.png", None)])
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveError, match="is a file"):
        unpack(archive, tmp_path / "file")
    with pytest.raises(ArchiveError, match="cannot unpack"):
        unpack(archive, tmp_path / "file" / "below")


def test_an_empty_archive_unpacks_to_an_empty_table(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "x.kin", FakeCodec(), describer=None) as archive:
        pass
    archive = Archive.open(tmp_path / "x.kin", codec=FakeCodec())
    assert unpack(archive, tmp_path / "out") == 0
    assert (tmp_path / "out" / TABLE).read_text() == "file,id,label\n"


def test_no_link_that_comes_meanwhile_leads_out_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may write in the folder too: they put links in the place of what was just made."""
    ids = [f"{folder}/{number}.png" for folder in "ab" for number in range(5)]
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    for number in range(5):
        (victim / f"{number}.png").write_text("another's")

    def swapping(*given: Any, **options: Any) -> bytes:
        if not (out / "b").is_symlink():
            (out / "b").rename(tmp_path / "made")
            (out / "b").symlink_to(victim)
        return encode_image(*given, **options)

    monkeypatch.setattr("kinpack.integrations.unpacking.encode_image", swapping)
    with (
        archive_of(tmp_path / "a.kin", [(name, None) for name in ids]) as archive,
        pytest.raises(ArchiveError, match="a link is in the way"),
    ):
        unpack(archive, out, threads=1)
    assert {file.read_text() for file in victim.iterdir()} == {"another's"}
    assert len(list(victim.iterdir())) == 5
