"""Streams of packets into a store: as many segments as they need, in no manifest yet."""

from __future__ import annotations

import hashlib
import inspect
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.code_file import code_file
from kinpack.archive.segments.guard.column_table import (
    COLUMNS,
    NO_COLUMNS,
    Column,
    columns_with,
    most_text,
    optional_columns,
)
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.segments.segment import Index
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.store import FORMAT
from kinpack.codec.packets.packet import Packet
from kinpack.column_types import TYPES, Schema, joined, type_of
from kinpack.errors import ArchiveError
from kinpack.progress import Progress

PAYLOAD_BYTES = 32 << 20
"""A segment is full with this many bytes of payload."""

ROWS = 1 << 16
"""A segment is full with this many images."""

_ZSTD_LEVEL = 19
NO_CODES: Mapping[str, bytes] = MappingProxyType({})

ONE_PAGE = 1 << 30
"""Bytes of a page, so many that a column chunk has one."""


def living(entries: Sequence[SegmentEntry], alive: NDArray[np.bool_]) -> list[SegmentEntry]:
    """Segments without images that are not wanted any more.

    Args:
        entries: what a manifest says of the segments.
        alive: (rows,), whether each image of them is wanted.
    """
    found, first = [], 0
    for entry in entries:
        dead = np.flatnonzero(~alive[first : first + entry.rows])
        found.append(entry.without(dead.tolist()) if len(dead) else entry)
        first += entry.rows
    return found


def is_small(entry: SegmentEntry) -> bool:
    """Tell whether a segment is less than half full, so that it gains by being merged."""
    return 2 * entry.rows < ROWS and 2 * entry.payload_bytes < PAYLOAD_BYTES


