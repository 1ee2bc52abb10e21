"""A real object store that fails in every way: nothing acknowledged is lost, nothing done twice.

A proxy on loopback does the harm. ``KINPACK_LONG=1`` tries every fault and every kill at every
request; any faults at all go on for ``KINPACK_SOAK`` seconds (by default 3). What was tried is
recorded for ``reliability.object_faults``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from fakes.fake_codec import FakeSource, pictures
from fakes.s3_server import environment
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores import buckets, leases, objects
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.errors import ArchiveError, KinpackError
from tests.archive_checks import content, expected, make, reopened
from tests.fault_proxy import FAULTS, Fault, FaultProxy
from tests.killed_object_writer import NEW, OLD, PURGED
from tests.object_backends import Backend, hurried, use_server
from tests.traces import found, traces_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
Record: TypeAlias = "Callable[[str, object], None]"

LONG = bool(os.environ.get("KINPACK_LONG"))
SOAK = float(os.environ.get("KINPACK_SOAK", "3"))
TIMEOUT = 0.8  # of a client in a hurry; the proxy is twice as slow where it is late


@pytest.fixture(scope="module")
def running_proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    with FaultProxy(s3_endpoint, patience=2 * TIMEOUT).running() as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The real server behind a proxy, and segments of four images."""
    monkeypatch.setattr(stream_module, "ROWS", 4)
    use_server(running_proxy.endpoint, monkeypatch)
    running_proxy.reset()
    yield running_proxy
    running_proxy.reset()


def fresh() -> str:
    return f"s3://kin/{uuid.uuid4().hex}/a.kin"


def once(proxy: FaultProxy, number: int, fault: Fault) -> None:
    """Do harm to one request, counted from now."""
    proxy.reset()
    proxy.plan = lambda this, _method, _key: fault if this == number else None


def one_line(error: KinpackError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 600


def requests_of(proxy: FaultProxy, work: Callable[[str], None]) -> list[str]:
    """The requests of some work when nothing fails, as method and last part of the key."""
    address = make(fresh(), pictures(5))
    proxy.reset()
    work(address)
    return [f"{seen.method} {seen.key}" for seen in proxy.seen]


def add(address: str) -> None:
    with reopened(address) as archive:
        archive.add(pictures(6, first=10))


@pytest.mark.slow
def test_one_fault_at_any_request_of_a_commit_is_made_good(
    proxy: FaultProxy, record_property: Record
) -> None:
    asked = requests_of(proxy, add)
    assert len(asked) == 18
    tried = 0
    for number, request in enumerate(asked):
        writes = request.startswith("PUT") and "/locks/" not in request
        for place, fault in enumerate(FAULTS):
            if not (LONG or ("manifests/" in request and writes) or (number + 2 * place) % 20 == 0):
                continue
            address = make(fresh(), pictures(5))
            once(proxy, number, fault)
            with hurried(TIMEOUT):
                add(address)
            assert [seen.fault for seen in proxy.seen].count(fault) == 1
            proxy.reset()
            assert content(address) == expected(pictures(5), pictures(6, first=10)), fault
            with reopened(address) as archive:
                assert archive.manifest.number == 2  # not twice
            tried += 1
    assert tried == len(asked) * len(FAULTS) or not LONG
    assert tried >= 12
    record_property("faults at one request of an add", tried)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_goes_on_failing_is_told_and_harms_nothing(
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
    fault: Fault,
) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 2)
    address = make(fresh(), pictures(5))
    asked = requests_of(proxy, add)
    manifest = next(i for i, one in enumerate(asked) if one.startswith("PUT") and "manif" in one)
    found = content(address)
    for begin in range(manifest + 1) if LONG else (manifest,):
        source = pictures(2, first=100 + 10 * begin)
        proxy.reset()
        proxy.plan = lambda this, *_, begin=begin: fault if this >= begin else None
        with hurried(TIMEOUT, retries=1):
            acknowledged = tries(lambda source=source: adding(address, source))  # type: ignore[misc]
        proxy.reset()
        before, found = found, content(address)
        record_property("faults from a request on", 1)
        assert found in (before, {**before, **expected(source)})
        assert found != before or not acknowledged
    with reopened(address) as archive:
        archive.add(pictures(1, first=90))
        assert archive.ids == [*found, "set/00090"]


