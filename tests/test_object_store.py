"""Object stores as stores: create only if absent, ranges, leases, and every refusal in one line."""

from __future__ import annotations

import builtins
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kinpack.archive.stores import leases, object_store
from kinpack.archive.stores.buckets import Address
from kinpack.archive.stores.object_store import ObjectStore
from kinpack.archive.stores.opening import open_store, place_of
from kinpack.errors import ArchiveError, KinpackError, MissingExtraError
from tests.object_backends import Backend, backend, hurried, use_server

pytestmark = pytest.mark.slow


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend(request.param, request, monkeypatch)


@pytest.fixture
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend("memory", request, monkeypatch)


@pytest.fixture
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend("s3", request, monkeypatch)


def test_create_only_if_absent(place: Backend) -> None:
    store = ObjectStore(place.address())
    assert store.create("segments/a.parquet", b"first")
    assert not store.create("segments/a.parquet", b"second")
    assert not ObjectStore(place.address()).create("segments/a.parquet", memoryview(b"first"))
    assert store.read("segments/a.parquet") == b"first"
    assert store.size("segments/a.parquet") == 5
    assert ObjectStore(place.address()).size("segments/a.parquet") == 5
    assert store.list() == ["segments/a.parquet"]


def test_an_object_larger_than_it_may_be_is_refused(place: Backend) -> None:
    ObjectStore(place.address()).create("manifests/1.json", b"x" * 10)
    store = ObjectStore(place.address())
    assert store.read("manifests/1.json", 10) == b"x" * 10
    assert store.read("manifests/1.json", 1 << 28) == b"x" * 10
    with pytest.raises(ArchiveError, match=r"1\.json: damaged: it has more than 9 bytes"):
        store.read("manifests/1.json", 9)
    store.create("manifests/2.json", b"")
    assert store.read("manifests/2.json", 9) == b""


@pytest.mark.parametrize("name", ["a b/ü#?%41+&=.kin", "x"])
def test_ranges_names_and_listings(place: Backend, name: str) -> None:
    store = ObjectStore(place.address(name))
    data = bytes(range(256)) * 4
    names = ["codecs/c.kinc", "manifests/0000000001.json", "manifests/0000000002.json"]
    for one in names:
        store.create(one, data)
    ObjectStore(place.address(name + "y")).create("manifests/0000000009.json", b"not ours")
    other = ObjectStore(place.address(name))
    assert other.list() == names
    assert other.list("manifests/") == names[1:]
    assert other.list("manifests/0000000002") == names[2:]
    assert other.list("segments/") == []
    for offset, length in [(0, 1024), (0, 1), (1023, 1), (100, 500), (5, 0)]:
        assert other.read_range(names[0], offset, length) == data[offset : offset + length]
    for offset, length in [(0, 1025), (1024, 1), (5000, 10)]:
        with pytest.raises(ArchiveError, match=rf"{offset} to {offset + length} are not all there"):
            other.read_range(names[0], offset, length)
    assert other.exists(names[0])
    assert not other.exists("codecs/nothing")
    for missing in (other.read, other.size, lambda one: other.read_range(one, 0, 1)):
        with pytest.raises(ArchiveError, match="codecs/nothing: this file of the archive is miss"):
            missing("codecs/nothing")
    other.delete("codecs/nothing", *names[:2], "segments/none", *names[:1])
    assert other.list() == names[2:]
    assert other.faults() == []
    other.close()
    with pytest.raises(ArchiveError, match="the archive is closed"):
        other.read(names[2])
    with pytest.raises(ArchiveError, match="the archive is closed"):
        other.create("a", b"")


def test_long_reads_come_in_pieces(place: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "PIECE_BYTES", 1000)
    store = ObjectStore(place.address())
    data = os.urandom(3500)
    store.create("segments/a.parquet", data)
    assert store.read_range("segments/a.parquet", 7, 3400) == data[7:3407]
    with pytest.raises(ArchiveError, match="3000 to 4000"):
        store.read_range("segments/a.parquet", 0, 1 << 40)


