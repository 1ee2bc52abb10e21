"""Adding: images of a source become packets, packets segments, and all of them one commit."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.adding.fitting import GRID, Fitting
from kinpack.archive.adding.repeats import repeated, sum_of
from kinpack.archive.adding.source_reading import AddOptions, Batch, SourceReader
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.measured_quality import MeasuredQuality, measured_commit
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.store import Store
from kinpack.column_types import Schema, joined
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError
from kinpack.file_names import fault_of
from kinpack.progress import Progress
from kinpack.sources.items import Item, columns_of

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer

ATTEMPTS = 3
"""Times that images are fitted to a number of bytes."""


@dataclass(slots=True)
class AddReport:
    """What came of adding a source.

    Attributes:
        added: images that are new.
        skipped: images left out since their id was there.
        replaced: images that took the place of one of the same id.
        broken: ids of pictures that could not be read, each with the reason.
        damaged: ids of pictures that were taken although a part of them is missing, each with the
            share that is, 0 to 1.
        unsafe: ids that are no paths which every system takes for a file.
        repeated: ids of images of which the very payload is stored already under another id, each
            with that one; not looked for in archives of more than 1,048,576 images.
        lowest_psnr: of the added and replaced images, in dB, measured by decoding where a target
            was given; an exact image counts 60.
        mean_psnr: likewise.
        images: images that the archive holds afterwards.
        bytes: of the files that hold them, on the disk: segments, codes and the manifest.
    """

    added: int = 0
    skipped: int = 0
    replaced: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, float]] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    lowest_psnr: float | None = None
    mean_psnr: float | None = None
    images: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)


class Addition:
    """Images on their way into an archive: stored in segments, but in no manifest yet.

    Args:
        store: where the archive lies.
        snapshot: its revision when adding began.
        codec: its codec.
        describers: that make codes of images, by the names of their columns.
        options: how to add.
    """

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        codec: Codec,
        describers: Mapping[str, Describer],
        options: AddOptions,
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._codec = codec
        self._describers = describers
        self._options = options
        manifest = snapshot.manifest
        self._stream = SegmentStream(store, manifest.codec, manifest.columns)
        self._reader = SourceReader(snapshot, options)
        self._dead = array("Q")  # rows that a later image replaced
        self._old = array("Q")  # positions in the snapshot of images that one of these replaces
        self._psnr = array("d")  # of each row, where a target was given
        self._sums = array("Q")  # of each row, by which repeated payloads are found
        self._unsafe: list[str] = []
        self._offered = False

    def take(
        self,
        items: Iterable[Item],
        progress: Progress | None = None,
        measuring: Progress | None = None,
    ) -> Segment | None:
        """Load, code and store images; nobody sees them before the commit.

        Args:
            items: the images; read twice with ``max_bytes``.
            progress: called with the number of images just done.
            measuring: called likewise while images are only measured, for ``max_bytes``.

        Returns:
            The last segment that was stored, with its index, which nobody need read again.

        Raises:
            ArchiveError: an id is there already, the archive cannot be written, or the images
                cannot fit.
            ImageError: a picture cannot be read.
        """
        limit = self._options.target.max_bytes
        self._stream.widen(columns_of(items))
        if limit is None:
            self._store_all(items, progress)
        else:
            self._store_within(limit, items, progress, measuring)
        stream = self._stream
        if not stream.segments:
            return None
        last, schema = stream.segments[-1], stream.schema
        return Segment(self._store, last, index=stream.last_index, schema=schema)

    def following(self, base: Snapshot) -> tuple[Manifest | None, AddReport]:
        """The manifest that adds the images to a revision.

        Args:
            base: the revision; another than at the beginning if somebody else has committed since.

        Returns:
            The manifest, ``None`` if nothing would change; and what would come of it.

        Raises:
            ArchiveError: the revision has an id that was to be added.
        """
        self._offered = False
        manifest, report = self._proposed(base)
        shown = manifest or base.manifest
        report.images, report.bytes = shown.images, shown.bytes_on_disk
        if manifest is None:
            self.discard()
        self._offered = manifest is not None
        return manifest, report

    def discard(self) -> None:
        """Delete what was stored, unless a manifest that names it may exist."""
        if not self._offered:
            self._stream.discard()

    def _proposed(self, base: Snapshot) -> tuple[Manifest | None, AddReport]:
        policy, stream = self._options.on_duplicate, self._stream
        if base is self._snapshot:  # noted, where it matters, as the images came
            rows, positions = np.zeros(0, np.int64), np.array(self._old, np.int64)
        else:
            rows, positions = self._there(base)
        if policy == "error" and len(rows):
            segment, row = base.locate(int(positions[0]))
            raise self._reader.duplicate(segment.ids[row].as_py(), "is there already")
        living = np.ones(stream.rows, bool)
        living[np.frombuffer(self._dead, np.uint64)] = False
        skipped = replaced = 0
        old = base.manifest.segments
        if policy == "skip":
            living[rows] = False
            skipped = len(rows)
        elif len(positions):
            replaced = len(positions)
            old = base.without(positions.tolist())
        left = int(living.sum())
        gone = positions if policy == "replace" else np.zeros(0, np.int64)
        report = AddReport(
            added=left - replaced,
            skipped=self._reader.skipped + skipped,
            replaced=len(self._dead) + replaced,
            broken=self._reader.broken,
            damaged=self._reader.damaged,
            unsafe=self._unsafe,
        )
        if not report.added and not report.replaced:
            return None, report
        report.repeated = repeated(base, self._stored(), self._sums, living, gone)
        columns = self._columns(base.manifest)
        new = (*old, *(stream.segments if living.all() else stream.living(living)))
        change = {"verb": "add", "added": report.added, "replaced": report.replaced}
        asked = self._options.target.asked
        if not self._psnr:
            noted = {**change, **asked}
            return base.manifest.following(new, noted, columns=columns), report
        reached = MeasuredQuality.of(np.frombuffer(self._psnr, np.float64)[living])
        report.lowest_psnr, report.mean_psnr = reached.lowest_psnr, reached.mean_psnr
        return measured_commit(base.manifest, new, change, asked, reached, columns), report

    def _columns(self, base: Manifest) -> Schema:
        """The columns of a revision, and those that the images bring."""
        try:
            columns = joined(base.columns, self._stream.schema)
            if any(columns[name] != of for name, of in self._stream.schema.items()):
                raise ValueError("somebody has added such columns of other types; add again")
        except ValueError as error:
            raise ArchiveError(f"{self._store.where('')}: {error}") from error
        return columns

    def _stored(self) -> list[Segment]:
        """The segments that were stored."""
        schema = self._stream.schema
        return [Segment(self._store, entry, schema=schema) for entry in self._stream.segments]

    def _there(self, base: Snapshot) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What a revision holds of the images: their rows, and their positions there.

        The ids are read again from the segments that were stored: the revision is another one than
        at the beginning, after a lost race.
        """
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        first = 0
        for entry in self._stream.segments:
            segment = Segment(self._store, entry, schema=self._stream.schema)
            positions = base.find_all(segment.ids.to_pylist())
            rows = first + np.flatnonzero(positions >= 0)
            found.append((rows, positions[positions >= 0]))
            first += entry.rows
        rows, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
        living = ~np.isin(rows, np.array(self._dead, np.int64))
        return rows[living], positions[living]

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
            column_bytes={name: one.code_bytes for name, one in self._describers.items()},
            schema=self._stream.schema,
            where=where,
        )
        for batch in SourceReader(self._snapshot, self._options).batches(items, measuring):
            images = [image for _, image in batch]
            rates = self._codec.rates(images, GRID, replace(self._options.target, max_bytes=None))
            fitting.take(batch, rates)
        allowed = limit
        for _ in range(ATTEMPTS):
            self._store_all(items, progress, zip(fitting.ids, fitting.plan(allowed), strict=True))
            manifest, _ = self._proposed(self._snapshot)
            beyond = manifest.bytes_on_disk - limit if manifest else 0
            if beyond <= 0:
                return
            # The encoders gave other bytes than when they were measured.
            allowed -= beyond
            self._begin_again()
            progress = None
        raise ArchiveError(
            f"{where}: the images do not come out at the sizes measured, and miss {limit:,} bytes; "
            f"allow more, or ask for {allowed:,}"
        )

    def _store_all(
        self,
        items: Iterable[Item],
        done: Progress | None,
        plan: Iterator[tuple[str, int]] | None = None,
    ) -> None:
        """Code and store images, each at its planned quality if there is a plan."""
        for batch in self._reader.batches(items, done):
            qualities = None if plan is None else self._planned(batch, plan)
            self._encode(batch, qualities)
        if plan is not None and next(plan, None) is not None:
            raise self._changed()
        self._stream.flush()

    def _planned(self, batch: Batch, plan: Iterator[tuple[str, int]]) -> list[int]:
        qualities = []
        for item, _ in batch:
            name, quality = next(plan, ("", 0))
            if name != item.id:
                raise self._changed()
            qualities.append(quality)
        return qualities

    def _encode(self, batch: Batch, qualities: list[int] | None) -> None:
        target = self._options.target
        images = [image for _, image in batch]
        if target.min_psnr is None and qualities is None:
            packets = self._codec.encode(images, target)
        else:
            if qualities is not None:
                target = replace(target, max_bytes=None, quality=qualities)
            packets, psnr = self._codec.encode_measured(images, target)
            self._psnr.extend(psnr.tolist())
        codes = {
            name: packed_codes(describer, images, threads=target.threads)
            for name, describer in self._describers.items()
        }
        replacing = self._options.on_duplicate == "replace"
        for i, ((item, _), packet) in enumerate(zip(batch, packets, strict=True)):
            earlier = self._reader.added.store(item.id)
            if earlier is not None:
                self._dead.append(earlier)
            elif replacing and (position := self._snapshot.find(item.id)) is not None:
                self._old.append(position)
            self._sums.append(sum_of(packet.checksum(), len(packet.payload)))
            if fault_of(item.id):
                self._unsafe.append(item.id)
            of_image = {name: made[i] for name, made in codes.items()}
            self._stream.add_new(item.id, {"label": item.label, **item.columns}, packet, of_image)

    def _begin_again(self) -> None:
        """Forget all that was stored."""
        self._stream.discard()
        manifest = self._snapshot.manifest
        self._stream = SegmentStream(self._store, manifest.codec, self._stream.schema)
        self._reader = SourceReader(self._snapshot, self._options)
        self._dead, self._old, self._psnr = array("Q"), array("Q"), array("d")
        self._sums, self._unsafe = array("Q"), []

    def _changed(self) -> ArchiveError:
        return ArchiveError(
            f"{self._store.where('')}: the images were others when they were read again; leave "
            "them alone while they are packed"
        )
