"""Noting: what files have become is told of their images, in one commit, payloads untouched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from kinpack.archive.amending.new_indexes import NewIndexes, Told, see_free, see_name
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import Store
from kinpack.column_types import Schema, joined
from kinpack.errors import ArchiveError


class Noting:
    """Images on their way to other names and facts: indexes in the store, in no manifest yet.

    An image that is gone by the time of the commit is passed over.

    Args:
        store: where the archive lies.
        told: what is to be told of images, by their former ids.
        removed: ids of images to delete.
        schema: the types of the columns of which something is told.
    """

    def __init__(
        self, store: Store, told: Mapping[str, Told], removed: Collection[str], schema: Schema
    ) -> None:
        self._store, self._told, self._removed = store, told, removed
        self._schema = schema
        self._indexes = NewIndexes(store)

    def following(self, base: Snapshot) -> tuple[Manifest | None, None]:
        """The manifest that does it to a revision; the segments' new indexes are stored.

        Returns:
            The manifest, ``None`` if nothing would change.

        Raises:
            ArchiveError: two images would have one id, a column is of another type, a segment is
                missing or damaged, or the store cannot be written.
        """
        self._indexes.begin_again()
        there = {name: place for name in self._told if (place := base.find(name)) is not None}
        gone = {name: place for name in self._removed if (place := base.find(name)) is not None}
        if not there and not gone:
            return None, None
        renamed = {name: self._told[name].id for name in there if self._told[name].id != name}
        for name in renamed.values():
            see_name(name, base.where)
        see_free(base, Counter(renamed.values()), {*renamed, *gone})
        schema = columns_with_facts(base, self._schema) if there else base.schema
        rows: dict[str, dict[int, Told]] = {}
        for name, place in there.items():
            segment, row = base.locate(place)
            rows.setdefault(segment.manifest_entry.name, {})[row] = self._told[name]
        entries = []
        for entry, segment in zip(base.without(gone.values()), base.segments, strict=True):
            anew = rows.get(entry.name)
            wide = Segment(self._store, entry, segment, schema=schema)
            entries.append(self._indexes.rewritten(wide, anew, base) if anew else entry)
        change = {
            "verb": "sync",
            "renamed": len(renamed),
            "noted": len(there) - len(renamed),
            "removed": len(gone),
        }
        self._indexes.offered()
        return base.manifest.following(tuple(entries), change, columns=schema), None

    def discard(self) -> None:
        """Delete the files, unless a manifest that names them may exist."""
        self._indexes.discard()


def columns_with_facts(base: Snapshot, schema: Schema) -> Schema:
    """The columns of an archive, and those of files.

    Raises:
        ArchiveError: one is there already, of another type.
    """
    try:
        return joined(base.schema, schema)
    except ValueError as error:
        raise ArchiveError(f"{base.where}: {error}") from error
