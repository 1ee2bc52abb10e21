"""Segments: one plain Parquet file for a run of images, its payloads first and together."""

from __future__ import annotations

import hashlib
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.code_file import read_codes
from kinpack.archive.segments.columns import (
    SMALL,
    UNREADABLE,
    Index,
    Tail,
    contiguous_ends,
    to_parquet,
)
from kinpack.archive.segments.guard.parquet_limits import most_text
from kinpack.archive.segments.image_entry import ImageEntry as ImageEntry
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import ArchiveError, PayloadError

PAYLOAD_BYTES = 32 << 20
"""A segment is full with this many bytes of payload."""

ROWS = 1 << 16
"""A segment is full with this many images."""


LONGEST_TEXT = 1 << 16
"""Most bytes of an id or a label."""

_READ_BYTES = 4 << 20

_Column = TypeVar("_Column")


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
        self._columns: dict[str, list[Any]] = {name: [] for name in SMALL}

    @property
    def rows(self) -> int:
        """Images gathered so far."""
        return len(self._columns["id"])

    @property
    def full(self) -> bool:
        """Whether it is time to ``finish``."""
        return (
            self.rows >= ROWS
            or len(self._payloads) >= PAYLOAD_BYTES
            or self._text_bytes + 2 * LONGEST_TEXT > most_text(self.rows)
        )

    def add(self, id: str, label: str | None, packet: Packet) -> None:  # noqa: A002
        """Append one image.

        Args:
            id: its name.
            label: its class, or ``None``.
            packet: the image, coded.

        Raises:
            ArchiveError: the id or the label is no text that Parquet can hold, or the product code
                has another size than those before.
        """
        for text in (id, label):
            if text is not None and not _is_text(text):
                raise ArchiveError(
                    f"{self._where}: {text!r} is no valid Unicode text; rename the file or label"
                )
            if text is not None and len(text.encode()) > LONGEST_TEXT:
                raise ArchiveError(
                    f"{self._where}: {text[:40]!r}… has {len(text.encode()):,} bytes; an id or a "
                    f"label has at most {LONGEST_TEXT:,}: shorten it"
                )
        if not id:
            raise ArchiveError(f"{self._where}: an image has an empty id; give it a name")
        if not packet.code or (self.rows and len(packet.code) != self._code_bytes):
            raise ArchiveError(
                f"{self._where}: image {id!r} has a product code of {len(packet.code)} bytes, "
                f"those before it {self._code_bytes}; one archive takes the codes of one codec"
            )
        self._code_bytes = len(packet.code)
        self._text_bytes += len(id.encode()) + len((label or "").encode())
        self._payloads += packet.payload
        self._codes += packet.code
        row = (
            id, label, len(packet.payload), packet.width, packet.height, packet.channels,
            packet.quality, int(packet.kind), packet.checksum(),
        )  # fmt: skip
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)

    def finish(self) -> tuple[memoryview, SegmentEntry]:
        """The segment's file and its entry for the manifest.

        Returns:
            The bytes to store under ``entry.file``, and the entry.

        Raises:
            ArchiveError: nothing was added, or the Parquet library did not lay the columns out as
                the format asks.
        """
        if not self.rows:
            raise ArchiveError(f"{self._where}: a segment without images cannot be written")
        data = to_parquet(self._columns, self._payloads, self._codes, self._codec)
        index_offset, code_end = contiguous_ends(data)
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
        return view, entry


