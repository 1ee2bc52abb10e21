"""How an archive is born in a folder: what is taken over, what is refused, and links."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.stores.staged_file import staged_file, staged_folder
from kinpack.archive.stores.store import TEMPORARY, UNFINISHED
from kinpack.errors import ArchiveError, KinpackError
from kinpack.integrations.exporting import export
from kinpack.pictures.picture_writing import save_image
from tests.archive_checks import CODEC, content, expected, make, reopened
from tests.cli_runs import run


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: content of files, where links lead, ``None`` for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def remains(path: Path) -> Path:
    """What a killed writer leaves of a new archive after its first segments."""
    archive = Archive.create(path, CODEC, describer=None)
    for name in ("segments", "codes"):
        (path / name).mkdir(exist_ok=True)
    (path / "segments" / f"{'1' * 32}.parquet").write_bytes(b"half of the pictures")
    (path / "codes" / f"{'1' * 32}.look.bin").write_bytes(b"codes")
    (path / "segments" / f"{TEMPORARY}{'2' * 32}").write_bytes(b"torn")
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    with pytest.raises(KeyboardInterrupt), archive:
        raise KeyboardInterrupt
    assert not path.exists()
    return kept.rename(path)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """An archive of somebody's, which must stay as it is, with all its images."""
    path = make(tmp_path / "elsewhere" / "photos.kin", pictures(60))
    before = tree(path)
    yield path
    assert tree(path) == before
    assert content(path) == expected(pictures(60))


def test_unfinished_archives_say_what_they_are(tmp_path: Path) -> None:
    path = remains(tmp_path / "a.kin")
    before = tree(path)
    with pytest.raises(ArchiveError, match="unfinished") as caught:
        reopened(path)
    assert "\n" not in str(caught.value)
    assert tree(path) == before


def test_what_a_dead_creator_left_is_taken_over(tmp_path: Path) -> None:
    path = make(remains(tmp_path / "a.kin"))
    assert content(path) == expected(pictures(10))
    assert {file.name for file in path.iterdir()} == {"codecs", "segments", "manifests"}
    assert len(list((path / "segments").iterdir())) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.kin"]


def test_one_that_nobody_finishes_or_closes_is_taken_over(tmp_path: Path) -> None:
    Archive.create(tmp_path / "a.kin", CODEC, describer=None)
    gc.collect()
    assert content(make(tmp_path / "a.kin")) == expected(pictures(10))


def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    for name, plant in (("full", foreign), ("file", Path.touch), ("link", to_nowhere)):
        with pytest.raises(ArchiveError, match="exists"), staged_folder(tmp_path / name):
            plant(tmp_path / name)
    assert sorted(tree(tmp_path)) == ["file", "full", "full/letters", "link"]


def foreign(path: Path) -> None:
    (path / "letters").mkdir(parents=True)


def to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def test_a_failure_after_taking_over_leaves_nothing(tmp_path: Path) -> None:
    path = remains(tmp_path / "a.kin")
    with pytest.raises(KinpackError), Archive.create(path, CODEC, describer=None) as archive:
        archive.add(FakeSource([("x", None, None)]))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_becomes_an_archive_and_stays_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    path.mkdir()
    with pytest.raises(KinpackError), Archive.create(path, CODEC, describer=None) as archive:
        archive.add(FakeSource([("x", None, None)]))
    assert list(path.iterdir()) == []
    assert content(make(path)) == expected(pictures(10))


def foreign_file(path: Path) -> None:
    (path / "segments" / "notes.txt").write_text("mine")


def foreign_folder(path: Path) -> None:
    (path / "letters").mkdir()


def foreign_pipe(path: Path) -> None:
    os.mkfifo(path / "segments" / f"{'3' * 32}.parquet")


def foreign_link(path: Path) -> None:
    (path / "segments" / f"{'3' * 32}.parquet").symlink_to(path / "codecs")


def linked_folder(path: Path) -> None:
    (path / "manifests").symlink_to("../elsewhere/photos.kin/manifests")


def a_manifest(path: Path) -> None:
    (path / "manifests").mkdir()
    (path / "manifests" / "0000000001.json").write_text("damaged, but it was committed")