class Sink(Protocol):
    """The part of a ``Store`` that files are written to."""

    def where(self, name: str) -> str:
        """How messages call a file, or for an empty name the store itself."""
        ...

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Write a file, whole and durably, only if absent; False if the name was taken."""
        ...

    def delete(self, *names: str) -> None:
        """Remove files, durably; one that is not there is no error."""
        ...


def create_new(store: Sink, file: str, content: bytes | memoryview) -> None:
    """Write a file under a random name, whole and durably.

    Raises:
        ArchiveError: the name was taken, or the store cannot be written.
    """
    if not store.create(file, content):
        raise ArchiveError(f"{store.where(file)}: this random name was taken; try again")


class SegmentStream:
    """Gathers packets, and stores a segment whenever one is full.

    Nobody sees the segments before a manifest names them.

    Args:
        store: where to.
        codec: SHA-256 of the codec file, hexadecimal; written into each segment.
        schema: the types of the columns that users added, by their names.

    Attributes:
        schema: likewise, with those that ``widen`` added. A segment has those of them of which one
            of its images has a value.
        segments: what a manifest is to say of the segments that are stored, in order.
        last_index: of the last of them: who reads it next need not read the file.
        rows: images in all of them and in the one that is being gathered.
    """

    def __init__(self, store: Sink, codec: str, schema: Schema = NO_COLUMNS) -> None:
        self.schema = dict(schema)
        self.segments: list[SegmentEntry] = []
        self.last_index: Index | None = None
        self.rows = 0
        self._store, self._codec = store, codec
        # Of the segment that is being gathered:
        self._table = columns_with(schema)
        self._optional = {column.name: column for column in optional_columns(schema)}
        names = (name for name in self._table if name != "payload")
        self._columns: dict[str, list[Any]] = {name: [] for name in names}
        self._payloads = bytearray()
        self._codes: dict[str, bytearray] = {}
        self._text_bytes: Counter[str] = Counter()

    def widen(self, schema: Schema) -> None:
        """Take more columns from now on; images before have no value of them.

        Raises:
            ArchiveError: one is there already, of another type, or cannot be.
        """
        try:
            self.schema = joined(self.schema, schema)
        except ValueError as error:
            raise self._refusal(str(error)) from error
        self._table = columns_with(self.schema)
        self._optional = {column.name: column for column in optional_columns(self.schema)}
        rows = len(self._columns["id"])
        for name in self.schema:
            self._columns.setdefault(name, [None] * rows)

    def add(
        self,
        id: str,  # noqa: A002
        columns: Mapping[str, Any],
        packet: Packet,
        codes: Mapping[str, bytes] = NO_CODES,
    ) -> tuple[int, int]:
        """Append one image.

        Args:
            id: its name.
            columns: what else is known of it, by the column's name; what is left out is ``None``.
            packet: the image, coded.
            codes: packed codes of it, by the column's name. Where the columns are others than those
                of the image before, a new segment begins.

        Returns:
            The place of its segment in ``segments``, and its row there.

        Raises:
            ArchiveError: a text or a number is none that the column can hold, there is no such
                column, a code has another size than those before, or the segment before the image
                cannot be written.
        """
        rows = len(self._columns["id"])
        if not id:
            raise self._refusal("an image has an empty id; give it a name")
        self._stored(COLUMNS["id"], id, id)
        if unknown := columns.keys() - self._optional.keys():
            raise self._refusal(
                f"image {id!r} has a value of {min(unknown)!r}, but there is no such column; there "
                f"are {', '.join(self._optional)}"
            )
        known = {
            name: self._stored(column, columns.get(name), id)
            for name, column in self._optional.items()
        }
        texts = {
            name: len(value.encode())
            for name, value in {"id": id, **known}.items()
            if isinstance(value, str)
        }
        if (
            rows >= ROWS
            or len(self._payloads) >= PAYLOAD_BYTES
            or any(self._text_bytes[name] + size > most_text(rows) for name, size in texts.items())
            or (rows and self._codes.keys() != codes.keys())
        ):
            self.flush()
            rows = 0
        for name, code in codes.items():
            if not code or len(self._codes.setdefault(name, bytearray())) != rows * len(code):
                raise self._refusal(
                    f"the code of image {id!r} in column {name!r} has {len(code)} bytes, those "
                    "before it another size; a column takes the codes of one describer"
                )
        self._text_bytes.update(texts)
        row = {"id": id, **known, "length": len(packet.payload), "checksum": packet.checksum()}
        for name, values in self._columns.items():
            values.append(row[name] if name in row else int(getattr(packet, name)))
        self._payloads += packet.payload
        for name, code in codes.items():
            self._codes[name] += code
        self.rows += 1
        return len(self.segments), rows

    def add_new(
        self,
        id: str,  # noqa: A002
        columns: Mapping[str, Any],
        packet: Packet,
        codes: Mapping[str, bytes] = NO_CODES,
    ) -> tuple[int, int]:
        """Append one image, as ``add`` does, with a column for each value that has none yet.

        The first value of a column says of what type it is.
        """
        new = {
            name: value
            for name, value in columns.items()
            if name not in self._optional and value is not None
        }
        if new:
            types = {name: type_of(value) for name, value in new.items()}
            if none := [name for name, of in types.items() if of is None]:
                raise self._refusal(
                    f"image {id!r} has in {none[0]!r} a {type(new[none[0]]).__name__}, which no "
                    f"column holds; those hold a bool, int, float, str, date or datetime"
                )
            self.widen({name: of for name, of in types.items() if of is not None})
        there = {name: value for name, value in columns.items() if name in self._optional}
        return self.add(id, there, packet, codes)

    def take(self, images: Iterable[StoredImage], progress: Progress | None = None) -> None:
        """Append images that an archive keeps already; raises as ``add`` does.

        Args:
            images: in order.
            progress: called with the number of images just appended.
        """
        for image in images:
            self.add(image.id, image.columns, image.packet, image.codes)
            if progress:
                progress(1)

    def flush(self) -> None:
        """Store what has been gathered, and begin another segment.

        Raises:
            ArchiveError: the store cannot be written.
        """
        if not self._columns["id"]:
            return
        codes = [bytes(codes) for codes in self._codes.values()]
        data, entry, self.last_index = self.finish()
        self.segments.append(entry)
        contents: tuple[memoryview | bytes, ...] = (data, *codes)
        for file, content in zip(entry.files, contents, strict=True):
            create_new(self._store, file, content)

    def finish(self) -> tuple[memoryview, SegmentEntry, Index]:
        """Make a segment of what has been gathered, and begin another one; nothing is stored.

        Returns:
            The bytes to store under ``entry.file``, the entry for the manifest, and the index as it
            would be read.

        Raises:
            ArchiveError: nothing was added, or the Parquet library did not lay the columns out as
                the format asks.
        """
        rows, payload_bytes = len(self._columns["id"]), len(self._payloads)
        if not rows:
            raise self._refusal("a segment without images cannot be written")
        table = self._table
        filled = {
            name: values
            for name, values in self._columns.items()
            if name in COLUMNS or values.count(None) < rows
        }
        arrays = _arrow_arrays(filled, self._payloads, table)
        data, index_offset = _to_parquet(arrays, self._codec, table)
        view = memoryview(data).cast("B")
        if view[index_offset - payload_bytes : index_offset] != self._payloads:
            raise self._refusal(
                "the installed pyarrow does not keep payloads in one page; install the version "
                "that kinpack's constraints name"
            )
        name = uuid.uuid4().hex
        entry = SegmentEntry(
            name=name,
            bytes=len(view),
            rows=rows,
            payload_bytes=payload_bytes,
            sha256=hashlib.sha256(view).hexdigest(),
            index_offset=index_offset,
            index_crc32=zlib.crc32(view[index_offset:]),
            codes=tuple(
                code_file(column, name, bytes(codes)) for column, codes in self._codes.items()
            ),
        )
        index = Index.of(
            arrays, offset=index_offset, payload_bytes=payload_bytes, schema=self.schema
        )
        for values in self._columns.values():
            values.clear()
        self._payloads, self._codes = bytearray(), {}
        self._text_bytes.clear()
        return view, entry, index

    def discard(self) -> None:
        """Delete what was stored, as far as the store allows; for segments in no manifest."""
        with suppress(ArchiveError):
            self._store.delete(*(file for entry in self.segments for file in entry.files))

    def _stored(self, column: Column, value: Any, id: str) -> Any:  # noqa: A002
        """What is stored for a value of a column, which must be one that it can hold."""
        if value is None:
            return None
        if column.name in self.schema:
            try:
                return TYPES[column.dtype].stored(value)
            except (ValueError, UnicodeEncodeError, OverflowError) as error:
                reason = "is no valid Unicode text" if isinstance(value, str) else error
                raise self._refusal(
                    f"image {id!r}: its {column.name}, {str(value)[:40]!r}, {reason}"
                ) from error
        if column.dtype != "string":
            dtype = np.dtype(column.dtype)
            fits = type(value) in (int, float) if dtype.kind == "f" else type(value) is int
            if fits and dtype.kind != "f":
                fits = np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
            if not fits:
                raise self._refusal(f"{value!r} is no {column.name}, which is of type {dtype}")
            return value
        try:
            n_bytes = len(value.encode())
        except (AttributeError, UnicodeEncodeError) as error:
            raise self._refusal(
                f"{value!r} is no valid Unicode text; rename the file or its {column.name}"
            ) from error
        if n_bytes > column.limit:
            raise self._refusal(
                f"{value[:40]!r}… has {n_bytes:,} bytes; the column {column.name} "
                f"takes at most {column.limit:,}: shorten it"
            )
        return value

    def _refusal(self, reason: str) -> ArchiveError:
        return ArchiveError(f"{self._store.where('')}: {reason}")


def _arrow_arrays(
    columns: Mapping[str, Sequence[Any]],
    payloads: bytes | bytearray,
    table: Mapping[str, Column],
) -> dict[str, Any]:
    """All columns of a segment as Arrow arrays, in their order.

    They are put together from buffers: ``pa.array`` would import pandas first, which is slow.

    Args:
        columns: what is stored of each column but payloads, row by row, ``None`` where an optional
            one is missing.
        payloads: all payloads, one after the other; ``length`` says where each ends.
        table: the columns that there may be, by name, in their order.
    """
    import pyarrow as pa

    rows = len(columns["id"])
    arrays = {}
    for name, column in table.items():
        if name == "payload":
            ends = np.zeros(rows + 1, np.int32)
            np.cumsum(columns["length"], out=ends[1:])
            buffers = [None, pa.py_buffer(ends), pa.py_buffer(payloads)]
            arrays[name] = pa.Array.from_buffers(column.arrow_type, rows, buffers)
        elif name not in columns:
            continue
        elif column.values is not None:
            arrays[name] = column.values.array(columns[name])
        else:
            values, valid = columns[name], None
            if None in values:
                present = [value is not None for value in values]
                valid = pa.py_buffer(np.packbits(present, bitorder="little"))
            numbers = np.array([0 if value is None else value for value in values], column.dtype)
            buffers = [valid, pa.py_buffer(numbers)]
            arrays[name] = pa.Array.from_buffers(column.arrow_type, rows, buffers)
    return arrays


def _laid_out(column: Column, array: Any) -> Column:
    """A column with the encoding that its values take fewer bytes in, where there is a choice."""
    if column.name in COLUMNS or column.encoding != "DICTIONARY":
        return column
    import pyarrow.compute as pc

    if 2 * pc.count_distinct(array).as_py() <= len(array):
        return column
    return replace(column, encoding="PLAIN")


def _to_parquet(
    arrays: Mapping[str, Any], codec: str, table: Mapping[str, Column]
) -> tuple[Any, int]:
    """Lay columns out as a Parquet file of one row group.

    Args:
        arrays: all columns of a segment as Arrow arrays, in their order.
        codec: SHA-256 of the codec file, noted in the footer.
        table: the columns that there may be, by name.

    Returns:
        The file, as an Arrow buffer; and one past the last byte of the payloads, its first column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = len(arrays["id"])
    columns = [_laid_out(table[name], array) for name, array in arrays.items()]
    schema = pa.schema(
        [pa.field(one.name, arrays[one.name].type, nullable=one.optional) for one in columns]
    )
    options: dict[str, Any] = {}
    if "max_rows_per_page" in inspect.signature(pq.ParquetWriter.__init__).parameters:
        options["max_rows_per_page"] = rows  # newer versions cut pages after 20,000 rows
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        use_dictionary=[one.name for one in columns if one.encoding == "DICTIONARY"],
        column_encoding={one.name: one.encoding for one in columns if one.encoding != "DICTIONARY"},
        compression={one.name: "ZSTD" if one.packed else "NONE" for one in columns},
        compression_level={one.name: _ZSTD_LEVEL for one in columns if one.packed},
        write_statistics=False,
        data_page_size=ONE_PAGE,
        dictionary_pagesize_limit=ONE_PAGE,
        store_schema=False,
        **options,
    ) as writer:
        writer.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), rows)
        writer.add_key_value_metadata({"kinpack.format": str(FORMAT), "kinpack.codec": codec})
    data = sink.getvalue()
    payloads = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)
    return data, payloads.data_page_offset + payloads.total_compressed_size  # without a dictionary


