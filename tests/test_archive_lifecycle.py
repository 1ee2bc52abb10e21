"""The life of an archive: deletion, compaction, collection, history, copies and merges."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from fakes.manifest_files import sealed
from kinpack.archive.archive import Archive
from kinpack.archive.care import collecting, compaction
from kinpack.archive.care.collecting import collect
from kinpack.archive.care.compaction import images_to_copy
from kinpack.archive.care.copying import CopyReport, copy, merge
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.store import TEMPORARY
from kinpack.errors import ArchiveError, NotFoundError, PayloadError
from tests.archive_checks import CODEC, content, expected, hashes, make, renewed, reopened


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 8)


def names(*numbers: int) -> list[str]:
    return [f"set/{number:05d}" for number in numbers]


def chosen(*numbers: int, seed: int = 0) -> FakeSource:
    return FakeSource([pictures(100, seed=seed).images[number] for number in numbers])


def one_by_one(path: Path, *numbers: int) -> Path:
    """An archive to which each image was added in a commit of its own."""
    with Archive.create(path, CODEC, describer=None) as archive:
        for number in numbers:
            archive.add(chosen(number))
    return path


def packets(path: Path) -> dict[str, bytes]:
    """The payload of every image, as it lies in the segments."""
    with reopened(path) as archive:
        return {name: archive.packet(name).payload for name in archive.ids}


def test_removing_by_label(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(20))
    with reopened(path) as archive:
        with pytest.raises(NotFoundError, match=r"'cow'.*kinpack ls"):
            archive.remove(names(1), label="cow")
        assert archive.remove(names(2)).removed == 1
        assert archive.remove(label="cat").removed == 7
        assert "cat" not in archive.labels
        assert archive.remove([]).removed == 0
        left = [number for number in range(20) if number % 3 != 1 and number != 2]
        assert archive.ids == names(*left)
        archive.add(renewed(4))
        assert archive.ids == names(*left, 4)
    assert content(path) == {**expected(chosen(*left)), **expected(renewed(4))}


@pytest.mark.slow
def test_compacting_copies_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(30))
    with reopened(path) as archive:
        archive.remove(names(3, 4, 29))
    before, old, listed = hashes(path), packets(path), content(path)
    done: list[int] = []
    with reopened(path) as archive:
        ids = archive.ids
        assert images_to_copy(archive.manifest) == 27
        monkeypatch.setattr(FakeCodec, "encode", None)  # nothing is coded again
        monkeypatch.setattr(FakeCodec, "decode", None)
        report = archive.compact(progress=done.append)
        monkeypatch.undo()
        monkeypatch.setattr(stream_module, "ROWS", 8)
        assert sum(done) == report.images == 27
        assert (report.dropped, report.segments_before, report.segments_after) == (0, 27, 4)
        assert report.bytes_after < report.bytes_before
        assert archive.ids == ids
        assert archive.info()["deleted"] == 0
        number = archive.manifest.number
        again = archive.compact()
        assert (again.images, again.segments_after, archive.manifest.number) == (0, 4, number)
    assert packets(path) == old
    assert content(path) == listed
    assert {name: hashes(path)[name] for name in before} == before


def test_compacting_drops_deleted_images_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(40))
    with reopened(path) as archive:
        archive.remove(names(9, 10))
        kept = {entry.name for entry in archive.manifest.segments if not entry.deleted}
        report = archive.compact()
        assert (report.images, report.dropped) == (6, 2)
        assert kept <= {entry.name for entry in archive.manifest.segments}
        assert archive.ids == names(*(number for number in range(40) if number not in (9, 10)))
        archive.remove(archive.ids)
        archive.compact()
        assert archive.manifest.segments == ()


@pytest.mark.parametrize("rival", ["add", "remove", "all", "compact", "rename", "middle"])
def test_what_others_commit_during_a_compaction_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival: str
) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(6))
    with reopened(path) as archive:
        archive.remove(names(0))
    model = expected(chosen(*range(1, 6)))
    raced = threading.Event()
    original = compaction._Compaction.following

    def following(self: Any, base: Snapshot) -> Any:
        if not raced.is_set():
            raced.set()
            with reopened(path) as other:
                if rival == "add":
                    other.add(chosen(50))
                    model.update(expected(chosen(50)))
                elif rival == "remove":
                    other.add(renewed(2), on_duplicate="replace")
                    other.remove(names(5))
                    model.update(expected(renewed(2)))
                    del model["set/00005"]
                elif rival == "all":
                    other.remove(other.ids)
                    model.clear()
                elif rival == "compact":
                    other.compact()
                elif rival == "rename":
                    other.rename({"set/00003": "third"})
                    model["third"] = model.pop("set/00003")
                else:  # something new among the old segments
                    manifest = other.manifest
                    other.add(chosen(60))
                    model.update(expected(chosen(60)))
                    one, *rest = other.manifest.segments
                    moved = manifest.following((one, rest[-1], *rest[:-1]), {})
                    following = other.manifest.following(moved.segments, {"verb": "move"})
                    FolderStore(path).create(following.file, following.to_bytes())
        return original(self, base)

    monkeypatch.setattr(compaction._Compaction, "following", following)
    with reopened(path) as archive:
        archive.compact()
        assert len(archive.manifest.segments) <= 2
    assert content(path) == model
    assert not verify(path).notes
    if rival == "remove":
        with reopened(path) as archive:
            assert archive.ids == names(1, 3, 4, 2)


def test_a_reader_goes_on_during_compaction_until_it_is_collected(tmp_path: Path) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(12))
    with reopened(path) as reader, reopened(path) as writer:
        writer.remove(names(0))
        writer.compact()
        assert reader.ids == names(*range(12))
        assert np.array_equal(reader.read("set/00000"), chosen(0).images[0][2])
        report = writer.gc()  # the revisions are young
        assert report.files == []
        assert report.revisions == []
        assert np.array_equal(reader.read("set/00007"), chosen(7).images[0][2])
        assert writer.gc(min_age=0).revisions == list(range(1, 14))
        reader.refresh()
        assert np.array_equal(reader.read("set/00007"), chosen(7).images[0][2])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 100])
def test_compaction_commits_part_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(compaction, "COMMIT_BYTES", limit)
    path = one_by_one(tmp_path / "a.kin", *range(20))
    with reopened(path) as archive:
        archive.remove(names(2, 5))
        before = content(path)
        archive.compact()
        assert archive.manifest.number > 22
        assert archive.ids == names(*(number for number in range(20) if number not in (2, 5)))
    assert content(path) == before


class Stop(BaseException):
    """Like Ctrl-C: no error that anybody expects."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0, 1, 7, 17])
