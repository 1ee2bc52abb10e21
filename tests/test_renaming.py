"""Renaming: other names in one commit, payloads and codes untouched, whatever else is done then."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream
from kinpack.errors import ArchiveError, KinpackError, NotFoundError
from kinpack.sources.items import Item
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened

EXCHANGED = {"set/00001": "other/1", "set/00002": "set/00004", "set/00004": "set/00002"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(segment_stream, "ROWS", 4)
    return make(tmp_path / "a.kin", pictures(10), describer="classic")


def test_one_commit_renames_and_touches_no_file(path: Path) -> None:
    before, files = expected(pictures(10)), hashes(path)
    with reopened(path) as archive:
        codes = archive.codes_of("classic")[0].tobytes()
        done = archive.rename(EXCHANGED, label=("cat", "lion"))
        assert done.renamed == list(EXCHANGED.items())
        assert done.relabelled == sum(label == "cat" for label, _ in before.values())
        assert archive.manifest.number == 2
        assert archive.codes_of("classic")[0].tobytes() == codes
        assert archive.position("set/00004") == 2
        assert "set/00001" not in archive
    assert hashes(path).items() >= files.items()
    renamed = {
        EXCHANGED.get(name, name): ("lion" if label == "cat" else label, pixels)
        for name, (label, pixels) in before.items()
    }
    assert content(path) == renamed
    with reopened(path, at=1) as archive:
        assert archive.ids == list(before)


def test_by_prefix_and_to_no_label(path: Path) -> None:
    with reopened(path) as archive:
        archive.rename(prefix=("set/0000", "x/"), label=("dog", ""))
        assert archive.ids == [f"x/{number}" for number in range(10)]
        labels = [label for label, _ in expected(pictures(10)).values()]
        assert archive.labels == [None if label == "dog" else label for label in labels]
        archive.rename(prefix=("", "all/"))
        assert archive.ids[0] == "all/x/0"
        assert [entry.id for entry in archive.entries()] == archive.ids
        assert verify(path).ok


@pytest.mark.parametrize("how", ["compact", "copy", "seal", "unseal", "purge"])
def test_what_is_written_anew_forgets_former_names(path: Path, tmp_path: Path, how: str) -> None:
    with reopened(path) as archive:
        archive.rename(prefix=("set/", "new/"))
        wanted = content(path)
        target = path
        if how == "compact":
            archive.compact()
        elif how == "purge":
            archive.compact(purge=True)
        else:
            target = tmp_path / "b.kin"
            if how == "copy":
                copy(archive, target)
            else:
                seal(archive, tmp_path / "b.kin.zip")
                if how == "seal":
                    target = tmp_path / "b.kin.zip"
                else:
                    unseal(tmp_path / "b.kin.zip", target)
        archive.gc(min_age=0)
    assert content(target) == wanted
    with reopened(target) as archive:
        assert not any(entry.index for entry in archive.manifest.segments)
    if target.is_dir():
        for file in (target / "segments").iterdir():
            ids = pq.read_table(file)["id"].to_pylist()
            assert not any(name.startswith("set/") for name in ids)


def test_images_are_added_and_deleted_beside_renamed_ones(path: Path) -> None:
    with reopened(path) as archive:
        archive.rename(EXCHANGED)
        with pytest.raises(ArchiveError, match="is there already"):
            archive.add(FakeSource([("other/1", None, pictures(1).images[0][2])]))
        archive.add(FakeSource([("set/00001", None, pictures(1).images[0][2])]))
        archive.remove(["other/1"])
        archive.rename({"set/00001": "other/1"})
        assert archive.remove("other/*").removed == 1
    assert verify(path).ok


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"ids": {"nobody": "x"}}, NotFoundError),
        ({"prefix": ("none/", "x/")}, NotFoundError),
        ({"label": ("cow", "x")}, NotFoundError),
        ({"ids": {"set/00001": "set/00002"}}, ArchiveError),
        ({"ids": {"set/00001": "x", "set/00002": "x"}}, ArchiveError),
        ({"ids": {"set/00001": ""}}, ArchiveError),
        ({"ids": {"set/00001": "\ud800"}}, ArchiveError),
        ({"ids": {"set/00001": "x" * 70_000}}, ArchiveError),
        ({"ids": {"set/00001": 5}}, ArchiveError),
        ({"prefix": ("set/", "y" * 65_535)}, ArchiveError),
        ({"label": ("cat", "\ud800")}, ArchiveError),
        ({}, ArchiveError),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_all(
    path: Path, asked: dict[str, object], error: type[KinpackError]
) -> None:
    files = hashes(path)
    with reopened(path) as archive, pytest.raises(error) as told:
        archive.rename(**asked)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    assert hashes(path) == files


def test_a_dry_run_tells_and_changes_nothing(path: Path) -> None:
    files = hashes(path)
    with reopened(path) as archive:
        told = archive.rename(EXCHANGED, dry_run=True)
        assert hashes(path) == files
        assert archive.rename(EXCHANGED) == told
        assert archive.remove("set/*", label="cat", dry_run=True).removed < len(archive)
        assert archive.manifest.number == 2


def test_damaged_names_are_told_and_repaired_as_before(path: Path, tmp_path: Path) -> None:
    with reopened(path) as archive:
        archive.rename(prefix=("set/", "new/"))
        lost = archive.manifest.segments[1].index
        assert lost is not None
    file = path / lost.file
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    assert not verify(path).ok
    with reopened(path) as archive, pytest.raises(ArchiveError, match="repair"):
        list(archive.entries())
    report = repair(path, tmp_path / "saved.kin", codec=CODEC)
    assert not report.lost
    assert any("names" in note for note in report.notes)
    with reopened(tmp_path / "saved.kin") as archive:
        assert [name[:3] for name in archive.ids] == ["new"] * 4 + ["set"] * 4 + ["new"] * 2


names = st.sampled_from([f"{a}{b}" for a in ("a/", "b/", "") for b in "xyz"])


@settings(max_examples=20, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=4), st.data())
def test_any_renaming_is_that_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("life") / "a.kin"
    images = pictures(4).images
    ids = data.draw(st.lists(names, min_size=4, max_size=4, unique=True))
    make(path, FakeSource([(name, *one[1:]) for name, one in zip(ids, images, strict=True)]))
    model = content(path)
    asked = {old: new for old, new in pairs if old in model}
    wanted = [asked.get(name, name) for name in model]
    with reopened(path) as archive:
        if not asked or len(set(wanted)) < len(wanted):
            with pytest.raises(KinpackError):
                archive.rename(asked)
        else:
            archive.rename(asked)
            model = dict(zip(wanted, model.values(), strict=True))
    assert content(path) == model
    assert list(content(path)) == list(model)


def test_search_and_deletion_know_the_new_names(path: Path) -> None:
    with Archive.open(path, codec=CODEC) as archive:
        hits = [hit.id for hit in archive.search("set/00003", 3)]
        archive.rename(prefix=("set/", "n/"))
        found = [hit.id for hit in archive.search("n/00003", 3)]
        assert found == [name.replace("set/", "n/") for name in hits]


def test_columns_of_users_stay_with_renamed_images(tmp_path: Path) -> None:
    images = pictures(6).images
    values: list[object] = [1, None, 3, None, 5, 6]
    items = [
        Item(name, label, image.copy, {"year": value})
        for (name, label, image), value in zip(images, values, strict=True)
    ]
    with Archive.create(tmp_path / "a.kin", CODEC) as archive:
        archive.add(items)
        archive.rename(prefix=("set/", "new/"))
    with reopened(tmp_path / "a.kin") as archive:
        assert [entry.columns["year"] for entry in archive.entries()] == values
        copy(archive, tmp_path / "b.kin")
    with reopened(tmp_path / "b.kin") as archive:
        assert [entry.columns["year"] for entry in archive.entries()] == values
        assert archive.ids[0] == "new/00000"
        with Archive.create(tmp_path / "c.kin", CODEC) as other:
            assert other.add(archive).added == 6
            assert [entry.columns["year"] for entry in other.entries()] == values
