"""Loading: the pictures of items, decoded ahead on threads, in their order and in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from time import monotonic
from typing import Literal, NamedTuple, TypeAlias

from kinpack.arguments import whole_number
from kinpack.codec.packets.target import Target
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError, ImageError
from kinpack.limits import PIXEL_BYTES, batches, cores
from kinpack.pictures.images import Image, as_image
from kinpack.pictures.reading import missing_noted
from kinpack.progress import Progress
from kinpack.sources.items import MISSING, Item

_SECONDS = 1.0  # about as long is a batch coded, so that progress is seen

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
        at_once: pictures loaded at a time, at least; 0 where it does not matter.
    """

    target: Target = field(default_factory=Target)
    on_duplicate: Duplicates = "error"
    skip_broken: bool = False
    batch: int = 256
    at_once: int = 0

    def __post_init__(self) -> None:
        if self.on_duplicate not in ("error", "skip", "replace"):
            raise ArchiveError(
                f"on_duplicate is {self.on_duplicate!r}; it is one of error, skip, replace"
            )
        whole_number(self.batch, "batch", ArchiveError)
        if not isinstance(self.target.quality, int | None):
            raise ArchiveError("images are added at one quality; add those of each by themselves")


class Loaded(NamedTuple):
    """A picture that was read.

    Attributes:
        place: of its item among all, 0 for the first.
        item: what it was.
        image: its pixels.
    """

    place: int
    item: Item
    image: Image


Batch: TypeAlias = list[Loaded]


class PictureLoader:
    """Reads the pictures of items once.

    Args:
        options: how they are added.
        schema: the types of the archive's columns.

    Attributes:
        broken: places and ids of pictures that could not be read, each with the reason.
        damaged: places and ids of pictures that were taken all the same, each with the share that
            is missing.
        count: items that came to an end: loaded and given, or broken.
    """

    def __init__(self, options: AddOptions, schema: Schema) -> None:
        self.broken: deque[tuple[int, str, str]] = deque()
        self.damaged: deque[tuple[int, str, float]] = deque()
        self.count = 0
        self._options = options
        # Somebody may have a column of that name for something else.
        self._notes_missing = schema.get(MISSING, "float64") == "float64"
        self._pace = min(options.batch, 4 * cores())  # images in a batch: so many take a second

    def batches(
        self,
        items: Iterable[Item],
        done: Progress | None = None,
        coming: Callable[[Item], None] | None = None,
    ) -> Iterator[Batch]:
        """Load the pictures of items.

        Args:
            items: drawn from the calling thread only.
            done: called with the number of images in a batch as soon as the next one is asked for;
                ``None`` for nobody to be told.
            coming: called with each item before its picture is loaded.

        Raises:
            ImageError: a picture cannot be read.
        """
        with closing(self._loaded(items, coming)) as loaded:
            for batch in batches(loaded, self._options.batch, n_bytes=lambda one: one.image.nbytes):
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

    def _loaded(
        self, items: Iterable[Item], coming: Callable[[Item], None] | None
    ) -> Generator[Loaded]:
        """Load pictures on threads, and give the sound ones in the items' order.

        Of large pictures fewer are loaded ahead.
        """
        options = self._options
        threads = max(options.target.threads or min(4, cores()), options.at_once)
        waiting: deque[tuple[Item, Future[_Read]]] = deque()
        allowed = threads
        with ThreadPoolExecutor(threads, thread_name_prefix="kinpack-load") as pool:
            try:
                for item in chain(items, [None]):
                    if item is not None:
                        if coming:
                            coming(item)
                        waiting.append((item, pool.submit(_load, item)))
                    while len(waiting) > (0 if item is None else allowed):
                        first, future = waiting.popleft()
                        image, missing = future.result()
                        place, self.count = self.count, self.count + 1
                        for share in missing[:1]:
                            self.damaged.append((place, first.id, share))
                            first = self._noted(first, share)
                        if not isinstance(image, ImageError):
                            fitting = PIXEL_BYTES // max(1, image.nbytes)
                            allowed = max(threads, min(options.batch, fitting))
                            yield Loaded(place, first, image)
                            continue
                        if not options.skip_broken:
                            raise image
                        self.broken.append((place, first.id, str(image)))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _noted(self, item: Item, share: float) -> Item:
        """An item of which a share is missing, with the column that says so."""
        if MISSING in item.columns or not self._notes_missing:
            return item
        return replace(item, columns={**item.columns, MISSING: share})


_Read: TypeAlias = tuple[Image | ImageError, list[float]]


def _load(item: Item) -> _Read:
    """Load an image, or tell why it cannot be, and what share of it is missing."""
    with missing_noted() as missing:
        try:
            return as_image(item.load(), item.id), missing
        except ImageError as error:
            return error, []