def test_one_of_many_creators_wins(place: Backend) -> None:
    count = 8 if place.name == "memory" else 3
    rounds = 20 if place.name == "memory" else 4
    store = ObjectStore(place.address())
    for number in range(rounds):
        won: list[bytes] = []
        start = threading.Barrier(count)

        def create(text: bytes, number: int = number, won: list[bytes] = won) -> None:
            start.wait()  # noqa: B023 (all threads of a round end within it)
            if store.create(f"manifests/{number}.json", text):
                won.append(text)

        threads = [threading.Thread(target=create, args=(b"%d" % i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.read(f"manifests/{number}.json")] == won


def test_twins_do_not_take_each_other_for_themselves(place: Backend) -> None:
    one, other = ObjectStore(place.address()), ObjectStore(place.address())
    assert one.create("manifests/1.json", b"the same bytes")
    assert not other.create("manifests/1.json", b"the same bytes")


def test_a_token_that_the_store_dropped_leaves_the_content_to_tell(memory: Backend) -> None:
    memory.put(memory.address(), "manifests/1.json", b"mine")  # without a token
    store = ObjectStore(memory.address())
    assert store.create("manifests/1.json", b"mine")
    assert not store.create("manifests/1.json", b"another's")


def test_a_part_of_ones_own_upload_is_made_whole(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.exceptions import GenericError
    from obstore.store import MemoryStore

    put, calls = MemoryStore.put, 0

    def tearing(self: Any, path: str, data: bytes, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            put(self, path, data[:3], **options)
            raise GenericError("the connection broke")
        return put(self, path, data, **options)

    monkeypatch.setattr(MemoryStore, "put", tearing)
    store = ObjectStore(memory.address())
    assert store.create("manifests/1.json", b"the whole")
    assert store.read("manifests/1.json") == b"the whole"
    assert calls == 4  # the last one sees that another would be refused


def test_writers_and_a_collector_keep_apart(
    place: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ObjectStore(place.address()), ObjectStore(place.address())
    tidied: list[int] = []
    with one.writing(lambda: tidied.append(1)), other.writing(lambda: tidied.append(2)):
        assert one.list() == []  # leases are no part of the archive
        assert len(place.objects(place.address())) == 2
        with (
            pytest.raises(ArchiveError, match=r"remove .*/locks/writer-"),
            ObjectStore(place.address()).alone(),
        ):
            pass
    assert place.objects(place.address()) == {}
    assert not tidied
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.0)
    with one.alone():
        assert [*one.leases()] == [*place.objects(place.address())]
        with (
            pytest.raises(ArchiveError, match=r"remove .*locks/collector-"),
            other.writing(lambda: None),
        ):
            pass
        with (
            pytest.raises(ArchiveError, match=r"cleaning up .*already"),
            other.alone(),
        ):
            pass
    assert place.objects(place.address()) == {}


def test_a_writer_waits_for_a_collector(memory: Backend) -> None:
    store = ObjectStore(memory.address())
    done: list[str] = []
    begun = threading.Event()

    def collect() -> None:
        with store.alone():
            begun.set()
            time.sleep(0.4)
            done.append("collected")

    thread = threading.Thread(target=collect)
    thread.start()
    begun.wait()
    with ObjectStore(memory.address()).writing(lambda: None):
        done.append("written")
    thread.join()
    assert done == ["collected", "written"]


def test_the_dead_count_for_a_while(memory: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.put(memory.address(), f"{leases.WRITER}dead", b"")
    dead = f"{leases.COLLECTOR}dead"
    memory.put(memory.address(), dead, b"")
    store = ObjectStore(memory.address())
    monkeypatch.setattr(leases, "COLLECTOR_SECONDS", -1.0)
    with store.writing(lambda: None):
        assert dead not in memory.objects(memory.address())
    with (
        pytest.raises(ArchiveError, match=r"remove .*writer-dead"),
        store.alone(),
    ):
        pass
    monkeypatch.setattr(leases, "WRITER_SECONDS", -1.0)
    with store.alone():
        assert [name.startswith(leases.COLLECTOR) for name in store.leases()] == [True]
    assert memory.objects(memory.address()) == {}


def test_whoever_is_taken_for_dead_learns_of_it(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(leases, "_clocks", lambda: (clock[0], 0.0))
    slow, collector = ObjectStore(memory.address()), ObjectStore(memory.address())
    with slow.writing(lambda: None):
        clock[0] += leases.WRITER_SECONDS / 5
        before = slow.leases()
        slow.create("segments/a.parquet", b"x")
        assert [*slow.leases()] != [*before]  # renewed
        monkeypatch.setattr(leases, "WRITER_SECONDS", -1.0)
        with collector.alone():
            collector.delete("segments/a.parquet")
        clock[0] += 10 * 3600
        with pytest.raises(ArchiveError, match="others went on"):
            slow.create("manifests/1.json", b"x")
    assert memory.objects(memory.address()) == {}


def test_a_store_that_ignores_conditions_is_refused(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.store import MemoryStore

    put = MemoryStore.put

    def careless(self: Any, path: str, data: Any, **options: Any) -> Any:
        return put(self, path, data, **{**options, "mode": "overwrite"})

    monkeypatch.setattr(MemoryStore, "put", careless)
    store = ObjectStore(memory.address())
    with (
        pytest.raises(ArchiveError, match="If-None-Match"),
        store.writing(lambda: None),
    ):
        pass
    assert memory.objects(memory.address()) == {}


def test_addresses() -> None:
    for text, parts in {
        "s3://b/p/q.kin": ("s3", "b", "p/q.kin/"),
        "S3://b/p/": ("s3", "b", "p/"),
        "gs://b": ("gs", "b", ""),
        "az://c/a b#?%20": ("az", "c", "a b#?%20/"),
        "memory://x": ("memory", "", "x/"),
    }.items():
        assert place_of(text) == text
        address = Address.parse(text)
        assert (address.scheme, address.bucket, address.prefix) == parts
        assert Address.parse(str(address)) == address
    for text in ("s3://", "s3:///x", "s3://b/a//b", "gs://b/../c", "memory://a/./b", "az:///"):
        with pytest.raises(ArchiveError, match="no address of an archive"):
            Address.parse(text)
    for text in ("s3:/b/x", "ftp://b/x", "photos.kin", "/s3://x", ""):
        assert place_of(text) == Path(text)
        with pytest.raises(ArchiveError, match="no address"):
            Address.parse(text)


@pytest.mark.parametrize("address", ["s3://b/x", "memory://x", "gs://b/x", "az://b/x"])
def test_the_extra_is_named_where_it_is_missing(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return import_(name, *rest, **options)

    for name in [name for name in sys.modules if name.startswith("obstore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'kinpack\[object-stores\]'"):
        open_store(address)


def use(address: str, write: bool) -> None:
    store = ObjectStore(address)
    if write:
        store.create("manifests/0000000001.json", b"x")
    else:
        store.list("manifests/")


def refusal(address: str, write: bool = False, wait: float | None = None) -> str:
    """What is said of a bucket that cannot be used: one line, which names it."""
    with hurried(5.0 if wait is None else wait, retries=0), pytest.raises(KinpackError) as caught:
        use(address, write)
    text = str(caught.value)
    assert address in text
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize("write", [False, True])
def test_refusals_are_one_line_with_the_cure(
    s3: Backend, monkeypatch: pytest.MonkeyPatch, write: bool
) -> None:
    address = s3.address()
    assert "no bucket 'nobodys'; check the address" in refusal("s3://nobodys/x", write)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        text = refusal(address, write)
        assert "refuses the credentials (403 Forbidden, SignatureDoesNotMatch)" in text
        assert "AWS_SECRET_ACCESS_KEY" in text
        assert "wrong" not in text.replace("AWS", "")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        assert "refuses the credentials (403 Forbidden, InvalidAccessKeyId)" in refusal(
            address, write
        )
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ALLOW_HTTP")
        assert "allow that with AWS_ALLOW_HTTP=true" in refusal(address, write)
    with monkeypatch.context() as patch, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        text = refusal(address, write)
        assert "the store cannot be reached; check the network" in text
        assert "AWS_ENDPOINT_URL" in text


def test_no_credentials_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="pip install 'kinpack[object-stores]'")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        use_server(endpoint, monkeypatch)
        assert "the store did not answer in time; check" in refusal("s3://b/x", wait=0.2)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert "no credentials were found; set AWS_ACCESS_KEY_ID" in refusal("s3://b/x", wait=0.2)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert "no credentials were found; set AZURE_STORAGE_ACCOUNT_NAME" in refusal("az://c/x")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in refusal("gs://b/x")
