"""Writing segments: packets are gathered, and become a Parquet file with its entry and index."""

from __future__ import annotations

import hashlib
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinpack.archive.segments.guard.column_table import (
    COLUMNS,
    Column,
    most_text,
    optional_columns,
)
from kinpack.archive.segments.parquet_file import arrow_arrays, to_parquet
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_index import Index
from kinpack.codec.packets.packet import Packet
from kinpack.errors import ArchiveError

PAYLOAD_BYTES = 32 << 20
"""A segment is full with this many bytes of payload."""

ROWS = 1 << 16
"""A segment is full with this many images."""


def is_small(entry: SegmentEntry) -> bool:
    """Tell whether a segment is less than half full, so that it gains by being merged."""
    return 2 * entry.rows < ROWS and 2 * entry.payload_bytes < PAYLOAD_BYTES


class SegmentWriter:
    """Gathers packets and makes a segment of them.

    Args:
        codec: SHA-256 of the codec file, hexadecimal; written into the segment.
        where: the archive's name for messages.
    """

    def __init__(self, codec: str, *, where: str) -> None:
        self.name = uuid.uuid4().hex
        self._codec = codec
        self._where = where
        self._payloads = bytearray()
        self._codes = bytearray()
        self._code_bytes = 0
        self._text_bytes = 0
        self._columns: dict[str, list[Any]] = {
            name: [] for name in COLUMNS if name not in ("payload", "code")
        }

    @property
    def rows(self) -> int:
        """Images gathered so far."""
        return len(self._columns["id"])

    @property
    def full(self) -> bool:
        """Whether it is time to ``finish``."""
        longest = sum(column.limit for column in COLUMNS.values() if column.dtype == "string")
        return (
            self.rows >= ROWS
            or len(self._payloads) >= PAYLOAD_BYTES
            or self._text_bytes + longest > most_text(self.rows)
        )

    def add(self, id: str, columns: Mapping[str, Any], packet: Packet) -> None:  # noqa: A002
        """Append one image.

        Args:
            id: its name.
            columns: what else is known of it, by the column's name; what is left out is ``None``.
            packet: the image, coded.

        Raises:
            ArchiveError: a text or a number is none that the column can hold, there is no such
                column, or the product code has another size than those before.
        """
        if not id:
            raise ArchiveError(f"{self._where}: an image has an empty id; give it a name")
        known = {column.name: columns.get(column.name) for column in optional_columns()}
        if unknown := columns.keys() - known.keys():
            raise ArchiveError(
                f"{self._where}: image {id!r} has a value of {min(unknown)!r}, but there is no "
                f"such column; there are {', '.join(known)}"
            )
        if not packet.code or (self.rows and len(packet.code) != self._code_bytes):
            raise ArchiveError(
                f"{self._where}: image {id!r} has a product code of {len(packet.code)} bytes, "
                f"those before it {self._code_bytes}; one archive takes the codes of one codec"
            )
        n_bytes = sum(
            self._checked(COLUMNS[name], value)
            for name, value in (("id", id), *known.items())
            if value is not None
        )
        row = {"id": id, **known, "length": len(packet.payload), "checksum": packet.checksum()}
        for name, values in self._columns.items():
            values.append(row[name] if name in row else int(getattr(packet, name)))
        self._code_bytes = len(packet.code)
        self._text_bytes += n_bytes
        self._payloads += packet.payload
        self._codes += packet.code

    def _checked(self, column: Column, value: Any) -> int:
        """See that a column can hold a value; gives the bytes of a text."""
        if column.dtype != "string":
            dtype = np.dtype(column.dtype)
            fits = type(value) in (int, float) if dtype.kind == "f" else type(value) is int
            if fits and dtype.kind != "f":
                fits = np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
            if not fits:
                raise ArchiveError(
                    f"{self._where}: {value!r} is no {column.name}, which is of type {dtype}"
                )
            return 0
        try:
            n_bytes = len(value.encode())
        except (AttributeError, UnicodeEncodeError) as error:
            raise ArchiveError(
                f"{self._where}: {value!r} is no valid Unicode text; rename the file or its "
                f"{column.name}"
            ) from error
        if n_bytes > column.limit:
            raise ArchiveError(
                f"{self._where}: {value[:40]!r}… has {n_bytes:,} bytes; the column {column.name} "
                f"takes at most {column.limit:,}: shorten it"
            )
        return n_bytes

    def finish(self) -> tuple[memoryview, SegmentEntry, Index]:
        """The segment's file, its entry for the manifest, and its index as it would be read.

        Returns:
            The bytes to store under ``entry.file``, the entry, and the index.

        Raises:
            ArchiveError: nothing was added, or the Parquet library did not lay the columns out as
                the format asks.
        """
        if not self.rows:
            raise ArchiveError(f"{self._where}: a segment without images cannot be written")
        arrays = arrow_arrays(self._columns, self._payloads, self._codes)
        data, index_offset, code_end = to_parquet(arrays, self._codec)
        view = memoryview(data).cast("B")
        if (
            view[index_offset - len(self._payloads) : index_offset] != self._payloads
            or view[code_end - len(self._codes) : code_end] != self._codes
        ):
            raise ArchiveError(
                f"{self._where}: the installed pyarrow does not keep payloads in one page; install "
                "the version that kinpack's constraints name"
            )
        entry = SegmentEntry(
            name=self.name,
            bytes=len(view),
            rows=self.rows,
            payload_bytes=len(self._payloads),
            sha256=hashlib.sha256(view).hexdigest(),
            index_offset=index_offset,
            index_crc32=zlib.crc32(view[index_offset:]),
        )
        index = Index.of(arrays, offset=index_offset, payload_bytes=entry.payload_bytes)
        return view, entry, index
