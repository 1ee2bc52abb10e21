"""The columns of a segment: their Parquet form, written whole and read without the payloads."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.guard.parquet_limits import check_ids, check_limits, most_text
from kinpack.archive.stores.format import FORMAT

SMALL = ("id", "label", "length", "width", "height", "channels", "quality", "kind", "checksum")
"""Columns after ``payload`` and ``code``, in their order."""

UNREADABLE = (ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError)
"""What the Parquet library raises on files that are damaged, or none of its."""

_DICTIONARY = ("label", "width", "height", "channels", "quality", "kind")
_NUMBERS = {
    "length": np.int32,
    "width": np.uint16,
    "height": np.uint16,
    "channels": np.uint8,
    "quality": np.uint8,
    "kind": np.uint8,
    "checksum": np.uint32,
}
_ENCODING = {
    "payload": "DELTA_LENGTH_BYTE_ARRAY",
    "code": "PLAIN",
    "id": "DELTA_BYTE_ARRAY",
    "length": "DELTA_BINARY_PACKED",
    "checksum": "PLAIN",
}
_UNCOMPRESSED = ("payload", "code", "checksum")
_ZSTD_LEVEL = 19
_ONE_PAGE = 1 << 30
_PADDED = 1 << 20


@dataclass(frozen=True, slots=True)
class Index:
    """All columns of a segment but the payloads, row by row in the order of adding.

    Attributes:
        ids: Arrow array of strings.
        labels: Arrow array of strings, null where an image has none.
        codes: packed product codes, uint8, shape (rows, bytes of a code).
        starts: byte in the file at which each payload begins, and one more at which the last ends,
            int64, shape (rows + 1,).
        width: pixels across, uint16, shape (rows,); ``height`` likewise.
        height: pixels down.
        channels: uint8, shape (rows,).
        quality: uint8, shape (rows,).
        kind: uint8, shape (rows,).
        checksum: of each packet, uint32, shape (rows,).
    """

    ids: Any
    labels: Any
    codes: NDArray[np.uint8]
    starts: NDArray[np.int64]
    width: NDArray[np.uint16]
    height: NDArray[np.uint16]
    channels: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    checksum: NDArray[np.uint32]


def to_parquet(
    columns: Mapping[str, Sequence[Any]], payloads: bytearray, codes: bytearray, codec: str
) -> Any:
    """Lay columns out as a Parquet file of one row group.

    Args:
        columns: the values of each column of ``SMALL``, row by row.
        payloads: all payloads, one after the other; ``length`` says where each ends.
        codes: all packed product codes, of equal size.
        codec: SHA-256 of the codec file, noted in the footer.

    Returns:
        The file, as an Arrow buffer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = len(columns["id"])
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(columns["length"], out=offsets[1:])
    arrays = {
        "payload": pa.Array.from_buffers(
            pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(payloads)]
        ),
        "code": pa.Array.from_buffers(
            pa.binary(len(codes) // rows), rows, [None, pa.py_buffer(codes)]
        ),
        "id": _strings(columns["id"]),
        "label": _strings(columns["label"]),
    }
    for name, dtype in _NUMBERS.items():
        values = np.array(columns[name], dtype)
        type_ = pa.from_numpy_dtype(values.dtype)
        arrays[name] = pa.Array.from_buffers(type_, rows, [None, pa.py_buffer(values)])
    schema = pa.schema(
        [pa.field(name, array.type, nullable=name == "label") for name, array in arrays.items()]
    )
    options: dict[str, Any] = {}
    if "max_rows_per_page" in inspect.signature(pq.ParquetWriter.__init__).parameters:
        options["max_rows_per_page"] = rows  # newer versions cut pages after 20,000 rows
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        use_dictionary=list(_DICTIONARY),
        column_encoding=_ENCODING,
        compression={name: "NONE" if name in _UNCOMPRESSED else "ZSTD" for name in arrays},
        compression_level={name: _ZSTD_LEVEL for name in arrays if name not in _UNCOMPRESSED},
        write_statistics=False,
        data_page_size=_ONE_PAGE,
        dictionary_pagesize_limit=_ONE_PAGE,
        store_schema=False,
        **options,
    ) as writer:
        writer.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), rows)
        writer.add_key_value_metadata({"kinpack.format": str(FORMAT), "kinpack.codec": codec})
    return sink.getvalue()


def _strings(values: Sequence[str | None]) -> Any:
    """An Arrow array of strings; ``pa.array`` would import pandas first, which takes long."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    valid = None
    if None in values:
        bits = np.packbits([value is not None for value in values], bitorder="little")
        valid = pa.py_buffer(bits)
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _numbers(array: Any, name: str) -> NDArray[Any]:
    """The values of an Arrow array, not copied; ``to_numpy`` would import pandas first."""
    dtype = np.dtype(_NUMBERS[name])
    if str(array.type) != str(dtype) or array.null_count:
        raise ValueError(f"its column {name} is of the type {array.type}")
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def contiguous_ends(data: Any) -> tuple[int, int]:
    """Where the payloads and the product codes of a whole file end, the two first columns.

    Args:
        data: the file, as an Arrow buffer.

    Returns:
        One past the last byte of each column's chunk.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
    return _chunk(metadata, 0)[1], _chunk(metadata, 1)[1]


def _chunk(metadata: Any, column: int) -> tuple[int, int]:
    """First byte of a column chunk, and one past its last."""
    chunk = metadata.row_group(0).column(column)
    begin = chunk.data_page_offset
    if chunk.has_dictionary_page:
        begin = min(begin, chunk.dictionary_page_offset)
    return begin, begin + chunk.total_compressed_size


