"""Intake: the images of a source, loaded ahead, without broken ones and those that are there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Container, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeAlias

from kinpack.archive.adding.added_ids import AddedIds
from kinpack.archive.segments.batches import PIXEL_BYTES, batches
from kinpack.errors import ArchiveError, ImageError, SourceError
from kinpack.pictures.image_like import as_image
from kinpack.pictures.images import Image
from kinpack.progress import Progress
from kinpack.sources.items import Item

Batch: TypeAlias = list[tuple[Item, Image]]


class Intake:
    """Reads a source once.

    Args:
        there: ids that are there already.
        where: the archive's name for messages.
        on_duplicate: ``error``, ``skip`` or ``replace``, for an id that is there or comes twice.
        skip_broken: whether pictures that cannot be read are left out and noted.
        batch: images a batch, fewer where they are large.
        threads: to load with.

    Attributes:
        added: the ids that were taken; whoever stores an image says so there.
        skipped: images left out since their id was there.
        broken: ids of pictures that could not be read, each with the reason.
    """

    def __init__(
        self,
        there: Container[str],
        *,
        where: str,
        on_duplicate: str,
        skip_broken: bool,
        batch: int,
        threads: int | None,
    ) -> None:
        self.added = AddedIds()
        self.skipped = 0
        self.broken: list[tuple[str, str]] = []
        self._there, self._where = there, where
        self._on_duplicate, self._skip_broken = on_duplicate, skip_broken
        self._batch, self._threads = batch, threads

    def batches(self, items: Iterable[Item], done: Progress) -> Iterator[Batch]:
        """Load the images of a source.

        Args:
            items: the images.
            done: called with the number of images left out, and of those in a batch as soon as the
                next one is asked for.

        Raises:
            ArchiveError: an id is there already.
            ImageError: a picture cannot be read.
            SourceError: it gives something else than items.
        """
        loaded = load_ahead(self._wanted(items, done), threads=self._threads, ahead=self._batch)
        with closing(loaded):
            sound = self._sound(loaded, done)
            for batch in batches(sound, self._batch, n_bytes=lambda one: one[1].nbytes):
                yield batch
                done(len(batch))

    def duplicate(self, name: str, what: str) -> ArchiveError:
        """The error for an id that may not come."""
        return ArchiveError(
            f"{self._where}: the id {name!r} {what}; leave it out, or choose "
            "--on-duplicate skip or --on-duplicate replace"
        )

    def _sound(
        self, loaded: Iterable[tuple[Item, Image | ImageError]], done: Progress
    ) -> Iterator[tuple[Item, Image]]:
        for item, image in loaded:
            if not isinstance(image, ImageError):
                yield item, image
                continue
            if not self._skip_broken:
                raise image
            self.broken.append((item.id, str(image)))
            done(1)

    def _wanted(self, items: Iterable[Item], done: Progress) -> Iterator[Item]:
        for item in items:
            if not isinstance(item, Item):
                raise SourceError(
                    f"the source gives {type(item).__name__}s, no items; open it with "
                    "kinpack.open_source"
                )
            twice = item.id in self.added
            if twice or item.id in self._there:
                if self._on_duplicate == "error":
                    raise self.duplicate(item.id, "comes twice" if twice else "is there already")
                if self._on_duplicate == "skip":
                    self.skipped += 1
                    done(1)
                    continue
            self.added.announce(item.id)
            yield item


def load_ahead(
    items: Iterable[Item], *, threads: int | None = None, ahead: int = 256
) -> Generator[tuple[Item, Image | ImageError]]:
    """Load the pictures of items on threads, and yield them in the items' order.

    Args:
        items: what to load; drawn from the calling thread only.
        threads: how many to load with, by default one a core, at most 4.
        ahead: most pictures that are loaded before their turn; fewer where they are large.

    Yields:
        Each item with its image, or with the error that its loading met.
    """
    threads = threads or min(4, os.cpu_count() or 1)
    waiting: deque[tuple[Item, Future[Image | ImageError]]] = deque()
    allowed = threads
    with ThreadPoolExecutor(threads, thread_name_prefix="kinpack-load") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(_load, item)))
                while len(waiting) > allowed:
                    item, future = waiting.popleft()
                    loaded = future.result()
                    if not isinstance(loaded, ImageError):
                        allowed = max(threads, min(ahead, PIXEL_BYTES // max(1, loaded.nbytes)))
                    yield item, loaded
            while waiting:
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(item: Item) -> Image | ImageError:
    try:
        return as_image(item.load(), item.id)
    except ImageError as error:
        return error
