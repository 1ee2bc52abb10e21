"""Purging: nothing stays of deleted images, nor any revision that could show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kinpack.archive.amending.removal import Selection, is_pattern, removal
from kinpack.archive.care.collecting import PURGE, GcReport, purged_files, sweep
from kinpack.archive.care.compaction import CompactReport, compact
from kinpack.archive.revisions.leftovers import given_back
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import commit, load_record, manifest_numbers
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.system_errors import is_full
from kinpack.errors import ArchiveError, KinpackError
from kinpack.progress import Progress


@dataclass(slots=True)
class PurgeReport:
    """What was purged.

    Attributes:
        revisions: numbers of the revisions that can no longer be opened, ascending.
        files: names of the files that were removed.
        bytes: their bytes.
        young: names of files that no revision ever named and that were left, since a writer that
            stands still may yet commit them; they may hold deleted images.
        finished: whether some of it is what an earlier purge, which was cut off, had left, or what
            had been deleted before.
    """

    revisions: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    young: list[str] = field(default_factory=list)
    finished: bool = False

    def take(self, swept: GcReport) -> None:
        """Add what a sweep has removed."""
        self.revisions += swept.revisions
        self.files += swept.files
        self.bytes += swept.bytes
        self.young = swept.young


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What came of deleting.

    Attributes:
        removed: images that were deleted, or with ``dry_run`` would be.
        ids: theirs, with ``dry_run``.
        purged: what was removed for good, where that was asked for.
    """

    removed: int
    ids: tuple[str, ...] = ()
    purged: PurgeReport | None = None


def purge(
    store: Store,
    base: Snapshot,
    chosen: Selection,
    *,
    merge: bool = False,
    orphan_age: float = 0.0,
    progress: Progress | None = None,
) -> tuple[Snapshot, int, CompactReport]:
    """Delete images, and remove all that is left of any that were ever deleted.

    Segments that hold some are written again without them, payloads byte for byte. Then one commit
    is made that builds on none before it, all earlier revisions are forgotten, and the files that
    they alone name removed. Where no revision has ever held more than the newest, all stay. To be
    called while nobody else writes. Cut off at any moment it leaves the former revision or the new
    one, and is finished by being repeated.

    Args:
        store: where the archive lies.
        base: its newest revision.
        chosen: images to delete; one that was deleted before is purged all the same.
        merge: whether small segments are merged as well.
        orphan_age: seconds for which a file is kept that no revision ever named.
        progress: called with the number of images just copied.

    Returns:
        The new revision, how many images were deleted now, and what came of compacting.

    Raises:
        NotFoundError: an id, or the label, is in no revision that is left, and the newest is of no
            purge, which may have been cut off; nothing is deleted then.
        ArchiveError: a segment is missing or damaged, or the store cannot be written.
    """
    report = PurgeReport()
    files = given_back(store, store.list())
    records = [load_record(store, number) for number in manifest_numbers(store)]
    entries = {entry.name: entry for record in records for entry in record.segments}
    former = {file for one in records for entry in one.segments for file in entry.files}
    asked = {file for record in records for file in purged_files(record)}
    report.finished = not asked.isdisjoint(files)
    ids, label = chosen.ids, chosen.label
    named = [name for name in ids or () if isinstance(name, str) and not is_pattern(name)]
    gone = {name for name in named if name not in base}
    unlabelled = label is not None and label not in base.labels()
    if report.finished or base.manifest.change.get("verb") == PURGE:  # which may have been this one
        deleted = gone, unlabelled
    else:
        schema = {name: of for record in records for name, of in record.columns.items()}
        segments = (Segment(store, entry, schema=schema) for entry in entries.values())
        deleted = _deleted(segments, gone, label if unlabelled else None)
        report.finished = bool(deleted[0]) or deleted[1]
    left = None
    if ids is not None:
        left = [one for one in ids if not isinstance(one, str) or one not in deleted[0]]
    # Where all of them, or all of the label, are gone already, no image meets both.
    nothing = deleted[1] or (bool(ids) and not left)
    chosen = Selection(ids=[]) if nothing else Selection(ids=left, label=label)

    def without(now: Snapshot) -> tuple[Manifest | None, int]:
        return removal(now, chosen)

    try:
        base, removed = commit(store, base, without)
    except ArchiveError as error:
        if not is_full(error):
            raise
        report.take(sweep(store, orphan_age, min_age=0.0))  # they go anyhow: now for their room
        base, removed = commit(store, base, without)
    try:
        dead = any(entry.deleted or entry.index for entry in base.manifest.segments)
        dead = dead or bool(former - _files(base.manifest))
        base, compacted = compact(store, base, progress, merge=merge)
        if dead:
            change = {
                "verb": PURGE,
                "removed": removed,
                "dropped": compacted.dropped,
                "files": sorted((former | asked) - _files(base.manifest)),
            }
            newest = base.manifest
            alone = replace(newest.following(newest.segments, change), base=None)
            base, _ = commit(store, base, lambda _: (alone, None))
        report.take(sweep(store, orphan_age))
    except KinpackError as error:
        raise ArchiveError(
            f"{error}; what was deleted stays so, but is not purged yet: finish that with: kinpack "
            "compact --purge"
        ) from error
    compacted.purged = report
    return base, removed, compacted


def _files(manifest: Manifest) -> set[str]:
    """Names of the files of a revision's segments."""
    return {file for entry in manifest.segments for file in entry.files}


def _deleted(
    segments: Iterable[Segment], ids: set[str], label: str | None
) -> tuple[set[str], bool]:
    """Which of some ids are in segments, and whether an image of a label is.

    Args:
        segments: all that any revision names.
        ids: that the newest revision does not have.
        label: that none of its images has; ``None`` if no label is looked for.
    """
    found: set[str] = set()
    labelled = False
    for segment in segments:
        if found == ids and labelled == (label is not None):
            break
        try:
            index = segment.index
        except ArchiveError:  # of a revision that was half removed: nothing can be read of it
            continue
        found |= ids.intersection(index.ids.to_pylist())
        labelled = labelled or label in set(index.optional["label"].to_pylist()) - {None}
    return found, labelled