def test_an_interrupted_compaction_leaves_the_former_state(tmp_path: Path, moment: int) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(18))
    before = hashes(path)
    done = 0

    def stop(count: int) -> None:
        nonlocal done
        done += count
        if done > moment:
            raise Stop

    with reopened(path) as archive, pytest.raises(Stop):
        archive.compact(progress=stop)
    assert hashes(path) == before
    with reopened(path) as archive:
        archive.compact()
    assert content(path) == expected(chosen(*range(18)))


def test_compaction_refuses_what_does_not_hold(tmp_path: Path) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(4))
    with reopened(path) as archive:
        segment = archive.manifest.segments[2]
    file = path / segment.file
    data = bytearray(file.read_bytes())
    data[segment.index_offset - 1] ^= 1
    file.write_bytes(data)
    before = hashes(path)
    with reopened(path) as archive, pytest.raises(PayloadError, match="set/00002"):
        archive.compact()
    assert hashes(path) == before


def test_collecting_keeps_what_states_need(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(4))
    with reopened(path) as archive:
        for number in range(10, 16):
            archive.add(chosen(number))
        archive.remove(names(0))
        archive.compact()
        wanted = content(path)
        (path / "segments" / f"{TEMPORARY}x").write_text("half")
        (path / "segments" / ("0" * 32 + ".parquet")).write_text("nobody's")
        (path / "codecs" / ("0" * 64 + ".kinc")).write_text("nobody's")
        (path / "notes.txt").write_text("mine")
        before = hashes(path)
        planned = archive.gc(min_age=0, keep=2, dry_run=True)
        assert hashes(path) == before
        report = archive.gc(min_age=0, keep=2)
        assert (planned.files, planned.bytes) == (report.files, report.bytes)
        assert planned.dry_run
        assert report.revisions == [1, 2, 3, 4, 5, 6, 7]
        assert report.kept == [8, 9]
        after = hashes(path)
        assert set(before) - set(after) == set(report.files)
        assert {name: before[name] for name in after} == after
        assert (path / "notes.txt").exists()
        assert not (path / "segments" / f"{TEMPORARY}x").exists()
        with reopened(path, at=8) as old:
            assert old.ids == archive.ids
        with pytest.raises(ArchiveError, match=r"no revision 7.*8 to 9"):
            reopened(path, at=7)
        assert archive.gc(min_age=0, keep=100).files == []
        assert archive.gc(min_age=0).revisions == [8]
        assert archive.info()["segments"] == len(list((path / "segments").iterdir())) == 2
        with pytest.raises(ArchiveError, match="keep is 0"):
            archive.gc(keep=0)
        archive.add(chosen(70))
        assert archive.manifest.number == 10
    assert content(path) == {**wanted, **expected(chosen(70))}


