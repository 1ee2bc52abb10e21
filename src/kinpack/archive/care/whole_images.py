"""Whole images: those of a segment that can be read and hold, and what is to be told of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kinpack.archive.revisions.snapshot import live_rows
from kinpack.archive.segments.guard.column_table import COLUMNS, NO_COLUMNS, optional_columns
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.segments.segment import Segment, checked_packet, columns_of
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_tail import UNREADABLE, Tail, reason_of
from kinpack.archive.segments.tolerant_reading import packets_or_errors
from kinpack.archive.stores.store import Store
from kinpack.column_types import TYPES, Schema, check_schema, name_of
from kinpack.errors import KinpackError
from kinpack.progress import Progress

MOST_BYTES = 1 << 30
"""Most that a segment of which nothing else tells the size may take: it is read whole."""


class WholeImages:
    """Reads the images of segments, whatever else of them is damaged.

    Args:
        store: where they lie.
        progress: called with the number of images just looked at.

    Attributes:
        lost: ids of the images that are not whole, each with the reason; ``"?"`` where that is
            damaged too.
        notes: what else is to be told, a line each.
        schema: the types of the columns that users added, by their names.
    """

    def __init__(self, store: Store, progress: Progress | None) -> None:
        self.lost: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.schema: Schema = {}
        self._store = store
        self._progress = progress

    def named(self, entry: SegmentEntry, schema: Schema | None = None) -> Iterator[StoredImage]:
        """The whole images of a segment that a manifest names.

        Args:
            entry: what it says of the segment.
            schema: of the columns that users had added then; values of columns that are others now
                are left out.
        """
        schema = self.schema if schema is None else schema
        strange = {name for name, of in schema.items() if self.schema.get(name) != of}
        segment = Segment(self._store, entry, schema=schema)
        rows = live_rows(entry).tolist()
        try:
            index = segment.index
            list(index.optional.values())  # decoded, and so checked
        except KinpackError as error:
            if entry.index is not None:
                self.notes.append(f"{error}; its images keep the names that they had before")
                yield from self.named(replace(entry, index=None))
                return
            for name in self._guess(entry, rows):
                self._lose(name, str(error))
            return
        ids = index.ids.to_pylist()
        codes = {}
        for column in entry.code_bytes:
            try:
                codes[column] = segment.codes_of(column)
            except KinpackError as error:
                self.notes.append(str(error))
        for row, packet in packets_or_errors(segment, rows):
            if isinstance(packet, KinpackError):
                self._lose(ids[row], str(packet))
                continue
            of_image = {
                name: part[row].tobytes() for name, part in codes.items() if part is not None
            }
            known = columns_of(index, row)
            kept = {name: value for name, value in known.items() if name not in strange}
            yield StoredImage(ids[row], kept, packet, of_image)
            self._step()

    def _guess(self, entry: SegmentEntry, rows: list[int]) -> list[str]:
        """The ids of a segment whose index is damaged, as far as they can be read."""
        try:
            tail = Tail(
                self._store.read_range(
                    entry.file, entry.index_offset, entry.bytes - entry.index_offset
                ),
                offset=entry.index_offset,
                rows=entry.rows,
                schema=self.schema,
            )
            ids = tail.columns("id")["id"].to_pylist()
            return [ids[row] for row in rows]
        except (KinpackError, AttributeError, *UNREADABLE):
            return ["?"] * len(rows)

    def unnamed(self, name: str, codec: str) -> Iterator[StoredImage]:
        """The whole images of a segment of which no manifest says anything.

        Args:
            name: of the file.
            codec: SHA-256 of the codec file; a segment that names another one is left alone.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(pa.BufferReader(self._store.read(name, MOST_BYTES)))
            made_by = (file.metadata.metadata or {}).get(b"kinpack.codec", codec.encode())
            if made_by != codec.encode():
                raise KinpackError("its images are those of another codec")
            whole = file.read(use_threads=False)
            table = whole.select([name for name in whole.column_names if name in COLUMNS])
            images = table.to_pylist()
            known = self._columns(whole)
        except (KinpackError, *UNREADABLE) as error:
            self.notes.append(f"{self._store.where(name)}: cannot be read ({reason_of(error)})")
            return
        own = [column.name for column in optional_columns(NO_COLUMNS)]
        for number, row in enumerate(images):
            try:
                packet = checked_packet(row, row["payload"])
                if not row["id"]:
                    raise ValueError("this is no row of a segment")
            except (KinpackError, *UNREADABLE) as error:
                self._lose(
                    str(row.get("id") or "?"), f"{self._store.where(name)}: {reason_of(error)}"
                )
                continue
            columns = {name: row.get(name) for name in own}
            columns |= {name: values[number] for name, values in known.items()}
            yield StoredImage(row["id"], columns, packet, {})
            self._step()

    def _columns(self, table: Any) -> dict[str, list[Any]]:
        """The values of users' columns, of a table of a whole segment."""
        return {
            name: TYPES[of].values(table.column(name).combine_chunks())
            for name, of in self.schema.items()
            if name in table.column_names and table.column(name).type == TYPES[of].arrow_type
        }

    def columns_in(self, name: str) -> Schema:
        """The types of the columns that a segment has beyond its own, as far as they are known."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(pa.BufferReader(self._store.read(name, MOST_BYTES)))
            types = {field.name: name_of(field.type) for field in schema}
            found = {one: of for one, of in types.items() if of is not None}
            return check_schema({one: of for one, of in found.items() if one not in COLUMNS})
        except (KinpackError, *UNREADABLE):
            return {}

    def _lose(self, name: str, reason: str) -> None:
        self.lost.append((name, reason))
        self._step()

    def _step(self) -> None:
        if self._progress:
            self._progress(1)
