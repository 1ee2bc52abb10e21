"""Finding images by their ids, and remembering which were taken: what a dictionary would say."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.adding import source_reading
from kinpack.archive.adding.source_reading import AddedIds
from kinpack.archive.archive import Archive
from kinpack.archive.revisions import snapshot as finding
from kinpack.archive.revisions.hash_index import HashIndex, rows_of
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.segments.segment_tail import Tail
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.errors import ArchiveError, NotFoundError
from tests.archive_checks import CODEC, content, expected, make, renewed, reopened

few_hashes = st.lists(st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1]), max_size=9)
few_names = st.sampled_from(["a", "b", "ab", "é", "a\0", "\0", "aé", "\udc80", "x" * 300])


@settings(max_examples=100, deadline=None)
@given(st.lists(few_hashes, max_size=12))
def test_a_hash_index_is_a_dictionary_of_lists(batches: list[list[int]]) -> None:
    index, revisions = HashIndex(), [HashIndex()]
    for batch in batches:
        index = index.extended(np.array(batch, np.int64))
        revisions.append(index)
    flat = [value for batch in batches for value in batch]
    for revision in revisions:  # none has changed
        known = flat[: len(revision)]
        for value in {*flat, 5}:
            wanted = [number for number, other in enumerate(known) if other == value]
            assert list(revision.numbers(value)) == wanted[::-1]
        asked = np.array([*flat, 5], np.int64)
        assert revision.holds(asked).tolist() == [value in known for value in [*flat, 5]]


def test_a_hash_index_has_few_layers() -> None:
    index = HashIndex()
    for value in range(1000):
        index = index.extended(np.array([value], np.int64))
    assert len(index) == 1000
    assert len(index._layers) <= 10


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(few_names | st.integers(0, 60).map(str), max_size=150))
def test_taken_ids_are_those_of_a_dictionary(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(source_reading, "RECENT", 2)
    ids, rows = AddedIds(), dict[str, int]()
    for row, name in enumerate(names):
        assert ids.announce(name) == (name not in rows)
        assert not ids.announce(name)
        assert ids.store(name) == rows.get(name)
        rows[name] = row
        assert ids.rows == row + 1
    assert not any(ids.announce(name) for name in rows)
    assert ids.announce("never")


@pytest.mark.slow
def test_taken_ids_take_few_bytes() -> None:
    AddedIds().store("a")  # whatever is made once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    ids = AddedIds()
    for number in range(40_000):
        assert ids.store(f"class-{number % 10}/{number:07d}.webp") is None
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held < 40_000 * 30 + 4096 * 130
    assert [ids.store(f"class-7/{row:07d}.webp") for row in (7, 39_997)] == [7, 39_997]


@settings(max_examples=100, deadline=None)
@given(st.lists(few_names.filter(lambda name: "\udc80" not in name), max_size=20), few_names)
def test_rows_of_a_text(names: list[str], name: str) -> None:
    text = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
    ids = pa.array(["x", *names, "y"], pa.string())[1:-1]
    wanted = [row for row, other in enumerate(names) if other == name]
    assert rows_of(ids, text).tolist() == wanted


@pytest.mark.parametrize("looks", [0, 2, 1 << 40])
def test_every_id_is_found_before_and_after_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(stream_module, "ROWS", 4)
    monkeypatch.setattr(finding, "LOOKS", looks)
    path = make(tmp_path / "a.kin", pictures(30))
    with reopened(path) as archive:
        archive.remove([f"set/{number:05d}" for number in (0, 5, 8, 9, 10, 11, 29)])
        archive.add(pictures(3, first=40))
        for _ in range(3):
            for position, name in enumerate(archive.ids):
                assert archive.position(name) == position
                assert archive.entry(name).id == name
            for name in ("set/00005", "set/00029", "set/0000", "", "é"):
                assert name not in archive
                with pytest.raises(NotFoundError):
                    archive.packet(name)
        assert 7 not in archive
        names = [*archive.ids, "set/00005", "nobody", archive.ids[3]]
        with pytest.raises(NotFoundError, match="set/00005"):
            archive.remove(names)
        with reopened(path) as former:
            archive.add(renewed(50))
            assert archive.position("set/00050") == 26
            assert "set/00050" not in former
            archive.remove(["set/00001", archive.ids[3]])
            assert archive.position("set/00050") == 24
            assert former.position("set/00001") == 0


def test_a_first_read_decodes_no_more_than_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "ROWS", 300)
    monkeypatch.setattr(finding, "WORTH", 0)
    path = make(tmp_path / "a.kin", pictures(1200))
    decoded: list[str] = []
    read = Tail.read

    def noted(tail: Tail, names: list[str]) -> Any:
        decoded.append(names[0] if len(names) == 1 else "all")
        return read(tail, names)

    monkeypatch.setattr(Tail, "read", noted)
    with reopened(path) as archive:
        archive.packet("set/00700")
        assert decoded == ["id", "id", "id", "all"]
        archive.packet("set/00701")
        assert decoded == ["id", "id", "id", "all"]


def test_what_was_written_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = FolderStore.read_range

    def noted(store: FolderStore, name: str, offset: int, length: int) -> bytes:
        reads.append(name)
        return read(store, name, offset, length)

    monkeypatch.setattr(FolderStore, "read_range", noted)
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer="classic") as archive:
        archive.add(pictures(5))
        for number in range(5, 9):
            archive.add(pictures(1, first=number))
            with pytest.raises(ArchiveError, match="is there already"):
                archive.add(pictures(1, first=number - 3))
            assert archive.ids == [item.id for item in pictures(number + 1)]
            known = archive.codes_of("classic")[0], list(archive.entries()), archive.labels
            archive.search("set/00003", 4)
        assert not [name for name in reads if name.startswith("segments/")]
    with reopened(path) as archive:
        assert np.array_equal(archive.codes_of("classic")[0], known[0])
        assert (list(archive.entries()), archive.labels) == known[1:]
        assert reads


def test_a_race_lost_to_many_others_reads_the_ids_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "ROWS", 4)
    path = make(tmp_path / "a.kin")

    def items() -> Any:
        yield from pictures(9, first=20)
        yield from renewed(21, 3)  # twice in the source; in the archive
        with reopened(path) as other:
            other.add(renewed(24, 28, 4), on_duplicate="replace")
            other.remove(["set/00000"])
            other.compact()

    with reopened(path) as archive:
        with pytest.raises(Exception, match="comes twice"):
            archive.add(items())
        report = archive.add(items(), on_duplicate="replace")
        assert (report.added, report.replaced) == (7, 4)
    wanted = {**expected(pictures(10)), **expected(renewed(4)), **expected(pictures(9, first=20))}
    wanted |= expected(renewed(21, 3))
    del wanted["set/00000"]
    assert content(path) == wanted


def test_min_psnr_counts_the_images_that_are_there(tmp_path: Path) -> None:
    twice = FakeSource([*pictures(6).images, *renewed(1, 5).images])
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        report = archive.add(twice, min_psnr=20, on_duplicate="replace")
        assert archive.info()["metadata"]["reached"]["images"] == 6
    assert (report.added, report.replaced) == (6, 2)