def test_nothing_is_collected_while_somebody_writes(tmp_path: Path) -> None:
    path = one_by_one(tmp_path / "a.kin", 1, 2, 3)
    with reopened(path) as archive:
        archive.compact()
        before = hashes(path)
        with (
            FolderStore(path).writing(lambda: None),
            reopened(path) as other,
            pytest.raises(ArchiveError, match=r"writing.*kinpack copy"),
        ):
            other.gc(min_age=0)
        assert hashes(path) == before


def test_a_damaged_manifest_stops_the_collection(tmp_path: Path) -> None:
    path = one_by_one(tmp_path / "a.kin", *range(4))
    with reopened(path) as archive:
        (path / "manifests" / "0000000003.json").write_text("{}")
        before = hashes(path)
        with pytest.raises(ArchiveError, match=r"0000000003\.json"):
            archive.gc(keep=2, min_age=0)
        assert hashes(path) == before
    with pytest.raises(ArchiveError, match="no kinpack archive"):
        collect(FolderStore(tmp_path))


def test_a_collection_that_is_killed_leaves_later_states_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = one_by_one(tmp_path / "original.kin", *range(3))
    with reopened(original) as archive:
        archive.remove(names(1))
        archive.compact()
    wanted = content(original)
    unlink, calls = os.unlink, 0
    for moment in range(100):
        path = shutil.copytree(original, tmp_path / "a.kin")
        calls = 0

        def stop(name: str, *, dir_fd: int, moment: int = moment) -> None:
            nonlocal calls
            calls += 1
            if calls > moment:
                raise Stop
            unlink(name, dir_fd=dir_fd)

        stopped = False
        with monkeypatch.context() as patch, reopened(path) as archive:
            patch.setattr(os, "unlink", stop)
            try:
                archive.gc(min_age=0)
            except Stop:
                stopped = True
        with reopened(path) as archive:
            for revision in archive.history():
                with reopened(path, at=revision.number) as old:
                    assert len(list(old.images())) == revision.images
        assert content(path) == wanted
        with reopened(path) as archive:
            archive.add(chosen(80))
        assert all("is forgotten" in note for note in verify(path).notes)
        shutil.rmtree(path)
        if not stopped:
            break
    assert moment > 5


def test_the_age_is_that_of_the_following_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = one_by_one(tmp_path / "a.kin", 1, 2, 3, 4)
    with reopened(path) as archive:
        archive.compact()
    for number, created in [(1, "2020-01-01"), (2, "2020-01-02"), (3, "2020-01-03")]:
        rewrite(path, number, created=f"{created}T00:00:00Z")
        os.utime(path / "manifests" / f"{number:010d}.json", (1e9, 1e9))
    with reopened(path) as archive:
        assert archive.gc().revisions == [1]  # 3 builds on 2
    rewrite(path, 3, created="yesterday")
    rewrite(path, 4, created="2020-01-03T00:00:00Z")
    for number in (3, 4):
        os.utime(path / "manifests" / f"{number:010d}.json", (1e9, 1e9))
    with reopened(path) as archive:
        assert archive.gc().revisions == [2, 3]
    rewrite(path, 5, created="tomorrow")
    with reopened(path) as archive, pytest.raises(ArchiveError, match="created is 'tomorrow'"):
        archive.gc()
    assert collecting.MIN_AGE == 3600


