"""An interrupted pack or add goes on with what it has finished, and with nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from fakes.fake_codec import FakeCodec, pictures
from kinpack.archive.adding.shard_names import digest_of, shard_name
from kinpack.archive.adding.shards import Shards
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions import waiting
from kinpack.archive.segments.part import Part
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.errors import ArchiveError, KinpackError
from kinpack.sources.opening import open_source
from reliability.acts import segments_of
from tests.archive_checks import content, expected, make, reopened
from tests.cli_runs import User, one_error, texture


class Counting(FakeCodec):
    """Counts what it codes, and stops at an image."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.coded, self._stop = 0, stop

    def encode(self, images: Any, target: Any = None, **asked: Any) -> Any:
        self.coded += len(images)
        if self._stop is not None and self.coded >= self._stop:
            raise KeyboardInterrupt
        return super().encode(images, target, **asked)


@pytest.fixture(autouse=True)
def small_segments() -> Iterator[None]:
    with segments_of(4):
        yield


def files_in(path: Path) -> set[str]:
    return {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()}


def interrupted(path: Path, source: Any, stop: int, *, new: bool = True, **options: Any) -> None:
    """Begin to add a source, and stop in the batch that brings so many images."""
    codec = Counting(stop)
    with (
        pytest.raises(KeyboardInterrupt) as caught,
        Archive.create(path, codec, describer=None, resume=True)
        if new
        else Archive.open(path, codec=codec) as archive,
    ):
        archive.add(source, batch=3, resume=True, **options)
    if stop > 8:
        assert "the same command goes on" in str(caught.value)


def resumed(path: Path, source: Any, *, new: bool = True, **options: Any) -> tuple[int, int]:
    """Add a source; how many images were taken up, and how many coded."""
    codec = Counting()
    with (
        Archive.create(path, codec, describer=None, resume=True)
        if new
        else Archive.open(path, codec=codec)
    ) as archive:
        report = archive.add(source, batch=3, resume=True, **options)
    assert verify(path).ok
    return report.resumed, codec.coded


def test_an_interrupted_pack_goes_on(tmp_path: Path) -> None:
    path, source = tmp_path / "a.kin", pictures(22)
    interrupted(path, source, 15)
    with pytest.raises(ArchiveError, match="unfinished"):
        reopened(path)
    taken, coded = resumed(path, source)
    assert taken >= 8
    assert taken + coded == 22
    assert content(path) == expected(source)
    with reopened(path) as archive:
        assert archive.ids == [name for name, _, _ in source.images]
        assert len(archive.history()) == 1
    assert not [name for name in files_in(path) if name.endswith(".json") and "seg" in name]


def test_an_interrupted_add_goes_on_after_other_commits(tmp_path: Path) -> None:
    path, source = make(tmp_path / "a.kin", pictures(3)), pictures(20, first=10)
    interrupted(path, source, 15, new=False)
    with reopened(path) as archive:
        archive.add(pictures(2, first=50))
        archive.remove(["set/00001"])
        archive.compact()
        archive.gc(min_age=0)
    taken, coded = resumed(path, source, new=False)
    assert taken >= 8
    assert taken + coded == 20
    assert set(content(path)) == {f"set/{n:05}" for n in (0, 2, *range(10, 30), 50, 51)}


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_what_is_done_twice_is_there_once(policy: Any, tmp_path: Path) -> None:
    path, source = make(tmp_path / "a.kin", pictures(5)), pictures(20)
    interrupted(path, source, 14, new=False, on_duplicate=policy)
    assert resumed(path, source, new=False, on_duplicate=policy)[0] >= 4
    assert content(path) == expected(source)
    assert resumed(path, source, new=False, on_duplicate=policy)[0] == 0  # its notes are gone
    assert content(path) == expected(source)


def test_a_note_of_what_is_in_a_manifest_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, source = make(tmp_path / "a.kin", pictures(2)), pictures(12)
    delete = FolderStore.delete
    with monkeypatch.context() as patched:  # killed between the commit and this
        patched.setattr(FolderStore, "delete", lambda *_: None)
        resumed(path, source, new=False, on_duplicate="replace")
    assert [name for name in files_in(path) if name.endswith(".json") and "seg" in name]
    assert FolderStore.delete is delete
    assert resumed(path, source, new=False, on_duplicate="replace") == (0, 12)
    assert content(path) == expected(source)