def rewritten_index(
    index: Index, codec: str, schema: Schema, changed: Mapping[str, Sequence[Any]]
) -> tuple[bytes, int]:
    """The index of a segment with other names and values: the end of a file of the same payloads.

    Of the payloads only the lengths count: zeros stand for them.

    Args:
        index: of the segment.
        codec: SHA-256 of the codec file, hexadecimal, noted in the footer.
        schema: the types of users' columns, by their names.
        changed: of all rows, by the columns' names: ids, labels, and what is stored for the values
            of those of users' columns that differ.

    Returns:
        Its bytes, and the byte of such a file at which they begin.
    """
    lengths = np.diff(index.starts)
    table = columns_with(schema)
    columns = {name: values.tolist() for name, values in index.numbers.items()}
    columns |= {"id": changed["id"], "label": changed["label"], "length": lengths.tolist()}
    own = {name: column for name, column in table.items() if name in COLUMNS}
    arrays = _arrow_arrays(columns, bytes(int(lengths.sum())), own)
    for name in table.keys() - own.keys():
        array = TYPES[schema[name]].array(changed[name]) if name in changed else None
        array = index.optional[name] if array is None else array
        if array.null_count < len(lengths):
            arrays[name] = array
    arrays = {name: arrays[name] for name in table if name in arrays}
    data, offset = _to_parquet(arrays, codec, table)
    return bytes(memoryview(data).cast("B")[offset:]), offset
