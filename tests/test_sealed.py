"""Sealed archives: one file, read in place, from a disk and over HTTP."""

from __future__ import annotations

import multiprocessing
import queue
import random
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores import ranged
from kinpack.archive.stores.ranged import TAIL_BYTES, HttpFile, LocalFile
from kinpack.archive.stores.sealed_store import SealedStore
from kinpack.errors import ArchiveError, KinpackError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened
from tests.range_server import RangeServer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 60 images, three deleted, in 8 segments; nobody changes it."""
    path = tmp_path_factory.mktemp("sealed") / "a.kin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "ROWS", 8)
        make(path, pictures(60, side=40), describer="classic")
    with reopened(path) as archive:
        archive.remove(["set/00003", "set/00004", "set/00030"])
    return path


@pytest.fixture(scope="module")
def sealed(folder: Path) -> Path:
    path = folder.with_name("a.kin.zip")
    with reopened(folder) as archive:
        assert seal(archive, path) == path.stat().st_size
    return path


@pytest.fixture
def server(sealed: Path) -> Iterator[RangeServer]:
    server = RangeServer()
    server.files["a.kin.zip"] = sealed.read_bytes()
    with server.running():
        yield server


def test_a_sealed_archive_reads_as_the_folder(folder: Path, sealed: Path, tmp_path: Path) -> None:
    assert content(sealed) == content(folder)
    with reopened(folder) as archive, reopened(sealed) as other:
        assert other.ids == archive.ids
        assert np.array_equal(other.codes_of("classic")[0], archive.codes_of("classic")[0])
        assert other.manifest.number == archive.manifest.number
        assert not any(entry.deleted for entry in other.manifest.segments)
        assert other.search("set/00007") == archive.search("set/00007")
        assert (archive.info()["deleted"], other.info()["deleted"]) == (3, 0)
        seal(archive, tmp_path / "again.kin.zip")
        seal(other, tmp_path / "third.kin.zip")
        copy(other, tmp_path / "copy.kin")
        with pytest.raises(ArchiveError, match="no revision 1; it has 2"):
            reopened(sealed, at=1)
    assert (tmp_path / "again.kin.zip").read_bytes() == sealed.read_bytes()
    assert (tmp_path / "third.kin.zip").read_bytes() == sealed.read_bytes()
    assert content(tmp_path / "copy.kin") == content(folder)


def test_it_is_a_plain_zip(folder: Path, sealed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist()[-1] == "manifests/0000000002.json"
        archive.extractall(tmp_path / "plain.kin")
    assert content(tmp_path / "plain.kin") == content(folder)
    assert sealed.stat().st_size < sum(
        file.stat().st_size for file in folder.rglob("*.*")
    ) + 300 * len(list(folder.rglob("*.*")))


def test_unsealing(folder: Path, sealed: Path, tmp_path: Path) -> None:
    done: list[int] = []
    with reopened(sealed) as archive:
        unseal(archive, tmp_path / "b.kin", progress=done.append)
    assert sum(done) == 57
    there, new = hashes(folder), hashes(tmp_path / "b.kin")
    with reopened(folder) as archive:
        cut = {entry.file for entry in archive.manifest.segments if entry.deleted}
    gone = {name for name in set(there) - set(new) if not name.startswith("codes/")}
    assert gone == {"manifests/0000000002.json", *cut}
    changed = {name for name in set(new) & set(there) if new[name] != there[name]}
    assert changed == {"manifests/0000000001.json"}
    with reopened(tmp_path / "b.kin") as archive:
        archive.add(pictures(1, first=90))
        assert archive.manifest.number == 2
    assert len(content(tmp_path / "b.kin")) == 58


def test_a_state_with_a_base_is_sealed_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(1))
    with reopened(path) as archive:
        for number in range(1, 7):
            archive.add(pictures(1, first=number))
        assert archive.manifest.base is not None
        seal(archive, tmp_path / "a.kin.zip")
    assert content(tmp_path / "a.kin.zip") == expected(pictures(7))
    with reopened(tmp_path / "a.kin.zip") as archive:
        assert archive.manifest.base is None


def test_nothing_changes_a_sealed_archive(sealed: Path) -> None:
    before = sealed.read_bytes()
    with reopened(sealed) as archive:
        for change in (
            lambda: archive.add(pictures(1, first=90)),
            lambda: archive.remove(["set/00001"]),
            archive.compact,
            archive.gc,
        ):
            with pytest.raises(ArchiveError, match=r"sealed .*cannot be changed"):
                change()
        with pytest.raises(ArchiveError, match="cannot be changed"):
            archive.store.delete("x")
        with pytest.raises(ArchiveError, match="cannot be changed"):
            archive.store.create("x", b"")
        archive.refresh()
    assert sealed.read_bytes() == before
    with pytest.raises(ArchiveError, match="closed; open it again"):
        archive.read("set/00001")


def test_zips_that_others_made(folder: Path, tmp_path: Path) -> None:
    files = sorted(file for file in folder.rglob("*.*"))
    plain, packed, extra = (tmp_path / f"{name}.kin.zip" for name in ("plain", "packed", "extra"))
    with zipfile.ZipFile(plain, "w") as one, zipfile.ZipFile(packed, "w", 8) as two:
        for file in files:
            one.write(file, file.relative_to(folder))
            two.write(file, file.relative_to(folder))
    with zipfile.ZipFile(extra, "w") as three:
        for file in files:
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            info.extra = b"\x01\x00\x04\x00abcd"
            three.writestr(info, file.read_bytes())
    assert content(plain) == content(extra) == content(folder)
    with pytest.raises(ArchiveError, match=r"compressed.*kinpack seal"):
        reopened(packed)


@pytest.mark.slow
def test_damage_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path / "a.kin", pictures(3, side=3))
    path = tmp_path / "a.kin.zip"
    with reopened(folder) as archive:
        seal(archive, path)
    wanted, data = content(path), path.read_bytes()
    rng = random.Random(5)
    unseen = 0
    for position in sorted(rng.sample(range(len(data)), 500)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = bool(verify(path).problems)
            with reopened(path) as archive:
                images = {entry.id: image for entry, image in archive.images()}
            assert set(images) == set(wanted)
            assert all(image.tobytes() in wanted[name][1] for name, image in images.items())
            unseen += not found
        except KinpackError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert unseen < 50  # dates, versions and attributes of the zip, which nobody reads
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError):
            reopened(path)
    path.write_bytes(data)
    assert content(path) == wanted


def test_names_of_several_lines_are_told_on_one(sealed: Path, tmp_path: Path) -> None:
    """Found by fuzzing: a file's name goes into the messages about it."""
    path = tmp_path / "a.kin.zip"
    path.write_bytes(sealed.read_bytes())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("codes/a\nb.bin", b"")
    path.write_bytes(path.read_bytes().replace(b"codes/a\nb.bin", b"codes/a\nc.bin", 1))
    store = SealedStore(LocalFile(path))
    assert [r"codes/a\nb.bin: its header in the zip" in fault for fault in store.faults()] == [True]
    assert "\n" not in store.where("codes/a\nb.bin")


