"""Gathering: parts that are stored become one commit, on top of whatever others have committed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.adding.picture_loading import AddOptions
from kinpack.archive.adding.repeats import repeated
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.measured_quality import MeasuredQuality, measured_commit
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.part import Part
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import living
from kinpack.archive.stores.store import Store
from kinpack.column_types import Schema, joined
from kinpack.errors import ArchiveError


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
        resumed: images that an interrupted call had coded already.
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
    resumed: int = field(default=0, compare=False)
    images: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)


class Gathering:
    """Parts on their way into an archive: stored in segments, but in no manifest yet.

    Args:
        store: where the archive lies.
        snapshot: its revision when adding began.
        options: how to add.
        seen: whether the ids of parts were looked for in that revision before they came.
        noted: what the commit says beside what it adds, JSON values.

    Attributes:
        parts: those that were taken, in order.
        skipped: images left out since their id was there.
        resumed: images that an interrupted call had coded already.
    """

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        options: AddOptions,
        *,
        seen: bool,
        noted: Mapping[str, Any] | None = None,
    ) -> None:
        self.parts: list[Part] = []
        self.skipped = self.resumed = 0
        self._store, self._snapshot, self._options = store, snapshot, options
        self._seen, self._noted = seen, dict(noted or {})
        self.schema: Schema = {}
        self._rows = 0
        self._dead = array("Q")  # rows that a later image replaced
        self._old = array("Q")  # positions in the snapshot of images that one of these replaces

    def take(self, part: Part, dead: Iterable[int] = (), old: Iterable[int] = ()) -> None:
        """Take a part, which comes after those before it.

        Args:
            part: what was stored.
            dead: rows of all parts that one of its images replaces.
            old: positions in the snapshot of images that one of its images replaces.

        Raises:
            ArchiveError: a column is of another type than in the parts before.
        """
        try:
            self.schema = joined(self.schema, part.schema)
        except ValueError as error:
            raise ArchiveError(f"{self._store.where('')}: {error}") from error
        self.parts.append(part)
        self._rows += part.rows
        self._dead.extend(dead)
        self._old.extend(old)

    def check(self) -> None:
        """See that no id is in two of the parts, or twice in one.

        Raises:
            ArchiveError: one is.
        """
        hashes = np.concatenate([part.id_hashes for part in self.parts] or [np.zeros(0, "<u8")])
        values, counts = np.unique(hashes, return_counts=True)
        if len(values) == len(hashes):
            return
        names = [name for part in self._stored() for name in part.ids.to_pylist()]
        shards = [part.shard for part in self.parts for _ in range(part.rows)]
        seen: dict[str, int] = {}
        for row in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():
            if (first := seen.setdefault(names[row], row)) != row:
                both = " and ".join(repr(shards[one]) for one in (first, row))
                raise ArchiveError(
                    f"{self._store.where('')}: the id {names[row]!r} comes twice, in the shards "
                    f"{both}; give the images of different shards different ids"
                )

    def following(self, base: Snapshot) -> tuple[Manifest | None, AddReport]:
        """The manifest that adds the images to a revision.

        Args:
            base: the revision; another than at the beginning if somebody else has committed since.

        Returns:
            The manifest, ``None`` if nothing would change; and what would come of it.

        Raises:
            ArchiveError: the revision has an id that was to be added.
        """
        policy = self._options.on_duplicate
        if base is self._snapshot and self._seen:  # noted, where it matters, as the images came
            rows, positions = np.zeros(0, np.int64), np.array(self._old, np.int64)
        else:
            rows, positions = self._there(base)
        if policy == "error" and len(rows):
            segment, row = base.locate(int(positions[0]))
            raise ArchiveError(
                f"{base.where}: the id {segment.ids[row].as_py()!r} is there already; leave it "
                "out, or choose --on-duplicate skip or --on-duplicate replace"
            )
        alive = np.ones(self._rows, bool)
        alive[np.frombuffer(self._dead, np.uint64)] = False
        skipped = replaced = 0
        old = base.manifest.segments
        if policy == "skip":
            alive[rows] = False
            skipped = len(rows)
        elif len(positions):
            replaced = len(positions)
            old = base.without(positions.tolist())
        gone = positions if policy == "replace" else np.zeros(0, np.int64)
        report = AddReport(
            added=int(alive.sum()) - replaced,
            skipped=self.skipped + skipped,
            replaced=len(self._dead) + replaced,
            broken=[(name, why) for part in self.parts for _, name, why in part.broken],
            damaged=[one for part in self.parts for one in part.damaged],
            unsafe=[name for part in self.parts for name in part.unsafe],
            resumed=self.resumed,
        )
        manifest = self._manifest(base, old, alive, gone, report)
        shown = manifest or base.manifest
        report.images, report.bytes = shown.images, shown.bytes_on_disk
        return manifest, report

    def _manifest(
        self,
        base: Snapshot,
        old: tuple[SegmentEntry, ...],
        alive: NDArray[np.bool_],
        gone: NDArray[np.int64],
        report: AddReport,
    ) -> Manifest | None:
        """The manifest of what a report says, which gets to know more."""
        if not report.added and not report.replaced:
            return None
        sums = np.concatenate([np.frombuffer(part.sums, "<u8") for part in self.parts])
        report.repeated = repeated(base, self._stored(), sums, alive, gone)
        columns = self._columns(base.manifest)
        entries = self.entries
        new = (*old, *(entries if alive.all() else living(entries, alive)))
        change = {"verb": "add", "added": report.added, "replaced": report.replaced, **self._noted}
        asked = self._options.target.asked
        psnr = b"".join(part.psnr for part in self.parts)
        if not psnr:
            noted = {**change, **asked}
            return base.manifest.following(new, noted, columns=columns)
        reached = MeasuredQuality.of(np.frombuffer(psnr, "<f8")[alive])
        report.lowest_psnr, report.mean_psnr = reached.lowest_psnr, reached.mean_psnr
        return measured_commit(base.manifest, new, change, asked, reached, columns)

    @property
    def entries(self) -> tuple[SegmentEntry, ...]:
        """The segments of all parts, in order."""
        return tuple(entry for part in self.parts for entry in part.segments)

    def _columns(self, base: Manifest) -> Schema:
        """The columns of a revision, and those that the images bring."""
        try:
            columns = joined(base.columns, self.schema)
            if any(columns[name] != of for part in self.parts for name, of in part.schema.items()):
                raise ValueError(
                    "columns of the same name are of other types in what is there; add again"
                )
        except ValueError as error:
            raise ArchiveError(f"{self._store.where('')}: {error}") from error
        return columns

    def _stored(self) -> list[Segment]:
        """The segments that were stored."""
        return [Segment(self._store, entry, schema=self.schema) for entry in self.entries]

    def _there(self, base: Snapshot) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What a revision holds of the images: their rows, and their positions there.

        The ids are read again from the segments that were stored: the revision is another one than
        at the beginning, after a lost race.
        """
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        stored = self._stored()
        ends = accumulate((entry.rows for entry in self.entries), initial=0)
        for first, segment in zip(ends, stored, strict=False):
            positions = base.find_all(segment.ids.to_pylist())
            rows = first + np.flatnonzero(positions >= 0)
            found.append((rows, positions[positions >= 0]))
        rows, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
        alive = ~np.isin(rows, np.array(self._dead, np.int64))
        return rows[alive], positions[alive]
