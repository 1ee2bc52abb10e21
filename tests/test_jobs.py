"""Images coded in other processes: the same archive whatever their number, and nothing lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from fakes.tiny_describer import colour_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.errors import ArchiveError, ImageError, KinpackError, PayloadError
from kinpack.jobs.engine import Done, Ended, Event, Failed, Moved
from kinpack.jobs.mapping import Lost, Ready, map_ordered
from kinpack.jobs.processes import processes
from kinpack.pictures.images import Image
from kinpack.progress import Progress
from kinpack.sources.items import Item
from tests.archive_checks import CODEC, content, expected, make, reopened
from tests.trial_runs import trial


class Acting:
    """An engine in this process: a thing of -1 ends the process, one of -2 fails."""

    def __init__(self, workers: int, chance: np.random.Generator) -> None:
        self.workers, self._chance = workers, chance
        self._events: list[list[Event]] = []
        self.most = 0

    def submit(self, number: int, things: Sequence[Any]) -> None:
        done = list(things)
        last: Event = Done(number, done)
        for bad, event in ((-2, Failed(number, ValueError("bad"))), (-1, Ended(number, "ended"))):
            if bad in things:
                done, last = done[: done.index(bad)], event
        self._events.append([Moved(number, 1) for _ in done] + [last])
        self.most = max(self.most, len(self._events))

    def event(self) -> Event:
        place = int(self._chance.integers(len(self._events)))
        event = self._events[place].pop(0)
        if not self._events[place]:
            del self._events[place]
        return event


@given(
    tasks=st.lists(st.lists(st.integers(0, 9) | st.just(-1), min_size=1, max_size=6)),
    ready=st.sets(st.integers(0, 9)),
    workers=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_what_comes_of_tasks_is_in_their_order(
    tasks: list[list[int]], ready: set[int], workers: int, seed: int
) -> None:
    engine = Acting(workers, np.random.default_rng(seed))
    told: list[int] = []
    given = [Ready(task) if at in ready else task for at, task in enumerate(tasks)]
    found: list[int] = []
    for made in map_ordered(engine, given, told.append):
        found += [made.thing] if isinstance(made, Lost) else made
    assert found == [thing for task in tasks for thing in task]
    assert sum(told) == sum(len(task) for at, task in enumerate(tasks) if at not in ready)
    assert all(one > 0 for one in told)
    ends = sum(task.count(-1) for at, task in enumerate(tasks) if at not in ready)
    assert engine.most <= 2 * workers + ends


def test_the_first_failure_is_raised_after_what_was_before_it() -> None:
    engine = Acting(2, np.random.default_rng(0))
    made = map_ordered(engine, [[1], [2], [-2], [3], [-2]])
    assert [next(made), next(made)] == [[1], [2]]
    with pytest.raises(ValueError, match="bad"):
        next(made)


def doubled(things: Sequence[int], progress: Progress) -> list[int]:
    """Work for processes: odd things end theirs."""
    for thing in things:
        if thing < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if thing > 99:
            raise ImageError("too large")
        progress(1)
    return [2 * thing for thing in things]


@pytest.mark.slow
def test_processes_do_work_and_are_replaced_where_they_end() -> None:
    told: list[int] = []
    with processes(doubled, 2) as engine:
        made = list(map_ordered(engine, [[1, 2], [3, -4, 5, 6], [7]], told.append))
        assert [one for one in made if isinstance(one, Lost)] == [
            Lost(-4, "ended its process by signal 9")
        ]
        others = [two for one in made if not isinstance(one, Lost) for two in one]
        assert others == [2, 4, 6, 10, 12, 14]
        assert sum(told) == 7
        with pytest.raises(ImageError, match="too large"):
            list(map_ordered(engine, [[100]]))
        with pytest.raises(Exception, match="pickle"):
            list(map_ordered(engine, [[lambda: None]]))


@pytest.mark.slow
def test_work_that_cannot_begin_is_an_error() -> None:
    def work(things: Sequence[Any], progress: Progress) -> None:
        raise AssertionError(things, progress)

    work.__qualname__ = "nowhere"
    with pytest.raises(Exception, match="pickle"), processes(work, 1):
        pass


def entries(path: Path) -> list[tuple[Any, ...]]:
    """All that is known of each image, its payload and codes, in order."""
    with reopened(path) as archive:
        packets = [one for batch in archive.snapshot.batches(7) for one in batch]
        codes = {name: archive.codes_of(name)[0].tobytes() for name in archive.describers}
        return [
            *((one.id, one.label, dict(one.columns), packet) for one, packet in packets),
            (codes,),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["error", "skip", "replace"])
def test_archives_are_the_same_whatever_the_number_of_processes(
    policy: Any, tmp_path: Path
) -> None:
    images = [*pictures(40).images, ("broken", None, None), *pictures(9, first=50).images]
    if policy != "error":
        images += pictures(45, seed=3, first=5).images
    source = FakeSource(images)
    reports = []
    for jobs in (1, 2):
        path = tmp_path / f"{jobs}.kin"
        with Archive.create(path, CODEC, describer=colour_describer()) as archive:
            archive.add(pictures(3, first=12, seed=8) if policy != "error" else [])
            told: list[int] = []
            reports.append(
                archive.add(
                    source,
                    on_duplicate=policy,
                    skip_broken=True,
                    jobs=jobs,
                    batch=5,
                    progress=told.append,
                )
            )
            assert sum(told) == len(images) - 1
        assert verify(path).ok
    assert reports[0] == reports[1]
    assert entries(tmp_path / "1.kin") == entries(tmp_path / "2.kin")


def ending(name: str) -> Image:
    """A picture on which a decoder ends its process."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError(name)


