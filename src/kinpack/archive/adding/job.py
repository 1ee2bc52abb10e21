"""Jobs: images coded anywhere, by whatever runs it, and committed here, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from kinpack.archive.adding.gathering import AddReport, Gathering
from kinpack.archive.adding.segment_writer import SegmentWriter
from kinpack.archive.adding.shards import is_whole
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_record, manifest_numbers
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.part import Part
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError

Propose: TypeAlias = Callable[[Snapshot], tuple[Manifest | None, AddReport]]
"""Gives the manifest that makes a change to a revision, and what comes of it."""


class Job:
    """A lease on an archive, for as long as images are coded elsewhere and committed here.

    Nobody collects meanwhile, so that nothing that was written is taken for a dead writer's.

    Args:
        store: where the archive lies.
        snapshot: gives the archive's revision.
        commit: commits what it is given.
        writer: what codes images.
        name: of the job.

    Attributes:
        name: by which a job that is begun again knows what it has committed.
        writer: codes images and stores them; it may be sent anywhere, as often as needed.
        done: names of the shards that this job has committed, now or before it was begun again, as
            far as the archive's history tells.
    """

    def __init__(
        self,
        store: Store,
        snapshot: Callable[[], Snapshot],
        commit: Callable[[Propose], AddReport],
        writer: SegmentWriter,
        name: str,
    ) -> None:
        self.name, self.writer = name, writer
        self._store, self._snapshot, self._commit = store, snapshot, commit
        self.done = frozenset(_committed(store, name) if name else ())

    def commit(self, parts: Iterable[Part]) -> AddReport:
        """Show what was written: all images of the parts appear, durably, or none.

        Of a shard that was written twice, or is committed already, the other parts are removed.

        Args:
            parts: what ``writer.write_segment`` returned, in the order that the images are to have.

        Returns:
            How many images were added, and which pictures were broken.

        Raises:
            ArchiveError: a file is gone or not as it was written, an id comes twice or is there
                already, or the archive cannot be written; the parts stay as they are.
        """
        chosen: dict[str, Part] = {}
        others: list[Part] = []
        for number, part in enumerate(parts):
            key = part.shard or f"\0{number}"  # each without a name is a shard of its own
            first = chosen.setdefault(key, part)
            if part.shard in self.done or first != part:
                others.append(part)
        wanted = [part for part in chosen.values() if part.shard not in self.done]
        for part in wanted:
            if not is_whole(self._store, part):
                raise ArchiveError(
                    f"{self._store.where('')}: a file of the shard {part.shard!r} is gone, or is "
                    "not as it was written; write the shard again, within a job of this archive"
                )
        named = [part.shard for part in wanted if part.shard]
        noted = {"job": self.name, "shards": named} if self.name else {}
        options = self.writer.options
        gathered = Gathering(self._store, self._snapshot(), options, seen=False, noted=noted)
        for part in wanted:
            gathered.take(part)
        gathered.check()
        report = self._commit(gathered.following)
        self.done |= frozenset(named)
        self.writer.discard([*others, *(wanted if not report.added + report.replaced else ())])
        return report


def _committed(store: Store, name: str) -> Iterable[str]:
    """Names of the shards that a job has committed, as far as the history is there."""
    for number in manifest_numbers(store):
        change = load_record(store, number).change
        shards = change.get("shards") if change.get("job") == name else None
        yield from (one for one in shards or () if isinstance(one, str))
