"""Changing archives: duplicates, broken pictures, removal; several writers lose nothing."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.adding.gathering import AddReport
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.store import TEMPORARY
from kinpack.errors import ArchiveError, NotFoundError
from tests.archive_checks import CODEC, content, expected, hashes, make, renewed, reopened


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


@pytest.mark.usefixtures("small_segments")
def test_duplicates_in_the_archive(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    before = hashes(path)
    with reopened(path) as archive:
        with pytest.raises(ArchiveError, match=r"'set/00003'.*--on-duplicate"):
            archive.add(renewed(12, 3))
        assert hashes(path) == before
        report = archive.add(renewed(12, 3, 4), on_duplicate="skip")
        assert report == AddReport(added=1, skipped=2)
    skipped = {**expected(renewed(12)), **expected(pictures(10))}
    assert content(path) == skipped
    with reopened(path) as archive:
        report = archive.add(renewed(3, 13, 9), on_duplicate="replace")
        assert report == AddReport(added=1, replaced=2)
        assert len(archive) == 12
        assert archive.ids[-3:] == ["set/00003", "set/00013", "set/00009"]
        assert archive.info()["deleted"] == 2
    assert content(path) == {**skipped, **expected(renewed(3, 9, 13))}
    assert {name: hashes(path)[name] for name in before} == before
    with reopened(path, at=2) as old:
        assert np.array_equal(old.read("set/00003"), pictures(10).images[3][2])
    with pytest.raises(ArchiveError, match="on_duplicate is 'never'"), reopened(path) as archive:
        archive.add(pictures(1), on_duplicate="never")  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_duplicates_within_a_source(tmp_path: Path, batch: int) -> None:
    twice = FakeSource(
        [*pictures(6).images, *renewed(1, 5, 1).images, *pictures(1, first=6).images]
    )
    path = tmp_path / "a.kin"
    with pytest.raises(ArchiveError, match="'set/00001' comes twice"):
        make(path, twice, batch=batch)
    with Archive.create(path, CODEC, describer=None) as archive:
        report = archive.add(twice, on_duplicate="skip", batch=batch)
    assert report == AddReport(added=7, skipped=3)
    assert content(path) == expected(pictures(7))
    with Archive.create(tmp_path / "b.kin", CODEC, describer=None) as archive:
        report = archive.add(twice, on_duplicate="replace", batch=batch)
    assert report == AddReport(added=7, replaced=3)
    assert content(tmp_path / "b.kin") == {**expected(pictures(7)), **expected(renewed(1, 5))}


@pytest.mark.parametrize("batch", [1, 100])
def test_broken_pictures_that_come_again(tmp_path: Path, batch: int) -> None:
    good = pictures(3).images
    names = [name for name, *_ in good]
    source = FakeSource([(names[0], None, None), *good, (names[1], None, None), ("x", None, None)])
    source.images.append(("x", None, None))
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        report = archive.add(source, skip_broken=True, on_duplicate="replace", batch=batch)
    assert report.added == 3
    assert [name for name, _ in report.broken] == [names[0], names[1], "x", "x"]
    assert content(tmp_path / "a.kin") == expected(pictures(3))


def test_broken_pictures(tmp_path: Path) -> None:
    source = FakeSource([("x", None, None), *pictures(3).images, ("y", "cat", None)])
    done: list[int] = []
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        report = archive.add(source, skip_broken=True, progress=done.append)
    assert report == AddReport(
        added=3, broken=[("x", "x: this is no picture"), ("y", "y: this is no picture")]
    )
    assert sum(done) == 3  # a broken one is no progress
    assert content(tmp_path / "a.kin") == expected(pictures(3))


@pytest.mark.usefixtures("small_segments")
def test_removing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        with pytest.raises(NotFoundError, match="it holds no image 'nobody'"):
            archive.remove(["set/00000", "nobody"])
        assert archive.remove([]).removed == 0
        assert archive.manifest.number == 1
        names = [f"set/{number:05d}" for number in (0, 4, 5, 6, 7, 9, 9)]
        assert archive.remove(names).removed == 6
        assert archive.ids == ["set/00001", "set/00002", "set/00003", "set/00008"]
        assert archive.info()["segments"] == 2
        with pytest.raises(NotFoundError):
            archive.read("set/00000")
    rest = expected(FakeSource([pictures(10).images[number] for number in (1, 2, 3, 8)]))
    assert content(path) == rest
    with reopened(path) as archive:
        archive.add(renewed(0))
    assert content(path) == {**rest, **expected(renewed(0))}


steps = st.lists(
    st.tuples(
        st.sampled_from(["error", "skip", "replace", "remove"]),
        st.lists(st.integers(0, 12), max_size=8),
        st.integers(0, 5),
    ),
    max_size=6,
)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
@pytest.mark.usefixtures("small_segments")
def test_any_history_is_that_of_a_dictionary(
    tmp_path: Path, history: list[tuple[Any, list[int], int]]
) -> None:
    path = tmp_path / "a.kin"
    shutil.rmtree(path, ignore_errors=True)
    make(path, FakeSource([]))
    revisions: dict[int, dict[str, tuple[str | None, bytes]]] = {1: {}}
    model: dict[str, tuple[str | None, bytes]] = {}
    with reopened(path) as archive:
        for verb, numbers, seed in history:
            source = FakeSource([pictures(13, seed=seed).images[number] for number in numbers])
            names = [name for name, *_ in source.images]
            fresh = expected(source)
            refused = False
            try:
                if verb == "remove":
                    archive.remove(names)
                else:
                    archive.add(source, on_duplicate=verb, batch=3)
            except ArchiveError:
                refused = True
            if verb == "remove":
                assert refused == (not set(names) <= set(model))
                if not refused:
                    model = {name: value for name, value in model.items() if name not in names}
            elif verb == "error":
                assert refused == (len(set(names)) < len(names) or bool(set(names) & set(model)))
                if not refused:
                    model = {**model, **fresh}
            elif verb == "skip":
                model = {**fresh, **model}
            else:
                model = {**model, **fresh}
            revisions[archive.manifest.number] = dict(model)
    assert content(path) == model
    for number, revision in revisions.items():
        with reopened(path, at=number) as archive:
            assert set(archive.ids) == set(revision)


def test_a_lost_race_is_made_up_for(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    reports: dict[str, AddReport] = {}

    def racing(policy: Any, rival: FakeSource) -> Callable[[], None]:
        """Adds 20 to 22 while a rival, with a store of its own, commits first."""

        def items() -> Iterator[Any]:
            yield from pictures(3, first=20)
            with reopened(path) as other:
                other.add(rival, on_duplicate="replace")

        def run() -> None:
            with reopened(path) as archive:
                reports[policy] = archive.add(items(), on_duplicate=policy)

        return run

    racing("error", pictures(2, first=30))()
    assert reports["error"] == AddReport(added=3)
    wanted = expected(pictures(10), pictures(3, first=20), pictures(2, first=30))
    assert content(path) == wanted

    with reopened(path) as archive:
        archive.remove([f"set/{number:05d}" for number in (20, 21, 22)])
    with pytest.raises(ArchiveError, match="'set/00021'"):
        racing("error", renewed(21))()
    wanted = {**expected(pictures(10), pictures(2, first=30)), **expected(renewed(21))}
    assert content(path) == wanted
    with reopened(path) as archive:
        archive.remove(["set/00021"])
    racing("skip", renewed(21))()
    assert reports["skip"] == AddReport(added=2, skipped=1)
    assert content(path) == {**wanted, **expected(pictures(1, first=20), pictures(1, first=22))}
    with reopened(path) as archive:
        archive.remove([f"set/{number:05d}" for number in (20, 21, 22)])
    racing("replace", renewed(21))()
    assert reports["replace"] == AddReport(added=2, replaced=1)
    assert content(path) == {**wanted, **expected(pictures(3, first=20))}


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", FakeSource([]))
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with reopened(path) as archive:
                for step in range(5):
                    archive.add(pictures(2, first=number * 100 + step * 2))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(content(path)) == {
        f"set/{number * 100 + step:05d}" for number in range(4) for step in range(10)
    }
    with reopened(path) as archive:
        assert archive.manifest.number == 21


def test_a_reader_keeps_its_state_until_it_refreshes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as reader, reopened(path) as writer:
        writer.add(pictures(2, first=10))
        writer.remove(["set/00000"])
        assert len(reader) == 10
        assert np.array_equal(reader.read("set/00000"), pictures(1).images[0][2])
        reader.refresh()
        assert len(reader) == 11
        assert reader.ids == writer.ids
        with pytest.raises(NotFoundError):
            reader.read("set/00000")


def test_reads_from_many_threads(tmp_path: Path) -> None:
    source = pictures(60)
    path = make(tmp_path / "a.kin", source, describer="classic")
    errors: list[BaseException] = []
    with reopened(path) as archive:

        def read(seed: int) -> None:
            try:
                for name, _, image in random.Random(seed).sample(source.images, 60):
                    assert np.array_equal(archive.read(name), image)
                    assert len(archive.search(name, 3)) == 3
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.usefixtures("small_segments")
def test_leftovers_of_dead_writers_go_with_the_next_writer(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.remove(["set/00000", "set/00001", "set/00002", "set/00003"])
    before = hashes(path)
    orphan = path / "segments" / ("0" * 32 + ".parquet")
    orphan.write_text("never committed")
    temporary = path / "manifests" / f"{TEMPORARY}x.json"
    temporary.write_text("half a mani")
    foreign = path / "segments" / "notes.txt"
    foreign.write_text("mine")
    report = verify(path)
    assert len(report.notes) == 3
    with FolderStore(path).writing(lambda: None), reopened(path) as other:
        other.add(pictures(1, first=50))
        assert orphan.exists()
    with reopened(path) as archive:
        archive.add(pictures(1, first=51))
    assert not orphan.exists()
    assert not temporary.exists()
    assert foreign.read_text() == "mine"
    assert {name: hashes(path)[name] for name in before} == before
    with reopened(path, at=1) as archive:
        assert np.array_equal(archive.read("set/00000"), pictures(1).images[0][2])
