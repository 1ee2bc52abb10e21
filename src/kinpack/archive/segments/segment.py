"""Segments: one plain Parquet file for a run of images, read at random."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.code_file import CodeFile, read_code_file
from kinpack.archive.segments.guard.column_table import (
    COLUMNS,
    NO_COLUMNS,
    NUMBERS,
    columns_with,
    optional_columns,
)
from kinpack.archive.segments.image_entry import ImageEntry, StoredImage
from kinpack.archive.segments.index_file import read_index_file
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_tail import UNREADABLE, Tail, reason_of
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.column_types import TYPES, Schema, name_of
from kinpack.errors import ArchiveError, PayloadError, is_low_memory

_READ_BYTES = 4 << 20
_WHOLE_BYTES = 1 << 16  # of a file of codes, read whole for the sake of one

_KINDS = {kind.value: kind for kind in Kind}

_Column = TypeVar("_Column")


@dataclass(frozen=True, slots=True)
class Index:
    """All columns of a segment but the payloads, row by row in the order of adding.

    Attributes:
        ids: Arrow array of strings.
        starts: byte in the file at which each payload begins, and one more at which the last ends,
            int64, shape (rows + 1,).
        numbers: what each packet states, by the column's name: ``width``, ``height``, ``channels``,
            ``quality``, ``kind`` and ``checksum``, each of shape (rows,).
        optional: Arrow arrays of what else is known, null where an image has none, by the
            column's name; ``label`` is one. Asking for one that users added may raise an
            ``ArchiveError``: it is decoded then.
    """

    ids: Any
    starts: NDArray[np.int64]
    numbers: Mapping[str, NDArray[Any]]
    optional: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Any],
        *,
        offset: int,
        payload_bytes: int,
        schema: Schema = NO_COLUMNS,
    ) -> Index:
        """The index of columns.

        Args:
            arrays: Arrow arrays of the columns, optional ones only as far as they are there.
            offset: byte in the file at which the payloads end.
            payload_bytes: sum of lengths that there must be.
            schema: the types of users' columns, by their names.

        Raises:
            ValueError: the lengths do not add up, or a number is of another type.
        """
        starts, numbers = _stated_of(arrays, offset=offset, payload_bytes=payload_bytes)
        ids = arrays["id"]
        return cls(ids, starts, numbers, _with_nulls(arrays, len(ids), schema))

    @classmethod
    def empty(cls, schema: Schema) -> Index:
        """The index of no images.

        Args:
            schema: the types of users' columns, by their names.
        """
        table = columns_with(schema)
        none = {
            name: TYPES["string"].array([])
            if column.dtype == "string"
            else np.zeros(0, column.dtype)
            for name, column in table.items()
            if not column.optional and name not in ("payload", "length")
        }
        return cls(none.pop("id"), np.zeros(1, np.int64), none, _with_nulls({}, 0, schema))


class LaterColumns(Mapping[str, Any]):
    """Optional columns of a segment, of which those that users added are decoded when asked for.

    Args:
        own: Arrow arrays of the project's own, by name.
        schema: the types of users' columns, by their names.
        decode: gives the Arrow array of one of these.
    """

    def __init__(
        self, own: Mapping[str, Any], schema: Schema, decode: Callable[[str], Any]
    ) -> None:
        self._made, self._decode = dict(own), decode
        self._names = [*own, *sorted(schema)]

    def __getitem__(self, name: str) -> Any:
        if name not in self._made and name in self._names:
            self._made[name] = self._decode(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Segment:
    """A segment of a store, read at random.

    Its index is read, checked and parsed at the first need, in one read; a packet is one more.

    Args:
        store: where the file lies.
        manifest_entry: what the manifest says of it.
        former: the same file in another revision of the archive, whose index need not be read
            again where it is the same.
        index: of the file, where it is known already.
        schema: the types of users' columns in the revision, by their names; the file may lack some.

    Attributes:
        manifest_entry: what the manifest says of it.
        schema: the types of users' columns in the revision.
    """

    def __init__(
        self,
        store: Store,
        manifest_entry: SegmentEntry,
        former: Segment | None = None,
        *,
        index: Index | None = None,
        schema: Schema = NO_COLUMNS,
    ) -> None:
        self.manifest_entry = manifest_entry
        self.schema = schema
        self._store, self._file = store, manifest_entry.file
        self._tail: Tail | None = None
        self._index = index
        self._known: dict[str, Any] = {}
        self._numbers: tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]] | None = None
        self._codes: dict[CodeFile, NDArray[np.uint8]] = {}
        if former is not None and former.manifest_entry.sha256 == manifest_entry.sha256:
            self._codes = dict(former._codes)
            if former.manifest_entry.index == manifest_entry.index:
                if former.schema == schema:
                    self._tail, self._index = former._tail, former._index
                elif former._index is not None:
                    self._index = self._with_columns(former._index)

    @property
    def where(self) -> str:
        """The file's name for messages."""
        return self._store.where(self._file)

    @property
    def index(self) -> Index:
        """All columns but the payloads.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        if self._index is None:
            entry = self.manifest_entry
            index = self._decoded(
                lambda tail: Index.of(
                    tail.columns(*(name for name in tail.names if name in COLUMNS)),
                    offset=entry.index_offset,
                    payload_bytes=entry.payload_bytes,
                )
            )
            self._index = self._with_columns(index)
            if not self.schema:
                self._tail = None
        return self._index

    @property
    def _stated(self) -> tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]:
        """Of the index where payloads lie and what packets state, without any name."""
        if self._index is not None:
            return self._index.starts, self._index.numbers
        if self._numbers is None:
            entry = self.manifest_entry
            names = [
                column.name
                for column in COLUMNS.values()
                if column.dtype in NUMBERS and not column.optional
            ]
            self._numbers = self._decoded(
                lambda tail: _stated_of(
                    tail.columns(*names),
                    offset=entry.index_offset,
                    payload_bytes=entry.payload_bytes,
                )
            )
        return self._numbers

    def _with_columns(self, index: Index) -> Index:
        """An index with the columns that users added, decoded when they are asked for."""
        if not self.schema:
            return index
        own = {column.name: index.optional[column.name] for column in optional_columns(NO_COLUMNS)}
        return replace(index, optional=LaterColumns(own, self.schema, self._added))

    def _added(self, name: str) -> Any:
        """The Arrow array of a column that users added."""
        kind, rows = TYPES[self.schema[name]].arrow_type, self.manifest_entry.rows

        def decode(tail: Tail) -> Any:
            import pyarrow as pa

            return tail.columns(name)[name] if name in tail.names else pa.nulls(rows, kind)

        return self._decoded(decode)

    @property
    def ids(self) -> Any:
        """The ids alone, an Arrow array of strings: less work than the whole index.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        index = self._index
        return self._decoded(lambda tail: tail.columns("id")["id"]) if index is None else index.ids

    @property
    def sums(self) -> NDArray[np.uint64]:
        """Checksum · 2^32 + length of every payload, uint64 (rows,): equal where images are.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        index = self._index
        if index is not None:
            checksums, lengths = index.numbers["checksum"], np.diff(index.starts)
        else:
            columns = self._decoded(lambda tail: tail.columns("checksum", "length"))
            checksums, lengths = (
                columns[name].to_numpy(zero_copy_only=False) for name in ("checksum", "length")
            )
        return checksums.astype(np.uint64) << np.uint64(32) | lengths.astype(np.uint64)

    @property
    def is_read(self) -> bool:
        """Whether its index, or a part of it, is in memory."""
        return self._index is not None or self._tail is not None

    def codes_of(self, column: str) -> NDArray[np.uint8] | None:
        """The packed codes of a column, uint8 (rows, bytes of a code), ``None`` without any.

        Raises:
            ArchiveError: their file is missing, truncated or damaged.
        """
        file = self.manifest_entry.codes_of(column)
        return None if file is None else self._codes_in(file)

    def code_at(self, column: str, row: int) -> bytes | None:
        """The packed code of one image in a column, ``None`` without any.

        Of a large file only these bytes are read, which nothing checks then: whatever they are,
        they change the order of hits alone.

        Raises:
            ArchiveError: the file is missing or truncated.
        """
        file = self.manifest_entry.codes_of(column)
        if file is None:
            return None
        if file in self._codes or file.bytes <= _WHOLE_BYTES:
            code: bytes = self._codes_in(file)[row].tobytes()
            return code
        size = file.bytes // self.manifest_entry.rows
        return bytes(self._store.read_range(file.file, row * size, size))

    def _codes_in(self, file: CodeFile) -> NDArray[np.uint8]:
        if file not in self._codes:
            data = read_code_file(self._store, file)
            codes = np.frombuffer(data, np.uint8).reshape(self.manifest_entry.rows, -1)
            self._codes[file] = codes
        return self._codes[file]

    def packet(self, row: int) -> Packet:
        """One image's packet, its checksum verified.

        Args:
            row: 0 for the segment's first image.

        Raises:
            ArchiveError: the file is missing or truncated.
            PayloadError: the packet is damaged.
        """
        return next(self.packets([row]))

    def packets(self, rows: Sequence[int]) -> Iterator[Packet]:
        """The packets of several images, neighbours of up to 4 MiB read together.

        Args:
            rows: 0 for the segment's first image; in the order that is wanted.

        Raises:
            ArchiveError: the file is missing or truncated.
            PayloadError: a packet is damaged.
        """
        starts, numbers = self._stated
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
            data = memoryview(self._store.read_range(self._file, begin, end - begin))
            for row in rows[first:stop]:
                payload = data[int(starts[row]) - begin : int(starts[row + 1]) - begin]
                stated = {name: int(values[row]) for name, values in numbers.items()}
                try:
                    packet = checked_packet(stated, bytes(payload))
                except (PayloadError, ValueError) as error:
                    raise self._damaged(row, str(error)) from error
                yield packet
            first = stop

    def stored(self, rows: Sequence[int]) -> Iterator[StoredImage]:
        """Several images with all that the archive keeps of them.

        Args:
            rows: 0 for the segment's first image; in the order that is wanted.

        Raises:
            ArchiveError: a file is missing, truncated or damaged.
            PayloadError: a packet is damaged.
        """
        ids = self.index.ids.to_pylist()
        codes = {file.column: self._codes_in(file) for file in self.manifest_entry.codes}
        columns = {name: _values(array) for name, array in self.index.optional.items()}
        for row, packet in zip(rows, self.packets(rows), strict=True):
            known = {name: values[row] for name, values in columns.items()}
            of_image = {name: part[row].tobytes() for name, part in codes.items()}
            yield StoredImage(ids[row], known, packet, of_image)

    def entries(self, first: int = 0, stop: int | None = None) -> Iterator[ImageEntry]:
        """What is known of images without their payloads, deleted ones included, row by row.

        Args:
            first: row of the first image.
            stop: one past the last row; ``None`` for all that follow.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
            PayloadError: an image is of an unknown kind.
        """
        rows = range(first, self.manifest_entry.rows if stop is None else stop)
        some = slice(first, stop)
        lengths = np.diff(self.index.starts[first : None if stop is None else stop + 1])
        return self._entries(rows, lambda column: column[some], lengths)

    def entries_at(self, rows: Sequence[int]) -> list[ImageEntry]:
        """What is known of some images without their payloads, column by column.

        Args:
            rows: 0 for the segment's first image; in the order that is wanted.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
            PayloadError: an image is of an unknown kind.
        """
        at = np.asarray(rows, np.int64)
        lengths, arrow = self.index.starts[at + 1] - self.index.starts[at], _arrow(at)

        def some(column: Any) -> Any:
            return column.take(at if isinstance(column, np.ndarray) else arrow)

        return list(self._entries(rows, some, lengths))

    def pixels_at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pixels of some images, int64 (r,); no names are decoded for it.

        Args:
            rows: int64 (r,), 0 for the segment's first image.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        _, numbers = self._stated
        found: NDArray[np.int64] = numbers["width"][rows].astype(np.int64) * numbers["height"][rows]
        return found

    def told_at(self, rows: NDArray[np.int64]) -> dict[str, list[Any]]:
        """What some images are called and what else is known of them, as values of Python.

        Nothing else of the index is decoded for it.

        Args:
            rows: int64 (r,), 0 for the segment's first image.

        Returns:
            By the name of the column, ``id`` first, a value for each.

        Raises:
            ArchiveError: the file is missing, truncated or damaged.
        """
        if not self._known:
            self._known = self._names()
        at = _arrow(rows)
        return {name: _values(array.take(at)) for name, array in self._known.items()}

    def _names(self) -> dict[str, Any]:
        """Arrow arrays of the ids and of all optional columns, by name."""
        if self._index is not None:
            return {"id": self._index.ids, **self._index.optional}
        names = [column.name for column in optional_columns(self.schema)]

        def decode(tail: Tail) -> dict[str, Any]:
            return tail.columns("id", *(name for name in names if name in tail.names))

        arrays = self._decoded(decode)
        return {"id": arrays["id"], **_with_nulls(arrays, self.manifest_entry.rows, self.schema)}

    def _entries(
        self, rows: Sequence[int], some: Callable[[Any], Any], lengths: NDArray[np.int64]
    ) -> Iterator[ImageEntry]:
        """The entries of rows, of what is taken of each column, and of payloads' lengths."""
        index = self.index
        names = list(index.optional)
        optional = zip(*(_values(some(array)) for array in index.optional.values()), strict=True)
        stated = ("width", "height", "channels", "kind", "quality")
        numbers = (some(index.numbers[name]).tolist() for name in stated)
        columns = some(index.ids).to_pylist(), optional, *numbers, lengths.tolist()
        for row, name, known, width, height, channels, kind, quality, length in zip(
            rows, *columns, strict=True
        ):
            yield ImageEntry(
                id=name,
                columns=dict(zip(names, known, strict=True)),
                width=width,
                height=height,
                channels=channels,
                kind=self._kind(row, kind),
                quality=quality,
                length=length,
            )

    def entry(self, row: int) -> ImageEntry:
        """What is known of one image without its payload; raises as ``entries`` does.

        Args:
            row: 0 for the segment's first image.
        """
        return next(self.entries(row, row + 1))

    def _kind(self, row: int, number: int) -> Kind:
        if number not in _KINDS:
            raise self._damaged(row, f"its kind is {number}, which is unknown")
        return _KINDS[number]

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
                entry = self.manifest_entry
                tail = self._tail = Tail(
                    self._read_tail(),
                    offset=entry.index.offset if entry.index else entry.index_offset,
                    rows=entry.rows,
                    schema=self.schema,
                )
            return decode(tail)
        except (AttributeError, *UNREADABLE) as error:
            reason = reason_of(error)
            if not is_low_memory(error):
                reason = (
                    f"this is no segment of a kinpack archive ({reason}); restore the file from a "
                    "copy"
                )
            raise ArchiveError(f"{self.where}: {reason}") from error

    def _read_tail(self) -> bytes:
        entry = self.manifest_entry
        if entry.index is not None:
            return read_index_file(self._store, entry.index)
        tail = self._store.read_range(
            entry.file, entry.index_offset, entry.bytes - entry.index_offset
        )
        if zlib.crc32(tail) != entry.index_crc32:
            raise ArchiveError(
                f"{self.where}: the index is damaged: its checksum does not hold; restore the file "
                "from a copy"
            )
        return tail


