"""Archives with a describer in object stores: its file and its codes go where the images go."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import FakeSource
from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores import leases
from kinpack.errors import ArchiveError, ImageError, KinpackError
from tests.archive_checks import CODEC, content, expected, renewed, reopened
from tests.describer_checks import by_id, check, make_embedded, soft
from tests.fault_proxy import FAULTS, FaultProxy
from tests.object_backends import Backend, backend, hurried, use_server

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend(request.param, request, monkeypatch)


@pytest.fixture
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    return backend("memory", request, monkeypatch)


def folders(place: Backend, address: str) -> Counter[str]:
    """How many objects there are of each sort."""
    return Counter(name.partition("/")[0] for name in place.objects(address))


def stems(place: Backend, address: str, folder: str) -> set[str]:
    """Names of the files of a folder, without what stands behind the first dot."""
    names = place.objects(address)
    return {Path(name).name.split(".")[0] for name in names if name.startswith(f"{folder}/")}


def test_a_life_with_a_describer(place: Backend, tmp_path: Path) -> None:
    address = make_embedded(place.address())
    check(address, by_id(soft(10)))
    assert folders(place, address) == {
        "codecs": 1, "codes": 3, "describers": 1, "manifests": 1, "segments": 3
    }  # fmt: skip
    with reopened(address) as archive, reopened(make_embedded(tmp_path / "a.kin")) as folder:
        for query in ("set/00004", soft_picture(40)):
            assert archive.search(query, 5) == folder.search(query, 5, codes="tiny")
        archive.add(soft(3, first=10))
        archive.remove(["set/00001", "set/00011"])
        archive.add(renewed(3, 14), on_duplicate="replace")
        wanted = {**by_id(soft(13)), **by_id(renewed(3, 14))}
        del wanted["set/00001"], wanted["set/00011"]
        check(address, wanted)
        archive.compact()
        check(address, wanted)
        removed = archive.gc(min_age=0)
        assert {name.partition("/")[0] for name in removed.files} == {
            "codes", "manifests", "segments"
        }  # fmt: skip
    check(address, wanted)
    assert stems(place, address, "codes") == stems(place, address, "segments")
    assert folders(place, address)["manifests"] == 1


@pytest.mark.slow
def test_copies_carry_the_codes(
    place: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_embedded(place.address())
    other = make_embedded(tmp_path / "b.kin", soft(6, first=8))
    for small in (True, False):  # copied image by image, and as whole files
        monkeypatch.setattr("kinpack.archive.care.copying.is_small", lambda _, small=small: small)
        with reopened(address) as archive, reopened(other) as more:
            for root in (place.root, str(tmp_path)):
                copy(archive, f"{root}/copy{small}.kin")
                merge([archive, more], f"{root}/merged{small}.kin", on_duplicate="skip")
                check(f"{root}/copy{small}.kin", by_id(soft(10)))
                check(f"{root}/merged{small}.kin", by_id(soft(14)))
    wanted = by_id(soft(10))
    del wanted["set/00002"]
    with reopened(address) as archive:
        archive.remove(["set/00002"])
        seal(archive, tmp_path / "a.kin.zip")
    check(tmp_path / "a.kin.zip", wanted)
    with reopened(tmp_path / "a.kin.zip") as archive:
        unseal(archive, place.address("again.kin"))
    check(place.address("again.kin"), wanted)
    with reopened(place.address("again.kin")) as archive:
        assert archive.manifest.number == 1
        archive.add(soft(1, first=10))
    check(place.address("again.kin"), {**wanted, **by_id(soft(1, first=10))})


def test_repair_makes_lost_codes_anew(memory: Backend, tmp_path: Path) -> None:
    address = make_embedded(memory.address())
    damaged, missing, _ = sorted(n for n in memory.objects(address) if n.startswith("codes/"))
    memory.put(address, damaged, bytes(8))
    memory.delete(address, missing)
    for target in (memory.address("new.kin"), str(tmp_path / "new.kin")):
        report = repair(address, target, codec=CODEC)
        assert report.lost == []
        assert "were lost, and are made anew" in report.notes[-1]
        check(target, by_id(soft(10)))  # this codec loses nothing
    (kine,) = (name for name in memory.objects(address) if name.startswith("describers/"))
    memory.put(address, kine, b"damaged")
    repair(address, memory.address("none.kin"), codec=CODEC)
    assert content(memory.address("none.kin")) == expected(soft(10))
    assert set(folders(memory, memory.address("none.kin"))) == {"codecs", "manifests", "segments"}
    repair(address, memory.address("given.kin"), codec=CODEC, describer=tiny_describer())
    check(memory.address("given.kin"), by_id(soft(10)))


def test_what_fails_to_be_made_leaves_nothing(place: Backend, tmp_path: Path) -> None:
    address = place.address()
    with (
        pytest.raises(ImageError),
        Archive.create(address, CODEC, describer=tiny_describer()) as archive,
    ):
        archive.add(FakeSource([*soft(6).images, ("broken", None, None)]))
    assert place.objects(address) == {}
    source = make_embedded(tmp_path / "b.kin")
    *_, last = sorted(source.glob("codes/*"))
    last.write_bytes(b"damaged")
    with reopened(source) as archive, pytest.raises(KinpackError, match=last.name):
        unseal(archive, address)
    assert place.objects(address) == {}
    make_embedded(address, soft(2))
    check(address, by_id(soft(2)))


def test_of_two_that_make_an_archive_one_does(place: Backend) -> None:
    address = place.address()
    first = Archive.create(address, CODEC, describer=tiny_describer())
    with Archive.create(address, CODEC, describer=tiny_describer()) as second:
        second.add(soft(6))
    with first, pytest.raises(ArchiveError, match="this path exists"):
        first.add(soft(9, first=20))
    check(address, by_id(soft(6)))
    assert stems(place, address, "codes") == stems(place, address, "segments")


def test_codes_that_dead_writers_leave_go_with_gc(
    memory: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_embedded(memory.address())
    left = {f"codes/{'0' * 32}.tiny.bin", f"describers/{'0' * 64}.kine"}
    for name in left:
        memory.put(address, name, b"never committed")
    memory.put(address, f"{leases.WRITER}dead", b"")
    with reopened(address) as archive:
        with pytest.raises(ArchiveError, match=r"writing.*writer-dead"):
            archive.gc(min_age=0)
        assert left < set(memory.objects(address))
        monkeypatch.setattr(leases, "WRITER_SECONDS", -1.0)
        assert set(archive.gc(min_age=0).files) == left
    check(address, by_id(soft(10)))


def test_what_codes_cost_and_survive(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultProxy(s3_endpoint, patience=1.6).running() as proxy:
        use_server(proxy.endpoint, monkeypatch)
        address = make_embedded(f"s3://kin/{uuid.uuid4().hex}/a.kin")

        def asked(folder: str) -> list[str]:
            return [seen.method for seen in proxy.seen if f"/{folder}/" in seen.key]

        with reopened(address) as archive:
            proxy.reset()
            archive.search("set/00001", 3)
            # Of the three segments, the indices are read of those that hold the query and the hits.
            indices = len(asked("segments"))
            assert 1 <= indices <= 3
            assert asked("codes") == ["GET"] * 3
            assert asked("describers") == ["GET"]
            assert len(proxy.seen) == 4 + indices
            proxy.reset()
            archive.search("set/00009", 3)
            assert len(proxy.seen) == len(asked("segments")) <= 3 - indices
            proxy.reset()
            archive.search("set/00009", 3)
            assert proxy.seen == []
            archive.add(soft(1, first=20))
            assert asked("codes") == ["PUT", "HEAD"]

        wanted = by_id(soft(10), soft(1, first=20))
        for number, fault in enumerate(FAULTS):
            once: list[str] = []

            def plan(_: int, method: str, key: str, fault: Any = fault, once: Any = once) -> Any:
                if method == "PUT" and "/codes/" in key and not once:
                    once.append(key)
                    return fault
                return None

            proxy.reset()
            proxy.plan = plan
            source = soft(1, first=30 + number)
            with hurried(0.8), reopened(address) as archive:
                archive.add(source)
            assert once
            wanted.update(by_id(source))
        proxy.reset()
        check(address, wanted)
