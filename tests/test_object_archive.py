"""Archives in object stores: the life that an archive has in a folder, and what it costs to ask."""

from __future__ import annotations

import multiprocessing
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.adding.gathering import AddReport
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest_chain import load_manifest
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores import leases, objects
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.cli import app
from kinpack.errors import ArchiveError, KinpackError, NotFoundError
from kinpack.integrations.exporting import export
from kinpack.integrations.unpacking import unpack
from tests.archive_checks import CODEC, content, expected, make, renewed, reopened
from tests.cli_runs import one_error
from tests.cli_runs import pictures as picture_files
from tests.fault_proxy import FaultProxy, Seen
from tests.object_backends import Backend, backend, use_server

pytestmark = pytest.mark.slow


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend(request.param, request, monkeypatch)


@pytest.fixture
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend("memory", request, monkeypatch)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


def names(*numbers: int) -> list[str]:
    return [f"set/{number:05d}" for number in numbers]


def chosen(*numbers: int, seed: int = 0) -> FakeSource:
    return FakeSource([pictures(100, seed=seed).images[number] for number in numbers])


@pytest.mark.slow
@pytest.mark.usefixtures("small_segments")
def test_a_whole_life(place: Backend, tmp_path: Path) -> None:
    address = place.address("deep/er/a.kin")
    with Archive.create(address, CODEC, metadata={"size": 6}, describer=None) as archive:
        assert archive.path == address
        assert archive.add(pictures(10)) == AddReport(added=10)
        assert np.array_equal(archive.read("set/00003"), pictures(10).images[3][2])
    assert content(address) == expected(pictures(10))
    with pytest.raises(ArchiveError, match="exists; use kinpack add"):
        Archive.create(address, CODEC, describer=None)
    with reopened(address) as archive:
        archive.add(pictures(3, first=10))
        archive.add(renewed(2, 11), on_duplicate="replace")
        assert archive.remove(names(0, 1)).removed == 2
        with pytest.raises(NotFoundError):
            archive.remove(["nobody"])
        wanted = {**expected(chosen(*range(2, 13))), **expected(renewed(2, 11))}
        assert content(address) == wanted
        report = archive.compact()
        assert report.segments_after <= report.segments_before
        assert report.dropped == 4
        verbs = [revision.change["verb"] for revision in archive.history()]
        assert verbs[:4] == ["add", "add", "add", "remove"]
        assert set(verbs[4:]) == {"compact"}
        assert archive.info()["images"] == 11
        assert archive.info()["bytes_on_disk"] == sum(
            len(data)
            for name, data in place.objects(address).items()
            if not name.startswith("codecs/")
        )
    assert content(address) == wanted
    with reopened(address, at=1) as old:
        assert old.ids == names(*range(10))
        assert np.array_equal(old.read("set/00000"), pictures(1).images[0][2])
        with pytest.raises(ArchiveError, match="at revision 1"):
            old.remove(names(0))
        copy(old, place.address("old.kin"))
        copy(old, tmp_path / "old.kin")
    assert content(place.address("old.kin")) == content(tmp_path / "old.kin")
    with reopened(address) as archive:
        planned = archive.gc(min_age=0, dry_run=True)
        removed = archive.gc(min_age=0)
        assert planned.files == removed.files
        newest = archive.manifest.number
        assert removed.revisions == list(range(1, newest))
        assert archive.gc().files == []
        with pytest.raises(ArchiveError, match=f"there is no revision 4; it has {newest} to"):
            reopened(address, at=4)
    assert content(address) == wanted
    assert all("is forgotten" in note for note in verify(address).notes)
    assert {name.partition("/")[0] for name in place.objects(address)} == {
        "codecs", "manifests", "segments",
    }  # fmt: skip

    make(place.address("b.kin"), chosen(60, 61))
    with reopened(address) as a, reopened(place.address("b.kin")) as b:
        merge([a, b], place.address("both.kin"))
        merge([a, b], tmp_path / "both.kin")
        with pytest.raises(ArchiveError, match="this path exists"):
            copy(a, place.address("b.kin"))
        assert seal(a, tmp_path / "a.kin.zip")
        with pytest.raises(ArchiveError, match="sealed into a local file"):
            seal(a, place.address("a.kin.zip"))
        assert unpack(a, tmp_path / "files") == 11
        assert export(a, tmp_path / "dataset", "parquet") == 11
    assert content(place.address("both.kin")) == {**wanted, **expected(chosen(60, 61))}
    assert content(tmp_path / "both.kin") == content(place.address("both.kin"))
    with reopened(tmp_path / "a.kin.zip") as sealed:
        unseal(sealed, place.address("c.kin"))
    with reopened(place.address("c.kin")) as archive:
        assert archive.manifest.number == 1
        archive.add(pictures(1, first=90))
    assert content(place.address("c.kin")) == {**wanted, **expected(pictures(1, first=90))}


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "skip", "remove", "compact", "gc", "copy"]),
        st.lists(st.integers(0, 15), max_size=8, unique=True),
    ),
    max_size=7,
)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
@pytest.mark.usefixtures("small_segments")
def test_any_life_is_that_of_a_dictionary(
    memory: Backend, life: list[tuple[str, list[int]]]
) -> None:
    address = memory.address(uuid.uuid4().hex)
    make(address, pictures(5))
    model = expected(pictures(5))
    for seed, (verb, numbers) in enumerate(life):
        with reopened(address) as archive:
            if verb in ("add", "skip"):
                source = chosen(*numbers, seed=seed)
                archive.add(source, on_duplicate="skip" if verb == "skip" else "replace")
                fresh = expected(source)
                model = {**fresh, **model} if verb == "skip" else {**model, **fresh}
            elif verb == "remove":
                there = [name for name in names(*numbers) if name in model]
                archive.remove(there)
                model = {name: value for name, value in model.items() if name not in there}
            elif verb == "compact":
                archive.compact()
            elif verb == "gc":
                archive.gc(min_age=0, keep=len(numbers) + 1)
            else:
                copy(archive, f"{address}-{seed}")
        address = f"{address}-{seed}" if verb == "copy" else address
    assert content(address) == model
    assert all("is forgotten" in note for note in verify(address).notes)