class Poisoned(FakeSource):
    """Pictures, and among them one that ends whatever reads it."""

    def __len__(self) -> int:
        return len(self.images) + 1

    def __iter__(self) -> Iterator[Item]:
        for number, item in zip(count(), super().__iter__(), strict=False):
            if number == 11:
                yield Item("poison", None, partial(ending, "poison"))
            yield item


@pytest.mark.slow
def test_a_picture_that_ends_its_process_is_broken(tmp_path: Path) -> None:
    source = Poisoned(pictures(30).images)
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer=None) as archive:
        report = archive.add(source, jobs=2, skip_broken=True)
    assert [name for name, _ in report.broken] == ["poison"]
    assert "signal 11" in report.broken[0][1]
    assert content(path) == expected(pictures(30))
    with (
        pytest.raises(ImageError, match="poison"),
        Archive.create(tmp_path / "b.kin", CODEC, describer=None) as archive,
    ):
        archive.add(source, jobs=2)
    assert not (tmp_path / "b.kin").exists()


def test_what_cannot_be_sent_is_coded_here_or_refused(tmp_path: Path) -> None:
    image = np.zeros((3, 3, 1), np.uint8)
    items = [Item(str(number), None, lambda: image) for number in range(4)]
    with Archive.create(tmp_path / "a.kin", CODEC, describer=None) as archive:
        with pytest.raises(ArchiveError, match="--jobs 1"):
            archive.add(items, jobs=2)
        with pytest.raises(KinpackError, match="jobs"):
            archive.add(items, jobs=0)
        with pytest.raises(ArchiveError, match="max_bytes"):
            archive.add(pictures(3), jobs=2, max_bytes=1000)
        assert archive.add(items, jobs=None).added == 4


