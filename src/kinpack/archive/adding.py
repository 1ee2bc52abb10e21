"""Adding: images of a source become packets, packets segments, and all of them one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from kinpack.archive.coder import Coder, Escape
from kinpack.archive.loading import load_ahead
from kinpack.archive.manifest import Manifest
from kinpack.archive.segment import PIXEL_BYTES, ROWS
from kinpack.archive.segment_stream import SegmentStream
from kinpack.archive.snapshot import Snapshot
from kinpack.archive.store import Store
from kinpack.errors import ArchiveError, ImageError
from kinpack.images import Image
from kinpack.items import Item

if TYPE_CHECKING:
    from kinpack.codec.embedder import Embedder

Duplicates: TypeAlias = Literal["error", "skip", "replace"]
"""What happens to an image whose id is there already: refuse all, keep the old, take the new."""

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of images just done."""


_COMING = -1
"""Place of an image that is not stored yet."""


@dataclass(slots=True)
class AddReport:
    """What came of adding a source.

    Attributes:
        added: images that are new.
        skipped: images left out since their id was there.
        replaced: images that took the place of one of the same id.
        broken: ids of pictures that could not be read, each with the reason.
    """

    added: int = 0
    skipped: int = 0
    replaced: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOptions:
    """How a source is added.

    Attributes:
        quality: 1 to 100; 100 is lossless.
        escape: whether a classic payload may stand in for a learned one.
        on_duplicate: what happens to an image whose id is there already.
        skip_broken: whether pictures that cannot be read are left out and reported.
        batch: images coded at a time.
        threads: for loading and coding; by default as many as suit the machine.
    """

    quality: int = 60
    escape: Escape = "auto"
    on_duplicate: Duplicates = "error"
    skip_broken: bool = False
    batch: int = 256
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.on_duplicate not in ("error", "skip", "replace"):
            raise ArchiveError(
                f"on_duplicate is {self.on_duplicate!r}; it is one of error, skip, replace"
            )
        if self.batch < 1:
            raise ArchiveError(f"batch is {self.batch}; it is at least 1")


class Addition:
    """Images on their way into an archive: stored in segments, but in no manifest yet.

    Args:
        store: where the archive lies.
        snapshot: its state when adding began.
        coder: its codec.
        embedder: its embedder, if it has one.
        options: how to add.
    """

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        coder: Coder,
        embedder: Embedder | None,
        options: AddOptions,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._coder = coder
        self._embedder = embedder
        self._options = options
        self._report = AddReport()
        self._stream = SegmentStream(store, snapshot.manifest.codec)
        self._places: dict[str, int] = {}  # id -> segment * ROWS + row of its newest image
        self._dead: dict[int, list[int]] = {}  # segment -> rows that a later image replaced
        self._offered = False

    def take(self, items: Iterable[Item], progress: Progress | None = None) -> None:
        """Load, code and store images; nobody sees them before the commit.

        Args:
            items: the images.
            progress: called with the number of images just done.

        Raises:
            ArchiveError: an id is there already, or the archive cannot be written.
            ImageError: a picture cannot be read.
        """
        done = progress or _silent
        batch: list[tuple[Item, Image]] = []
        pixels = 0
        loaded = load_ahead(
            self._wanted(items, done), threads=self._options.threads, ahead=self._options.batch
        )
        with closing(loaded):
            for item, image in loaded:
                if isinstance(image, ImageError):
                    if not self._options.skip_broken:
                        raise image
                    self._report.broken.append((item.id, str(image)))
                    done(1)
                    continue
                batch.append((item, image))
                pixels += image.nbytes
                if len(batch) >= self._options.batch or pixels >= PIXEL_BYTES:
                    self._encode(batch)
                    done(len(batch))
                    batch, pixels = [], 0
        if batch:
            self._encode(batch)
            done(len(batch))
        self._stream.flush()
        for name, _ in self._report.broken:
            if self._places.get(name) == _COMING:
                del self._places[name]

    def following(self, base: Snapshot) -> tuple[Manifest | None, AddReport]:
        """The manifest that adds the images to a state.

        Args:
            base: the state; another than at the beginning if somebody else has committed since.

        Returns:
            The manifest, ``None`` if nothing would change; and what would come of it.

        Raises:
            ArchiveError: the state has an id that was to be added.
        """
        self._offered = False
        options, report = self._options, self._report
        there = [name for name in self._places if name in base.positions]
        dead = {segment: list(rows) for segment, rows in self._dead.items()}
        old = base.manifest.segments
        skipped = 0
        if there and options.on_duplicate == "error":
            raise self._duplicate(there[0], "is there already")
        if there and options.on_duplicate == "skip":
            skipped = len(there)
            for name in there:
                _kill(dead, self._places[name])
        elif there:
            old = base.without(base.positions[name] for name in there)
        report = replace(
            report,
            added=len(self._places) - len(there),
            skipped=report.skipped + skipped,
            replaced=report.replaced + len(there) - skipped,
        )
        if not report.added and not report.replaced:
            self.discard()
            return None, report
        new = (entry.without(dead.get(i, ())) for i, entry in enumerate(self._stream.entries))
        change = {
            "verb": "add",
            "added": report.added,
            "replaced": report.replaced,
            "quality": options.quality,
        }
        manifest = base.manifest.following((*old, *new), change)
        self._offered = True
        return manifest, report

    def discard(self) -> None:
        """Delete what was stored, unless a manifest that names it may exist."""
        if not self._offered:
            self._stream.discard()

    def _wanted(self, items: Iterable[Item], done: Progress) -> Iterator[Item]:
        for item in items:
            twice = item.id in self._places
            if twice or item.id in self._snapshot.positions:
                if self._options.on_duplicate == "error":
                    raise self._duplicate(item.id, "comes twice" if twice else "is there already")
                if self._options.on_duplicate == "skip":
                    self._report.skipped += 1
                    done(1)
                    continue
            self._places.setdefault(item.id, _COMING)
            yield item

    def _encode(self, batch: list[tuple[Item, Image]]) -> None:
        options = self._options
        images = [image for _, image in batch]
        packets = self._coder.encode(
            images,
            quality=options.quality,
            escape=options.escape,
            threads=options.threads,
        )
        codes = [b""] * len(images)
        if self._embedder is not None:
            codes = self._embedder.packed(images, threads=options.threads)
        for (item, _), packet, code in zip(batch, packets, codes, strict=True):
            if self._places[item.id] != _COMING:
                _kill(self._dead, self._places[item.id])
                self._report.replaced += 1
            segment, row = self._stream.add(item.id, item.label, packet, code)
            self._places[item.id] = segment * ROWS + row

    def _duplicate(self, name: str, what: str) -> ArchiveError:
        return ArchiveError(
            f"{self._store.where('')}: the id {name!r} {what}; leave it out, or choose "
            "--on-duplicate skip or --on-duplicate replace"
        )


def _kill(dead: dict[int, list[int]], place: int) -> None:
    """Note the row at a place as dead."""
    segment, row = divmod(place, ROWS)
    dead.setdefault(segment, []).append(row)


def _silent(_: int) -> None:
    """Tell nobody."""
