"""The processes of a soak: writers, readers, a compactor, a collector, a verifier.

In a bucket a process may find that the object store is not there, or that others took it for dead
while it stood still: then it finds out what has come of what it did, and goes on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.revisions.manifest_chain import manifest_numbers
from kinpack.errors import ArchiveError
from reliability.acts import CODEC
from reliability.journals import (
    Batch,
    Follower,
    Journal,
    Writings,
    found_in,
    is_batch,
    picture,
    pictures_of,
    wrong_batches,
)

_OPENED_FOR = 6  # most commits by one open archive
_GHOST = 3.0  # seconds in which a request that was on its way has come to the store, or never does
_HALFWAY = 60.0  # seconds in which whoever stood still has taken away what it could not keep

EXCUSES = {
    "the store cannot be reached": "unreachable",
    "the store did not answer in time": "unreachable",
    "the store is too busy or fails": "unreachable",
    "others went on without it": "overtaken",
    "others took it for dead": "overtaken",
    "open it again": "overtaken",
    "somebody is cleaning up": "refused",
    "somebody is writing": "refused",
}
"""What errors say that the harm done explains, and what they are counted as."""


@dataclass(frozen=True)
class Soak:
    """What all processes of a soak know.

    Attributes:
        place: path of the archive, or its address.
        journals: holds the journals.
        writers: names of the writers.
        min_age: seconds for which ``gc`` keeps a revision that was the newest.
        hold: most seconds for which a reader keeps a revision.
        until: when to stop, by the monotonic clock.
        busy: seconds that all write.
        quiet: seconds after these that none begins to, for ``gc`` needs a pause.
    """

    place: Path | str
    journals: Path
    writers: tuple[str, ...]
    min_age: float
    hold: float
    until: float
    busy: float
    quiet: float

    def breathe(self) -> None:
        """Wait while it is quiet."""
        while time.monotonic() % (self.busy + self.quiet) > self.busy and not self.over:
            time.sleep(0.02)

    @property
    def in_bucket(self) -> bool:
        """Whether the archive lies in an object store, which may be killed too."""
        return isinstance(self.place, str)

    def opened(self) -> Archive:
        """The archive, opened."""
        return Archive.open(self.place, codec=CODEC)

    def excuse(self, error: ArchiveError, journal: Journal) -> None:
        """Note an error that the harm done explains, and wait a little.

        Raises:
            ArchiveError: the error itself, which nothing explains.
        """
        kind = self.kind(error)
        if kind is None:
            raise error
        journal.note(kind, str(error))
        time.sleep(0.2)

    def kind(self, error: ArchiveError) -> str | None:
        """What an error is counted as that the harm done explains; only refusals in a folder."""
        kinds = [kind for sign, kind in EXCUSES.items() if sign in str(error)]
        kinds = [kind for kind in kinds if self.in_bucket or kind == "refused"]
        return kinds[0] if kinds else None

    def forgot(self, number: int) -> bool:
        """Whether a revision has been collected, which is not so of one that was undone."""
        try:
            with self.opened() as archive:
                return manifest_numbers(archive.store)[0] > number
        except ArchiveError:
            return False  # it cannot be told now

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() >= self.until

    def journal(self, name: str) -> Path:
        """Path of a process's journal."""
        return self.journals / f"{name}.journal"

    def writings(self) -> dict[str, Writings]:
        """Journals of all writers, to be followed."""
        return {name: Writings(Follower(self.journal(name))) for name in self.writers}


Role: TypeAlias = "Callable[[Soak, str, random.Random], None]"
"""What a process does, under its name, until it is time to stop or it is killed."""


def write(soak: Soak, name: str, chance: random.Random) -> None:
    """Add, replace and remove batches of one's own, each in one commit, and note that."""
    journal = Journal(soak.journal(name))
    own = Writings(Follower(soak.journal(name)))
    own.read()
    while not soak.over:
        try:
            resolve(soak, own, journal)
            soak.breathe()
            with soak.opened() as archive, _races_noted(archive, journal):
                for _ in range(chance.randint(1, _OPENED_FOR)):
                    soak.breathe()
                    if soak.over:
                        break
                    _commit(archive, name, own, journal, chance)
                    time.sleep(chance.uniform(0, 0.05))
        except ArchiveError as error:
            soak.excuse(error, journal)


def _commit(
    archive: Archive, name: str, own: Writings, journal: Journal, chance: random.Random
) -> None:
    """Commit one batch."""
    batch, new = _plan(name, own, chance)
    journal.note("begin", batch, new)
    if new is None:
        old = own.certain[batch]
        archive.remove(f"{batch}/{number}" for number in range(old[1] if old else 0))
    else:
        policy: Any = "replace" if batch in own.certain else "error"
        archive.add(pictures_of(batch, new), on_duplicate=policy, batch=2)
    journal.note("done", archive.manifest.number)
    own.read()


def resolve(soak: Soak, own: Writings, journal: Journal) -> None:
    """Find out what has come of the commit during which a writer was killed or refused.

    Raises:
        ArchiveError: there is only a part of it, or the archive cannot be read.
    """
    own.read()
    if own.open is None:
        return
    if soak.in_bucket:
        time.sleep(_GHOST)
    name, new = own.open
    with soak.opened() as archive:
        labels = zip(archive.ids, archive.labels, strict=True)
        images = found_in(one for one in labels if one[0].startswith(f"{name}/")).get(name, {})
    if is_batch(images, new):
        journal.note("done", "found")
    elif is_batch(images, own.certain.get(name)):
        journal.note("not")
    else:
        raise ArchiveError(f"{name}: of a killed commit there is a part: {images}")
    own.read()


