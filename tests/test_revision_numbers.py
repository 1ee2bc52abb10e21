"""Numbers of revisions: gaps and numbers beyond the format are refused, never written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fakes.fake_codec import pictures
from fakes.manifest_files import sealed
from kinpack.archive.care.history import history
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions import manifest_chain
from kinpack.archive.revisions.manifest import HIGHEST, manifest_file
from kinpack.archive.revisions.manifest_chain import manifest_numbers
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.errors import ArchiveError
from tests.archive_checks import content, expected, hashes, make, reopened


def numbered(path: Path, number: int) -> None:
    """Put the first manifest once more, as another number of the same archive."""
    body = json.loads((path / manifest_file(1)).read_bytes())
    parent = body.pop("checksum")
    (path / manifest_file(number)).write_bytes(sealed({**body, "number": number, "parent": parent}))


@pytest.mark.parametrize("number", [3, HIGHEST])
def test_a_gap_is_refused_by_all_but_repair(tmp_path: Path, number: int) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as handle:
        numbered(path, number)
        before = hashes(path)
        if number == 3:
            handle.refresh()  # the next one is not there: this is the newest
        with reopened(path, at=1) as old:
            assert len(old) == 3
        with pytest.raises(ArchiveError, match=r"0000000002\.json: .*missing.*by its number"):
            reopened(path)
        with pytest.raises(ArchiveError, match="missing"):
            handle.gc(min_age=0)
        assert hashes(path) == before
    assert [revision.number for revision in history(FolderStore(path))] == [1, number]
    problems = verify(path).problems
    assert any(manifest_file(2) in problem and "later ones" in problem for problem in problems)
    assert repair(path, tmp_path / "saved.kin").images == 3
    assert content(tmp_path / "saved.kin") == expected(pictures(3))


def test_after_the_highest_number_nothing_is_written(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    numbered(path, HIGHEST)
    (path / manifest_file(1)).unlink()
    before = hashes(path)
    with reopened(path) as archive:
        for _ in range(2):
            with pytest.raises(ArchiveError, match="kinpack copy"):
                archive.remove(["set/00000"])
            with pytest.raises(ArchiveError, match="no revision can follow number 9999999999"):
                archive.add(pictures(1, first=10))
            assert hashes(path) == before
    assert content(path) == expected(pictures(3))


def test_a_name_beyond_the_format_is_no_revision(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    shutil.copy(path / manifest_file(1), path / "manifests" / "10000000000.json")
    assert manifest_numbers(FolderStore(path)) == [1]
    assert any("10000000000.json" in note for note in verify(path).notes)
    with reopened(path) as archive:
        archive.add(pictures(1, first=10))
        assert archive.manifest.number == 2


def test_whatever_takes_the_next_name_ends_the_commit(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        (path / manifest_file(2)).mkdir()
        with pytest.raises(ArchiveError, match=r"0000000002\.json: something has this name"):
            archive.add(pictures(1, first=10))
    (path / manifest_file(2)).rmdir()
    assert content(path) == expected(pictures(3))


def test_a_commit_that_loses_each_time_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    create = FolderStore.create
    monkeypatch.setattr(manifest_chain, "_ATTEMPTS", 5)

    def overtaken(self: FolderStore, name: str, data: bytes) -> bool:
        if name.startswith("manifests/"):
            with reopened(path) as other, monkeypatch.context() as patch:
                patch.setattr(FolderStore, "create", create)
                other.add(pictures(1, first=100 + other.manifest.number))
        return create(self, name, data)

    with reopened(path) as archive:
        monkeypatch.setattr(FolderStore, "create", overtaken)
        with pytest.raises(ArchiveError, match="others commit without end"):
            archive.add(pictures(1, first=10))
    monkeypatch.undo()
    assert len(content(path)) == 8


def test_a_gap_in_a_listing_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that come while a folder is listed may be seen, or not."""
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        for first in (10, 20):
            archive.add(pictures(1, first=first))
    found = FolderStore.list
    looks = 0

    def listing(self: FolderStore, prefix: str = "") -> list[str]:
        nonlocal looks
        looks += 1
        names = found(self, prefix)
        return [name for name in names if looks > 2 or name != manifest_file(2)]

    monkeypatch.setattr(FolderStore, "list", listing)
    with reopened(path) as archive:
        assert len(archive) == 5
    assert looks == 3