def write(folder: Path, numbers: range, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for number in numbers:
        Pillow.fromarray(texture(seed + number, 6, 7)).save(folder / f"{number:03}.png")


def change(folder: Path) -> None:
    Pillow.fromarray(texture(99, 9, 9)).save(folder / "001.png")


def lengthen(folder: Path) -> None:
    write(folder, range(-3, 0), seed=60)


def touch(folder: Path) -> None:
    os.utime(folder / "006.png", (1, 1))


@pytest.mark.parametrize("meanwhile", [change, lengthen, touch])
def test_what_was_changed_meanwhile_is_coded_anew(
    meanwhile: Callable[[Path], None], tmp_path: Path
) -> None:
    folder, path = tmp_path / "photos", tmp_path / "a.kin"
    write(folder, range(20))
    interrupted(path, open_source(folder), 14)
    meanwhile(folder)
    source = open_source(folder)
    taken, coded = resumed(path, source)
    assert taken == (8 if meanwhile is lengthen else 4)
    assert taken + coded == len(source)
    with reopened(path) as archive:
        for item in source:
            assert np.array_equal(archive.read(item.id), item.load())
        assert archive.ids == [item.id for item in source]


def test_another_quality_or_codec_begins_anew(tmp_path: Path) -> None:
    path, source = tmp_path / "a.kin", pictures(20)
    interrupted(path, source, 14)
    assert resumed(path, source, quality=30) == (0, 20)
    assert not [name for name in files_in(path) if name.endswith(".json") and "seg" in name]
    assert len([name for name in files_in(path) if name.endswith(".parquet")]) == 5


def test_a_damaged_or_missing_file_is_not_taken_up(tmp_path: Path) -> None:
    path, source = tmp_path / "a.kin", pictures(22)
    for damage in ("note", "segment", "lost"):
        interrupted(path, source, 15)
        suffix = "*.json" if damage == "note" else "*.parquet"
        for place in (path / "segments").glob(suffix):
            if damage == "lost":
                place.unlink()
            else:
                data = bytearray(place.read_bytes())
                data[len(data) // 2] ^= 1
                place.write_bytes(data)
        assert resumed(path, source) == (0, 22)
        assert content(path) == expected(source)
        path.rename(tmp_path / damage)


def test_what_waits_is_cleared_after_a_week_or_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, source = make(tmp_path / "a.kin", pictures(3)), pictures(20, first=10)
    there = files_in(path)
    interrupted(path, source, 15, new=False)
    with reopened(path) as archive:
        found = archive.gc(min_age=0)
        assert len(found.young) >= 4
        assert files_in(path) > there
        archive.gc(min_age=0, orphan_age=0)
        assert files_in(path) == there
    interrupted(path, source, 15, new=False)
    for note in (path / "segments").glob("*.json"):
        old = time.time() - waiting.WAITING_SECONDS - 9
        os.utime(note, (old, old))
    with reopened(path) as archive:
        archive.add(pictures(1, first=90))
    assert len(files_in(path) - there) == 2


def test_without_resume_nothing_waits(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        Archive.create(tmp_path / "a.kin", Counting(15), describer=None) as archive,
    ):
        archive.add(pictures(20), batch=3)
    assert [*tmp_path.iterdir()] == []
    interrupted(tmp_path / "a.kin", pictures(20), 3)  # before a segment is full
    assert [*tmp_path.iterdir()] == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.integers(0, 14),
    done=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), max_size=5),
    size=st.none() | st.integers(1, 5),
)
def test_shards_hold_every_item_once_in_order(
    count: int, done: list[tuple[int, int]], size: int | None
) -> None:
    items = [*pictures(count)]
    digests = [digest_of(item) for item in items]
    parts = {}
    for number, (first, length) in enumerate(done):
        name = shard_name(b"way", digests[first : first + length] or [bytes(16)])
        parts[str(number)] = Part(shard=name or "", items=length, schema={})
    found: list[str] = []
    taken = 0
    for shard in Shards(items, b"way", parts, size):
        if isinstance(shard, Part):
            names = [item.id for item in items[len(found) : len(found) + shard.items]]
            taken += 1
        else:
            names = [item.id for item in shard]
            assert names
            assert size is None or len(names) <= size
        found += names
    assert found == [item.id for item in items]
    whole = [one for one in done if one[0] + one[1] <= count]
    assert (taken > 0) == bool(whole)


@given(
    rows=st.integers(0, 5),
    broken=st.lists(st.text(max_size=3), max_size=3),
    damage=st.integers(0, 10_000),
)
def test_notes_come_back_as_they_were_or_not_at_all(
    rows: int, broken: list[str], damage: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    entry = SegmentEntry("8" * 32, 900, rows, 40, "9" * 64, 80, 7) if rows else None
    part = Part(
        shard="7" * 64,
        items=rows + len(broken) or 1,
        segments=(entry,) if entry else (),
        schema={"size": "int64"},
        ids=bytes(range(8 * rows)),
        sums=bytes(8 * rows),
        broken=tuple((at, name, "why") for at, name in enumerate(broken)),
        damaged=(("x", 0.5),),
        unsafe=("a/..",),
    )
    store = FolderStore(tmp_path_factory.mktemp("notes"))
    if rows + len(broken) == 0:
        return
    waiting.put_waiting(store, part)
    (name,) = waiting.waiting_names(store)
    assert waiting.load_waiting(store, name) == part
    file = store.root / name
    data = bytearray(file.read_bytes())
    data[damage % len(data)] ^= 1 + damage % 255
    file.write_bytes(data)
    with pytest.raises(KinpackError):
        waiting.load_waiting(store, name)
    assert waiting.waiting_parts(store) == {}


@pytest.fixture
def user(tmp_path: Path) -> User:
    folder = tmp_path / "work"
    write(folder / "photos", range(3))
    first = folder / "photos" / "000.png"
    for number in range(3, 500):
        os.link(first, folder / "photos" / f"{number:03}.png")
    return User(folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_goes_on(number: int, user: User) -> None:
    words = ("pack", "photos", "-o", "x.kin", "--codec", "classic", "--jobs", "2")
    process = user.start(*words)
    path = user.folder / "x.kin"
    while len([*path.glob("segments/*.json")]) < 3:
        assert process.poll() is None, "the command ended too early"
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate()
    if number == signal.SIGINT:
        assert "the same command goes on" in one_error(errors)
    assert "unfinished" in user.fails("info", "x.kin")
    told = user.works(*words, "--quiet", "--json")
    assert json.loads(told)["resumed"] >= 3
    user.works("verify", "x.kin", "--deep", "--quiet")
    assert len(user.asks("ls", "x.kin")) == 500
    assert not [*path.glob("segments/*.json")]
    assert len(user.asks("history", "x.kin")) == 1