class Segment:
    """A segment of a store, read at random.

    Its index is read, checked and parsed at the first need, in one read; a packet is one more.

    Args:
        store: where the file lies.
        entry: what the manifest says of it.
        former: the same file in another revision of the archive, whose index need not be read
            again.
    """

    def __init__(self, store: Store, entry: SegmentEntry, former: Segment | None = None) -> None:
        self.entry = entry
        self._store = store
        self._tail: Tail | None = None
        self._index: Index | None = None
        self._codes: NDArray[np.uint8] | None = None
        if former is not None and former.entry.sha256 == entry.sha256:
            self._tail, self._index = former._tail, former._index
            if former.entry.codes == entry.codes:
                self._codes = former._codes

    @property
    def where(self) -> str:
        """The file's name for messages."""
        return self._store.where(self.entry.file)

    @property
    def index(self) -> Index:
        """All columns but the payloads.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        if self._index is None:
            self._index = self._decoded(lambda tail: tail.index())
            self._tail = None
        return self._index

    @property
    def ids(self) -> Any:
        """The ids alone, an Arrow array of strings: less work than the whole index.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        index = self._index
        return self._decoded(lambda tail: tail.ids) if index is None else index.ids

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed product codes alone, uint8 (rows, bytes of a code).

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        index = self._index
        return self._decoded(lambda tail: tail.codes) if index is None else index.codes

    @property
    def is_read(self) -> bool:
        """Whether its index, or a part of it, is in memory."""
        return self._index is not None or self._tail is not None

    @property
    def describer_codes(self) -> NDArray[np.uint8] | None:
        """The describer's packed codes, uint8 (rows, bytes of a code), ``None`` if there are none.

        Raises:
            ArchiveError: their file is missing, truncated or damaged.
        """
        if self._codes is None and self.entry.codes is not None:
            self._codes = read_codes(self._store, self.entry.codes, self.entry.rows)
        return self._codes

    def describer_code(self, row: int) -> bytes:
        """The describer's packed code of one image, empty if there is none.

        Args:
            row: 0 for the segment's first image.

        Raises:
            ArchiveError: the file of the codes is missing, truncated or damaged.
        """
        codes = self.describer_codes
        return b"" if codes is None else codes[row].tobytes()

    def packet(self, row: int) -> Packet:
        """One image's packet, its checksum verified.

        Args:
            row: 0 for the segment's first image.

        Raises:
            ArchiveError: the file is missing or truncated.
            PayloadError: the packet is damaged.
        """
        starts = self.index.starts
        start, stop = int(starts[row]), int(starts[row + 1])
        return self._packet(row, self._store.read_range(self.entry.file, start, stop - start))

    def packets(self, rows: Sequence[int]) -> Iterator[Packet]:
        """The packets of several images, neighbours of up to 4 MiB read together.

        Args:
            rows: 0 for the segment's first image; in the order that is wanted.

        Raises:
            ArchiveError: the file is missing or truncated.
            PayloadError: a packet is damaged.
        """
        starts = self.index.starts
        first = 0
        while first < len(rows):
            begin = int(starts[rows[first]])
            stop = first + 1
            while (
                stop < len(rows)
                and rows[stop] == rows[stop - 1] + 1
                and int(starts[rows[stop] + 1]) - begin <= _READ_BYTES
            ):
                stop += 1
            end = int(starts[rows[stop - 1] + 1])
            data = memoryview(self._store.read_range(self.entry.file, begin, end - begin))
            for row in rows[first:stop]:
                yield self._packet(
                    row, bytes(data[int(starts[row]) - begin : int(starts[row + 1]) - begin])
                )
            first = stop

    def _packet(self, row: int, payload: bytes) -> Packet:
        """The packet of a row, checked, from its payload's bytes."""
        index = self.index
        kind = self._kind(row, int(index.kind[row]))
        try:
            packet = Packet(
                width=int(index.width[row]),
                height=int(index.height[row]),
                channels=int(index.channels[row]),
                kind=kind,
                quality=int(index.quality[row]),
                code=index.codes[row].tobytes(),
                payload=payload,
            )
        except PayloadError as error:
            raise self._damaged(row, str(error)) from error
        if packet.checksum() != int(index.checksum[row]):
            raise self._damaged(row, "its checksum does not hold")
        return packet

    def entries(self) -> Iterator[ImageEntry]:
        """What is known of every image without its payload, deleted ones included, row by row.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
            PayloadError: an image is of an unknown kind.
        """
        index = self.index
        columns = (
            index.ids.to_pylist(),
            index.labels.to_pylist(),
            index.width.tolist(),
            index.height.tolist(),
            index.channels.tolist(),
            index.kind.tolist(),
            index.quality.tolist(),
            np.diff(index.starts).tolist(),
        )
        for row, (name, label, width, height, channels, kind, *rest) in enumerate(
            zip(*columns, strict=True)
        ):
            yield ImageEntry(name, label, width, height, channels, self._kind(row, kind), *rest)

    def describe(self, row: int) -> ImageEntry:
        """What is known of one image without its payload.

        Args:
            row: 0 for the segment's first image.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
            PayloadError: the image is of an unknown kind.
        """
        index = self.index
        return ImageEntry(
            id=index.ids[row].as_py(),
            label=index.labels[row].as_py(),
            width=int(index.width[row]),
            height=int(index.height[row]),
            channels=int(index.channels[row]),
            kind=self._kind(row, int(index.kind[row])),
            quality=int(index.quality[row]),
            length=int(index.starts[row + 1] - index.starts[row]),
        )

    def _kind(self, row: int, kind: int) -> Kind:
        try:
            return Kind(kind)
        except ValueError as error:
            raise self._damaged(row, f"its kind is {kind}, which is unknown") from error

    def _damaged(self, row: int, reason: str) -> PayloadError:
        name = self.index.ids[row].as_py()
        return PayloadError(
            f"{self.where}: image {name!r} (row {row}): {reason}; restore the file from a copy, or "
            "install a newer kinpack if one wrote it"
        )

    def _decoded(self, decode: Callable[[Tail], _Column]) -> _Column:
        """What is decoded of the index, which is read, and checked, at the first need."""
        try:
            tail = self._tail
            if tail is None:
                entry = self.entry
                tail = self._tail = Tail(
                    self._read_tail(),
                    offset=entry.index_offset,
                    rows=entry.rows,
                    payload_bytes=entry.payload_bytes,
                )
            return decode(tail)
        except (AttributeError, *UNREADABLE) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ArchiveError(
                f"{self.where}: this is no segment of a kinpack archive ({reason}); restore the "
                "file from a copy"
            ) from error

    def _read_tail(self) -> bytes:
        entry = self.entry
        tail = self._store.read_range(
            entry.file, entry.index_offset, entry.bytes - entry.index_offset
        )
        if zlib.crc32(tail) != entry.index_crc32:
            raise ArchiveError(
                f"{self.where}: the index is damaged: its checksum does not hold; restore the file "
                "from a copy"
            )
        return tail


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
