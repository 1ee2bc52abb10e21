"""New indexes: what is told of a segment's images written anew, payloads untouched."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.guard.column_table import COLUMNS, most_text
from kinpack.archive.segments.index_file import IndexFile, index_file
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import create_new, rewritten_index
from kinpack.archive.stores.store import Store
from kinpack.column_types import TYPES
from kinpack.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of an image from now on.

    Attributes:
        id: its name.
        label: its class.
        columns: values of users' columns; others stay what they were.
    """

    id: str
    label: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)


class NewIndexes:
    """Indexes of segments on their way into an archive: files in the store, in no manifest yet.

    Args:
        store: where the archive lies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: list[IndexFile] = []
        self._offered = False

    def rewritten(self, segment: Segment, rows: Mapping[int, Told], base: Snapshot) -> SegmentEntry:
        """What a manifest is to say of a segment, its index stored anew.

        Args:
            segment: opened with the columns that the archive is to have.
            rows: what is told anew, by row.
            base: the revision.

        Raises:
            ArchiveError: a value is none that the column can hold, all texts together are too long,
                the segment is damaged, or the store cannot be written.
        """
        index, schema = segment.index, segment.schema
        changed = {"id": index.ids.to_pylist(), "label": index.optional["label"].to_pylist()}
        for name in sorted({name for told in rows.values() for name in told.columns}):
            of = TYPES[schema[name]]
            changed[name] = [of.stored(value) for value in of.values(index.optional[name])]
        for row, told in rows.items():
            changed["id"][row], changed["label"][row] = told.id, told.label
            for name, value in told.columns.items():
                try:
                    changed[name][row] = TYPES[schema[name]].stored(value)
                except ValueError as error:
                    raise ArchiveError(f"{base.where}: {told.id}: {name} {error}") from error
        for texts in changed.values():
            n_bytes = sum(len(text.encode()) for text in texts if isinstance(text, str))
            if n_bytes > most_text(len(texts)):
                raise ArchiveError(f"{base.where}: names too long together: shorten them")
        data, offset = rewritten_index(index, base.manifest.codec, schema, changed)
        made = index_file(uuid.uuid4().hex, data, offset)
        create_new(self._store, made.file, data)
        self._made.append(made)
        return replace(segment.manifest_entry, index=made)

    def offered(self) -> None:
        """Note that a manifest that names the files may exist from now on."""
        self._offered = True

    def begin_again(self) -> None:
        """Delete the files: the manifest that was to name them has lost a race."""
        self._offered = False
        self.discard()

    def discard(self) -> None:
        """Delete the files, unless a manifest that names them may exist."""
        if not self._offered and self._made:
            with suppress(ArchiveError):
                self._store.delete(*(made.file for made in self._made))
            self._made = []


def see_name(name: str, where: str) -> None:
    """See that a text can be the id of an image.

    Raises:
        ArchiveError: it is none.
    """
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError as error:
        raise ArchiveError(
            f"{where}: {name!r} is no valid Unicode text; choose another name"
        ) from error
    if not 0 < n_bytes <= COLUMNS["id"].limit:
        raise ArchiveError(f"{where}: {name[:40]!r} has {n_bytes:,} bytes, which is no id")


def see_free(base: Snapshot, taken: Mapping[str, int], freed: Collection[str]) -> None:
    """See that every new id is one image's alone.

    Args:
        base: the revision.
        taken: how often each new id is given.
        freed: ids that no image has any more.

    Raises:
        ArchiveError: two images would have one.
    """
    twice = next((name for name, times in taken.items() if times > 1), None)
    there = [name for name in taken if name not in freed]
    if twice is None and there:
        places = base.find_all(there)
        twice = next((there[i] for i, place in enumerate(places.tolist()) if place >= 0), None)
    if twice is not None:
        raise ArchiveError(
            f"{base.where}: two images would be called {twice!r}, and nothing was renamed; "
            "choose other names, or delete one first with: kinpack rm"
        )
