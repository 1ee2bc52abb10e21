"""Shared drawing: codes of images that other processes draw and describe."""

from __future__ import annotations

from collections.abc import Sequence

from kinpack.archive.amending.embedding import Coding
from kinpack.archive.revisions.manifest import describer_entry
from kinpack.archive.revisions.opened import RevisionAt, Sharing, live_things
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.segments.segment import Segment
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.errors import PayloadError
from kinpack.jobs.mapping import Lost, map_ordered
from kinpack.jobs.table import engine_named
from kinpack.limits import batches
from kinpack.progress import Progress

_BATCH = 64


class Describing:
    """Work on images of a revision: each is drawn, and gets a code.

    Args:
        revision: which one.
        describer: makes the codes.
    """

    def __init__(self, revision: RevisionAt, describer: Describer) -> None:
        self._revision, self._describer = revision, describer

    def __call__(
        self, things: Sequence[tuple[int, int]], progress: Progress
    ) -> list[tuple[int, int, bytes]]:
        """Give the images of some segments and rows a code each, packed."""
        made: list[bytes] = []
        for segment, rows in self._revision.rows_of(things):
            packets = segment.packets(rows)
            for batch in batches(packets, _BATCH, n_bytes=lambda one: one.pixel_bytes):
                images = self._revision.codec.decode(batch, threads=1)
                made += packed_codes(self._describer, images, threads=1)
                progress(len(batch))
        return [(part, row, code) for (part, row), code in zip(things, made, strict=True)]


def by_others(
    snapshot: Snapshot,
    codec: Codec,
    describer: Describer,
    column: str,
    sharing: Sharing,
    otherwise: Coding,
    progress: Progress | None,
) -> Coding:
    """Codes of images as other processes draw them.

    Args:
        snapshot: the revision whose images get codes.
        codec: draws them.
        describer: describes them.
        column: name of the codes; segments that have such ones of the very describer need none.
        sharing: which processes.
        otherwise: makes the codes of what comes to the archive meanwhile, and all where one process
            suits.
        progress: called with the number of images just described.

    Raises:
        ArchiveError: a segment is missing or damaged.
        PayloadError: a packet is damaged, or drawing it ends its process.
    """
    manifest = snapshot.manifest
    entry = describer_entry(column, describer.to_bytes())
    same = manifest.describer(column) == entry
    parts = [
        part
        for part, segment in enumerate(manifest.segments)
        if not (same and segment.codes_of(column))
    ]
    count = sum(manifest.segments[part].live for part in parts)
    revision = RevisionAt(sharing.place, manifest, codec)
    things = (one for task in live_things(snapshot, parts) for one in task)

    def try_out(_: int) -> None:
        part, row = next(things)
        packed_codes(describer, codec.decode([snapshot.segments[part].packet(row)], threads=1))

    workers = sharing.workers(revision, count, try_out)
    if workers == 1 and sharing.engine == "processes":
        return otherwise
    found: dict[str, dict[int, bytes]] = {}
    with engine_named(sharing.engine)(Describing(revision, describer), workers) as engine:
        for made in map_ordered(engine, live_things(snapshot, parts), progress):
            if isinstance(made, Lost):
                part, row = made.thing
                segment = snapshot.segments[part]
                raise PayloadError(
                    f"{segment.where}: image {segment.ids[row].as_py()!r}: drawing it {made.reason}"
                )
            for part, row, code in made:
                found.setdefault(manifest.segments[part].sha256, {})[row] = code

    def coding(segment: Segment, rows: Sequence[int]) -> dict[int, bytes]:
        made = found.get(segment.manifest_entry.sha256, {})
        if made.keys() >= set(rows):
            return {row: made[row] for row in rows}
        return otherwise(segment, rows)

    return coding