def _stated_of(
    arrays: Mapping[str, Any], *, offset: int, payload_bytes: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Where payloads lie, and what packets state, of Arrow arrays; as in an ``Index``.

    Raises:
        ValueError: the lengths do not add up, or a number is of another type.
    """
    numbers = {}
    for column in COLUMNS.values():
        if column.optional or column.dtype not in NUMBERS:
            continue
        array, dtype = arrays[column.name], np.dtype(column.dtype)
        if array.type != column.arrow_type or array.null_count:
            raise ValueError(f"its column {column.name} is of the type {array.type}")
        # Not copied; to_numpy would import pandas first.
        data, begin = array.buffers()[1], array.offset * dtype.itemsize
        numbers[column.name] = np.frombuffer(data, dtype, len(array), begin)
    lengths = numbers.pop("length").astype(np.int64)
    if lengths.min() < 0 or int(lengths.sum()) != payload_bytes:
        raise ValueError("its lengths do not add up to the payloads")
    starts = np.full(len(lengths) + 1, offset - payload_bytes, np.int64)
    starts[1:] += np.cumsum(lengths)
    return starts, numbers


def _arrow(rows: NDArray[np.int64]) -> Any:
    """An Arrow array of the same buffer: ``pa.array``, and a numpy array, would import pandas."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


def columns_of(index: Index, row: int) -> dict[str, Any]:
    """What else is known of one image, by the column's name, ``None`` where it has no value."""
    return {name: _values(array[row : row + 1])[0] for name, array in index.optional.items()}


def _values(array: Any) -> list[Any]:
    """Values of Python, of an Arrow array of an optional column."""
    of = name_of(array.type)
    values: list[Any] = array.to_pylist() if of is None else TYPES[of].values(array)
    return values


def _with_nulls(arrays: Mapping[str, Any], rows: int, schema: Schema) -> dict[str, Any]:
    """The optional columns, in their order; of one that is not there no image has a value."""
    import pyarrow as pa

    return {
        column.name: arrays[column.name]
        if column.name in arrays and arrays[column.name].type == column.arrow_type
        else pa.nulls(rows, column.arrow_type)
        for column in optional_columns(schema)
    }


def checked_packet(stated: Mapping[str, int], payload: bytes) -> Packet:
    """The packet of what the columns of an image state, its checksum verified.

    Args:
        stated: by the column's name.
        payload: the coded picture.

    Raises:
        PayloadError: a packet cannot state such a size or quality.
        ValueError: the kind is unknown, or the checksum does not hold.
    """
    kind = _KINDS.get(stated["kind"])
    if kind is None:
        raise ValueError(f"its kind is {stated['kind']}, which is unknown")
    packet = Packet(
        width=stated["width"],
        height=stated["height"],
        channels=stated["channels"],
        kind=kind,
        quality=stated["quality"],
        payload=payload,
    )
    if packet.checksum() != stated["checksum"]:
        raise ValueError("its checksum does not hold")
    return packet
