"""Stores: what an archive asks of the place where its files lie.

Names of files are relative, with forward slashes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

TEMPORARY = ".tmp-"
"""Begin of the last part of a temporary file's name."""

FORMAT = 1
"""Number of the archive format that this version writes, and the newest that it reads."""

FOLDER = "manifests/"
"""Folder of the manifests, whose first one makes a store an archive."""

UNFINISHED = f"{TEMPORARY}unfinished-"
"""Begin of the name of the file that marks an archive whose first manifest is not there yet."""


class Store(Protocol):
    """What an archive needs of the place where it lies: a folder, or a prefix of an object store.

    Every file is written once, whole, and never changed. All failures are ``ArchiveError``: the
    store is closed, cannot be reached or refuses (a full disk, a read-only place, missing rights).
    """

    def where(self, name: str) -> str:
        """How messages call a file, or for an empty name the store itself."""
        ...

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole content of a file; an error where it is missing, or has more bytes than may be.

        Args:
            name: of the file.
            most: the most that may be; ``None`` for any number.
        """
        ...

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file from byte ``offset`` on.

        An error where it is missing or shorter.
        """
        ...

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a file, whole and durably, only if absent; False if the name was taken."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file; an error where it is missing."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names of all files that begin with ``prefix``, temporary ones included."""
        ...

    def rename(self, name: str, other: str) -> bool | None:
        """Give a file another name in its folder, at once, for everybody.

        False where it is not there, ``None`` where the store can do no such thing.
        """
        ...

    def delete(self, *names: str) -> None:
        """Remove files, durably; one that is not there is no error.

        Manifests go one after the other in this order, other files in any.
        """
        ...

    def writing(self, tidy: Callable[[], None]) -> AbstractContextManager[None]:
        """A block within which files are written, and nobody collects.

        ``tidy`` is called first if it is sure that nobody else is writing: only then is whatever
        no manifest refers to the leftover of a dead writer. A store that cannot tell at little
        cost does not call it.
        """
        ...

    def alone(self) -> AbstractContextManager[float]:
        """A block within which nobody else writes; an error where somebody does, or may.

        It gives the seconds for which a file that no manifest names may yet be a living writer's,
        one that stands still: 0 where a lock tells that there is none.
        """
        ...

    def ages(self) -> dict[str, float]:
        """Seconds since each file was written, by the clock of the store."""
        ...

    def begin(self, *, keep: bool = False) -> bool:
        """Claim the place for a new archive, which is one as soon as its first manifest is there.

        It tells whether nobody else can be making one there, or whether the first manifest decides.

        An error where there is an archive already, anything else, or somebody who makes one. What a
        dead writer left of one is removed, unless it is to be kept.
        """
        ...

    def end(self, *, born: bool, keep: bool = False) -> None:
        """Give the claim up: the new archive is there, or else what was made of it is removed.

        Where it is to be kept, it waits for whoever begins again.
        """
        ...

    def faults(self) -> builtins.list[str]:
        """What is wrong with the store itself, apart from the content of its files."""
        ...

    def is_moved(self) -> bool:
        """Whether the place leads elsewhere by now than to what was opened there."""
        ...

    def close(self) -> None:
        """Release what is kept open; reading afterwards is an error."""
        ...


@runtime_checkable
class MappedStore(Protocol):
    """A store whose files may be looked at where they lie, mapped into memory."""

    def mapped(self, name: str) -> memoryview | None:
        """The whole content of a file, mapped; ``None`` where that cannot be, or is not wise.

        Whoever cuts the file short meanwhile ends the process that looks at it.
        """
        ...
