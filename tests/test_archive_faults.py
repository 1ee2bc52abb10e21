"""Calls to the system that fail, in every sort of commit: a short run of ``reliability.faults``."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.care.history import history
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify_store
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError
from reliability.calls import Call, watched
from reliability.census import calls_of
from tests.archive_checks import content, expected, make, reopened
from tests.trial_runs import trial


@pytest.mark.slow
def test_every_call_may_fail(tmp_path: Path) -> None:
    result = trial("faults", tmp_path, "--every", 47)
    assert result["faults"] > 45
    assert {"create", "add", "rm", "rm-purge", "compact", "gc", "copy"} < set(result["acts"])
    for act, counts in result["acts"].items():
        assert counts["refused, former revision"] > 0, act


def test_a_call_that_another_cuts_in_two_is_seen() -> None:
    log = """12 openat(3</r/a>, "x", O_WRONLY|O_CREAT, 0666) = 5</r/a/x>
12 fsync(5</r/a/x> <unfinished ...>
13 write(6</r/b>, "..", 2) = 2
12 <... fsync resumed>)              = 0
13 fsync(6</r/b> <unfinished ...>
13 <... fsync resumed>)              = -1 EIO (Input/output error)
"""
    assert calls_of(log, "/r") == [("open", "/r/a/x"), ("write", "/r/b"), ("fsync", "/r/a/x")]


@pytest.mark.slow
def test_the_kernel_sees_the_calls_that_the_trials_see(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    try:
        result = trial("census", tmp_path)
    except AssertionError as error:
        if "Operation not permitted" in str(error):
            pytest.skip("this process may not trace")
        raise
    assert result["changing_calls"] > 100


def synchronised(folder: Path, work: Any) -> list[str]:
    """Names below a folder, "." for itself, that are synchronised by some work."""
    names: list[str] = []

    def handler(call: Call, perform: Any) -> Any:
        if call.name == "fsync":
            names.append(os.path.relpath(call.path, folder.resolve()))
        return perform()

    with watched(folder, handler):
        work()
    return names


def test_a_writer_makes_durable_what_a_dead_one_may_not_have(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        names = synchronised(tmp_path, lambda: archive.add(pictures(1, first=50)))
        assert {".", "a.kin", "a.kin/segments", "a.kin/manifests"} <= set(names)
        again = synchronised(tmp_path, lambda: archive.add(pictures(1, first=51)))
        assert {".", "a.kin"}.isdisjoint(again)  # once is enough
    with reopened(path) as archive:  # all is there already, and must stay for ever as well
        names = synchronised(
            tmp_path, lambda: archive.add(pictures(1, first=50), on_duplicate="skip")
        )
        wanted = {".", "a.kin", "a.kin/codecs", "a.kin/segments", "a.kin/manifests"}
        assert set(names) == wanted


def test_the_folder_above_may_be_closed_to_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin")
    original = os.open

    def closed(name: Any, *arguments: Any, **options: Any) -> int:
        if os.fspath(name).endswith(".."):
            raise PermissionError(errno.EACCES, "no")
        return original(name, *arguments, **options)

    monkeypatch.setattr(os, "open", closed)
    with reopened(path) as archive:
        assert archive.add(pictures(1, first=50)).added == 1


def test_a_lock_that_is_lost_refuses_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin")
    original = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH:
            raise OSError(errno.ENOLCK, "No locks available")
        original(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with reopened(path) as archive, pytest.raises(ArchiveError, match="cannot lock"):
            archive.add(pictures(1, first=50))
    assert content(path) == expected(pictures(10))


def test_a_commit_whose_temporary_name_stays_is_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin")

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch, reopened(path) as archive:
        patch.setattr(os, "unlink", refused)
        assert archive.add(pictures(1, first=10)).added == 1
    assert content(path) == expected(pictures(11))
    assert len(list(path.rglob(".tmp-*"))) == 2
    with reopened(path) as archive:
        archive.add(pictures(1, first=11))
    assert not list(path.rglob(".tmp-*"))


def test_what_a_dead_sealer_left_goes_with_the_next_one(tmp_path: Path) -> None:
    path, sealed = make(tmp_path / "a.kin"), tmp_path / "a.kin.zip"
    part = tmp_path / f".a.kin.zip.{'0' * 32}.partial"
    with reopened(path) as archive:
        seal(archive, sealed)
        data = sealed.read_bytes()
        part.hardlink_to(sealed)  # it died between two names of one file
        sealed.rename(tmp_path / "kept.zip")
        seal(archive, sealed)
        assert not part.exists()
        assert sealed.read_bytes() == (tmp_path / "kept.zip").read_bytes() == data
        sealed.unlink()
        with part.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(ArchiveError, match="is writing"):
                seal(archive, sealed)
        seal(archive, sealed)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.kin", "a.kin.zip", "kept.zip"]


def test_sealing_where_nothing_is_renamed_without_replacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinpack.archive.stores import handles

    monkeypatch.setattr(handles, "_renameat2", lambda: None)
    path, sealed = make(tmp_path / "a.kin"), tmp_path / "a.kin.zip"
    with reopened(path) as archive:
        seal(archive, sealed)
        with pytest.raises(ArchiveError, match="this path exists"):
            seal(archive, sealed)
    assert content(sealed) == expected(pictures(10))
    assert len(list(tmp_path.iterdir())) == 2


def test_collecting_during_a_verification_is_no_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        for number in range(10, 14):
            archive.add(pictures(1, first=number))
        archive.compact()

    class Collected(FolderStore):
        """A store whose old revisions go after the first look."""

        def list(self, prefix: str = "") -> list[str]:
            names = super().list(prefix)
            if not collected:
                collected.append(True)
                with reopened(path) as other:
                    other.gc(min_age=0)
            return names

    collected: list[bool] = []
    store: Store = Collected(path)
    report = verify_store(store)
    store.close()
    assert collected
    assert report.ok
    assert report.images == 14


def test_collecting_during_a_listing_of_states_is_no_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.add(pictures(1, first=10))
        archive.compact()

    class Collected(FolderStore):
        """A store whose old revisions go before the first file is read."""

        def read(self, name: str, most: int | None = None) -> bytes:
            with reopened(path) as other:
                other.gc(min_age=0)
            return super().read(name, most)

    assert [revision.number for revision in history(Collected(path))] == [3]
    (path / "manifests" / "0000000003.json").write_text("{}")
    with pytest.raises(ArchiveError, match="damaged manifest"):
        history(FolderStore(path))
