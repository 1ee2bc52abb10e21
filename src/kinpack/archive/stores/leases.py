"""Leases: how writers and collectors of an object store, which has no locks, keep apart.

A writer puts an object of its own below ``locks/`` and then looks for a collector's; a collector
puts its own and then looks for others'. Since a listing shows whatever was put before it, one of
them sees the other, and a collector that sees anybody gives way. The object of a process that has
died counts until it is too old by the store's own clock.

No two leases ever have the same name. So whoever stood still for longer than its lease can neither
take another's for its own nor remove it: it finds its own gone, or too old, and stops.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Protocol

from kinpack.errors import ArchiveError

LOCKS = "locks/"
"""Where leases lie; no part of the archive."""

COLLECTOR = f"{LOCKS}collector-"
"""Begin of the names of collectors' leases."""

WRITER = f"{LOCKS}writer-"
"""Begin of the names of writers' leases."""

WRITER_SECONDS = 24 * 3600.0
"""So old a writer's lease no longer counts; a living writer renews it."""

COLLECTOR_SECONDS = 600.0
"""So old a collector's lease no longer counts; a living collector renews it."""

WAIT_SECONDS = 30.0
"""So long a writer waits for a collector to be done."""

_PAUSE = 0.25


class Shelf(Protocol):
    """What leases need of an object store. All failures are ``ArchiveError``."""

    def where(self, name: str) -> str:
        """How messages call an object."""

    def put_lease(self, name: str, text: bytes) -> None:
        """Write a lease, under a name that nothing else ever has."""

    def leases(self) -> Mapping[str, datetime]:
        """When each lease was written, by the store's clock."""

    def drop(self, name: str) -> None:
        """Remove a lease; one that is not there is no error."""


class Lease:
    """A lease, which is kept as long as its owner goes on.

    Args:
        shelf: where it lies.
        sort: the begin of its name.
        seconds: so old it no longer counts.
    """

    def __init__(self, shelf: Shelf, sort: str, seconds: float) -> None:
        self._shelf = shelf
        self._sort = sort
        self._seconds = seconds
        self._names: list[str] = []  # the one that counts, and those to take its place
        self._renewed = _clocks()
        self._lost = False

    def begin(self) -> dict[str, dict[str, datetime]]:
        """Put it, and look at all others.

        Those that are too old are removed, so that their owners, should they live, learn of it.

        Returns:
            When those that count were written, by sort and name.

        Raises:
            ArchiveError: it is gone already: whoever put it stood still.
        """
        self._put()
        found = dict(self._shelf.leases())
        now = found.pop(self._names[-1], None)
        if now is None:
            raise self._overtaken()
        others: dict[str, dict[str, datetime]] = {WRITER: {}, COLLECTOR: {}}
        for sort, seconds in ((WRITER, WRITER_SECONDS), (COLLECTOR, COLLECTOR_SECONDS)):
            for name in [name for name in found if name.startswith(sort)]:
                if (now - found[name]).total_seconds() <= seconds:
                    others[sort][name] = found[name]
                else:
                    self._shelf.drop(name)
        return others

    def keep(self) -> None:
        """Renew it where it grows old; to be called before every change that it covers.

        Another one is put, and counts if the former is there beside it, and not too old: so there
        was no moment without one.

        Raises:
            ArchiveError: it is gone or too old: others may have taken its owner for dead.
        """
        if max(now - then for now, then in zip(_clocks(), self._renewed, strict=True)) < (
            self._seconds / 10
        ):
            return
        began = _clocks()
        if not self._lost:
            self._put()
            found = self._shelf.leases()
            then, now = (found.get(self._names[place]) for place in (0, -1))
            self._lost = then is None or now is None or (now - then).total_seconds() > self._seconds
        if self._lost:
            self.release()
            raise self._overtaken()
        self._renewed = began
        while len(self._names) > 1:
            self._shelf.drop(self._names.pop(0))

    def holds(self) -> bool:
        """Tell whether it can be kept."""
        try:
            self.keep()
        except ArchiveError:
            return False
        return True

    def release(self) -> None:
        """Remove it; where the store refuses it ends by its age."""
        with suppress(ArchiveError):  # what was done is done
            for name in self._names:
                self._shelf.drop(name)

    def _overtaken(self) -> ArchiveError:
        return ArchiveError(
            f"{self._shelf.where('')}: this took so long without a sign of life that others "
            "went on without it; it changed nothing more; try again"
        )

    def _put(self) -> None:
        self._names.append(f"{self._sort}{uuid.uuid4().hex}")
        text = f"process {os.getpid()} on {socket.gethostname()}\n"
        self._shelf.put_lease(self._names[-1], text.encode())


@contextmanager
def writing(shelf: Shelf) -> Iterator[Lease]:
    """A block within which nobody collects.

    Args:
        shelf: the object store.

    Raises:
        ArchiveError: somebody collects for long, or the store ignores the condition of a put.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        lease = Lease(shelf, WRITER, WRITER_SECONDS)
        try:
            collectors = lease.begin()[COLLECTOR]
            if not collectors:
                yield lease
                return
        finally:
            lease.release()
        if time.monotonic() >= deadline:
            raise ArchiveError(
                f"{shelf.where('')}: somebody is cleaning up the archive; try again when they are "
                f"done, or if they have died remove {shelf.where(min(collectors))}"
            )
        time.sleep(_PAUSE)


@contextmanager
def alone(shelf: Shelf) -> Iterator[Lease]:
    """A block within which nobody writes or collects.

    Args:
        shelf: the object store.

    Raises:
        ArchiveError: somebody does.
    """
    lease = Lease(shelf, COLLECTOR, COLLECTOR_SECONDS)
    try:
        others = lease.begin()
        for name in others[COLLECTOR]:
            raise ArchiveError(
                f"{shelf.where('')}: somebody is cleaning up the archive already; try again later, "
                f"or if they have died remove {shelf.where(name)}"
            )
        for name, written in others[WRITER].items():
            raise ArchiveError(
                f"{shelf.where('')}: somebody is writing to the archive; try again later, or "
                f"if they have died (their sign is of {written:%Y-%m-%d %H:%M} UTC) remove "
                f"{shelf.where(name)}, or write a clean one with: kinpack copy"
            )
        yield lease
    finally:
        lease.release()


def _clocks() -> tuple[float, float]:
    """A clock that may be set, and one that may stand still while the machine sleeps."""
    return time.time(), time.monotonic()
