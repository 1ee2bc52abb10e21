"""Object stores: an archive below a prefix of a bucket, each file one object."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import groupby

from kinpack.archive.stores import leases
from kinpack.archive.stores.buckets import Address
from kinpack.archive.stores.objects import Objects
from kinpack.archive.stores.store import FOLDER
from kinpack.archive.stores.system_errors import closed, existing, too_large, truncated
from kinpack.errors import ArchiveError

PIECE_BYTES = 8 << 20
"""Most that one request reads."""

_SHARED = ("codecs/", "describers/")  # whose names tell their content: archives may share them


class ObjectStore:
    """A store below a prefix of a bucket.

    A file is put whole, on the condition that there is none of its name. Sizes are remembered,
    since files never change.

    Args:
        address: where the archive lies, as ``s3://bucket/photos.kin``.

    Raises:
        MissingExtraError: obstore is not installed.
        ArchiveError: the address is none, or the environment does not fit.
    """

    def __init__(self, address: str) -> None:
        self._objects = Objects(Address.parse(address))
        self._sizes: dict[str, int] = {}
        self._lease: leases.Lease | None = None
        self._conditional = False
        self._closed = False
        self._claim = ExitStack()
        self._made: builtins.list[str] | None = None

    @property
    def unclear(self) -> bool:
        """Whether a write ended without anybody knowing whether it was made."""
        return self._objects.unclear

    def where(self, name: str) -> str:
        """The address of an object, or of the archive for an empty name."""
        return self._objects.where(name)

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole content of an object, of so many bytes at most, in one request."""
        try:
            data, size = self._opened.get(name, 0, most)
        except ArchiveError:
            if most is None or self._opened.find(name) != 0:
                raise
            data, size = b"", 0  # of which no range is given
        if most is not None and size > most:
            raise too_large(self.where(name), most)
        self._sizes[name] = size
        return data

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of an object from byte ``offset`` on; one request for 8 MiB."""
        parts = []
        for start in range(offset, offset + length, PIECE_BYTES):
            stop = min(start + PIECE_BYTES, offset + length)
            parts.append(self._piece(name, start, stop))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Put an object, only if there is none of that name; False if it was taken.

        A manifest decides who has won, and a store may honour conditions of some names alone: so
        each is put again, and counts if that is refused. Where the store does not answer, the error
        leaves open whether the object is there.

        Raises:
            ArchiveError: the store cannot be written, or writes one though there is one.
        """
        objects = self._opened
        if self._lease is not None:
            self._lease.keep()
        made = [] if self._made is None else self._made
        made.append(name)  # first: an interruption may leave it unknown whether it was made
        try:
            created = objects.create(name, data)
        except ArchiveError:
            made.remove(name)  # nor then, but that is noted
            raise
        if created:
            self._sizes[name] = len(data)
            careless = name.startswith(FOLDER) and not objects.honours_conditions(name, data)
            # Or it was forgotten, while this one stood still: that shows in what is there.
            if careless and (self._lease is None or self._lease.holds()):
                made.remove(name)
                raise self._careless()
        else:
            made.remove(name)
        return created

    def size(self, name: str) -> int:
        """Bytes of an object."""
        if name not in self._sizes:
            self._sizes[name] = self._opened.size(name)
        return self._sizes[name]

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        size = self._opened.find(name)
        if size is not None:
            self._sizes[name] = size
        return size is not None

    def list(self, prefix: str = "") -> builtins.list[str]:
        """Sorted names of all objects that begin with ``prefix``; one request for each thousand."""
        found = self._opened.list(prefix.rpartition("/")[0])
        self._sizes.update((name, size) for name, (size, _) in found.items())
        return sorted(
            name for name in found if name.startswith(prefix) and not name.startswith(leases.LOCKS)
        )

    def rename(self, name: str, other: str) -> None:
        """Do nothing: objects are not renamed. Their ages count in its place."""

    def delete(self, *names: str) -> None:
        """Remove objects; one that is not there is no error.

        Manifests go one after the other in this order, all others together.
        """
        objects = self._opened
        for ordered, run in groupby(names, lambda name: name.startswith(FOLDER)):
            together = [*run]
            for batch in [[name] for name in together] if ordered else [together]:
                if self._lease is not None:
                    self._lease.keep()
                objects.delete(batch)
        for name in names:
            self._sizes.pop(name, None)

    @contextmanager
    def writing(self, tidy: Callable[[], None]) -> Iterator[None]:
        """A block within which nobody collects.

        Args:
            tidy: never called: whether others are writing costs too much to find out each time.
                What dead writers leave is removed by ``gc``.

        Raises:
            ArchiveError: somebody collects for long, or the store cannot be written.
        """
        del tidy
        held = self._lease
        if held is not None and held.holds():
            yield
            return
        with leases.writing(self) as lease:
            self._lease = lease
            try:
                yield
            finally:
                self._lease = held

    @contextmanager
    def alone(self) -> Iterator[float]:
        """A block within which nobody writes or collects.

        Yields:
            A day: a writer whose lease ended may stand still, and go on at any time.

        Raises:
            ArchiveError: somebody does.
        """
        with leases.alone(self) as lease:
            self._lease = lease
            try:
                yield leases.WRITER_SECONDS
            finally:
                self._lease = None

    def ages(self) -> dict[str, float]:
        """Seconds since each object was written, up to the last one of all, a lease perhaps.

        Raises:
            ArchiveError: the store cannot be reached.
        """
        found = self._opened.list("")
        self._sizes.update((name, size) for name, (size, _) in found.items())
        now = max((written for _, written in found.values()), default=None)
        return {
            name: (now - written).total_seconds()
            for name, (_, written) in found.items()
            if now and not name.startswith(leases.LOCKS)
        }

    def begin(self, *, keep: bool = False) -> bool:
        """See that there is no archive, and write one; of several the first manifest decides.

        What a killed one leaves is removed by ``gc``, once there is an archive.
        """
        del keep  # nothing is removed here
        if self.list(FOLDER):
            raise existing(self.where(""))
        self._claim.enter_context(self.writing(lambda: None))
        self._made = []
        return False

    def end(self, *, born: bool, keep: bool = False) -> None:
        """Let others clean up again; where nothing was born, remove what was made.

        It stays if there may be an archive of it, or somebody else writes.
        """
        self._claim.close()
        made, self._made = self._made or [], None
        if born or keep or self._objects.unclear or any(name.startswith(FOLDER) for name in made):
            return
        with suppress(ArchiveError), self.alone():
            others = self.list(FOLDER)
            self.delete(*(name for name in made if not (others and name.startswith(_SHARED))))

    def faults(self) -> builtins.list[str]:
        """Nothing: a prefix is what its objects are."""
        return []

    def is_moved(self) -> bool:
        """No: objects are asked for by their address each time."""
        return False

    def close(self) -> None:
        """Refuse what comes afterwards; connections end by themselves."""
        self._closed = True

    def put_lease(self, name: str, text: bytes) -> None:
        """Write a lease; see ``kinpack.archive.stores.leases``.

        Raises:
            ArchiveError: the store refuses, or puts an object though there is one.
        """
        self._opened.create(name, text)
        if not self._conditional:
            if not self._objects.honours_conditions(name, text):
                raise self._careless()
            self._conditional = True

    def leases(self) -> dict[str, datetime]:
        """When each lease was written, by the store's clock."""
        found = self._opened.list(leases.LOCKS.rstrip("/"))
        return {name: written for name, (_, written) in found.items()}

    def drop(self, name: str) -> None:
        """Remove a lease; one that is not there is no error."""
        self._objects.delete([name])

    @property
    def _opened(self) -> Objects:
        if self._closed:
            raise closed(self.where(""))
        return self._objects

    def _careless(self) -> ArchiveError:
        return ArchiveError(
            f"{self.where('')}: this store writes an object though there is one (it ignores "
            "If-None-Match), so that writers would destroy each other's work; use another store"
        )

    def _piece(self, name: str, start: int, stop: int) -> bytes:
        data = b""
        try:
            data, self._sizes[name] = self._opened.get(name, start, stop)
        except ArchiveError:  # a range beyond the end is refused, too
            size = self._opened.find(name)
            if size is None or size >= stop:
                raise
        if len(data) != stop - start:
            raise truncated(self.where(name), start, stop)
        return data
