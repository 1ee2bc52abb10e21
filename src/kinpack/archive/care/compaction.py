"""Compaction: small segments become large ones, and deleted images go, by copying bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import commit
from kinpack.archive.revisions.snapshot import Snapshot, live_rows
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import PAYLOAD_BYTES, SegmentStream, is_small, living
from kinpack.archive.stores.store import Store
from kinpack.progress import Progress

if TYPE_CHECKING:
    from kinpack.archive.care.purging import PurgeReport

COMMIT_BYTES = 32 * PAYLOAD_BYTES
"""After so many bytes of payload what is compacted is committed; an interruption loses no more."""


@dataclass(slots=True)
class CompactReport:
    """What came of compacting.

    Attributes:
        images: images that were copied.
        dropped: deleted images that the new revision no longer holds.
        segments_before: segments of the revision before.
        segments_after: segments of the revision after.
        bytes_before: bytes of the segments before.
        bytes_after: bytes of the segments after; the difference is free once ``gc`` has removed the
            revisions that name the old segments.
        purged: what was removed for good, where that was asked for.
    """

    images: int = 0
    dropped: int = 0
    segments_before: int = 0
    segments_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    purged: PurgeReport | None = None


def images_to_copy(manifest: Manifest) -> int:
    """How many images compacting a revision would copy."""
    return sum(entry.live for run in _runs(manifest.segments) for entry in run)


def compact(
    store: Store, base: Snapshot, progress: Progress | None = None, *, merge: bool = True
) -> tuple[Snapshot, CompactReport]:
    """Merge neighbouring small segments, drop deleted images and former names; nothing is coded.

    Images keep their order. The old segments stay for the revisions that name them. Whatever others
    commit meanwhile is kept: images that they delete are deleted in the copies too.

    Args:
        store: where the archive lies.
        base: its newest revision.
        progress: called with the number of images just copied.
        merge: whether small segments without deleted images are rewritten, too.

    Returns:
        The new revision, and what came of it.

    Raises:
        ArchiveError: a segment is missing or damaged, or the store cannot be written.
        PayloadError: a packet is damaged; nothing is copied that does not hold.
    """
    before = base.manifest.segments
    report = CompactReport(
        dropped=sum(entry.rows - entry.live for entry in before),
        segments_before=len(before),
        bytes_before=sum(entry.bytes for entry in before),
    )
    while run := _first_run(base.manifest.segments, merge):
        compaction = _Compaction(store, base, run)
        try:
            compaction.copy(progress)
            base, done = commit(store, base, compaction.following)
        except BaseException:
            compaction.discard()
            raise
        if done:
            report.images += compaction.images
        else:  # somebody else has rewritten the same segments, or renamed images of theirs
            compaction.discard()
    after = base.manifest.segments
    report.dropped -= sum(entry.rows - entry.live for entry in after)
    report.segments_after = len(after)
    report.bytes_after = sum(entry.bytes for entry in after)
    return base, report


class _Compaction:
    """The copy of a run of neighbouring segments on its way into an archive.

    Args:
        store: where the archive lies.
        base: the revision that names the segments.
        run: what it says of them.
    """

    def __init__(self, store: Store, base: Snapshot, run: Sequence[SegmentEntry]) -> None:
        names = {entry.name for entry in run}
        self.images = sum(entry.live for entry in run)
        self._old: list[Segment] = [
            part for part in base.segments if part.manifest_entry.name in names
        ]
        self._stream = SegmentStream(store, base.manifest.codec, base.manifest.columns)
        self._offered = False

    def copy(self, progress: Progress | None) -> None:
        """Store the new segments; nobody sees them before the commit."""
        for segment in self._old:
            rows = live_rows(segment.manifest_entry).tolist()
            self._stream.take(segment.stored(rows), progress)
        self._stream.flush()

    def following(self, base: Snapshot) -> tuple[Manifest | None, bool]:
        """The manifest that puts the copies in the place of the old segments, if that can be.

        Args:
            base: the newest revision.

        Returns:
            The manifest, ``None`` if others have put something else among the old segments, or
            changed more of these than what is deleted; and whether there is one.
        """
        self._offered = False
        segments = base.manifest.segments
        former = {segment.manifest_entry.name: segment.manifest_entry for segment in self._old}
        places = [i for i, entry in enumerate(segments) if entry.name in former]
        if not places or places[-1] - places[0] + 1 != len(places):
            return None, False
        if any(segments[i].deleted_since(former[segments[i].name]) is None for i in places):
            return None, False  # renamed, or given codes
        first, stop = places[0], places[-1] + 1
        new = self._without_dead(segments[first:stop])
        dropped = sum(entry.rows - entry.live for entry in segments[first:stop])
        change = {"verb": "compact", "segments": stop - first, "dropped": dropped}
        self._offered = True
        return base.manifest.following((*segments[:first], *new, *segments[stop:]), change), True

    def discard(self) -> None:
        """Delete the copies, unless a manifest that names them may exist."""
        if not self._offered:
            self._stream.discard()

    def _without_dead(self, now: Sequence[SegmentEntry]) -> list[SegmentEntry]:
        """The new segments without the images that were deleted since they were copied.

        An old segment that is gone holds nothing that another one does not hold by now: its images
        were deleted, or somebody else has compacted it.
        """
        current = {entry.name: live_rows(entry) for entry in now}
        nothing = np.zeros(0, np.int64)
        alive = np.concatenate(
            [
                np.isin(
                    live_rows(segment.manifest_entry),
                    current.get(segment.manifest_entry.name, nothing),
                )
                for segment in self._old
            ]
        )
        return living(self._stream.segments, alive)


def _runs(segments: Sequence[SegmentEntry], merge: bool = True) -> list[list[SegmentEntry]]:
    """Neighbouring segments that gain by being written again as one."""
    runs: list[list[SegmentEntry]] = [[]]
    for entry in segments:
        if _is_changed(entry) or (merge and is_small(entry)):
            runs[-1].append(entry)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1 or any(map(_is_changed, run))]


def _is_changed(entry: SegmentEntry) -> bool:
    """Whether a segment holds what is no more: deleted images, or former names."""
    return bool(entry.deleted or entry.index)


def _first_run(segments: Sequence[SegmentEntry], merge: bool) -> list[SegmentEntry]:
    """As much of the first run as one commit takes; empty if there is none."""
    chosen: list[SegmentEntry] = []
    n_bytes = 0
    for entry in next(iter(_runs(segments, merge)), []):
        if n_bytes >= COMMIT_BYTES and (len(chosen) > 1 or _is_changed(chosen[0])):
            break
        chosen.append(entry)
        n_bytes += entry.payload_bytes
    return chosen