def test_an_interrupted_seal_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(_: int) -> None:
        raise Stop

    with reopened(folder) as archive:
        with pytest.raises(Stop):
            seal(archive, tmp_path / "a.kin.zip", progress=stop)
        with pytest.raises(Stop):
            unseal(archive, tmp_path / "b.kin", progress=stop)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(ArchiveError, match="cannot write"):
            seal(archive, tmp_path / "none" / "a.kin.zip")


@pytest.mark.slow
def test_one_image_is_one_request(
    folder: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "TAIL_BYTES", 8192)
    with Archive.open(f"{server.url}/a.kin.zip", codec=CODEC) as archive:
        assert server.requests == ["bytes=-8192"]  # zip directory and manifest together
        ids = archive.ids
        before = len(server.requests)
        assert before <= 1 + len(archive.manifest.segments)
        with reopened(folder) as local:
            for count, name in enumerate(reversed(ids), start=1):
                assert np.array_equal(archive.read(name), local.read(name))
                assert len(server.requests) <= before + count
            assert len(server.requests) > before + 20  # some images lie in the part that is kept
            assert archive.search("set/00007", 3) == local.search("set/00007", 3)
    assert server.requests[before].startswith("bytes=")


@pytest.mark.slow
def test_all_is_checked_and_copied_over_http(
    folder: Path, server: RangeServer, tmp_path: Path
) -> None:
    url = f"{server.url}/moved/a.kin.zip"
    report = verify(url)
    assert report.ok
    assert report.images == 57
    with Archive.open(url, codec=CODEC) as archive:
        before = len(server.requests)
        unseal(archive, tmp_path / "b.kin")
        assert len(server.requests) <= before + 9
        assert str(archive.path) == url
    assert content(tmp_path / "b.kin") == content(folder)


def test_many_threads_read_over_http(server: RangeServer) -> None:
    errors: list[BaseException] = []
    wanted = expected(pictures(60, side=40))
    with Archive.open(f"{server.url}/a.kin.zip", codec=CODEC) as archive:

        def read(seed: int) -> None:
            try:
                for name in random.Random(seed).sample(archive.ids, 20):
                    assert archive.read(name).tobytes() in wanted[name][1]
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