@pytest.mark.slow
def test_lost_races_are_made_up_for(place: Backend) -> None:
    address = make(place.address())
    reports: dict[str, AddReport] = {}

    def racing(policy: Any, rival: FakeSource) -> None:
        """Adds 20 to 22 while a rival, with a store of its own, commits first."""

        def items() -> Iterator[Any]:
            yield from pictures(3, first=20)
            with reopened(address) as other:
                other.add(rival, on_duplicate="replace")

        with reopened(address) as archive:
            reports[policy] = archive.add(items(), on_duplicate=policy)

    racing("error", pictures(2, first=30))
    assert reports["error"] == AddReport(added=3)
    with reopened(address) as archive:
        archive.remove(names(20, 21, 22))
    with pytest.raises(ArchiveError, match="'set/00021'"):
        racing("error", renewed(21))
    with reopened(address) as archive:
        archive.remove(names(21))
    racing("replace", renewed(21))
    assert reports["replace"] == AddReport(added=2, replaced=1)
    wanted = expected(pictures(10), pictures(3, first=20), pictures(2, first=30))
    assert content(address) == wanted


def in_threads(count: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_writers_readers_and_collectors_lose_nothing(place: Backend) -> None:
    writers, commits = (4, 6) if place.name == "memory" else (2, 3)
    address = make(place.address(), pictures(4))
    done = threading.Event()
    collected = 0

    def look_on() -> None:
        nonlocal collected
        while not done.is_set():
            with reopened(address) as archive:
                archive.compact()
                try:
                    archive.gc(min_age=3600)
                    collected += 1
                except ArchiveError as error:
                    assert "somebody is writing" in str(error)  # noqa: PT017
                assert {*names(*range(4))} <= set(archive.ids)
                assert len(list(archive.images())) == len(archive)

    def work(number: int) -> None:
        if number == writers:
            look_on()
            return
        try:
            with reopened(address) as archive:
                for step in range(commits):
                    archive.add(pictures(2, first=100 * (number + 1) + 2 * step))
        finally:
            if number == 0:
                done.set()

    in_threads(writers + 1, work)
    wanted = [pictures(2 * commits, first=100 * (number + 1)) for number in range(writers)]
    assert content(address) == expected(pictures(4), *wanted)
    with reopened(address) as archive:
        verbs = [revision.change["verb"] for revision in archive.history()]
        assert verbs.count("add") == 1 + writers * commits
        archive.compact()
        archive.gc(min_age=0)
    assert all("is forgotten" in note for note in verify(address).notes)


def test_of_two_that_make_an_archive_one_does(place: Backend) -> None:
    address = place.address()
    late = Archive.create(address, CODEC, describer=None)
    with Archive.create(address, CODEC, describer=None) as archive:
        archive.add(pictures(3))
    with pytest.raises(ArchiveError, match="this path exists"), late:
        late.add(pictures(5, first=50))
    assert content(address) == expected(pictures(3))
    assert not verify(address).notes
    with pytest.raises(ArchiveError, match="this path exists"):
        Archive.create(address, CODEC, describer=None)


def test_what_fails_to_be_made_leaves_nothing(place: Backend, tmp_path: Path) -> None:
    address = place.address()
    with pytest.raises(RuntimeError), Archive.create(address, CODEC, describer=None) as archive:
        raise RuntimeError
    with pytest.raises(KinpackError), Archive.create(address, CODEC, describer=None) as archive:
        archive.add(FakeSource([*pictures(3).images, ("x", None, None)]))
    assert place.objects(address) == {}
    with pytest.raises(ArchiveError, match=r"a\.kin: no kinpack archive"):
        reopened(address)
    source = make(tmp_path / "b.kin", pictures(4))
    (file,) = (source / "segments").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with reopened(source) as archive, pytest.raises(KinpackError):
        copy(archive, address)
    assert place.objects(address) == {}
    with Archive.create(address, CODEC, describer=None):
        pass
    assert content(address) == {}


def test_a_reader_keeps_its_state_until_it_refreshes(place: Backend) -> None:
    address = make(place.address(), pictures(6))
    with reopened(address) as reader, reopened(address) as writer:
        writer.remove(names(0))
        writer.add(pictures(2, first=10))
        assert reader.ids == names(*range(6))
        assert np.array_equal(reader.read("set/00000"), pictures(1).images[0][2])
        reader.refresh()
        assert reader.ids == writer.ids == names(*range(1, 6), 10, 11)
        writer.compact()
        writer.gc(min_age=0)
        with pytest.raises(ArchiveError, match=r"missing; open .*again"):
            reader.read("set/00001")
        reader.refresh()
        assert np.array_equal(reader.read("set/00001"), pictures(2).images[1][2])


def test_a_collection_that_stops_half_way_leaves_later_states_whole(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(BaseException):
        pass

    remove = objects.Objects.delete
    for moment in range(100):
        address = make(memory.address(f"{moment}"), pictures(3))
        with reopened(address) as archive:
            for number in range(10, 14):
                archive.add(pictures(1, first=number))
            archive.remove(names(1))
            archive.compact()
            wanted = content(address)
            deletions = 0

            def delete(self: Any, names: list[str], moment: int = moment) -> None:
                nonlocal deletions
                random.Random(moment).shuffle(names)  # a store may stop in the midst of many
                for name in names:
                    if not name.startswith(leases.LOCKS):
                        deletions += 1
                        if deletions > moment:
                            raise Stop
                    remove(self, [name])

            stopped = False
            with monkeypatch.context() as patch:
                patch.setattr(objects.Objects, "delete", delete)
                try:
                    archive.gc(min_age=0)
                except Stop:
                    stopped = True
        with reopened(address) as archive:
            for revision in archive.history():
                with reopened(address, at=revision.number) as old:
                    assert len(list(old.images())) == revision.images
            numbers = [revision.number for revision in archive.history()]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            archive.add(pictures(1, first=80))
            archive.gc(min_age=0)
        assert content(address) == {**wanted, **expected(pictures(1, first=80))}
        if not stopped:
            break
    assert moment > 8


@pytest.mark.slow
def test_changed_bytes_are_found_and_harms_no_reader(memory: Backend) -> None:
    source = pictures(2, side=3)
    address = make(memory.address(), source)
    original = expected(source)
    total = 0
    for name, data in memory.objects(address).items():
        for position in range(0, len(data), 5):
            damaged = bytearray(data)
            damaged[position] ^= 1 << (position % 8)
            memory.put(address, name, bytes(damaged))
            report = verify(address)
            assert name in " ".join(report.problems), f"{name}: byte {position}"
            try:
                with reopened(address) as archive:
                    for entry, image in archive.images():
                        assert original[entry.id][1].endswith(image.tobytes())
            except KinpackError as error:
                assert "\n" not in str(error)  # noqa: PT017
            total += 1
        for length in (0, 1, len(data) // 2, len(data) - 1):
            memory.put(address, name, data[:length])
            assert name in " ".join(verify(address).problems)
        memory.delete(address, name)
        assert verify(address).problems
        memory.put(address, name, data)
    assert total > 400
    assert verify(address).ok


@pytest.mark.usefixtures("small_segments")
def test_repair_saves_what_is_whole(place: Backend, tmp_path: Path) -> None:
    address = make(place.address(), pictures(12))
    manifest = load_manifest(ObjectStore(address))
    first, second, third = manifest.segments
    data = bytearray(place.objects(address)[first.file])
    data[first.index_offset - 1] ^= 1  # the last payload
    place.put(address, first.file, bytes(data))
    place.delete(address, second.file)
    for target in (place.address("saved.kin"), tmp_path / "saved.kin"):
        done = repair(address, target)
        assert sorted(name for name, _ in done.lost) == ["?", "?", "?", "?", "set/00003"]
        assert content(str(target)) == expected(chosen(0, 1, 2, 8, 9, 10, 11))
    assert third.file in place.objects(address)


def test_what_dead_writers_leave_goes_with_gc(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make(memory.address(), pictures(3))
    memory.put(address, "segments/" + "0" * 32 + ".parquet", b"never committed")
    memory.put(address, f"{leases.WRITER}dead", b"")
    memory.put(address, "notes.txt", b"mine")
    with reopened(address) as archive:
        archive.add(pictures(1, first=50))  # a dead writer is in nobody's way
        with pytest.raises(ArchiveError, match=r"writing.*writer-dead"):
            archive.gc(min_age=0)
        assert len(verify(address).notes) == 2
        monkeypatch.setattr(leases, "WRITER_SECONDS", -1.0)
        assert "segments/" + "0" * 32 + ".parquet" in archive.gc(min_age=0).files
    assert len(verify(address).notes) == 2  # the foreign file, and the revision that was forgotten
    assert memory.objects(address)["notes.txt"] == b"mine"


@pytest.fixture
def proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The real server behind a proxy that counts requests."""
    with FaultProxy(s3_endpoint).running() as proxy:
        use_server(proxy.endpoint, monkeypatch)
        yield proxy


def costs(proxy: FaultProxy, work: Callable[[], Any]) -> list[str]:
    """The requests of some work, as methods and kinds of objects, in order."""
    proxy.reset()
    work()
    return [kind(seen) for seen in proxy.seen]


def kind(seen: Seen) -> str:
    """A request in two words: ``LIST manifests``, ``GET index``, ``PUT lock``."""
    if seen.key.startswith("/kin?delete") or "/kin?list" in seen.key:
        folder = seen.key.rpartition(".kin/")[2].strip("/")
        return "DELETE" if "?delete" in seen.key else f"LIST {folder or 'all'}"
    folder = seen.key.split("/")[-2]
    what = {"manifests": "manifest", "segments": "segment", "codecs": "codec", "locks": "lock"}
    ranged = " range" if folder == "segments" and seen.range else ""
    return f"{seen.method} {what[folder]}{ranged}"


WRITE = ["PUT lock", "LIST locks", "HEAD manifest", "GET manifest"]
COMMIT = ["GET manifest", "PUT manifest", "PUT manifest", "GET manifest"]


@pytest.mark.usefixtures("small_segments")
def test_what_it_costs(proxy: FaultProxy) -> None:
    address = f"s3://kin/{uuid.uuid4().hex}/a.kin"
    assert costs(proxy, lambda: make(address, pictures(12))) == [
        "LIST manifests", "PUT lock", "PUT lock", "LIST locks", "PUT codec",
        "PUT segment", "PUT segment", "PUT segment", "PUT manifest", "PUT manifest",
        "LIST manifests", "HEAD segment", "HEAD segment", "HEAD segment", "DELETE",
    ]  # fmt: skip

    archives: list[Archive] = []
    assert costs(proxy, lambda: archives.append(Archive.open(address, codec=CODEC))) == [
        "LIST manifests", "GET manifest",
    ]  # fmt: skip
    (archive,) = archives
    # The first image that is asked for needs to know where it is: one read a segment, kept, up to
    # the second of three, which has it.
    assert costs(proxy, lambda: archive.read("set/00007")) == ["GET segment range"] * 3
    assert costs(proxy, lambda: archive.ids) == ["GET segment range"]
    for name in archive.ids:
        assert costs(proxy, lambda name=name: archive.read(name)) == ["GET segment range"]  # type: ignore[misc]
        (seen,) = proxy.seen
        first, last = map(int, seen.range.split("-"))
        assert last - first + 1 == archive.entry(name).length  # not a byte more
    with reopened(address) as fresh:
        # Of each segment the index, then the packets.
        assert costs(proxy, lambda: list(fresh.images())) == ["GET segment range"] * 6
        assert costs(proxy, lambda: fresh.info()) == ["LIST all"]
    assert costs(proxy, archive.refresh) == ["HEAD manifest", "GET manifest"]
    assert costs(proxy, lambda: archive.add(pictures(1, first=20))) == [
        "PUT lock",
        *WRITE,
        "PUT segment",
        *COMMIT,
        "HEAD segment",
        "DELETE",
    ]  # fmt: skip (the first writer sees that the store honours conditions: one put more)
    assert costs(proxy, lambda: archive.add(pictures(1, first=21))) == [
        *WRITE,
        "PUT segment",
        *COMMIT,
        "HEAD segment",
        "DELETE",
    ]  # fmt: skip (what it has written it does not read again)
    assert costs(proxy, lambda: archive.remove(names(3))) == [
        *WRITE, *COMMIT, "DELETE",
    ]  # fmt: skip
    assert costs(proxy, archive.history) == ["LIST manifests"] + ["GET manifest"] * 4
    found = costs(proxy, lambda: verify(address))
    assert len(found) < 25
    archive.close()


def run(*words: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, f"{words}: {result.output}"
    return result


@pytest.mark.slow
def test_the_command(place: Backend, tmp_path: Path) -> None:
    address = place.address("photos.kin")
    picture_files(tmp_path / "photos", 3, label="beach")
    picture_files(tmp_path / "more", 2, label="city", seed=9)
    pack = ("pack", tmp_path / "photos", "-o", address, "--codec", "classic")
    assert f"{address}: 3 images added" in run(*pack).stdout
    assert one_error(run(*pack, code=1).stderr).startswith(f"{address}: this path exists")
    assert "2 images added" in run("add", address, tmp_path / "more").stdout
    assert "images  " in run("info", address).stdout
    assert len(run("ls", address).stdout.splitlines()) == 5
    assert "beach/01.jpg" in run("search", address, "id:beach/01.jpg", "-k", "1").stdout
    run("get", address, "beach/01.jpg", "-o", tmp_path / "x.png")
    run("rm", address, "beach/00.png")
    run("compact", address)
    assert len(run("history", address).stdout.splitlines()) == 4
    run("gc", address, "--min-age", "0")
    run("copy", address, "-o", place.address("copy.kin"))
    run("merge", address, "-o", place.address("merged.kin"))
    run("repair", address, "-o", place.address("saved.kin"))
    run("seal", address, "-o", tmp_path / "a.kin.zip")
    run("unseal", tmp_path / "a.kin.zip", "-o", place.address("unsealed.kin"))
    run("unpack", address, "-o", tmp_path / "out")
    run("export", address, "-o", tmp_path / "dataset", "--format", "webdataset")
    for name in ("photos", "copy", "merged", "saved", "unsealed"):
        assert "is whole: 4 images" in run("verify", place.address(f"{name}.kin")).stdout
    for words in (("unpack", address), ("seal", address), ("get", address, "beach/01.jpg")):
        error = one_error(run(*words, "-o", place.address("out"), code=2).stderr)
        assert "this is written to a local path" in error
    nothing = one_error(run("info", place.address("nothing"), code=1).stderr)
    assert "no kinpack archive: it has no manifests" in nothing


def read_after_fork(archive: Archive, said: Any) -> None:
    try:
        archive.read(archive.ids[0])
        said.put("read")
    except KinpackError as error:
        said.put(str(error))


def test_after_a_fork_it_refuses_in_place_of_waiting_for_ever() -> None:
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    with reopened(make(f"memory://{uuid.uuid4().hex}/a.kin")) as archive:
        worker = context.Process(target=read_after_fork, args=(archive, said), daemon=True)
        worker.start()
        assert "spawn or forkserver" in said.get(timeout=300)
        worker.join()