def rewrite(path: Path, number: int, **changes: Any) -> None:
    """Change a manifest of an archive; its checksum, and those in later ones, hold again."""
    sums: dict[str, str] = {}
    for file in sorted((path / "manifests").iterdir()):
        body = json.loads(file.read_text())
        if body["number"] == number:
            body.update(changes)
        body["parent"] = sums.get(body["parent"], body["parent"])
        if "base" in body:
            body["base"]["checksum"] = sums.get(body["base"]["checksum"], body["base"]["checksum"])
        before, data = body.pop("checksum"), sealed(body)
        times = file.stat()
        file.write_bytes(data)
        os.utime(file, (times.st_atime, times.st_mtime))
        sums[before] = json.loads(data)["checksum"]


def test_history(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(5), quality=70)
    with reopened(path) as archive:
        archive.remove(names(1, 2))
        archive.add(chosen(9))
        archive.compact()
        revisions = archive.history()
    assert [revision.number for revision in revisions] == [1, 2, 3, 4]
    assert [revision.images for revision in revisions] == [5, 3, 4, 4]
    assert [revision.segments for revision in revisions] == [1, 1, 2, 1]
    assert [revision.change["verb"] for revision in revisions] == [
        "add",
        "remove",
        "add",
        "compact",
    ]
    assert revisions[0].change == {"verb": "add", "added": 5, "replaced": 0, "quality": 70}
    assert revisions[1].change == {"verb": "remove", "removed": 2}
    for revision in revisions:
        with reopened(path, at=revision.number) as archive:
            assert len(archive) == revision.images
    with reopened(path, at=1) as old:
        changes: list[Callable[[], Any]] = [old.compact, old.gc, lambda: old.remove(names(0))]
        for change in changes:
            with pytest.raises(ArchiveError, match="at revision 1"):
                change()


def test_copying(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, metadata={"size": 6}, describer=None) as archive:
        archive.add(pictures(21))
        archive.remove(names(9, 20))
        archive.add(chosen(40))
    done: list[int] = []
    with reopened(path) as archive:
        assert copy(archive, tmp_path / "b.kin", progress=done.append) == CopyReport(images=20)
        with pytest.raises(ArchiveError, match="this path exists"):
            copy(archive, tmp_path / "b.kin")
        with reopened(tmp_path / "b.kin") as new:
            assert new.ids == archive.ids
            assert new.manifest.number == 1
            assert new.manifest.metadata == {"size": 6}
            assert new.manifest.segments[0].name == archive.manifest.segments[0].name  # whole
            assert new.info()["deleted"] == 0
    assert sum(done) == 20
    assert packets(tmp_path / "b.kin") == packets(path)
    assert content(tmp_path / "b.kin") == content(path)
    with reopened(path, at=1) as archive:
        copy(archive, tmp_path / "c.kin")
    assert content(tmp_path / "c.kin") == expected(pictures(21))


def test_copying_refuses_what_does_not_hold(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(8))
    (file,) = (path / "segments").iterdir()
    data = bytearray(file.read_bytes())
    data[60] ^= 1
    file.write_bytes(data)
    with reopened(path) as archive, pytest.raises(ArchiveError, match="SHA-256 does not hold"):
        copy(archive, tmp_path / "b.kin")
    for damage in (path / "codecs").iterdir():
        damage.write_bytes(b"x" * CODEC.n_bytes)
    with reopened(path) as archive, pytest.raises(ArchiveError, match="the codec is damaged"):
        copy(archive, tmp_path / "b.kin")
    assert list(tmp_path.iterdir()) == [path]


