"""History: the revisions of an archive that can still be opened, and what each commit did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.revisions.manifest import manifest_file
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of an archive.

    Attributes:
        number: names it; ``Archive.open`` takes it as ``at``.
        created: when it was committed, in UTC, as ISO 8601 to the second.
        kinpack: version of the writer.
        images: how many it holds.
        segments: files that hold them.
        change: what the commit did: its ``verb`` and counts.
    """

    number: int
    created: str
    kinpack: str
    images: int
    segments: int
    change: Mapping[str, Any]


def history(store: Store) -> list[Revision]:
    """The revisions of an archive that can be opened, the oldest first.

    Args:
        store: where the archive lies.

    Raises:
        ArchiveError: a manifest is damaged, or there is none.
    """
    revisions: dict[int, Revision] = {}
    for number in manifest_numbers(store):
        try:
            record = load_record(store, number)
        except ArchiveError:
            if store.exists(manifest_file(number)):
                raise
            continue  # it has been collected meanwhile
        images = segments = 0
        if record.base is not None:
            base = revisions.get(record.base[0])
            if base is None:  # a collection was interrupted, and this is what it was to remove
                continue
            images, segments = base.images, base.segments
        revisions[number] = Revision(
            number=number,
            created=record.created,
            kinpack=record.writer,
            images=images + record.images,
            segments=segments + len(record.segments),
            change=record.change,
        )
    if not revisions:
        load_manifest(store)  # says that it is no archive, or no longer one
    return list(revisions.values())