def test_a_job_commits_parts_and_knows_them_again(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    with Archive.create(path, FakeCodec(), describer=None) as archive:
        with archive.job("pack") as job:
            first = job.writer.write_segment(pictures(4), shard="a")
            again = job.writer.write_segment(pictures(4), shard="a")
            second = job.writer.write_segment(pictures(3, first=4), shard="b")
            assert job.commit([first, again, second]).added == 7
            assert job.done == {"a", "b"}
            late = job.writer.write_segment(pictures(4), shard="a")
            assert job.commit([late]).added == 0
            with pytest.raises(ArchiveError, match="a job holds the archive"):
                archive.add(pictures(1, first=90))
        assert content(path) == expected(pictures(7))
        with archive.job("pack") as job:
            assert job.done == {"a", "b"}
        with archive.job("other") as job:
            assert job.done == set()
            third = job.writer.write_segment(pictures(2, first=7), shard="a")
            fourth = job.writer.write_segment(pictures(2, first=8), shard="z")
            with pytest.raises(ArchiveError, match=r"'set/00008' comes twice.*'a' and 'z'"):
                job.commit([third, fourth])
            there = job.writer.write_segment(pictures(1, first=2))
            with pytest.raises(ArchiveError, match="'set/00002' is there already"):
                job.commit([there])
            for file in third.files:
                (path / file).write_bytes((path / file).read_bytes()[:-1] + b"x")
            with pytest.raises(ArchiveError, match="not as it was written"):
                job.commit([third])
            for file in fourth.files:
                (path / file).unlink()
            with pytest.raises(ArchiveError, match="is gone"):
                job.commit([fourth])
    assert content(path) == expected(pictures(7))
    assert verify(path).ok


def test_a_job_keeps_what_was_not_committed_from_cleaners(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    with Archive.create(path, FakeCodec(), describer=None) as archive:
        archive.add(pictures(2))
        with archive.job() as job:
            part = job.writer.write_segment(pictures(2, first=2))
            with reopened(path) as other:
                with pytest.raises(ArchiveError, match="somebody is writing"):
                    other.gc()
                other.add(pictures(2, first=4))
            assert job.commit([part]).added == 2
            assert job.commit([]).added == 0
    assert set(content(path)) == set(expected(pictures(6)))


@pytest.mark.slow
def test_other_processes_verify_and_describe_the_same(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin", pictures(30))
    with reopened(path) as archive:
        archive.add(pictures(20, first=30))
        archive.remove(["set/00003", "set/00035"])
        archive.embed(colour_describer(), name="here")
        told: list[int] = []
        report = archive.embed(colour_describer(), name="there", jobs=2, progress=told.append)
        assert (report.coded, sum(told)) == (48, 48)
        assert np.array_equal(archive.codes_of("here")[0], archive.codes_of("there")[0])
        archive.add(pictures(5, first=60))
        assert archive.verify(deep=True, jobs=2, progress=told.append) == archive.verify(deep=True)
        assert sum(told) == 48 + 53
        segment = path / archive.manifest.segments[1].file
        data = bytearray(segment.read_bytes())
        for place in (40, 41, 42, 300):
            data[place] ^= 0xFF
        segment.write_bytes(data)
        found = archive.verify(deep=True, jobs=2)
        assert found == archive.verify(deep=True)
        assert not found.ok


class Fragile(FakeCodec):
    """A codec that ends its process on images of one pixel."""

    def decode(self, packets: Any, *, threads: int | None = None) -> Any:
        if any(packet.width * packet.height == 1 for packet in packets):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(packets, threads=threads)


@pytest.mark.slow
def test_a_packet_that_ends_its_process_is_a_problem(tmp_path: Path) -> None:
    image = np.zeros((1, 1, 1), np.uint8)
    images = [one for one in pictures(12).images if one[2].size > 4]
    path = make(tmp_path / "a.kin", FakeSource([*images, ("bad", None, image)]))
    with Archive.open(path, codec=Fragile()) as archive:
        found = archive.verify(deep=True, jobs=2)
        assert len(found.problems) == 1
        assert "'bad'" in found.problems[0]
        assert found.images == len(images)
        with pytest.raises(PayloadError, match="'bad'"):
            archive.embed(colour_describer(), jobs=2)


@pytest.mark.slow
def test_what_befalls_shared_work(tmp_path: Path) -> None:
    faults = ("worker-killed", "driver-killed", "two-jobs")
    words = ("--times", 1, "--images", 40, "--faults", *faults)
    result = trial("shared_work", tmp_path, *words)
    assert result["faults"] == {f"processes: {fault}": {"whole": 1} for fault in faults}