def _plan(name: str, own: Writings, chance: random.Random) -> tuple[str, Batch]:
    """The next batch to change, and what it is to be."""
    living = [batch for batch, now in own.certain.items() if now is not None]
    way = chance.random()
    if len(living) > 3 and way < (0.4 if len(living) < 100 else 0.7):
        batch = chance.choice(living)
        version, count = own.certain[batch] or (0, 1)
        return batch, (version + 1, count) if way < 0.15 else None
    return f"{name}/{len(own.certain):06d}-{chance.randrange(1 << 32):08x}", (
        0,
        chance.randint(1, 5),
    )


@contextmanager
def _races_noted(archive: Archive, journal: Journal) -> Iterator[None]:
    """Note in the journal when somebody else has committed first."""
    create = archive.store.create

    def counted(file: str, data: bytes | memoryview) -> bool:
        created = create(file, data)
        if not created:
            journal.note("race", file)
        return created

    vars(archive.store)["create"] = counted
    yield


def read(soak: Soak, name: str, chance: random.Random) -> None:
    """Hold the newest revision against all journals, and keep reading it for a while."""
    journal = Journal(soak.journal(name))
    writings = soak.writings()
    last = 0
    halfway: float | None = None  # since when the newest revision cannot be read
    while not soak.over:
        for one in writings.values():
            one.read()
        certain = {batch: now for one in writings.values() for batch, now in one.certain.items()}
        began, known = time.monotonic(), 1 << 62
        try:
            with soak.opened() as archive:
                known = archive.manifest.number
                last = _held(soak, archive, journal, writings, certain, last)
                _read_on(archive, journal, chance, began + chance.uniform(0, soak.hold), soak)
            halfway = None
        except ArchiveError as error:
            if soak.kind(error):
                soak.excuse(error, journal)
            elif time.monotonic() - began >= soak.min_age - 1:  # times are whole seconds
                journal.note("outlived", str(error))
            elif (
                soak.in_bucket
                and time.monotonic() - (halfway or began) < _HALFWAY
                and not soak.forgot(known)
            ):
                halfway = halfway or began
                journal.note("halfway", str(error))
                time.sleep(0.5)
            else:
                raise


def _held(
    soak: Soak,
    archive: Archive,
    journal: Journal,
    writings: dict[str, Writings],
    certain: dict[str, Batch],
    last: int,
) -> int:
    """Hold a revision against all journals; gives its number."""
    ids, labels = archive.ids, archive.labels
    changing = [seen for one in writings.values() for seen in one.read()]
    found = found_in(zip(ids, labels, strict=True))
    for wrong in wrong_batches(found, certain, changing):
        journal.note("error", f"{wrong}: {found.get(wrong)}, not {certain.get(wrong)}")
    number = archive.manifest.number
    if number < last and soak.in_bucket:
        journal.note("back", number)  # a commit was undone, whose writer had stood still
    elif number < last or len(ids) != len(set(ids)):
        journal.note("error", f"revision {number} after {last}")
    return number


def _read_on(
    archive: Archive, journal: Journal, chance: random.Random, until: float, soak: Soak
) -> None:
    """Read images of a revision over and over: it stays as it is."""
    ids, images = archive.ids, 0
    try:
        while time.monotonic() < min(until, soak.until):
            for id_ in chance.sample(ids, min(len(ids), 20)):
                label = archive.entry(id_).label
                if not np.array_equal(archive.read(id_), picture(id_, label)):
                    journal.note("error", f"{id_}: its pixels are not those of {label}")
                images += 1
            if archive.ids != ids:
                journal.note("error", f"revision {archive.manifest.number} changed while read")
            time.sleep(0.02)
    finally:
        journal.note("read", images)


def compact(soak: Soak, name: str, chance: random.Random) -> None:
    """Compact over and over."""
    journal = Journal(soak.journal(name))
    while not soak.over:
        soak.breathe()
        try:
            with soak.opened() as archive, _races_noted(archive, journal):
                report = archive.compact()
                journal.note("compacted", report.images)
        except ArchiveError as error:
            soak.excuse(error, journal)
        time.sleep(chance.uniform(0, 0.5))


def collect(soak: Soak, name: str, chance: random.Random) -> None:
    """Collect old revisions over and over; whoever writes has precedence."""
    journal = Journal(soak.journal(name))
    while not soak.over:
        try:
            with soak.opened() as archive:
                report = archive.gc(min_age=soak.min_age)
                journal.note("collected", len(report.files))
        except ArchiveError as error:
            soak.excuse(error, journal)
        time.sleep(chance.uniform(0, 0.2))


def check(soak: Soak, name: str, chance: random.Random) -> None:
    """Verify all of the archive over and over, while others go on."""
    journal = Journal(soak.journal(name))
    since: float | None = None  # when it was first found damaged
    while not soak.over:
        began = time.monotonic()
        try:
            report = verify(soak.place)
        except ArchiveError as error:
            soak.excuse(error, journal)
            continue
        problems = [one for one in report.problems if not soak.kind(ArchiveError(one))]
        if not problems:
            since = None
        elif soak.in_bucket and began - (since or began) < _HALFWAY:
            since = since or began
            journal.note("halfway", problems[0])
        else:
            for problem in problems:
                journal.note("error", problem)
        journal.note("verified", report.files)
        time.sleep(chance.uniform(0, 2))


ROLES: dict[str, Role] = {
    "writer": write,
    "reader": read,
    "compactor": compact,
    "collector": collect,
    "verifier": check,
}
