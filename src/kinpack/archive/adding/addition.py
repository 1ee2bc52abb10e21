"""Adding: items of a source become parts, in this process or in others, and parts one commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from contextlib import closing, suppress
from dataclasses import replace

from kinpack.archive.adding.fitting import GRID, Fitting
from kinpack.archive.adding.gathering import AddReport, Gathering
from kinpack.archive.adding.picture_loading import PictureLoader
from kinpack.archive.adding.segment_writer import Plan, SegmentWriter
from kinpack.archive.adding.shards import Shards, is_whole, shard_size
from kinpack.archive.adding.source_reading import SourceReader
from kinpack.archive.revisions.leftovers import remove_unfinished
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.revisions.waiting import waiting_file, waiting_parts
from kinpack.archive.segments.part import Part
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError, ImageError
from kinpack.jobs.engine import Engine
from kinpack.jobs.mapping import Lost, Ready, map_ordered
from kinpack.progress import Progress
from kinpack.sources.items import Item, columns_of

ATTEMPTS = 3
"""Times that images are fitted to a number of bytes."""


class Addition:
    """Images on their way into an archive: stored in segments, but in no manifest yet.

    Args:
        store: where the archive lies.
        snapshot: its revision when adding began.
        codec: its codec.
        writer: codes and stores the images.
    """

    def __init__(
        self, store: Store, snapshot: Snapshot, codec: Codec, writer: SegmentWriter
    ) -> None:
        self._store, self._snapshot, self._codec = store, snapshot, codec
        self._writer, self._options = writer, writer.options
        self._waiting: dict[str, Part] = {}
        self._offered = self._alone = False
        self._begin()

    def _begin(self) -> None:
        options = self._options
        self._gathered = Gathering(self._store, self._snapshot, options, seen=True)
        self._reader = SourceReader(self._snapshot, options.on_duplicate)
        self._names: deque[str] = deque()  # of items that are in no part yet

    def find_waiting(self, *, alone: bool) -> None:
        """Look for what an interrupted addition has finished.

        Args:
            alone: whether this makes a new archive, and nobody else does there: then what else a
                dead writer left is removed.

        Raises:
            ArchiveError: the archive cannot be read or written.
        """
        self._alone = alone
        found = waiting_parts(self._store, self._snapshot.manifest.segments)
        self._waiting = {
            name: part
            for name, part in found.items()
            if (self._options.skip_broken or not part.broken) and is_whole(self._store, part)
        }
        if alone:
            files = [file for one in self._waiting.values() for file in one.files]
            manifest = self._snapshot.manifest
            files += [manifest.codec_file, *(one.file for one in manifest.describers)]
            remove_unfinished(self._store, [*self._waiting, *files])

    def take(
        self,
        items: Iterable[Item],
        progress: Progress | None = None,
        measuring: Progress | None = None,
        engine: Engine | None = None,
    ) -> Segment | None:
        """Load, code and store images; nobody sees them before the commit.

        Args:
            items: the images; read twice with ``max_bytes``.
            progress: called with the number of images just done.
            measuring: called likewise while images are only measured, for ``max_bytes``.
            engine: processes that do the work; ``None`` for this one.

        Returns:
            The last segment that was stored, with its index, which nobody need read again.

        Raises:
            ArchiveError: an id is there already, the archive cannot be written, or the images
                cannot fit.
            ImageError: a picture cannot be read.
        """
        limit = self._options.target.max_bytes
        self._writer.widen(columns_of(items))
        if limit is not None:
            self._store_within(limit, items, progress, measuring)
        elif engine is not None:
            self._store_by(engine, items, progress)
        else:
            self._store_all(items, progress)
        entries, index = self._gathered.entries, self._writer.last_index
        if not entries or index is None:
            return None
        return Segment(self._store, entries[-1], index=index, schema=self._gathered.schema)

    def following(self, base: Snapshot) -> tuple[Manifest | None, AddReport]:
        """The manifest that adds the images to a revision; see ``Gathering.following``."""
        self._offered = False
        manifest, report = self._gathered.following(base)
        report.skipped += self._reader.skipped
        if manifest is None:
            self._writer.discard(self._gathered.parts)
        self._offered = manifest is not None
        return manifest, report

    def committed(self) -> None:
        """Remove the notes of what is in a manifest by now, and of a new archive all others."""
        notes = [waiting_file(part.shard) for part in self._gathered.parts if part.shard]
        with suppress(ArchiveError):  # the next writer removes them
            self._store.delete(*notes)
            if self._alone:
                named = {file for entry in self._gathered.entries for file in entry.files}
                others = [one for name, one in self._waiting.items() if name not in notes]
                files = {file for one in others for file in one.files} - named
                self._store.delete(*(waiting_file(one.shard) for one in others), *sorted(files))

    def waiting_images(self) -> int:
        """Images that are done, and wait for the same addition to go on."""
        if not self._writer.waits or self._offered:
            return 0
        with suppress(ArchiveError):
            found = waiting_parts(self._store, self._snapshot.manifest.segments)
            return sum(part.rows for part in found.values())
        return 0

    def discard(self) -> None:
        """Delete what was stored, unless it waits, or a manifest that names it may exist."""
        if not self._offered:
            waits = self._writer.waits
            parts = [part for part in self._gathered.parts if not (waits and part.shard)]
            self._writer.discard(parts)

    def _store_within(
        self,
        limit: int,
        items: Iterable[Item],
        progress: Progress | None,
        measuring: Progress | None,
    ) -> None:
        """Read the images twice: once to choose their qualities, then to store them."""
        where = self._store.where("")
        if self._snapshot.manifest.number:
            raise ArchiveError(
                f"{where}: max_bytes is for a new archive; add to this one with a quality or "
                "min_psnr"
            )
        if iter(items) is items:
            raise ArchiveError(
                f"{where}: with max_bytes images are read twice, but these can be read only once; "
                "give a list or a source"
            )
        fitting = Fitting(
            self._snapshot.manifest,
            self._options.target.asked,
            column_bytes=self._writer.column_bytes,
            schema=self._writer.schema,
            where=where,
        )
        reader = SourceReader(self._snapshot, self._options.on_duplicate)
        target = replace(self._options.target, max_bytes=None)
        loader = PictureLoader(self._options, self._writer.schema)
        for batch in loader.batches(reader.wanted(items, measuring), measuring):
            fitting.take(batch, self._codec.rates([one.image for one in batch], GRID, target))
        allowed = limit
        for _ in range(ATTEMPTS):
            self._store_all(items, progress, zip(fitting.ids, fitting.plan(allowed), strict=True))
            manifest, _ = self._gathered.following(self._snapshot)
            beyond = manifest.bytes_on_disk - limit if manifest else 0
            if beyond <= 0:
                return
            # The encoders gave other bytes than when they were measured.
            allowed -= beyond
            self._writer.discard(self._gathered.parts)
            self._begin()
            progress = None
        raise ArchiveError(
            f"{where}: the images do not come out at the sizes measured, and miss {limit:,} bytes; "
            f"allow more, or ask for {allowed:,}"
        )

    def _shards(
        self, items: Iterable[Item], progress: Progress | None, size: int | None
    ) -> Iterator[Part | Iterator[Item]]:
        wanted = self._noted(self._reader.wanted(items, progress))
        for shard in Shards(wanted, self._writer.way, self._waiting, size):
            if isinstance(shard, Part):
                self._gathered.resumed += shard.rows
                if progress:
                    progress(shard.items)
            yield shard

    def _noted(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self._names.append(item.id)
            yield item

    def _store_all(
        self, items: Iterable[Item], progress: Progress | None, plan: Plan | None = None
    ) -> None:
        """Code and store images in this process, each at its planned quality if there is a plan."""
        for shard in self._shards(items, progress, None):
            if isinstance(shard, Part):
                self._follow(shard)
                continue
            with closing(self._writer.parts(shard, progress, plan)) as parts:
                for part in parts:
                    self._follow(part)

    def _store_by(self, engine: Engine, items: Iterable[Item], progress: Progress | None) -> None:
        """Code and store images in other processes; what comes of it is the same."""
        size = shard_size(len(items) if isinstance(items, Sized) else None, engine.workers)
        tasks = (
            Ready([shard]) if isinstance(shard, Part) else [*shard]
            for shard in self._shards(items, progress, size)
        )
        for made in map_ordered(engine, tasks, progress):
            if isinstance(made, Lost):
                self._follow(self._lost(made))
                continue
            for part in made:
                self._follow(part)
            with self._store.writing(lambda: None):  # which keeps the lease of a long job
                pass

    def _lost(self, lost: Lost[Item]) -> Part:
        """What stands for a picture that ended the process that read or coded it."""
        reason = f"{lost.thing.id}: reading or coding this picture {lost.reason}; leave it out"
        if not self._options.skip_broken:
            raise ImageError(reason)
        broken = ((0, lost.thing.id, reason),)
        return Part(shard="", items=1, schema=self._writer.schema, broken=broken)

    def _follow(self, part: Part) -> None:
        """Take the part of the next items."""
        broken = {place for place, *_ in part.broken}
        dead: list[int] = []
        old: list[int] = []
        for place in range(part.items):
            name = self._names.popleft()
            if place in broken:
                continue
            earlier = self._reader.added.store(name)
            if earlier is not None:
                dead.append(earlier)
            elif self._options.on_duplicate == "replace":
                position = self._snapshot.find(name)
                old += [] if position is None else [position]
        self._gathered.take(part, dead, old)
