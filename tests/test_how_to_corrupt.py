"""Ways to corrupt an archive: what docs/how-to-corrupt.md says and no other test tries."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care import collecting
from kinpack.archive.care.copying import copy
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest import manifest_file
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.errors import ArchiveError, KinpackError
from tests.archive_checks import CODEC, content, expected, hashes, make, reopened

LATER: dict[str, Callable[[Archive], object]] = {
    "add": lambda archive: archive.add(pictures(1, first=20)),
    "remove": lambda archive: archive.remove(["set/00000"]),
    "compact and gc": lambda archive: (archive.compact(), archive.gc(min_age=0)),
    "purge": lambda archive: archive.remove(["set/00000"], purge=True),
}


def lived(path: Path) -> Path:
    """An archive of two commits, in two segments."""
    make(path, pictures(3))
    with reopened(path) as archive:
        archive.add(pictures(2, first=10))
    return path


def copied(source: Path, target: Path, backward: bool) -> Iterator[None]:
    """Copy as ``cp`` does: each folder is listed when its turn comes, and what is gone is left.

    Yields:
        After each file.
    """
    for folder in sorted(source.iterdir(), reverse=backward):
        (target / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir()):
            if file.exists():
                shutil.copyfile(file, target / folder.name / file.name)
            yield


@pytest.mark.slow
@pytest.mark.parametrize("change", LATER)
@pytest.mark.parametrize("backward", [False, True])
def test_copying_by_hand_while_others_commit(tmp_path: Path, change: str, backward: bool) -> None:
    whole, found = 0, 0
    for moment in range(5):
        folder = tmp_path / str(moment)
        folder.mkdir()
        path, target = lived(folder / "a.kin"), folder / "b.kin"
        revisions = [expected(pictures(3)), content(path)]  # a copy may be older than its begin
        for number, _ in enumerate(copied(path, target, backward)):
            if number == moment:
                with reopened(path) as archive:
                    LATER[change](archive)
                revisions.append(content(path))
        assert content(path) == revisions[-1]  # the archive itself is never harmed
        report = verify(target)
        if report.ok:
            assert content(target) in revisions
            whole += 1
        else:
            assert all("\n" not in problem for problem in report.problems)
            found += 1
        with reopened(path) as archive:
            copy(archive, folder / "c.kin")
        assert content(folder / "c.kin") == revisions[-1]
    assert whole
    torn = change not in ("add", "remove") or (backward and change == "add")
    assert bool(found) == torn  # manifests before segments, and nothing but added: whole


@pytest.mark.parametrize("change", LATER)
def test_no_file_is_changed_that_a_copy_by_hard_links_shares(tmp_path: Path, change: str) -> None:
    path, linked = lived(tmp_path / "a.kin"), tmp_path / "b.kin"
    shutil.copytree(path, linked, copy_function=os.link)
    before, wanted = hashes(linked), content(linked)
    with reopened(path) as archive:
        LATER[change](archive)
    assert hashes(linked) == before
    assert content(linked) == wanted


@pytest.fixture(params=["link", "mount"])
def two_paths(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One folder at two paths, by a link, or mounted twice where this user may."""
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    if request.param == "link":
        second.symlink_to(first)
        yield first, second
        return
    second.mkdir()
    words = ["mount", "--bind", str(first), str(second)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield first, second
    finally:
        subprocess.run(["umount", str(second)], check=True)


def test_two_paths_to_one_folder(two_paths: tuple[Path, Path]) -> None:
    first, second = (place / "a.kin" for place in two_paths)
    make(first, pictures(3))
    with reopened(first) as one, reopened(second) as other:
        one.add(pictures(1, first=10))
        other.add(pictures(1, first=20))
        one.add(pictures(1, first=30))
        with FolderStore(first).writing(lambda: None), pytest.raises(ArchiveError, match="writing"):
            other.gc(min_age=0)
    wanted = expected(pictures(3), *(pictures(1, first=number) for number in (10, 20, 30)))
    assert content(first) == content(second) == wanted


REFUSED = "missing|gone|open it again"
MEANWHILE: dict[str, Callable[[Path], object]] = {
    "collects": lambda path: reopened(path).gc(min_age=0),
    "adds": lambda path: reopened(path).add(pictures(1, first=70)),
    "purges": lambda path: reopened(path).remove(["set/00000"], purge=True),
}


@pytest.mark.parametrize("act", MEANWHILE)
def test_locks_that_lock_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """Some shares say that they have locked, and lock nobody out: the other cleans up."""
    path = make(tmp_path / "a.kin", pictures(3))
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    create = FolderStore.create

    def late(self: Any, name: str, data: Any) -> bool:
        if name.startswith("manifests/") and self is mine.store:
            monkeypatch.setattr(FolderStore, "create", create)
            MEANWHILE[act](path)  # while the segments are there and their manifest is not
        return bool(create(self, name, data))

    monkeypatch.setattr(FolderStore, "create", late)
    with reopened(path) as mine, pytest.raises(ArchiveError, match=REFUSED) as caught:
        mine.add(pictures(2, first=20))
    assert "\n" not in str(caught.value)
    kept = expected(pictures(3), *([pictures(1, first=70)] if act == "adds" else []))
    if act == "purges":
        del kept["set/00000"]
    assert content(path) == kept  # what was acknowledged


PATIENCE = 300


class Slow(Thread):
    """Work on an archive that stands still before some of its steps: calls of its store.

    Args:
        work: what it does.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work, self.error, self.steps, self.ended = work, "", 0, False
        self.stop: int | str | None = None
        self.stands, self.go = Event(), Event()

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.ended = True
            self.stands.set()

    def until(self, stop: int | str | None) -> None:
        """Let it go on to the step that is wanted, by its number or its begin, or to its end."""
        self.stop = stop
        self.stands.clear()
        if self.ident is None:
            self.start()
        elif self.ended:
            return
        else:
            self.go.set()
        assert self.stands.wait(PATIENCE)

    def step(self, what: str) -> None:
        """Stand still here if this is the step."""
        if self.stop == self.steps or (isinstance(self.stop, str) and what.startswith(self.stop)):
            self.go.clear()
            self.stands.set()
            assert self.go.wait(PATIENCE)
        self.steps += 1


OURS = {"", "ArchiveError", "NotFoundError"}
DONE: dict[str, Callable[[set[str]], bool]] = {
    "collects": lambda there: "set/00000" in there,
    "adds": lambda there: {"set/00000", "set/00070"} <= there,
    "purges": lambda there: "set/00000" not in there,
}


SEEN = {"collects": "rename", "adds": "rename", "purges": "delete manifests/"}
"""What comes next when somebody who cleans up has seen what there is."""


def add_two(path: Path) -> None:
    with reopened(path) as archive:
        archive.add(pictures(2, first=20))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks lock nobody, and each call of a store by somebody slow is a step."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power is cut here: it only takes time
    for name in ("ages", "create", "delete", "exists", "list", "read", "rename", "size"):
        call = getattr(FolderStore, name)

        def stepping(self: Any, *given: Any, call: Any = call, name: str = name) -> Any:
            if isinstance(worker := current_thread(), Slow):
                worker.step(f"{name} {given[:1] and given[0]}")
            return call(self, *given)

        monkeypatch.setattr(FolderStore, name, stepping)


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("act", MEANWHILE)
def test_locks_that_lock_nobody_and_whoever_is_slow(tmp_path: Path, act: str) -> None:
    """Wherever the one that cleans up and the one that commits stand still: nothing is lost.

    The segments are there when the other begins. It stands before its n-th step while the commit
    goes on up to its m-th, then ends, and then the commit does.
    """
    whole = make(tmp_path / "whole.kin", pictures(3))
    with reopened(whole) as archive:
        archive.remove(["set/00002"])
    acknowledged = set()
    for ahead in count():
        for cleaned in count(ahead % 2, 2):
            path = tmp_path / f"{ahead}-{cleaned}.kin"
            shutil.copytree(whole, path)
            writer = Slow(partial(add_two, path))
            cleaner = Slow(partial(MEANWHILE[act], path))
            writer.until("create manifests/")
            begun = writer.steps
            cleaner.until(cleaned)
            beyond_its_end = cleaner.steps < cleaned
            writer.until(begun + 1 + ahead)
            cleaner.until(None)
            writer.until(None)
            there, told = content(path), (ahead, cleaned, writer.error, cleaner.error)
            assert {writer.error.partition(": ")[0], cleaner.error.partition(": ")[0]} <= OURS, told
            others = expected(pictures(2), pictures(1, first=70), pictures(2, first=20))
            assert there.items() <= others.items(), told
            assert writer.error or {"set/00020", "set/00021"} <= set(there), told
            assert cleaner.error or DONE[act](set(there)), told
            assert {"set/00001"} <= set(there), told
            acknowledged.add(not writer.error)
            shutil.rmtree(path)
            if beyond_its_end:
                break
        if writer.steps < begun + 1 + ahead:
            break
    assert acknowledged == {True, False}


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("following", MEANWHILE)
@pytest.mark.parametrize("act", MEANWHILE)
def test_locks_that_lock_nobody_and_a_kill_before_the_look(
    tmp_path: Path, act: str, following: str
) -> None:
    """What was moved aside and acknowledged meanwhile is given back by whoever cleans up next."""
    path = make(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        archive.remove(["set/00002"])
    writer = Slow(partial(add_two, path))
    killed = Slow(partial(MEANWHILE[act], path))
    writer.until("create manifests/")
    killed.until(SEEN[act])
    writer.until(None)
    assert not writer.error
    killed.until("list manifests/")  # and no step further
    assert verify(path).problems
    MEANWHILE[following](path)
    wanted = expected(pictures(2), pictures(2, first=20))
    if following == "adds":
        wanted |= expected(pictures(1, first=70))
    if "purges" in (act, following):
        del wanted["set/00000"]
    assert content(path) == wanted
    assert verify(path).ok
    killed.until(None)  # a thread cannot be killed: it goes when all is over


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("act", MEANWHILE)
def test_locks_that_lock_nobody_and_two_that_clean_up(tmp_path: Path, act: str) -> None:
    """Whichever of the three goes on, for however many steps: nothing is lost.

    Where a commit cannot be undone, since the revision before it is forgotten, its writer says so.
    """
    whole = make(tmp_path / "whole.kin", pictures(3))
    with reopened(whole) as archive:
        archive.remove(["set/00002"])
    acknowledged = set()
    for number in range(200):
        chance = random.Random(f"{act}/{number}")
        path = tmp_path / f"{number}.kin"
        shutil.copytree(whole, path)
        writer = Slow(partial(add_two, path))
        second = chance.choice(("collects", "adds"))
        cleaners = [Slow(partial(MEANWHILE[one], path)) for one in (act, second)]
        writer.until("create manifests/")
        cleaners[0].until(SEEN[act])
        writer.until(writer.steps + chance.choice([1, 2, 4, 8, 16, 32]))
        going = [writer, *cleaners]
        while going:
            worker = chance.choice(going)
            worker.until(worker.steps + chance.choice([1, 2, 4, 8, 16, 32]))
            going = [one for one in going if not one.ended]
        if "kinpack repair" in writer.error:
            assert repair(path, tmp_path / "saved.kin", codec=CODEC).images
            shutil.rmtree(path)
            (tmp_path / "saved.kin").rename(path)
        there, told = content(path), (number, writer.error, [one.error for one in cleaners])
        assert {error.partition(": ")[0] for error in (told[1], *told[2])} <= OURS, told
        others = expected(pictures(2), pictures(1, first=70), pictures(2, first=20))
        assert there.items() <= others.items(), told
        assert writer.error or {"set/00020", "set/00021"} <= set(there), told
        assert cleaners[0].error or DONE[act](set(there)), told
        assert {"set/00001"} <= set(there), told
        acknowledged.add(not writer.error)
        shutil.rmtree(path)
    assert acknowledged == {True, False}


def test_without_locks_all_is_written_and_nothing_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.kin", pictures(3))
    orphan = path / "segments" / ("0" * 32 + ".parquet")
    orphan.write_text("of a dead writer, or of one that writes")

    def none(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", none)
    with reopened(path) as one, reopened(path) as other:
        one.add(pictures(1, first=10))
        other.add(pictures(1, first=20))
        with pytest.raises(ArchiveError, match="cannot tell"):
            one.gc(min_age=0)
    assert orphan.exists()
    orphan.unlink()
    wanted = expected(pictures(3), pictures(1, first=10), pictures(1, first=20))
    assert content(path) == wanted


def test_a_newest_manifest_that_is_deleted(tmp_path: Path) -> None:
    path = lived(tmp_path / "a.kin")
    with reopened(path) as service:
        (path / manifest_file(2)).unlink()
        with pytest.raises(ArchiveError, match="open it again"):
            service.add(pictures(1, first=30))
    report = verify(path)
    assert report.ok  # for it is the former revision, whole
    assert "leftover or foreign" in report.notes[0]
    notes = repair(path, tmp_path / "b.kin").notes
    assert any("no revision names it" in note and "left out" in note for note in notes)
    assert len(list(path.glob("segments/*"))) == 2
    with reopened(path) as archive:
        archive.remove(["set/00000"])
    assert len(list(path.glob("segments/*"))) == 1  # the next writer has tidied up
    assert verify(path).notes == []  # and nothing tells that there was more


def test_a_codec_is_put_back_from_another_archive(tmp_path: Path) -> None:
    path, other = lived(tmp_path / "a.kin"), make(tmp_path / "b.kin", pictures(1))
    shutil.rmtree(path / "codecs")
    assert not verify(path).ok
    shutil.copytree(other / "codecs", path / "codecs")
    assert len(content(path)) == 5


def test_a_moved_archive_is_read_on(tmp_path: Path) -> None:
    path = lived(tmp_path / "a.kin")
    with reopened(path) as archive:
        path.rename(tmp_path / "moved.kin")
        assert len(list(archive.images())) == 5
        with pytest.raises(ArchiveError, match="open it again"):
            archive.add(pictures(1, first=30))


class Tomorrow(datetime):
    """A clock that is a day ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Tomorrow:
        return super().now(tz) + timedelta(days=1)


def test_a_clock_that_jumps_ahead_forgets_early_but_never_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lived(tmp_path / "a.kin")
    with reopened(path) as archive:
        archive.compact()
        assert archive.gc().revisions == []
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86_400)
        monkeypatch.setattr(collecting, "datetime", Tomorrow)
        assert archive.gc().revisions == [1, 2]
    assert len(content(path)) == 5


@pytest.mark.parametrize("kind", ["codecs", "segments"])
def test_a_file_that_is_deleted_is_named(tmp_path: Path, kind: str) -> None:
    path = lived(tmp_path / "a.kin")
    file = min((path / kind).iterdir())
    file.unlink()
    assert any(file.name in problem for problem in verify(path).problems)
    with pytest.raises(KinpackError, match=file.name) as caught, Archive.open(path) as archive:
        list(archive.images())
    assert "\n" not in str(caught.value)


def test_what_other_programs_put_into_a_sealed_archive_is_told(tmp_path: Path) -> None:
    sealed = tmp_path / "a.kin.zip"
    seal(lived(tmp_path / "a.kin"), sealed)
    with zipfile.ZipFile(sealed, "a") as file:
        file.writestr("notes.txt", "mine")
    assert any("notes.txt" in line for line in verify(sealed).problems + verify(sealed).notes)