def test_a_busy_server_is_asked_again(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged, "PAUSE", 0.001)
    server.failures = [503, "drop", 500]
    with Archive.open(f"{server.url}/a.kin.zip", codec=CODEC) as archive:
        assert len(server.requests) == 4
        archive.ids  # noqa: B018
        server.failures = ["drop", 429]
        assert archive.read("set/00000").size
        server.failures = [503] * 9
        with pytest.raises(ArchiveError, match=r"\(503"):
            archive.read("set/00001")


def test_what_a_server_may_answer(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"x\.kin\.zip: the server answers 404.*check the addr"):
        Archive.open(f"{server.url}/x.kin.zip")
    server.files["page"] = b"<html>" * 10
    with pytest.raises(ArchiveError, match="no sealed archive"):
        Archive.open(f"{server.url}/page")
    with pytest.raises(ArchiveError, match="no address of a file"):
        Archive.open("http:///x.kin.zip")
    with pytest.raises(ArchiveError, match="the server answers 302"):
        Archive.open(f"{server.url}/{'moved/' * 7}a.kin.zip")
    with Archive.open(f"{server.url}/a.kin.zip", codec=CODEC) as archive:
        archive.ids  # noqa: B018
        server.files["a.kin.zip"] = server.files["a.kin.zip"][:-1] + b"x"
        with pytest.raises(ArchiveError, match="has changed meanwhile"):
            archive.read("set/00000")
        server.tags = False
        server.ranges = False
        with pytest.raises(ArchiveError, match="parts of a file"):
            archive.read("set/00000")
    with pytest.raises(ArchiveError, match="parts of a file"):
        Archive.open(f"{server.url}/a.kin.zip")
    make(tmp_path / "s.kin", pictures(1))
    with reopened(tmp_path / "s.kin") as small:
        seal(small, tmp_path / "s.kin.zip")
    server.files["s.kin.zip"] = (tmp_path / "s.kin.zip").read_bytes()
    with Archive.open(f"{server.url}/s.kin.zip", codec=CODEC) as archive:  # whole, it is small
        assert len(archive) == 1


def test_ranges_of_files(sealed: Path, server: RangeServer) -> None:
    data = sealed.read_bytes()
    for file in (LocalFile(sealed), HttpFile(f"{server.url}/a.kin.zip")):
        assert file.size == len(data) > TAIL_BYTES
        for offset, length in ((0, 10), (5, len(data) - 5), (len(data) - 3, 3), (7, 0)):
            assert file.read(offset, length) == data[offset : offset + length]
        for offset, length in ((0, len(data) + 1), (len(data), 1), (1 << 50, 1)):
            with pytest.raises(ArchiveError, match="truncated"):
                file.read(offset, length)
        store = SealedStore(file)
        assert store.exists("manifests/0000000002.json")
        with pytest.raises(ArchiveError, match="is missing"):
            store.read("manifests/0000000001.json")
        with pytest.raises(ArchiveError, match="truncated"):
            store.read_range("manifests/0000000002.json", 1, 1 << 40)
        store.close()


def read_often(archive: Archive, names: list[str], said: Any) -> None:
    try:
        images = {name: archive.read(name) for name in names for _ in range(5)}
        said.put({name: image.tobytes() for name, image in images.items()})
    except Exception as error:
        said.put(repr(error))


def answer_of(workers: Sequence[Any], said: Any) -> Any:
    """The next answer of any of some processes, for as long as one of them works on it."""
    while True:
        working = any(worker.is_alive() for worker in workers)
        try:
            return said.get(timeout=1)
        except queue.Empty:
            assert working, "a process ended without an answer"


@pytest.mark.slow
def test_forked_processes_share_no_connection(
    folder: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "TAIL_BYTES", 4096)
    right = {
        name: pixels[pixels.index(b")") + 1 :] for name, (_, pixels) in content(folder).items()
    }
    with reopened(f"{server.url}/a.kin.zip") as archive:
        for name in archive.ids[::8]:
            archive.read(name)  # indices are there, and a connection is kept open
        context = multiprocessing.get_context("fork")
        said = context.Queue()
        workers = [
            context.Process(
                target=read_often, args=(archive, archive.ids[at::3], said), daemon=True
            )
            for at in range(3)
        ]
        for worker in workers:
            worker.start()
        got: dict[str, bytes] = {}
        for _ in workers:
            answer = answer_of(workers, said)
            assert not isinstance(answer, str), answer
            got |= answer
        assert got == right