def without_mark(path: Path) -> None:
    for mark in path.glob(f"{UNFINISHED}*"):
        mark.unlink()


def linked_mark(path: Path) -> None:
    for mark in path.glob(f"{UNFINISHED}*"):
        mark.unlink()
        mark.symlink_to("segments")


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize(
    "change",
    [
        foreign_file, foreign_folder, foreign_pipe, foreign_link, linked_folder, a_manifest,
        without_mark, linked_mark,
    ],
)  # fmt: skip
def test_what_is_not_all_its_own_remains_is_refused_and_untouched(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = remains(tmp_path / "a.kin")
    change(path)
    before = places(path)
    with pytest.raises(ArchiveError, match=r"a\.kin: ") as caught:
        Archive.create(path, CODEC, describer=None)
    assert "\n" not in str(caught.value)
    assert places(path) == before


def places(path: Path) -> dict[str, int]:
    """Inode and time of everything in a folder, pipes too, which cannot be read."""
    return {
        entry.relative_to(path).as_posix(): entry.lstat().st_ino + entry.lstat().st_mtime_ns
        for entry in path.rglob("*")
    }


def test_remains_of_another_user_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = remains(tmp_path / "a.kin")
    before = tree(path)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(ArchiveError, match="this path exists"):
        Archive.create(path, CODEC, describer=None)
    assert tree(path) == before


def test_remains_that_somebody_has_locked_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = remains(tmp_path / "a.kin")
    before = tree(path)
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ArchiveError, match="is writing"):
        Archive.create(path, CODEC, describer=None)
    os.close(descriptor)

    def without(*_: Any) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patch:  # where there are none nobody knows
        patch.setattr(fcntl, "flock", without)
        with pytest.raises(ArchiveError, match="is writing"):
            Archive.create(path, CODEC, describer=None)
        assert tree(path) == before
        make(tmp_path / "b.kin")
    assert content(tmp_path / "b.kin") == expected(pictures(10))


