"""Standing still: a writer or collector that is stopped for any time loses and destroys nothing.

The bucket's clock goes when it is told to, and requests wait until they are let through: nothing
here depends on how fast anything is.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.fake_bucket import FakeBucket
from fakes.fake_codec import pictures
from fakes.manifest_files import sealed
from kinpack.archive.care.collecting import GcReport
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest import manifest_file
from kinpack.archive.stores import buckets, leases
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.errors import ArchiveError
from tests.archive_checks import CODEC, content, expected, make, reopened

PLACE = "memory://a.kin"
DAY = 24 * 3600
PATIENCE = 30


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> FakeBucket:
    """An empty bucket; leases go by its clock."""
    pytest.importorskip("obstore", reason="pip install 'kinpack[object-stores]'")
    bucket = FakeBucket()
    monkeypatch.setattr(buckets.Address, "connect", lambda *_, **__: bucket)
    monkeypatch.setattr(leases, "_clocks", lambda: (bucket.now, bucket.now))
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.0)
    return bucket


class Standing:
    """Work in a thread of its own that stands still before one of its requests.

    Args:
        bucket: that it asks.
        work: what it does.
        request: a pattern of its method and key.
        after: so many such requests are let through before.
    """

    def __init__(
        self, bucket: FakeBucket, work: Callable[[], object], request: str, after: int = 0
    ) -> None:
        self.error: Exception | None = None
        self.result: object = None
        self._there, self._go = threading.Event(), threading.Event()
        self._work, self._request, self._left = work, request, after
        self._thread = threading.Thread(target=self._run, name=f"{id(self)}")
        bucket.gates[self._thread.name] = self._gate
        self._thread.start()
        assert self._there.wait(PATIENCE)

    def go_on(self) -> None:
        """Let it go on, up to its end."""
        self._go.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _gate(self, method: str, key: str) -> None:
        if re.search(self._request, f"{method} {key}") and not self._there.is_set():
            self._left -= 1
            if self._left >= 0:
                return
            self._there.set()
            assert self._go.wait(PATIENCE)

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:
            self.error = error
        self._there.set()


def add(first: int) -> Callable[[], object]:
    def work() -> None:
        with reopened(PLACE) as archive:
            archive.add(pictures(2, first=first))

    return work


def gc(orphan_age: float | None = None) -> GcReport:
    with reopened(PLACE) as archive:
        return archive.gc(min_age=0, orphan_age=orphan_age)


def names(report: object) -> list[str]:
    assert isinstance(report, GcReport)
    return report.files


def test_a_collector_that_wakes_leaves_anothers_lease_alone(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    first = Standing(bucket, gc, "LIST a.kin$")  # it has its lease, and saw no writer
    bucket.now += leases.COLLECTOR_SECONDS + 60
    add(10)()  # takes the first for dead
    second = Standing(bucket, gc, "LIST a.kin$")
    first.go_on()
    assert "others went on without it" in str(first.error)
    writer = Standing(bucket, add(20), "PUT .*manifests/")
    second.go_on()
    assert second.error is None
    writer.go_on()
    wanted = expected(pictures(3), pictures(2, first=10))
    if writer.error is None:  # acknowledged
        wanted |= expected(pictures(2, first=20))
    else:
        assert "somebody is cleaning up the archive" in str(writer.error)
    assert content(PLACE) == wanted


def test_only_own_leases_are_ever_removed(bucket: FakeBucket) -> None:
    one, other = ObjectStore(PLACE), ObjectStore(PLACE)
    with one.alone():
        bucket.now += leases.COLLECTOR_SECONDS + 1
        with other.alone():
            with pytest.raises(ArchiveError, match="others went on without it"):
                one.delete("segments/a.parquet")
            with pytest.raises(ArchiveError, match="others went on without it"):
                one.delete("segments/b.parquet")  # it stays lost
            assert len(other.leases()) == 1
            other.delete("segments/a.parquet")
    assert one.leases() == {}


def test_a_lease_that_is_renewed_is_never_absent(bucket: FakeBucket) -> None:
    store, other = ObjectStore(PLACE), ObjectStore(PLACE)
    with store.writing(lambda: None):
        for _ in range(30):
            bucket.now += leases.WRITER_SECONDS / 9
            store.create(f"x/{bucket.now}", b"")
            with pytest.raises(ArchiveError, match="somebody is writing"), other.alone():
                pass
        assert len(store.leases()) == 1
    assert store.leases() == {}


def test_a_lease_that_ended_is_not_renewed_though_nobody_came(bucket: FakeBucket) -> None:
    store = ObjectStore(PLACE)
    with store.writing(lambda: None):
        bucket.now += leases.WRITER_SECONDS + 1
        with pytest.raises(ArchiveError, match="others went on without it"):
            store.create("x/y", b"")


@pytest.mark.parametrize("request_", ["LIST a.kin$", "DELETE .*manifests/"])
def test_what_is_being_written_is_too_young_to_be_collected(
    bucket: FakeBucket, request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where leases fail altogether, and the collector wakes between any two requests."""
    make(PLACE, pictures(3))
    add(10)()
    monkeypatch.setattr(leases.Lease, "keep", lambda _: None)
    collector = Standing(bucket, gc, request_)
    bucket.now += leases.COLLECTOR_SECONDS + 60
    writer = Standing(bucket, add(20), "PUT .*manifests/")
    collector.go_on()
    writer.go_on()
    assert (collector.error, writer.error) == (None, None)
    wanted = expected(pictures(3), pictures(2, first=10), pictures(2, first=20))
    assert content(PLACE) == wanted


