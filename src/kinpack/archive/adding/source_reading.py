"""Reading a source: which of its items are wanted, by the ids that are there."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from kinpack.archive.adding.picture_loading import Duplicates
from kinpack.archive.adding.stored_source import StoredSource
from kinpack.archive.revisions.hash_index import HashIndex
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import ArchiveError, SourceError
from kinpack.progress import Progress
from kinpack.sources.items import Item
from kinpack.sources.opening import Spec, is_dataset, open_source

RECENT = 4096
"""Ids that are kept in a dictionary, before they go into the index together."""


class SourceReader:
    """Reads the items of a source once, without those that are there.

    Args:
        there: the images that are there already.
        on_duplicate: what happens to one whose id is there, or came before.

    Attributes:
        added: the ids that were given; whoever stores an image says so there.
        skipped: items left out since their id was there.
    """

    def __init__(self, there: Snapshot, on_duplicate: Duplicates) -> None:
        self.added = AddedIds()
        self.skipped = 0
        self._there, self._on_duplicate = there, on_duplicate

    def wanted(self, items: Iterable[Item], done: Progress | None) -> Iterator[Item]:
        """Give the items that are to be added.

        Args:
            items: those of the source.
            done: called for each that is left out since it is there; ``None`` for nobody.

        Raises:
            ArchiveError: an id is there already.
            SourceError: the source gives something else than items.
        """
        on_duplicate = self._on_duplicate
        for item in items:
            if not isinstance(item, Item):
                raise SourceError(
                    f"the source gives {type(item).__name__}s, no items; open it with "
                    "kinpack.open_source"
                )
            there = on_duplicate != "replace" and self._there.find(item.id) is not None
            if there or not (self.added.announce(item.id) or on_duplicate == "replace"):
                if on_duplicate == "error":
                    raise self.duplicate(item.id, "is there already" if there else "comes twice")
                self.skipped += 1
                if done:
                    done(1)
                continue
            yield item

    def duplicate(self, name: str, what: str) -> ArchiveError:
        """The error for an id that may not come."""
        return ArchiveError(
            f"{self._there.where}: the id {name!r} {what}; leave it out, or choose "
            "--on-duplicate skip or --on-duplicate replace"
        )


def as_items(given: Spec | Iterable[Item]) -> Iterable[Item]:
    """Give the items of a source as they are, and open whatever else ``open_source`` takes.

    Raises:
        SourceError: it cannot be opened.
    """
    if isinstance(given, Reader):
        return StoredSource(given)
    closed: Any = given
    is_place = isinstance(given, (str, os.PathLike, np.ndarray)) or is_dataset(given)
    if is_place or not isinstance(given, Iterable):
        return open_source(closed)
    if isinstance(given, Sequence) and given and not isinstance(given[0], Item):
        return open_source(closed)
    opened: Any = given
    items: Iterable[Item] = opened
    return items


class AddedIds:
    """The ids of an addition, and the row of each among all rows that it has stored.

    Of an id that is stored a BLAKE2b digest of 16 bytes under a secret key is kept, and a row: less
    than 30 bytes in all, where a dictionary takes 130. Two ids of a thousand million have the same
    digest with a chance of 10⁻²¹, and nobody can look for such a pair without the key. Ids that are
    announced are kept themselves until they are stored, as many as are loaded ahead.
    """

    def __init__(self) -> None:
        self.rows = 0
        """Rows stored so far; the next row's number."""
        self._key = secrets.token_bytes(32)
        self._coming: set[str] = set()
        self._recent: dict[bytes, int] = {}
        self._digests = bytearray()  # of all rows: the half that the index does not have
        self._new = bytearray()  # of the rows after those of the index: the other half
        self._index = HashIndex()

    def announce(self, name: str) -> bool:
        """Note an id whose image is to be stored, or turns out to be broken; False if it was."""
        if name in self._coming or self._find(name)[1] is not None:
            return False
        self._coming.add(name)
        return True

    def store(self, name: str) -> int | None:
        """Give the next row to an id.

        Args:
            name: the id.

        Returns:
            The row that it had before, ``None`` if it had none.
        """
        self._coming.discard(name)
        digest, earlier = self._find(name)
        self._recent[digest] = self.rows
        self._new += digest[:8]
        self._digests += digest[8:]
        self.rows += 1
        if len(self._new) >= 8 * RECENT:
            self._index = self._index.extended(np.frombuffer(bytes(self._new), np.int64))
            self._recent, self._new = {}, bytearray()
        return earlier

    def _find(self, name: str) -> tuple[bytes, int | None]:
        """The digest of an id, and its newest row."""
        text = name.encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=16, key=self._key).digest()
        if digest in self._recent:
            return digest, self._recent[digest]
        rows = self._index.numbers(int.from_bytes(digest[:8], sys.byteorder, signed=True))
        other = digest[8:]
        same = (row for row in rows if self._digests[8 * row : 8 * row + 8] == other)
        return digest, next(same, None)
