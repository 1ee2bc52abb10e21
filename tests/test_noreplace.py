"""Shares without hard links: a rename that refuses to replace, or else a clear refusal."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.stores import handles
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.handles import open_folder, publish_file, release
from kinpack.errors import ArchiveError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)
NO_RENAME = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)


def refusing(number: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


def without_rename(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the system refuse to rename without replacing."""

    def call(*_: Any) -> int:
        ctypes.set_errno(number)
        return -1

    patch.setattr(handles, "_renameat2", lambda: call)


@pytest.mark.parametrize("number", NO_LINKS, ids=errno.errorcode.get)
def test_an_archive_lives_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    if handles._renameat2() is None:
        pytest.skip("this system has no renameat2")
    monkeypatch.setattr(os, "link", refusing(number))
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive, reopened(path) as rival:
        rival.add(pictures(1, first=20))
        archive.add(pictures(1, first=21))
        archive.remove(["set/00000"])
        archive.compact()
        archive.gc(min_age=0)
    wanted = expected(pictures(10), pictures(2, first=20))
    assert content(path) == {name: wanted[name] for name in wanted if name != "set/00000"}

    won: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if FolderStore(tmp_path / "race").create("manifests/1.json", bytes([number])):
            won.append(number)

    (tmp_path / "race").mkdir()
    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "race" / "manifests" / "1.json").read_bytes() == bytes(won)
    assert len(list((tmp_path / "race").rglob("*.*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", NO_RENAME, ids=errno.errorcode.get)
def test_one_at_a_time_writes_where_there_is_neither(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    without_rename(monkeypatch, number)
    monkeypatch.setattr(handles, "WAIT_SECONDS", 0.1)
    handles._note_lock.cache_clear()
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive, reopened(path) as rival:
        rival.add(pictures(1, first=20))
        archive.add(pictures(1, first=21))
        before = hashes(path)
        with rival.store.writing(lambda: None):
            with pytest.raises(ArchiveError, match="somebody else writes there"):
                archive.add(pictures(1, first=22))
            with pytest.raises(ArchiveError, match="somebody is writing"):
                archive.gc(min_age=0)
        assert hashes(path) == before
        archive.remove(["set/00000"])
        archive.compact()
        archive.gc(min_age=0)
        archive.remove(["set/00001"], purge=True)
        seal(archive, tmp_path / "a.kin.zip")
        with pytest.raises(ArchiveError, match="this path exists"):
            seal(archive, tmp_path / "a.kin.zip")
        unseal(archive, tmp_path / "b.kin")
        store = archive.store
        with store.writing(lambda: None):
            assert not store.create(archive.manifest.file, b"another")
    wanted = expected(pictures(10), pictures(2, first=20))
    for gone in ("set/00000", "set/00001"):
        del wanted[gone]
    assert content(path) == content(tmp_path / "a.kin.zip") == content(tmp_path / "b.kin") == wanted
    assert not list(tmp_path.rglob(".*"))
    notes = [record.message for record in caplog.records]
    assert len(notes) == 1
    assert "one process at a time writes there" in notes[0]


@pytest.mark.slow
def test_of_many_that_write_where_there_is_neither_each_is_acknowledged_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    without_rename(monkeypatch, errno.EINVAL)
    path = make(tmp_path / "a.kin", pictures(1))
    added: list[int] = []
    start = threading.Barrier(6)

    def write(writer: int) -> None:
        start.wait()
        for number in range(10 * writer + 1, 10 * writer + 7):
            try:
                with reopened(path) as archive:
                    archive.add(pictures(1, first=number))
                added.append(number)
            except ArchiveError as error:
                assert "somebody else writes there" in str(error)  # noqa: PT017

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert added
    assert content(path) == expected(pictures(1), *(pictures(1, first=number) for number in added))
    with reopened(path) as archive:
        assert archive.manifest.number == len(added) + 1


@pytest.mark.parametrize("number", NO_RENAME, ids=errno.errorcode.get)
def test_a_clear_refusal_where_there_is_neither_and_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = make(tmp_path / "a.kin")
    before = hashes(path)
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    without_rename(monkeypatch, number)
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOTSUP))
    with (
        reopened(path) as archive,
        pytest.raises(ArchiveError, match="only if absent"),
    ):
        archive.add(pictures(1, first=20))
    with pytest.raises(ArchiveError, match="only if absent"):
        Archive.create(tmp_path / "b.kin", CODEC, describer=None)
    assert hashes(path) == before
    assert list(tmp_path.iterdir()) == [path]
    assert content(path) == expected(pictures(10))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_other_refusals_are_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refusing(number))
        patch.setattr(handles, "_renameat2", lambda: pytest.fail("a rename was tried"))
        with pytest.raises(ArchiveError, match=r"a\.bin: cannot write"):
            FolderStore(tmp_path).create("a.bin", b"x")
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    without_rename(monkeypatch, number)
    with pytest.raises(ArchiveError, match=r"a\.bin: cannot write"):
        FolderStore(tmp_path).create("a.bin", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_whose_answer_was_lost_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(*names: str, **options: Any) -> None:
        link(*names, **options)
        link(*names, **options)  # as a network share does when no answer came

    monkeypatch.setattr(os, "link", twice)
    assert FolderStore(tmp_path).create("manifests/1.json", b"mine")
    assert not FolderStore(tmp_path).create("manifests/1.json", b"mine")
    assert [file.name for file in (tmp_path / "manifests").iterdir()] == ["1.json"]
    path = make(tmp_path / "a.kin", pictures(2))
    with reopened(path) as archive:
        archive.add(pictures(1, first=2))
        assert archive.manifest.number == 2
    (tmp_path / "new").write_bytes(b"x")
    within = open_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        publish_file("nothing", "free", within)
    release(within)
