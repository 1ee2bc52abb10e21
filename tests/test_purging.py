"""Purging: nothing is left of deleted images, whatever befell the archive before or meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care import purging
from kinpack.archive.care.copying import copy
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream
from kinpack.archive.stores.objects import Objects
from kinpack.errors import ArchiveError, NotFoundError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened
from tests.describer_checks import make_embedded, soft
from tests.object_backends import Backend, backend
from tests.traces import Trace, files_of, found, traces_of

GONE = ["set/00003", "set/00011"]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight images, so that few images make several."""
    monkeypatch.setattr(segment_stream, "ROWS", 8)


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[Path | str, Backend | None]:
    """Where an archive is to lie, and the object store if it lies in one."""
    if request.param == "folder":
        return tmp_path / "a.kin", None
    bucket = backend(request.param, request, monkeypatch)
    return bucket.address(), bucket


def aged(path: Path | str) -> list[Trace]:
    """An archive of several revisions, and the traces of images that are to go.

    One lies in a segment of many and was replaced once; one was deleted, and its segment compacted.
    """
    with Archive.create(path, CODEC, describer=None) as archive:
        archive.add(pictures(20, side=30))
        traces = traces_of(archive, GONE)
        archive.add(pictures(4, first=30, side=30))
        again = FakeSource([pictures(4, seed=5, side=30).images[3]])
        archive.add(again, on_duplicate="replace")
        traces += traces_of(archive, GONE[:1])
        archive.remove(GONE[1:])
        archive.compact()
    return traces


def left() -> dict[str, Any]:
    return {
        name: value
        for name, value in expected(pictures(20, side=30), pictures(4, first=30, side=30)).items()
        if name not in GONE
    }


@pytest.mark.parametrize("verb", ["rm", "compact"])
def test_nothing_is_left_of_them(
    place: tuple[Path | str, Backend | None], tmp_path: Path, verb: str
) -> None:
    path, bucket = place
    traces = aged(path)
    assert len(found(files_of(path, bucket), traces)) >= 4
    with reopened(path) as reader, reopened(path) as archive:
        before, number = reader.ids, archive.manifest.number
        if verb == "rm":
            report = archive.remove(GONE[:1], purge=True)
            assert report.removed == 1
            purged = report.purged
        else:
            archive.remove(GONE[:1])
            number += 1
            purged = archive.compact(purge=True).purged
        assert purged is not None
        assert purged.revisions[:number] == list(range(1, number + 1))
        assert not purged.finished
        assert found(files_of(path, bucket), traces) == []
        assert len(archive.history()) == 1
        for gone in purged.revisions:
            with pytest.raises(ArchiveError, match=f"there is no revision {gone}; it has"):
                reopened(path, at=gone)
        reader.refresh()
        assert reader.ids == [name for name in before if name != GONE[0]]
        assert content(path) == left()
        assert all("is forgotten" in note for note in verify(path).notes)
        seal(archive, tmp_path / "made.kin.zip")
        copy(archive, tmp_path / "made.kin")
        assert found(files_of(tmp_path / "made.kin.zip"), traces) == []
        assert found(files_of(tmp_path / "made.kin"), traces) == []
        archive.add(pictures(1, first=60))
    assert len(content(path)) == len(left()) + 1


def test_codes_of_a_describer_go_too(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(20))
    with reopened(path) as archive:
        traces = traces_of(archive, ["set/00004"])
        code = len(traces[0].code)
        rest = archive.codes_of("tiny")[0][[n for n in range(20) if n != 4]]
        archive.remove(["set/00004"], purge=True)
        assert (archive.codes_of("tiny")[0] == rest).all()
    plain = [Trace(trace.id, trace.payload, trace.picture, b"") for trace in traces]
    assert found(files_of(path), plain) == []
    assert sum(file.stat().st_size for file in (path / "codes").iterdir()) == 19 * code
    assert reopened(path).verify(deep=True).ok


def test_unnamed_segments_of_dead_writers_go_too(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(8, side=30))
    with reopened(path) as archive:
        traces = traces_of(archive, ["set/00002"])
        data = archive.store.read(archive.manifest.segments[0].file)
        (path / "segments" / ("0" * 32 + ".parquet")).write_bytes(data)
        (path / "segments" / ".tmp-x").write_bytes(data)
        archive.remove(["set/00002"], purge=True)
    assert found(files_of(path), traces) == []


def test_what_was_deleted_before_is_named_again(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(20, side=30))
    with reopened(path) as archive:
        traces = traces_of(archive, ["set/00002", "set/00004"])
        archive.remove(["set/00002"])
        before = hashes(path)
        with pytest.raises(NotFoundError, match="nobody"):
            archive.remove(["set/00002", "nobody"], purge=True)
        with pytest.raises(NotFoundError, match="cow"):
            archive.remove(label="cow", purge=True)
        with pytest.raises(NotFoundError):
            archive.remove([7], purge=True)  # type: ignore[list-item]
        assert hashes(path) == before
        report = archive.remove(["set/00002", "set/00004"], purge=True)
        assert report.removed == 1
        assert report.purged
        assert report.purged.finished
    assert found(files_of(path), traces) == []
    assert set(content(path)) == {name for name, *_ in pictures(20).images} - {
        trace.id for trace in traces
    }