def test_merging(tmp_path: Path) -> None:
    make(tmp_path / "a.kin", pictures(10))
    make(tmp_path / "b.kin", renewed(9, 3, 30))
    make(tmp_path / "c.kin", chosen(50, 3))
    with (
        reopened(tmp_path / "a.kin") as a,
        reopened(tmp_path / "b.kin") as b,
        reopened(tmp_path / "c.kin") as c,
    ):
        with pytest.raises(ArchiveError, match=r"b\.kin: .*'set/00009'.*a\.kin"):
            merge([a, b, c], tmp_path / "x.kin")
        report = merge([a, b, c], tmp_path / "skip.kin", on_duplicate="skip")
        assert report == CopyReport(images=12, skipped=3)
        report = merge([a, b, c], tmp_path / "last.kin", on_duplicate="replace")
        assert report == CopyReport(images=12, replaced=3)
        assert reopened(tmp_path / "skip.kin").ids == names(*range(10), 30, 50)
        assert reopened(tmp_path / "last.kin").ids == names(0, 1, 2, 4, 5, 6, 7, 8, 9, 30, 50, 3)
        with pytest.raises(ArchiveError, match="no archives were named"):
            merge([], tmp_path / "x.kin")
        with Archive.create(tmp_path / "d.kin", FakeCodec(1)):
            pass
        with (
            Archive.open(tmp_path / "d.kin") as d,
            pytest.raises(ArchiveError, match=r"one codec.*unpack"),
        ):
            merge([a, d], tmp_path / "x.kin")
    first, second, third = expected(pictures(10)), expected(renewed(9, 3, 30)), expected(chosen(50))
    assert content(tmp_path / "skip.kin") == {**third, **second, **first}
    assert content(tmp_path / "last.kin") == {**first, **second, **third, **expected(chosen(3))}
    assert not (tmp_path / "x.kin").exists()


def test_a_merged_archive_and_its_copy_share_no_segment_name(tmp_path: Path) -> None:
    a = make(tmp_path / "a.kin", pictures(8))
    b = Path(shutil.copytree(a, tmp_path / "b.kin"))
    for path, gone in ((a, range(4)), (b, range(4, 8))):
        with reopened(path) as archive:
            archive.remove(names(*gone))
            archive.add(chosen(*gone))
    with reopened(a) as one, reopened(b) as other, pytest.raises(ArchiveError, match="is in"):
        merge([one, other], tmp_path / "c.kin")
    make(tmp_path / "e.kin", pictures(8))
    with reopened(tmp_path / "e.kin") as one:
        copy(one, tmp_path / "f.kin")
        with reopened(tmp_path / "f.kin") as other:
            other.remove(names(*range(8)))
            other.add(chosen(*range(30, 38)))
            merge([one, other], tmp_path / "g.kin")
    assert content(tmp_path / "g.kin") == expected(pictures(8), chosen(*range(30, 38)))


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "rename", "compact", "gc", "copy"]),
        st.lists(st.integers(0, 15), max_size=10, unique=True),
    ),
    max_size=7,
)


@pytest.mark.slow
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_any_life_is_that_of_a_dictionary(
    tmp_path: Path, life: list[tuple[str, list[int]]]
) -> None:
    path = tmp_path / "a.kin"
    for left in tmp_path.iterdir():
        shutil.rmtree(left)
    make(path, pictures(5))
    model = expected(pictures(5))
    seed = 0
    for verb, numbers in life:
        with reopened(path) as archive:
            if verb == "add":
                seed += 1
                source = chosen(*numbers, seed=seed)
                archive.add(source, on_duplicate="replace")
                model = {**model, **expected(source)}
            elif verb == "remove":
                there = [name for name in names(*numbers) if name in model]
                archive.remove(there)
                model = {name: value for name, value in model.items() if name not in there}
            elif verb == "rename":
                there = [name for name in names(*numbers) if name in model]
                turned = dict(zip(there, [*there[1:], *there[:1]], strict=True))
                if there:
                    archive.rename(turned)
                model = {turned.get(name, name): value for name, value in model.items()}
            elif verb == "compact":
                archive.compact()
            elif verb == "gc":
                archive.gc(min_age=0, keep=len(numbers) + 1)
            else:
                copy(archive, tmp_path / "b.kin")
        if verb == "copy":
            shutil.rmtree(path)
            (tmp_path / "b.kin").rename(path)
    assert content(path) == model
    assert all("is forgotten" in note for note in verify(path).notes)
    for segment in (path / "segments").glob("*.parquet"):
        pq.read_table(segment)
