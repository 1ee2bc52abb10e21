"""Reading a source: its images, loaded ahead, without broken ones and those that are there."""

from __future__ import annotations

import os
import secrets
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from time import monotonic
from typing import Any, Literal, TypeAlias

import numpy as np

from kinpack.archive.adding.stored_source import StoredSource
from kinpack.archive.revisions.hash_index import HashIndex
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.arguments import whole_number
from kinpack.codec.packets.target import Target
from kinpack.errors import ArchiveError, ImageError, SourceError
from kinpack.limits import PIXEL_BYTES, batches, cores
from kinpack.pictures.images import Image, as_image
from kinpack.pictures.reading import missing_noted
from kinpack.progress import Progress
from kinpack.sources.items import MISSING, Item
from kinpack.sources.opening import Spec, at_once_of, is_dataset, open_source

Batch: TypeAlias = list[tuple[Item, Image]]

_SECONDS = 1.0  # about as long is a batch coded, so that progress is seen

RECENT = 4096
"""Ids that are kept in a dictionary, before they go into the index together."""


Duplicates: TypeAlias = Literal["error", "skip", "replace"]
"""What happens to an image whose id is there already: refuse all, keep the old, take the new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOptions:
    """How a source is added.

    Attributes:
        target: what its images are coded to, all to the same.
        on_duplicate: what happens to an image whose id is there already.
        skip_broken: whether pictures that cannot be read are left out and reported.
        batch: images coded at a time.
    """

    target: Target = field(default_factory=Target)
    on_duplicate: Duplicates = "error"
    skip_broken: bool = False
    batch: int = 256

    def __post_init__(self) -> None:
        if self.on_duplicate not in ("error", "skip", "replace"):
            raise ArchiveError(
                f"on_duplicate is {self.on_duplicate!r}; it is one of error, skip, replace"
            )
        whole_number(self.batch, "batch", ArchiveError)
        if not isinstance(self.target.quality, int | None):
            raise ArchiveError("images are added at one quality; add those of each by themselves")


class SourceReader:
    """Reads a source once.

    Args:
        there: the images that are there already.
        options: how the source is added.

    Attributes:
        added: the ids that were taken; whoever stores an image says so there.
        skipped: images left out since their id was there.
        broken: ids of pictures that could not be read, each with the reason.
        damaged: ids of pictures that were taken all the same, each with the share that is missing.
    """

    def __init__(self, there: Snapshot, options: AddOptions) -> None:
        self.added = AddedIds()
        self.skipped = 0
        self.broken: list[tuple[str, str]] = []
        self.damaged: list[tuple[str, float]] = []
        self._there, self._options = there, options
        self._pace = min(options.batch, 4 * cores())  # images in a batch: so many take a second

    def batches(self, items: Iterable[Item], done: Progress | None) -> Iterator[Batch]:
        """Load the images of a source.

        Args:
            items: the images.
            done: called with the number of images left out since they are there, and of those in a
                batch as soon as the next one is asked for; ``None`` for nobody to be told.

        Raises:
            ArchiveError: an id is there already.
            ImageError: a picture cannot be read.
            SourceError: it gives something else than items.
        """
        with closing(self._loaded(items, done)) as loaded:
            for batch in batches(loaded, self._options.batch, n_bytes=lambda one: one[1].nbytes):
                first = 0
                while first < len(batch):
                    part = batch[first : first + self._pace]
                    begun = monotonic()
                    yield part
                    self._keep_pace(len(part), monotonic() - begun)
                    first += len(part)
                    if done:
                        done(len(part))

    def _keep_pace(self, count: int, seconds: float) -> None:
        """Choose how many images the next batch has, by how long one of so many took."""
        if seconds > 2 * _SECONDS:
            self._pace = max(cores(), self._pace // 2)
        elif count == self._pace and seconds < _SECONDS:
            self._pace = min(2 * self._pace, self._options.batch)

    def duplicate(self, name: str, what: str) -> ArchiveError:
        """The error for an id that may not come."""
        return ArchiveError(
            f"{self._there.where}: the id {name!r} {what}; leave it out, or choose "
            "--on-duplicate skip or --on-duplicate replace"
        )

    def _loaded(
        self, items: Iterable[Item], done: Progress | None
    ) -> Generator[tuple[Item, Image]]:
        """Load pictures on threads, and give the sound ones in the items' order.

        Items are drawn from the calling thread only; of large pictures fewer are loaded ahead.
        """
        options = self._options
        threads = max(options.target.threads or min(4, cores()), at_once_of(items))
        waiting: deque[tuple[Item, Future[_Loaded]]] = deque()
        allowed = threads
        with ThreadPoolExecutor(threads, thread_name_prefix="kinpack-load") as pool:
            try:
                for coming in chain(self._wanted(items, done), [None]):
                    if coming is not None:
                        waiting.append((coming, pool.submit(_load, coming)))
                    while len(waiting) > (0 if coming is None else allowed):
                        item, future = waiting.popleft()
                        image, missing = future.result()
                        for share in missing[:1]:
                            self.damaged.append((item.id, share))
                            item = self._noted(item, share)
                        if not isinstance(image, ImageError):
                            fitting = PIXEL_BYTES // max(1, image.nbytes)
                            allowed = max(threads, min(options.batch, fitting))
                            yield item, image
                            continue
                        if not options.skip_broken:
                            raise image
                        self.broken.append((item.id, str(image)))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _noted(self, item: Item, share: float) -> Item:
        """An item of which a share is missing, with the column that says so, unless it is taken."""
        if MISSING in item.columns or self._there.schema.get(MISSING, "float64") != "float64":
            return item
        return replace(item, columns={**item.columns, MISSING: share})

    def _wanted(self, items: Iterable[Item], done: Progress | None) -> Iterator[Item]:
        on_duplicate = self._options.on_duplicate
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


_Loaded: TypeAlias = tuple[Image | ImageError, list[float]]


def _load(item: Item) -> _Loaded:
    """Load an image, or tell why it cannot be, and what share of it is missing."""
    with missing_noted() as missing:
        try:
            return as_image(item.load(), item.id), missing
        except ImageError as error:
            return error, []


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