def adding(address: str, source: FakeSource) -> None:
    with reopened(address) as archive:
        archive.add(source)


def tries(work: Callable[[], None]) -> bool:
    """Whether some work was done; what it says if it was not is one line."""
    try:
        work()
    except KinpackError as error:
        one_line(error)
        return False
    return True


def test_a_commit_whose_answer_was_lost_is_recognised(proxy: FaultProxy) -> None:
    address = make(fresh(), pictures(5))
    for turn, fault in enumerate(("lost", "500-after", "late")):
        proxy.reset()
        done: list[str] = []

        def plan(_: int, method: str, key: str, fault: Any = fault, done: Any = done) -> Any:
            if method == "PUT" and "/manifests/" in key and len(done) < 2:
                done.append(key)
                return fault  # twice: the store has made it the first time
            return None

        proxy.plan = plan
        with hurried(TIMEOUT), reopened(address) as archive:
            report = archive.add(pictures(2, first=20 + 2 * turn))
            assert report.added == 2
            assert archive.manifest.number == 2 + turn
        assert len(done) == 2
    proxy.reset()
    assert content(address) == expected(pictures(5), pictures(6, first=20))
    with reopened(address) as archive:
        assert [revision.images for revision in archive.history()] == [5, 7, 9, 11]


def test_a_rival_is_not_mistaken_for_oneself(proxy: FaultProxy) -> None:
    """A rival commits, even the very same, between a put that never came and its repetition."""
    address = make(fresh(), pictures(5))
    with reopened(address) as rival, reopened(address) as archive:

        def overtaken(rivals: str, number: int) -> None:
            waiting = [rivals]

            def plan(_: int, method: str, key: str) -> Fault | None:
                if method == "PUT" and f"/manifests/{number:010d}.json" in key and waiting:
                    rival.remove([waiting.pop()])
                    return "refused"
                return None

            proxy.plan = plan

        overtaken("set/00000", 2)
        assert archive.remove(["set/00001"]).removed == 1
        assert archive.manifest.number == 3
        overtaken("set/00002", 4)
        with pytest.raises(KinpackError, match="no image 'set/00002'"):
            archive.remove(["set/00002"])
    proxy.reset()
    assert set(content(address)) == {"set/00003", "set/00004"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_read_gives_the_right_bytes_or_an_error(
    proxy: FaultProxy, record_property: Record, fault: Fault
) -> None:
    source = pictures(5, side=40)
    address = make(fresh(), source)
    for number in range(4) if LONG else (FAULTS.index(fault) % 4,):
        once(proxy, number, fault)
        with hurried(TIMEOUT), reopened(address) as archive:
            for name, _, image in source.images[:2]:
                assert np.array_equal(archive.read(name), image)
        record_property("faults at one request of a read", 1)
    proxy.reset()
    with hurried(TIMEOUT, retries=1), reopened(address) as archive:
        archive.read("set/00000")
        proxy.plan = lambda *_: fault
        with pytest.raises(ArchiveError) as caught:
            archive.read("set/00001")
        one_line(caught.value)
        assert "cannot read: the store" in str(caught.value)
        proxy.reset()
        assert np.array_equal(archive.read("set/00001"), source.images[1][2])


def test_throttling_is_waited_for(proxy: FaultProxy) -> None:
    address = make(fresh(), pictures(5))
    proxy.plan = lambda number, *_: "503" if number % 3 else None
    with hurried(30.0, retries=buckets.RETRIES):
        add(address)
    proxy.reset()
    assert content(address) == expected(pictures(5), pictures(6, first=10))


@pytest.mark.slow
def test_any_faults_at_all_for_a_while(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    chance = random.Random(5)
    lock = threading.Lock()
    counts = {"requests": 0, "faults": 0, "acknowledged": 0, "refused": 0, "reads": 0}

    def plan(*_: Any) -> Fault | None:
        with lock:
            counts["requests"] += 1
            if chance.random() < 0.15:
                counts["faults"] += 1
                return chance.choice(FAULTS)
        return None

    address = make(fresh(), pictures(3))
    surely: dict[str, Any] = expected(pictures(3))
    perhaps: dict[str, Any] = {}
    errors: list[BaseException] = []
    proxy.plan = plan
    end = time.monotonic() + SOAK

    def write(writer: int) -> None:
        step = 0
        # Longer where the machine is so busy that nothing has come through yet.
        while time.monotonic() < end or (not counts["acknowledged"] and step < 1000):
            step += 1
            source = pictures(2, first=10_000 * (writer + 1) + 2 * step)
            with lock:
                perhaps.update(expected(source))
            if step % 5 == 0:
                tries(compacting)
            done = tries(lambda source=source: adding(address, source))  # type: ignore[misc]
            with lock:
                counts["acknowledged" if done else "refused"] += 1
                if done:
                    surely.update(expected(source))

    def compacting() -> None:
        with reopened(address) as archive:
            archive.compact()

    def reading(wanted: dict[str, Any]) -> None:
        with reopened(address) as archive:
            for entry, image in archive.images(batch=4):
                if entry.id in wanted:
                    assert wanted.pop(entry.id)[1].endswith(image.tobytes())
                counts["reads"] += 1
            assert not wanted

    def read() -> None:
        while time.monotonic() < end:
            with lock:
                wanted = dict(surely)
            tries(lambda wanted=wanted: reading(wanted))  # type: ignore[misc]

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    works = [lambda: write(0), lambda: write(1), read]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    with hurried(TIMEOUT, retries=1):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    proxy.reset()
    found = content(address)
    assert surely.items() <= found.items()
    assert found.items() <= {**surely, **perhaps}.items()
    assert counts["faults"] > 0
    assert counts["acknowledged"] > 0
    with reopened(address) as archive:
        added = [s.change["added"] for s in archive.history() if s.change["verb"] == "add"]
        assert sum(added) == len(found)  # no commit was made twice
        store = ObjectStore(address)
        for name in store.leases():  # whose removal failed
            store.drop(name)
        archive.gc(min_age=0, orphan_age=0)
    assert content(address) == found
    assert all("is forgotten" in note for note in verify(address).notes)
    for name, count in counts.items():
        record_property(f"{name} in the long run", count)
    record_property("seconds of the long run", SOAK)


@pytest.fixture(scope="module")
def killed(running_proxy: FaultProxy) -> Iterator[Callable[[str, str, int | None], int]]:
    """Write an archive in a process that is killed at a request; gives its exit status."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.killed_object_writer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(running_proxy.endpoint)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def run(verb: str, address: str, moment: int | None) -> int:
            known = threading.Event()
            child = 0

            def kill(number: int) -> None:
                if moment is not None and number == moment // 2:
                    known.wait()
                    os.kill(child, signal.SIGKILL)  # it waits for an answer: still ours

            running_proxy.reset()
            if moment is not None and moment % 2:
                running_proxy.after = kill
            else:
                running_proxy.before = kill
                running_proxy.plan = lambda number, *_: (
                    "refused" if moment is not None and number == moment // 2 else None
                )
            ask.write(json.dumps({"verb": verb, "address": address}) + "\n")
            ask.flush()
            child = int(answers.readline())
            known.set()
            status = int(answers.readline())
            running_proxy.reset()
            return status

        yield run
        ask.close()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["create", "add"])
def test_killed_around_every_request(
    proxy: FaultProxy,
    killed: Callable[[str, str, int | None], int],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
    verb: str,
) -> None:
    outcomes = []
    status = -1
    for moment in range(0, 100, 1 if LONG else 5):
        address = fresh()
        if verb == "add":
            make(address, pictures(OLD))
        status = killed(verb, address, moment)
        assert status in (0, -signal.SIGKILL)
        if verb == "create":
            done = is_whole_or_absent(address)
            if not done:
                make(address, pictures(OLD))  # what was left is in nobody's way
            wanted = pictures(OLD)
        else:
            done = len(content(address)) > OLD
            wanted = pictures(OLD + NEW if done else OLD)
        assert done or status != 0
        outcomes.append(done)
        assert content(address) == expected(wanted)
        with reopened(address) as archive:
            archive.add(pictures(1, first=900))
            with monkeypatch.context() as patch:
                patch.setattr(leases, "WRITER_SECONDS", -1.0)
                archive.gc(min_age=0)
        assert content(address) == expected(wanted, pictures(1, first=900))
        assert all("is forgotten" in note for note in verify(address).notes)
        if status == 0:
            break
    assert status == 0
    assert len(outcomes) > (16 if LONG else 4)
    record_property("kills around a request", len(outcomes) - 1)
    assert outcomes == sorted(outcomes)  # once visible, it stays
    assert outcomes[0] is False


@pytest.mark.slow
def test_a_purge_that_is_killed_around_any_request_is_finished_by_repeating_it(
    proxy: FaultProxy,
    killed: Callable[[str, str, int | None], int],
    record_property: Record,
) -> None:
    tried, status = 0, -1
    outcomes = set()
    for moment in range(0, 400, 1 if LONG else 15):
        address = make(fresh(), pictures(OLD, side=30))
        with reopened(address) as archive:
            archive.add(pictures(NEW, first=OLD))
            traces = traces_of(archive, [PURGED])
        status = killed("purge", address, moment)
        assert status in (0, -signal.SIGKILL)
        found_now = set(content(address))
        outcomes.add(PURGED in found_now)
        bucket = Backend("s3", "")
        for name in bucket.objects(address):
            if name.startswith(leases.LOCKS):
                bucket.delete(address, name)  # what the dead one holds is too old after a while
        with reopened(address) as archive:
            archive.remove([PURGED], purge=True)
        wanted = expected(pictures(OLD, side=30), pictures(NEW, first=OLD))
        assert found_now | {PURGED} == set(wanted)
        del wanted[PURGED]
        assert content(address) == wanted
        assert found(bucket.objects(address), traces) == []
        tried += 1
        if status == 0:
            break
    assert status == 0
    assert outcomes == {False, True}
    record_property("kills around a request", tried - 1)


def is_whole_or_absent(address: str) -> bool:
    try:
        assert content(address) == expected(pictures(OLD))
    except ArchiveError as error:
        assert "no kinpack archive" in str(error)  # noqa: PT017
        return False
    return True


@pytest.mark.parametrize("fault", ["torn", "empty"])
def test_an_upload_that_was_torn_is_not_there(
    proxy: FaultProxy, record_property: Record, fault: Fault
) -> None:
    """What the store keeps of an upload that broke off: nothing, whatever the size."""
    for size in (1, 1000, 3_000_000):
        with hurried(30.0, retries=1):
            store = ObjectStore(fresh())
        data = os.urandom(size)
        proxy.reset()
        proxy.plan = lambda *_: fault
        with pytest.raises(ArchiveError, match="it is not known whether"):
            store.create("segments/x.parquet", data)
        assert store.unclear
        proxy.reset()
        assert store.list() == []
        once(proxy, 0, fault)
        assert store.create("segments/x.parquet", data)
        assert store.read("segments/x.parquet") == data
        record_property("torn uploads", 2)


@pytest.mark.slow
def test_a_new_archive_of_unknown_fate_is_left_alone(proxy: FaultProxy) -> None:
    address = fresh()

    def plan(_: int, method: str, key: str) -> Fault | None:
        return "lost" if "/manifests/" in key and method != "HEAD" and "?" not in key else None

    proxy.plan = plan
    with hurried(TIMEOUT, retries=1), pytest.raises(ArchiveError, match="cannot"):
        make(address, pictures(5))
    proxy.reset()
    assert content(address) == expected(pictures(5))  # it was made, only nobody could tell
