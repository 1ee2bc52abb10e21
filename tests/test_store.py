"""Stores: create only if absent, durably; every refusal of the system in one clear line."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from kinpack.archive.stores import folder_store, handles
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.store import TEMPORARY
from kinpack.errors import ArchiveError
from reliability.calls import Call, watched


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_create_only_if_absent(tmp_path: Path) -> None:
    place = FolderStore(tmp_path)
    assert place.create("segments/a.parquet", b"first")
    assert not place.create("segments/a.parquet", b"second")
    assert place.read("segments/a.parquet") == b"first"
    assert place.size("segments/a.parquet") == 5
    assert files(tmp_path) == ["segments/a.parquet"]


@pytest.mark.parametrize("data", [b"", b"x", bytes(3 << 20)])
def test_what_was_written_is_read(tmp_path: Path, data: bytes) -> None:
    place = FolderStore(tmp_path)
    assert place.create("a.bin", data)
    assert place.read("a.bin") == data
    assert place.read_range("a.bin", 0, len(data)) == data
    place.close()


def test_list_and_delete(tmp_path: Path) -> None:
    place = FolderStore(tmp_path)
    for name in ("manifests/2.json", "manifests/1.json", "segments/a.parquet"):
        place.create(name, b"x")
    assert place.list() == ["manifests/1.json", "manifests/2.json", "segments/a.parquet"]
    assert place.list("manifests/") == ["manifests/1.json", "manifests/2.json"]
    assert place.list("codecs/") == []
    place.delete("manifests/1.json")
    place.delete("manifests/1.json")
    assert place.list("manifests/") == ["manifests/2.json"]


def test_ranges_and_truncation(tmp_path: Path) -> None:
    place = FolderStore(tmp_path)
    place.create("a.bin", bytes(range(100)))
    assert place.read_range("a.bin", 10, 5) == bytes(range(10, 15))
    for offset, length in ((96, 5), (100, 1), (0, 1 << 50), (1 << 50, 1)):
        with pytest.raises(ArchiveError, match=r"a\.bin: truncated"):
            place.read_range("a.bin", offset, length)
    place.close()
    with pytest.raises(ArchiveError, match="closed; open it again"):
        place.read_range("a.bin", 0, 1)


def test_a_file_larger_than_it_may_be_is_not_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create("manifests/1.json", b"x" * 10)
    assert store.read("manifests/1.json", 10) == b"x" * 10
    with pytest.raises(ArchiveError, match=r"1\.json: damaged: it has more than 9 bytes"):
        store.read("manifests/1.json", 9)
    with (tmp_path / "manifests" / "2.json").open("wb") as file:
        file.truncate(1 << 40)  # more than there is memory for
    with pytest.raises(ArchiveError, match="damaged"):
        store.read("manifests/2.json", 1 << 28)


def test_missing_files_are_named(tmp_path: Path) -> None:
    place = FolderStore(tmp_path)
    reads: list[Any] = [place.read, place.size, lambda name: place.read_range(name, 0, 1)]
    for read in reads:
        with pytest.raises(ArchiveError, match=r"x\.bin: this file of the archive is missing"):
            read("x.bin")


def test_more_files_than_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_store, "KEPT_OPEN", 3)
    place = FolderStore(tmp_path)
    for number in range(9):
        place.create(f"{number}.bin", bytes([number] * 4))
    for _ in range(2):
        for number in range(9):
            assert place.read_range(f"{number}.bin", 1, 2) == bytes([number] * 2)
    place.close()


def test_reads_from_many_threads(tmp_path: Path) -> None:
    place = FolderStore(tmp_path)
    data = os.urandom(100_000)
    place.create("a.bin", data)
    wrong: list[int] = []

    def read(seed: int) -> None:
        for number in range(300):
            offset = (seed * 7919 + number * 104729) % 99_000
            if place.read_range("a.bin", offset, 1000) != data[offset : offset + 1000]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    place.close()


def test_one_of_many_creators_wins(tmp_path: Path) -> None:
    won: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if FolderStore(tmp_path).create("manifests/1.json", bytes([number])):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "manifests/1.json").read_bytes() == bytes(won)
    assert files(tmp_path) == ["manifests/1.json"]


def no_links(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_rename_without_replacing_where_links_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    if handles._renameat2() is None:
        pytest.skip("this system has no renameat2")
    test_create_only_if_absent(tmp_path)


def test_refused_where_nothing_is_created_only_if_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(handles, "_renameat2", lambda: None)
    with pytest.raises(ArchiveError, match="only if absent"):
        FolderStore(tmp_path).create("a.bin", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "the disk reports an error"),
        (errno.ENXIO, "No such device"),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_refusals_of_the_system_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, text: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    place = FolderStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(ArchiveError, match=text) as caught:
            place.create("a.bin", b"x")
    assert str(tmp_path / "a.bin") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    place = FolderStore(tmp_path)
    place.create("a.bin", bytes(range(256)))
    assert place.read("a.bin") == bytes(range(256))


def test_only_a_lone_writer_tidies(tmp_path: Path) -> None:
    tidied: list[str] = []
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    with one.writing(lambda: tidied.append("one")), other.writing(lambda: tidied.append("other")):
        pass
    assert tidied == ["one"]
    with other.writing(lambda: tidied.append("other")):
        pass
    assert tidied == ["one", "other"]
    new = FolderStore(tmp_path / "new")
    new.begin()
    with new.writing(lambda: tidied.append("new")):
        pass
    new.end(born=False)
    assert tidied == ["one", "other"]


def test_who_has_a_lock_may_write_within_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for held in (store.alone(), store.writing(lambda: None)):
        with held:
            with store.writing(lambda: None):
                store.create(f"{id(held)}", b"x")
            other = FolderStore(tmp_path)
            with pytest.raises(ArchiveError, match="somebody is writing"), other.alone():
                pass
        with FolderStore(tmp_path).alone():
            pass


def test_who_is_alone_finds_all_durable_and_no_other_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FolderStore(tmp_path)
    folder.create("manifests/1.json", b"of a writer that may have died before it was durable")
    synchronised: list[str] = []

    def note(call: Call, perform: Any) -> Any:
        if call.name == "fsync":
            synchronised.append(call.path)
        return perform()

    with watched(tmp_path, note), FolderStore(tmp_path).alone():
        assert {str(tmp_path), str(tmp_path / "manifests")} <= set(synchronised)
        with pytest.raises(ArchiveError, match="somebody is writing"), folder.alone():
            pass
    with (
        folder.writing(lambda: None),
        pytest.raises(ArchiveError, match="somebody is writing"),
        FolderStore(tmp_path).alone(),
    ):
        pass
    monkeypatch.setattr(folder_store, "lock_alone", lambda _: None)  # a file system without locks
    with pytest.raises(ArchiveError, match="cannot tell"), folder.alone():
        pass


def test_temporary_names_are_recognisable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    link = os.link

    def look(source: str, target: str, **options: Any) -> None:
        seen.extend(FolderStore(tmp_path).list())
        link(source, target, **options)

    monkeypatch.setattr(os, "link", look)
    FolderStore(tmp_path).create("segments/a.parquet", b"x")
    (name,) = seen
    assert name.startswith(f"segments/{TEMPORARY}")