def test_labels(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(20, side=30))
    with reopened(path) as archive:
        cats = [entry.id for entry in archive.entries() if entry.label == "cat"]
        traces = traces_of(archive, cats)
        archive.remove(label="cat")
        report = archive.remove(label="cat", purge=True)
        assert report.removed == 0
        assert report.purged
        assert report.purged.finished
    files = files_of(path)
    assert found(files, traces) == []
    assert not any(b"cat" in data for data in files.values())


def test_revisions_that_show_no_more_are_kept(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(8))
    with reopened(path) as archive:
        archive.add(pictures(8, first=8))
        report = archive.remove([], purge=True)
        assert (report.removed, report.purged and report.purged.revisions) == (0, [])
        purged = archive.compact(purge=True).purged
        assert purged
        assert purged.revisions == []
        assert len(archive.history()) == 2
        archive.remove(archive.ids[:1], purge=True)
        number = archive.manifest.number
        archive.compact(purge=True)
        assert archive.manifest.number == number  # there is nothing more to do
    with reopened(path) as archive:
        archive.remove(archive.ids, purge=True)
        assert list((path / "segments").iterdir()) == []
        assert content(path) == {}


def test_nobody_writes_meanwhile(place: tuple[Path | str, Backend | None]) -> None:
    path, bucket = place
    aged(path)
    before = files_of(path, bucket)
    with reopened(path) as archive, reopened(path) as other:
        with (
            archive.store.writing(lambda: None),
            pytest.raises(ArchiveError, match="somebody is writing"),
        ):
            other.remove(GONE[:1], purge=True)
        assert files_of(path, bucket) == before
        other.remove(GONE[:1], purge=True)
        with other.store.alone():
            pass
    assert content(path) == left()


class Stop(BaseException):
    """Like Ctrl-C: no error that anybody expects."""


class Stopper:
    """Lets calls of some functions raise ``Stop`` from one on.

    Args:
        patch: replaces the functions.
        functions: object and name of each.
        moment: how many calls are made before.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, functions: Sequence[tuple[Any, str]], moment: int
    ) -> None:
        self._left = moment
        for owner, name in functions:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise Stop
            return original(*given, **options)

        return call


FINISHING: dict[str, Callable[[Archive], object]] = {
    "rm": lambda archive: archive.remove(GONE[:1], purge=True),
    "compact": lambda archive: (
        archive.remove(set(GONE[:1]).intersection(archive.ids)),
        archive.compact(purge=True),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("finish", FINISHING)
@pytest.mark.parametrize("where", ["folder", "memory"])
def test_cut_off_at_any_moment_it_is_finished_by_repeating_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    where: str,
    finish: str,
) -> None:
    bucket = None if where == "folder" else backend(where, request, monkeypatch)
    functions: list[tuple[Any, str]] = [(os, name) for name in ("link", "unlink", "fsync")]
    if bucket:
        functions = [(Objects, name) for name in ("_put", "delete", "replace")]
    outcomes = []
    stopped = True
    for moment in range(200):
        path = bucket.address(f"{moment}.kin") if bucket else tmp_path / f"{moment}.kin"
        traces = aged(path)
        stopped = True
        with reopened(path) as archive:
            with monkeypatch.context() as patch, suppress(Stop):
                Stopper(patch, functions, moment)
                archive.remove(GONE[:1], purge=True)
                stopped = False
            if not stopped:
                break
        for lease in files_of(path, bucket):
            if bucket and lease.startswith("locks/"):
                bucket.delete(str(path), lease)  # which would be too old after a while
        with reopened(path) as archive:
            assert archive.verify(deep=True).ok
            outcomes.append(GONE[0] not in archive)
            for revision in archive.history():
                with reopened(path, at=revision.number) as old:
                    assert len(list(old.images())) == revision.images
            FINISHING[finish](archive)
        assert content(path) == left()
        assert found(files_of(path, bucket), traces) == []
    assert not stopped
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 10
    assert set(outcomes) == {False, True}


def test_gc_finishes_what_was_only_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.kin"
    traces = aged(path)
    with monkeypatch.context() as patch, reopened(path) as archive:
        Stopper(patch, [(purging, "sweep")], 0)
        with pytest.raises(Stop):
            archive.remove(GONE[:1], purge=True)
    assert found(files_of(path), traces)
    with reopened(path) as archive:
        assert archive.gc(keep=100).revisions
        assert archive.remove(GONE[:1], purge=True).purged
    assert found(files_of(path), traces) == []
    assert content(path) == left()