def test_a_damaged_archive_is_never_a_leftover(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    (path / f"{UNFINISHED}{'0' * 32}").touch()  # killed before its mark was taken away
    before = tree(path)
    with pytest.raises(ArchiveError, match="this path exists"):
        Archive.create(path, CODEC, describer=None)
    assert tree(path) == before
    with reopened(path) as archive:
        assert archive.verify().ok
        archive.add(pictures(1, first=20))
    assert not list(path.glob(f"{UNFINISHED}*"))
    assert content(path) == expected(pictures(10), pictures(1, first=20))


@pytest.mark.parametrize(
    "name", [".new.kin.partial", "new.kin", ".new.kin.tmp", ".new.kin.part", "new.kin.lock"]
)
@pytest.mark.parametrize("finished", [True, False])
def test_no_planted_link_leads_to_another_archive(
    tmp_path: Path, victim: Path, name: str, finished: bool
) -> None:
    """``ln -s ../photos.kin shared/.new.kin.partial``, then pack into shared/new.kin."""
    shared = tmp_path / "shared"
    shared.mkdir()
    target = victim if finished else remains(tmp_path / "dead.kin")
    (shared / name).symlink_to(os.path.relpath(target, shared))
    before = tree(target)
    if name == "new.kin":
        with pytest.raises(ArchiveError, match="this path exists"):
            make(shared / "new.kin")
    else:
        make(shared / "new.kin", pictures(3))
        assert content(shared / "new.kin") == expected(pictures(3))
        assert not (shared / "new.kin").is_symlink()
    assert tree(target) == before
    assert (shared / name).is_symlink()


def test_the_command_refuses_a_planted_link(tmp_path: Path) -> None:
    for name, count in (("photos", 6), ("few", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            picture = np.full((8, 8, 3), 30 * number, np.uint8)
            save_image(picture, tmp_path / name / f"{number}.png")
    victim, shared = tmp_path / "photos.kin", tmp_path / "shared"
    run("pack", tmp_path / "photos", "-o", victim, "--codec", "classic")
    shared.mkdir()
    (shared / ".new.kin.partial").symlink_to("../photos.kin")
    run("pack", tmp_path / "few", "-o", shared / "new.kin", "--codec", "classic")
    for path, count in ((victim, 6), (shared / "new.kin", 2)):
        with Archive.open(path) as archive:
            assert len(archive) == count
            assert archive.verify(deep=True).ok


def add(archive: Archive) -> None:
    archive.add(pictures(3, first=20))


def replace(archive: Archive) -> None:
    archive.add(pictures(1, seed=5), on_duplicate="replace")


def remove(archive: Archive) -> None:
    archive.remove(archive.ids[:1])


def compact(archive: Archive) -> None:
    archive.compact()


def collect(archive: Archive) -> None:
    archive.gc(min_age=0)


@pytest.mark.parametrize("act", [add, replace, remove, compact, collect])
@pytest.mark.parametrize("folder", ["segments", "codecs", "manifests"])
def test_no_folder_of_an_archive_is_reached_through_a_link(
    tmp_path: Path, folder: str, act: Callable[[Archive], None]
) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.add(pictures(1, first=10))
        archive.remove(["set/00003"])
    moved = (path / folder).rename(tmp_path / "moved")
    (moved / f"{TEMPORARY}{'0' * 32}").touch()
    (path / folder).symlink_to(moved)
    before = tree(moved)
    with suppress(ArchiveError), reopened(path) as archive:
        act(archive)
    assert tree(moved) == before
    assert (path / folder).is_symlink()


def test_a_link_in_place_of_a_file_is_removed_and_never_followed(
    tmp_path: Path, victim: Path
) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.add(pictures(1, first=20))
        archive.compact()
        old = archive.history()[0]
    target = next((victim / "segments").iterdir())
    first = path / "manifests" / f"{old.number:010d}.json"
    orphan = path / "segments" / f"{'0' * 32}.parquet"
    orphan.symlink_to(target)
    (path / "segments" / f"{TEMPORARY}{'0' * 32}").symlink_to(target)
    with reopened(path) as archive:
        archive.add(pictures(1, first=21))
    assert not orphan.is_symlink()
    assert first.exists()
    assert target.exists()


def test_an_archive_is_opened_and_added_to_through_a_link_to_it(tmp_path: Path) -> None:
    path = make(tmp_path / "far" / "a.kin")
    (tmp_path / "near.kin").symlink_to("far/a.kin")
    with reopened(tmp_path / "near.kin") as archive:
        archive.add(pictures(1, first=20))
    assert content(path) == content(tmp_path / "near.kin")
    assert len(content(path)) == 11
    (tmp_path / "near").symlink_to("far")
    make(tmp_path / "near" / "b.kin")
    assert content(tmp_path / "far" / "b.kin") == expected(pictures(10))


def seal_to(archive: Archive, target: Path) -> None:
    seal(archive, target)


def unseal_to(archive: Archive, target: Path) -> None:
    unseal(archive, target)


def copy_to(archive: Archive, target: Path) -> None:
    copy(archive, target)


def export_to(archive: Archive, target: Path) -> None:
    export(archive, target, "webdataset")


@pytest.mark.parametrize("write", [seal_to, unseal_to, copy_to, export_to])
def test_what_is_written_anew_follows_no_link(
    tmp_path: Path, victim: Path, write: Callable[[Archive, Path], None]
) -> None:
    path = make(tmp_path / "a.kin")
    target = tmp_path / "shared" / "new"
    target.parent.mkdir()
    planted = [f".new{end}" for end in (".partial", ".part", ".tmp")]
    for name in planted:
        target.with_name(name).symlink_to(next((victim / "segments").iterdir()))
    with reopened(path) as archive:
        write(archive, target)
        assert not target.is_symlink()
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        for to in (victim, tmp_path / "nowhere"):
            target.symlink_to(to)
            with pytest.raises(ArchiveError, match="this path exists"):
                write(archive, target)
            target.unlink()
    assert sorted(file.name for file in target.parent.iterdir()) == sorted(planted)
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_is_replaced_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "codec.kinc"
    victim.write_text("mine")
    target.symlink_to(victim)
    (tmp_path / ".codec.kinc.part").symlink_to(victim)
    with staged_file(target, replace=True) as file:
        file.write(b"new")
    assert (victim.read_text(), target.read_bytes()) == ("mine", b"new")
    assert not target.is_symlink()
