"""Pipes, devices and huge files in an archive are refused; an open archive stays the one it is."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.codec.codec import Codec
from kinpack.describers.describer import Describer
from kinpack.errors import ArchiveError, CodecError, KinpackError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever waits for a pipe is woken after minutes, and fails."""

    def wake(*_: Any) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        path.open("rb").close()
    except OSError:
        pytest.skip("this user may not make devices")


def folder(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


@pytest.mark.parametrize("odd", [pipe, zeros, device, folder, huge])
@pytest.mark.parametrize("kind", ["manifests", "segments", "codecs"])
def test_odd_files_are_refused(tmp_path: Path, kind: str, odd: Callable[[Path], None]) -> None:
    path = make(tmp_path / "a.kin")
    (file,) = (path / kind).iterdir()
    file.unlink()
    odd(file)
    before = file.lstat()
    acts: list[Callable[[Archive], object]] = [
        lambda archive: archive.ids,
        lambda archive: archive.read("set/00001"),
        lambda archive: seal(archive, tmp_path / "sealed.zip"),
        lambda archive: copy(archive, tmp_path / "copy.kin"),
        lambda archive: archive.compact(),
    ]
    refused = 0
    for act in acts:
        try:
            with Archive.open(path, codec=CODEC if kind != "codecs" else None) as archive:
                act(archive)
        except KinpackError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 (some of the acts do not need the file)
    assert refused >= 2
    name = "manifests" if (kind, odd) == ("manifests", folder) else file.name
    assert any(name in problem for problem in verify(path).problems)
    assert os.path.samestat(before, file.lstat())


def test_what_cannot_be_listed_is_not_said_to_be_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin")

    def refuse(*_: object) -> list[str]:
        raise ArchiveError("the store cannot be reached")

    monkeypatch.setattr(FolderStore, "list", refuse)
    assert verify(path).problems == ["the store cannot be reached"]


@pytest.mark.parametrize("odd", [pipe, zeros, device])
def test_an_odd_file_is_no_archive(tmp_path: Path, odd: Callable[[Path], None]) -> None:
    odd(tmp_path / "a.kin.zip")
    with pytest.raises(ArchiveError, match="is a file, no archive"):
        Archive.open(tmp_path / "a.kin.zip")


@pytest.mark.parametrize("odd", [pipe, zeros, device, folder, huge])
@pytest.mark.parametrize("kind", [Codec, Describer])
def test_an_odd_file_is_no_codec_or_describer(
    tmp_path: Path, kind: type[Codec | Describer], odd: Callable[[Path], None]
) -> None:
    odd(tmp_path / "x")
    with pytest.raises(CodecError, match="x: ") as caught:
        kind.load(tmp_path / "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("purge", [False, True])
def test_odd_leftovers_keep_nobody_from_cleaning_up(tmp_path: Path, purge: bool) -> None:
    path, elsewhere = make(tmp_path / "a.kin"), make(tmp_path / "b.kin", pictures(2))
    before = hashes(elsewhere)
    (path / f".tmp-{'1' * 32}").symlink_to(elsewhere)
    (path / "segments" / f"{'1' * 32}.parquet").symlink_to(min(elsewhere.glob("segments/*")))
    pipe_there = path / "segments" / f"{'2' * 32}.parquet"
    os.mkfifo(pipe_there)
    os.mkfifo(path / "codes")
    with reopened(path) as archive:
        archive.remove(["set/00001"], purge=True) if purge else archive.gc(min_age=0)
    assert hashes(elsewhere) == before
    assert not pipe_there.exists()
    assert not [name for name in path.rglob("*") if name.is_symlink()]


def test_reading_follows_links_to_single_files(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")  # as caches of downloads hold what they have loaded
    for number, file in enumerate(sorted(path.rglob("*.*"))):
        blob = tmp_path / f"blob-{number}"
        file.rename(blob)
        file.symlink_to(blob)
    assert content(path) == expected(pictures(10))


def test_an_archive_that_was_rebuilt_is_another(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as old:
        shutil.rmtree(path)
        make(path, pictures(3, first=50))
        before = hashes(path)
        for act in (
            old.refresh,
            lambda: old.add(pictures(1, first=20)),
            lambda: old.remove(["set/00001"]),
            old.compact,
            lambda: old.gc(min_age=0),
        ):
            with pytest.raises(ArchiveError, match="open it again") as caught:
                act()
            assert "\n" not in str(caught.value)
    assert hashes(path) == before
    assert content(path) == expected(pictures(3, first=50))


def test_an_archive_opened_by_a_relative_path_is_written_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin")
    monkeypatch.chdir(tmp_path)
    with reopened(Path("a.kin")) as archive:
        monkeypatch.chdir("/")
        archive.add(pictures(2, first=20))
        archive.remove(["set/00001"])
        archive.compact()
        archive.gc(min_age=0)
        assert len(archive) == 11
    wanted = expected(pictures(10), pictures(2, first=20))
    assert content(path) == {name: wanted[name] for name in wanted if name != "set/00001"}


def test_archives_that_nobody_closes_keep_nothing_open(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("this system does not tell what is open")
    gc.collect()
    before = len(list(handles.iterdir()))
    for _ in range(50):
        reopened(path).read("set/00001")
    gc.collect()
    assert len(list(handles.iterdir())) <= before
