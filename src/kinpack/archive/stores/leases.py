"""Leases: how writers and collectors of an object store, which has no locks, keep apart.

A writer puts an object of its own below ``locks/`` and then looks for a collector's; a collector
puts the collector's and then looks for writers'. Since a listing shows whatever was put before it,
one of them sees the other, and a collector that sees a writer gives way. The object of a process
that has died counts until it is too old by the store's own clock.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from kinpack.errors import ArchiveError

LOCKS = "locks/"
"""Where leases lie; no part of the archive."""

COLLECTOR = f"{LOCKS}collector"
"""The one lease of whoever collects."""

WRITER = f"{LOCKS}writer-"
"""Begin of the names of writers' leases."""

WRITER_SECONDS = 24 * 3600.0
"""So old a writer's lease no longer counts; a living writer renews it."""

COLLECTOR_SECONDS = 600.0
"""So old the collector's lease no longer counts; a living collector renews it."""

WAIT_SECONDS = 30.0
"""So long a writer waits for a collector to be done."""

_PAUSE = 0.25


class Shelf(Protocol):
    """What leases need of an object store. All failures are ``ArchiveError``."""

    def where(self, name: str) -> str:
        """How messages call an object."""

    def put_lease(self, name: str, text: bytes, *, only_if_absent: bool) -> bool:
        """Write a lease; False if it was there and ``only_if_absent``."""

    def ages(self) -> Mapping[str, datetime]:
        """When each lease was written, by the store's clock."""

    def drop(self, name: str) -> None:
        """Remove a lease; one that is not there is no error."""


class Lease:
    """A lease that was got, and is kept as long as its owner goes on.

    Args:
        shelf: where it lies.
        name: its name.
        seconds: so old it no longer counts.
    """

    def __init__(self, shelf: Shelf, name: str, seconds: float) -> None:
        self._shelf = shelf
        self._seconds = seconds
        self.name = name
        self._renewed = _clocks()

    def keep(self) -> None:
        """Renew it where it grows old; to be called before every change that it covers.

        Raises:
            ArchiveError: it is gone: somebody took its owner for dead.
        """
        if max(now - then for now, then in zip(_clocks(), self._renewed, strict=True)) < (
            self._seconds / 10
        ):
            return
        if self.name not in self._shelf.ages():
            raise ArchiveError(
                f"{self._shelf.where('')}: this took so long without a sign of life that others "
                "went on without it; nothing was changed; try again"
            )
        now = _clocks()
        self._shelf.put_lease(self.name, _text(), only_if_absent=False)
        self._renewed = now


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
        lease = Lease(shelf, f"{WRITER}{uuid.uuid4().hex}", WRITER_SECONDS)
        try:
            shelf.put_lease(lease.name, _text(), only_if_absent=True)
            if _no_collector(shelf, lease.name):
                yield lease
                return
        finally:
            _release(shelf, lease.name)
        if time.monotonic() >= deadline:
            raise ArchiveError(
                f"{shelf.where('')}: somebody is cleaning up the archive; try again when they are "
                f"done, or if they have died remove {shelf.where(COLLECTOR)}"
            )
        time.sleep(_PAUSE)


def _no_collector(shelf: Shelf, own: str) -> bool:
    """Whether nobody collects; the lease of one that has died is removed."""
    found = shelf.ages()
    if COLLECTOR not in found:
        return True
    if own in found and (found[own] - found[COLLECTOR]).total_seconds() > COLLECTOR_SECONDS:
        shelf.drop(COLLECTOR)
        return True
    return False


@contextmanager
def alone(shelf: Shelf) -> Iterator[Lease]:
    """A block within which nobody writes or collects.

    Args:
        shelf: the object store.

    Raises:
        ArchiveError: somebody does.
    """
    if not shelf.put_lease(COLLECTOR, _text(), only_if_absent=True):
        raise ArchiveError(
            f"{shelf.where('')}: somebody is cleaning up the archive already; try again later, or "
            f"if they have died remove {shelf.where(COLLECTOR)}"
        )
    lease = Lease(shelf, COLLECTOR, COLLECTOR_SECONDS)
    try:
        found = shelf.ages()
        now = found.get(COLLECTOR)
        for name, written in found.items():
            if not name.startswith(WRITER):
                continue
            if now is None or (now - written).total_seconds() < WRITER_SECONDS:
                raise ArchiveError(
                    f"{shelf.where('')}: somebody is writing to the archive; try again later, or "
                    f"if they have died (their sign is of {written:%Y-%m-%d %H:%M} UTC) remove "
                    f"{shelf.where(name)}, or write a clean one with: kinpack copy"
                )
            shelf.drop(name)  # so that its owner, should it live, learns of it
        yield lease
    finally:
        _release(shelf, COLLECTOR)


def _release(shelf: Shelf, name: str) -> None:
    try:
        shelf.drop(name)
    except ArchiveError:
        return  # what was done is done; the lease ends by its age


def _text() -> bytes:
    """Who holds a lease, for whoever looks; no two are the same."""
    return f"process {os.getpid()} on {socket.gethostname()}, {uuid.uuid4()}\n".encode()


def _clocks() -> tuple[float, float]:
    """A clock that may be set, and one that may stand still while the machine sleeps."""
    return time.time(), time.monotonic()
