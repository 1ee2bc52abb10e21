"""The processes of a soak: writers, readers, a compactor, a collector, a verifier."""

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
from kinpack.errors import ArchiveError
from reliability.acts import ARCHIVE, CODEC
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
_BUSY, _QUIET = 4.0, 1.0  # seconds that all write, and that none begins to, for gc needs a pause


@dataclass(frozen=True)
class Soak:
    """What all processes of a soak know.

    Attributes:
        folder: holds the archive, and nothing else.
        journals: holds the journals.
        writers: names of the writers.
        min_age: seconds for which ``gc`` keeps a revision that was the newest.
        hold: most seconds for which a reader keeps a revision.
        until: when to stop, by the monotonic clock.
    """

    folder: Path
    journals: Path
    writers: tuple[str, ...]
    min_age: float
    hold: float
    until: float

    def breathe(self) -> None:
        """Wait while it is quiet."""
        while time.monotonic() % (_BUSY + _QUIET) > _BUSY and not self.over:
            time.sleep(0.02)

    @property
    def archive(self) -> Path:
        """Path of the archive."""
        return self.folder / ARCHIVE

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
    if own.open is not None:
        resolve(soak, own, journal)
    while not soak.over:
        soak.breathe()
        with Archive.open(soak.archive, codec=CODEC) as archive, _races_noted(archive, journal):
            for _ in range(chance.randint(1, _OPENED_FOR)):
                soak.breathe()
                if soak.over:
                    break
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
                time.sleep(chance.uniform(0, 0.05))


def resolve(soak: Soak, own: Writings, journal: Journal) -> None:
    """Find out what has come of the commit during which a writer was killed.

    Raises:
        ArchiveError: there is only a part of it.
    """
    if own.open is None:
        return
    name, new = own.open
    with Archive.open(soak.archive, codec=CODEC) as archive:
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
    while not soak.over:
        for one in writings.values():
            one.read()
        certain = {batch: now for one in writings.values() for batch, now in one.certain.items()}
        began = time.monotonic()
        with Archive.open(soak.archive, codec=CODEC) as archive:
            try:
                ids, labels = archive.ids, archive.labels
                changing = [seen for one in writings.values() for seen in one.read()]
                found = found_in(zip(ids, labels, strict=True))
                for wrong in wrong_batches(found, certain, changing):
                    text = f"{wrong}: {found.get(wrong)}, not {certain.get(wrong)}"
                    journal.note("error", text)
                if archive.manifest.number < last or len(ids) != len(set(ids)):
                    journal.note("error", f"revision {archive.manifest.number} after {last}")
                last = archive.manifest.number
                until = began + chance.uniform(0, soak.hold)
                images = 0
                while time.monotonic() < min(until, soak.until):
                    for id_ in chance.sample(ids, min(len(ids), 20)):
                        label = archive.entry(id_).label
                        if not np.array_equal(archive.read(id_), picture(id_, label)):
                            journal.note("error", f"{id_}: its pixels are not those of {label}")
                        images += 1
                    if archive.ids != ids:
                        journal.note("error", f"revision {last} changed while it was read")
                    time.sleep(0.02)
                journal.note("read", images)
            except ArchiveError as error:
                if (
                    time.monotonic() - began < soak.min_age - 1
                ):  # times of revisions are whole seconds
                    raise
                journal.note("outlived", str(error))


def compact(soak: Soak, name: str, chance: random.Random) -> None:
    """Compact over and over."""
    journal = Journal(soak.journal(name))
    while not soak.over:
        soak.breathe()
        with Archive.open(soak.archive, codec=CODEC) as archive, _races_noted(archive, journal):
            report = archive.compact()
            journal.note("compacted", report.images)
        time.sleep(chance.uniform(0, 0.5))


def collect(soak: Soak, name: str, chance: random.Random) -> None:
    """Collect old revisions over and over; whoever writes has precedence."""
    journal = Journal(soak.journal(name))
    while not soak.over:
        with Archive.open(soak.archive, codec=CODEC) as archive:
            try:
                report = archive.gc(min_age=soak.min_age)
                journal.note("collected", len(report.files))
            except ArchiveError as error:
                if "somebody is writing" not in str(error):
                    raise
                journal.note("refused")
        time.sleep(chance.uniform(0, 0.2))


def check(soak: Soak, name: str, chance: random.Random) -> None:
    """Verify all of the archive over and over, while others go on."""
    journal = Journal(soak.journal(name))
    while not soak.over:
        report = verify(soak.archive)
        for problem in report.problems:
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