def test_files_that_no_revision_named_are_kept_for_a_day(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    store = ObjectStore(PLACE)
    orphan = f"segments/{'0' * 32}.parquet"
    store.create(orphan, b"never committed")
    bucket.now += DAY - 60
    left = gc()
    assert (left.files, left.young) == ([], [orphan])
    assert names(gc(orphan_age=DAY - 120)) == [orphan]
    store.create(orphan, b"never committed")
    bucket.now += DAY + 60
    assert names(gc()) == [orphan]


def test_what_forgotten_revisions_named_goes_at_once(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    for first in (10, 20):
        add(first)()
    with reopened(PLACE) as archive:
        old = {entry.file for entry in archive.manifest.segments}
        archive.compact()
    report = gc()
    assert old <= set(report.files)
    assert not report.young
    bucket.now += DAY
    assert len(content(PLACE)) == 7


def test_a_writer_whose_files_are_gone_does_not_acknowledge(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    writer = Standing(bucket, add(20), "PUT .*manifests/")
    bucket.now += 2 * DAY  # its lease ended, and its files are old
    assert any(name.startswith("segments/") for name in names(gc()))
    writer.go_on()
    assert "the commit was undone, try again" in str(writer.error)
    assert content(PLACE) == expected(pictures(3))
    add(20)()
    assert content(PLACE) == expected(pictures(3), pictures(2, first=20))


def test_what_others_made_of_a_commit_before_it_was_looked_at_stays(bucket: FakeBucket) -> None:
    """The revision before it is forgotten; then it is compacted, and forgotten itself."""
    for compacted in (False, True):
        place = make(f"{PLACE}/{compacted}", pictures(3))

        def work(place: str = place) -> None:
            with reopened(place) as archive:
                archive.add(pictures(2, first=20))

        writer = Standing(bucket, work, "GET .*manifests/0000000001", after=3)
        bucket.now += 2 * DAY
        with reopened(place) as archive:
            if compacted:
                archive.compact()
            number = archive.manifest.number
            archive.gc(min_age=0)
        writer.go_on()
        assert number == 2 + compacted
        assert content(place) == expected(pictures(3), pictures(2, first=20))
        assert (writer.error is None) is not compacted


def test_a_writer_that_stands_still_before_it_looks_for_collectors(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    writer = Standing(bucket, add(20), "LIST a.kin/locks")
    bucket.now += 2 * DAY
    collector = Standing(bucket, gc, "LIST a.kin$")  # has removed the writer's lease
    bucket.now += 1
    writer.go_on()
    assert "others went on without it" in str(writer.error)
    collector.go_on()
    assert collector.error is None
    assert content(PLACE) == expected(pictures(3))


def test_a_purge_that_is_cut_off_is_finished_at_once(
    bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(PLACE, pictures(3))
    orphan = f"segments/{'0' * 32}.parquet"
    ObjectStore(PLACE).create(orphan, b"of a writer that stands still")
    with reopened(PLACE) as archive:
        old = {entry.file for entry in archive.manifest.segments}
        delete = ObjectStore.delete

        def cut_off(self: ObjectStore, *names: str) -> None:
            if any(name.startswith("segments/") for name in names):
                raise ArchiveError("cut off")
            delete(self, *names)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "delete", cut_off)
            with pytest.raises(ArchiveError, match="cut off"):
                archive.remove(["set/00000"], purge=True)
    with reopened(PLACE) as archive:
        done = archive.compact(purge=True).purged
    assert done is not None
    assert set(done.files) == old  # whose manifests are gone
    assert done.young == [orphan]
    assert len(content(PLACE)) == 2


@pytest.mark.parametrize("more", [1, 2])
def test_others_may_have_built_on_it_before_it_looks(bucket: FakeBucket, more: int) -> None:
    make(PLACE, pictures(4))

    def replace() -> None:
        with reopened(PLACE) as archive:
            archive.add(pictures(1, first=3, seed=9), on_duplicate="replace")

    writer = Standing(bucket, replace, "HEAD .*segments/")  # its commit is there
    with reopened(PLACE) as archive:
        archive.store.delete(archive.manifest.segments[-1].file)
    for number in range(more):
        with reopened(PLACE) as archive:
            archive.remove([f"set/{number:05d}"])
    writer.go_on()
    assert "the commit was undone, try again" in str(writer.error)
    gc()  # forgets the revisions in which it was
    wanted = expected(pictures(4))
    for number in range(more):
        del wanted[f"set/{number:05d}"]
    assert content(PLACE) == wanted


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_others_added_to_a_commit_that_is_undone_stays(
    bucket: FakeBucket, tmp_path: Path, forgotten: bool
) -> None:
    """Where the revision before it is forgotten, nothing can be given back, and it says so."""
    make(PLACE, pictures(4))

    def replace() -> None:
        with reopened(PLACE) as archive:
            archive.add(pictures(1, first=3, seed=9), on_duplicate="replace")

    writer = Standing(bucket, replace, "HEAD .*segments/")  # its commit is there
    with reopened(PLACE) as archive:
        assert len(archive.ids) == 4  # it has read what is gone next
        archive.store.delete(archive.manifest.segments[-1].file)
        if forgotten:
            bucket.now += 2 * DAY  # the writer's lease has ended
            gc()
        else:
            archive.add(pictures(2, first=30))
    writer.go_on()
    assert "\n" not in str(writer.error)
    if forgotten:
        assert "kinpack repair" in str(writer.error)
        assert repair(PLACE, tmp_path / "saved.kin", codec=CODEC).images == 3
        assert content(tmp_path / "saved.kin") == expected(pictures(3))
    else:
        assert "the commit was undone, try again" in str(writer.error)
        gc()
        assert content(PLACE) == expected(pictures(4), pictures(2, first=30))


def test_two_collectors_do_not_meet(bucket: FakeBucket) -> None:
    one, other = ObjectStore(PLACE), ObjectStore(PLACE)
    with one.alone(), pytest.raises(ArchiveError, match="already"), other.alone():
        pass
    with other.alone():
        assert len(other.leases()) == 1


def test_a_writer_waits_for_a_collector(
    bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "WAIT_SECONDS", 60.0)
    make(PLACE, pictures(3))
    with ExitStack() as collecting:
        collecting.enter_context(ObjectStore(PLACE).alone())
        monkeypatch.setattr(time, "sleep", lambda _: collecting.close())
        add(20)()
    assert content(PLACE) == expected(pictures(3), pictures(2, first=20))


def test_others_may_have_built_on_a_compaction(bucket: FakeBucket) -> None:
    make(PLACE, pictures(4))
    add(20)()

    def compact() -> None:
        with reopened(PLACE) as archive:
            archive.compact()

    compaction = Standing(bucket, compact, "HEAD .*segments/")
    with reopened(PLACE) as archive:
        archive.store.delete(archive.manifest.segments[-1].file)
    writer = Standing(bucket, add(30), "PUT .*manifests/")
    compaction.go_on()
    assert "the commit was undone" in str(compaction.error)
    writer.go_on()
    wanted = expected(pictures(4), pictures(2, first=20))
    if writer.error is None:
        wanted |= expected(pictures(2, first=30))
    gc()
    assert content(PLACE) == wanted


def test_an_undone_commit_gives_back_what_it_had_replaced(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))

    def replace() -> None:
        with reopened(PLACE) as archive:
            archive.add(pictures(3, seed=9), on_duplicate="replace")

    writer = Standing(bucket, replace, "PUT .*manifests/")
    bucket.now += 2 * DAY
    gc()
    writer.go_on()
    assert "the commit was undone" in str(writer.error)
    assert content(PLACE) == expected(pictures(3))


def test_a_first_commit_whose_files_are_gone_makes_no_archive(bucket: FakeBucket) -> None:
    writer = Standing(bucket, lambda: make(PLACE, pictures(3)), "PUT .*manifests/")
    store = ObjectStore(PLACE)
    store.delete(*store.list("segments/"))
    writer.go_on()
    assert "the commit was undone" in str(writer.error)
    with pytest.raises(ArchiveError, match="no kinpack archive"):
        reopened(PLACE)


@pytest.mark.parametrize("careless", ["manifests/", "manifests/.*[02468].json", "."])
def test_a_store_that_ignores_conditions_of_some_names_is_found_out(
    bucket: FakeBucket, careless: str
) -> None:
    """By every commit, whoever else commits meanwhile: what was acknowledged is there."""
    make(PLACE, pictures(3))
    bucket.careless = careless
    first = Standing(bucket, add(10), "PUT .*manifests/")
    second = Standing(bucket, add(20), "PUT .*manifests/", after=1)
    for writer in (first, second):
        writer.go_on()
        assert "If-None-Match" in str(writer.error)
    with pytest.raises(ArchiveError, match="If-None-Match"):
        add(30)()
    bucket.careless = "(?!)"
    assert content(PLACE) == expected(pictures(3))


def test_a_commit_that_was_forgotten_meanwhile_shows_no_careless_store(bucket: FakeBucket) -> None:
    make(PLACE, pictures(3))
    writer = Standing(bucket, add(10), "PUT .*manifests/", after=1)
    bucket.now += 2 * DAY
    with reopened(PLACE) as archive:
        archive.compact()
        archive.gc(min_age=0)
    writer.go_on()
    assert "If-None-Match" not in str(writer.error)
    assert content(PLACE) == expected(pictures(3), pictures(2, first=10))


def test_no_archive_is_born_where_conditions_of_manifests_are_ignored(bucket: FakeBucket) -> None:
    bucket.careless = "manifests/"
    with pytest.raises(ArchiveError, match="If-None-Match"):
        make(PLACE, pictures(3))
    assert ObjectStore(PLACE).list() == []


def test_a_slow_clock_does_not_forget_what_is_new(bucket: FakeBucket, tmp_path: Path) -> None:
    make(PLACE, pictures(3))
    make(tmp_path / "a.kin", pictures(3))
    for place in (PLACE, tmp_path / "a.kin"):
        for first in (10, 20, 30):
            with reopened(place) as archive:
                archive.add(pictures(2, first=first))
        store = archive.store
        with reopened(place) as archive:
            archive.compact()  # whole: what is before it may be forgotten
            store = archive.store
            body = json.loads(store.read(manifest_file(5)))
            del body["checksum"]
            old = sealed({**body, "created": "2006-01-01T00:00:00Z"})
            store.delete(manifest_file(5))
            store.create(manifest_file(5), old)
        with reopened(place) as archive:
            assert archive.gc().revisions == []
            for number in range(1, 5):
                assert len(reopened(place, at=number)) > 0
            if place == PLACE:
                bucket.now += 3601
            else:
                for number in range(1, 6):
                    ago = time.time() - 3601
                    os.utime(tmp_path / "a.kin" / manifest_file(number), (ago, ago))
            assert archive.gc().revisions == [1, 2, 3, 4]
        assert verify(place).ok


def test_a_revision_is_no_older_than_those_before_it(tmp_path: Path) -> None:
    """Its writer's clock was behind, and so was that of the disk."""
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        archive.add(pictures(2, first=10))
        archive.compact()
    body = json.loads((path / manifest_file(3)).read_bytes())
    del body["checksum"]
    (path / manifest_file(3)).write_bytes(sealed({**body, "created": "2006-01-01T00:00:00Z"}))
    os.utime(path / manifest_file(3), (1e9, 1e9))
    with reopened(path) as archive:
        assert archive.gc().revisions == []
        assert archive.gc(min_age=0).revisions == [1, 2]


def test_a_clock_that_is_ahead_keeps_no_revision_for_ever(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        archive.add(pictures(2, first=10))
        archive.compact()
    body = json.loads((path / manifest_file(3)).read_bytes())
    del body["checksum"]
    (path / manifest_file(3)).write_bytes(sealed({**body, "created": "2999-01-01T00:00:00Z"}))
    with reopened(path) as archive:
        assert archive.gc().revisions == []
        for number in (1, 2, 3):
            ago = time.time() - 3601
            os.utime(path / manifest_file(number), (ago, ago))
        assert archive.gc().revisions == [1, 2]