class Tail:
    """The end of a segment's file, from which columns are decoded when they are asked for.

    What its metadata declare is checked at once. Decoding raises ValueError where the columns are
    not what the format says, or do not fit; the Parquet library's own errors (OSError, ValueError,
    LookupError, TypeError) may come too.

    Args:
        tail: the file's bytes from the payloads' end on.
        offset: byte in the file at which they begin.
        rows: images that there must be.
        payload_bytes: sum of lengths that there must be.

    Raises:
        ValueError: the metadata are not those of such a segment, or declare too much.
    """

    def __init__(self, tail: bytes, *, offset: int, rows: int, payload_bytes: int) -> None:
        self._id_pages = check_limits(tail, offset=offset, rows=rows)
        self._tail, self._offset = tail, offset
        self._rows, self._payload_bytes = rows, payload_bytes
        self._ids: Any = None
        self._codes: NDArray[np.uint8] | None = None

    @property
    def ids(self) -> Any:
        """Arrow array of strings."""
        if self._ids is None:
            self._decode("id")
        return self._ids

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Packed product codes, uint8, shape (rows, bytes of a code)."""
        if self._codes is None:
            self._decode("code")
        return np.asarray(self._codes)

    def index(self) -> Index:
        """All columns but the payloads."""
        import pyarrow as pa

        missing = [
            name for name, known in (("code", self._codes), ("id", self._ids)) if known is None
        ]
        labels, *numbers = self._decode(*missing, "label", *_NUMBERS)
        labels.validate(full=True)
        _check_labels(labels, most_text(self._rows))
        number = {n: _numbers(array, n) for n, array in zip(_NUMBERS, numbers, strict=True)}
        lengths = number.pop("length").astype(np.int64)
        if lengths.min() < 0 or int(lengths.sum()) != self._payload_bytes:
            raise ValueError("its lengths do not add up to the payloads")
        starts = np.full(self._rows + 1, self._offset - self._payload_bytes, np.int64)
        starts[1:] += np.cumsum(lengths)
        return Index(
            ids=self.ids,
            labels=labels.cast(pa.string()),
            codes=self.codes,
            starts=starts,
            **number,
        )

    def _decode(self, *names: str) -> list[Any]:
        """Read columns at once; keep ids and codes, and give the others."""
        import pyarrow as pa

        if "id" in names:
            check_ids(self._tail, self._id_pages, rows=self._rows)
        others = []
        for name, array in zip(names, self._read(names), strict=True):
            if name == "id":
                array.validate(full=True)  # offsets, UTF-8: the file may be a stranger's
                if array.type != pa.string() or array.null_count:
                    raise ValueError("its ids are not all text")
                self._ids = array
            elif name == "code":
                self._codes = _packed(array)
            else:
                others.append(array)
        return others

    def _read(self, names: Sequence[str]) -> list[Any]:
        """Columns as Arrow arrays of so many rows."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(_as_file(self._tail, self._offset), read_dictionary=["label"])
        metadata = file.metadata
        if metadata.num_row_groups != 1 or metadata.num_rows != self._rows:
            raise ValueError(f"it has not {self._rows} rows in one group")
        # The accessors of a row group's metadata end the process on some damaged footers: not used.
        table = file.read(columns=list(names), use_threads=False).combine_chunks()
        if table.column_names != list(names) or len(table) != self._rows:
            raise ValueError("it has not the columns of a segment")
        return [table.column(name).chunk(0) for name in names]


def _packed(array: Any) -> NDArray[np.uint8]:
    """The rows of an Arrow array of bytes of one length, not copied."""
    import pyarrow as pa

    kind = array.type
    if not pa.types.is_fixed_size_binary(kind) or not kind.byte_width or array.null_count:
        raise ValueError(f"its product codes are of the type {kind}")
    size, rows = kind.byte_width, len(array)
    codes = np.frombuffer(array.buffers()[1], np.uint8, rows * size, array.offset * size)
    return codes.reshape(rows, size)


def _check_labels(labels: Any, most: int) -> None:
    """See that labels do not become too long when each row gets its own."""
    import pyarrow as pa

    if not pa.types.is_dictionary(labels.type) or labels.dictionary.type != pa.string():
        raise ValueError(f"its labels are of the type {labels.type}")
    words = labels.dictionary
    if not len(words):
        return
    ends = np.frombuffer(words.buffers()[1], np.int32, len(words) + 1, 4 * words.offset)
    lengths = np.diff(ends.astype(np.int64))
    if int(lengths.max()) * len(labels) <= most:
        return
    places = [place for place in labels.indices.to_pylist() if place is not None]
    if int(lengths[places].sum()) > most:
        raise ValueError(f"its labels are longer than {most} bytes together")


def _as_file(tail: bytes, offset: int) -> Any:
    """A file of which only the end is known, as Arrow reads one."""
    import pyarrow as pa

    if offset <= _PADDED:  # three times as fast as a file in Python
        return pa.BufferReader(bytes(offset) + tail)
    return pa.PythonFile(_Tail(tail, offset), mode="r")


class _Tail(io.RawIOBase):
    """A file of which only the end is there; what is before it reads as zeros.

    The Parquet library reads 64 KiB for the footer, however near the payloads' end may be.
    """

    def __init__(self, tail: bytes, offset: int) -> None:
        self._tail = tail
        self._offset = offset
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._offset + len(self._tail))[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._offset + len(self._tail)
        stop = end if size is None or size < 0 else min(end, self._at + size)
        before = bytes(max(0, min(stop, self._offset) - self._at))
        part = before + self._tail[max(0, self._at - self._offset) : max(0, stop - self._offset)]
        self._at += len(part)
        return part
