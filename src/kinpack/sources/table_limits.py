"""What a stranger's table may make of few bytes: it is looked at before it is unpacked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from kinpack.thrift import read_struct

PAGE_BYTES = 64 << 20
"""Most bytes of a page, or of an Arrow message, unpacked, unless its own bytes bear more out."""

PAGE_GROWTH = 8
"""Most times that a page may grow beyond that by unpacking; pictures are packed already."""

ROWS = 32
"""Most rows that are read at a time."""

_DICTIONARY_PAGE = 2
_DICTIONARY_BATCH = 2
_HEADER = 1 << 16  # longest page header that is looked at


def rows_at_once(file: BinaryIO, group: Any, names: list[str]) -> int:
    """Look at all pages of a row group, and tell how many of its rows may be read at a time.

    Args:
        file: the Parquet file.
        group: pyarrow's metadata of the row group.
        names: columns that are read, all that is nested in them with them.

    Returns:
        Rows, from 1 to ``ROWS``: few where each may be a large entry of a dictionary, or may share
        its beginning with another.

    Raises:
        ValueError: a page grows beyond the limits, or is not where the metadata say.
    """
    rows = ROWS
    for place in range(group.num_columns):
        chunk = group.column(place)
        if not f"{chunk.path_in_schema}.".startswith(tuple(f"{name}." for name in names)):
            continue
        for kind, plain in _pages(file, chunk):
            if kind == _DICTIONARY_PAGE:
                rows = min(rows, max(1, PAGE_BYTES // max(1, plain)))
        if "DELTA_BYTE_ARRAY" in chunk.encodings:
            rows = 1
    return rows


def check_buffers(stream: Any) -> None:
    """Look at all messages of an Arrow stream: what their buffers become by unpacking.

    Args:
        stream: an Arrow file of the stream format, from its start on.

    Raises:
        ValueError: a message grows beyond the limits.
    """
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.body is None:
            continue
        try:
            plain = _unpacked(memoryview(message.metadata), memoryview(message.body))
        except (IndexError, struct.error) as error:
            raise ValueError("a message is broken") from error
        _check_growth("message", message.body.size, plain)


def _unpacked(metadata: memoryview, body: memoryview) -> int:
    """Bytes of a message's buffers, unpacked: each begins with how many it becomes.

    The metadata are a flatbuffer: a table names its fields' places in another, of 16 bits each.
    """

    def place(table: int, field: int) -> int:
        names = table - _number("<i", metadata, table)
        there = 4 + 2 * field < _number("<H", metadata, names)
        at = _number("<H", metadata, names + 4 + 2 * field) if there else 0
        return table + at if at else 0

    def below(at: int) -> int:
        return at + _number("<I", metadata, at)

    message = below(0)
    batch = below(place(message, 2))
    if metadata[place(message, 1)] == _DICTIONARY_BATCH:
        batch = below(place(batch, 1))
    if not place(batch, 3):  # nothing is packed
        return len(body)
    buffers = below(place(batch, 2))
    plain = 0
    for number in range(_number("<I", metadata, buffers)):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * number)
        size = _number("<q", body, offset) if length else 0
        plain += length if size == -1 else size
        if size < -1:
            raise ValueError("a buffer has no size")
    return plain


def _number(form: str, data: memoryview, at: int) -> int:
    found: int = struct.unpack_from(form, data, at)[0]
    return found


def _check_growth(what: str, packed: int, plain: int) -> None:
    most = max(PAGE_BYTES, PAGE_GROWTH * packed)
    if plain > most:
        raise ValueError(f"a {what} of {packed} bytes declares {plain}, more than {most}")


def _pages(file: BinaryIO, chunk: Any) -> Iterator[tuple[int, int]]:
    """Sort and unpacked size of each page of a column's chunk."""
    at = chunk.data_page_offset
    if chunk.dictionary_page_offset is not None:
        at = min(at, chunk.dictionary_page_offset)
    stop = at + chunk.total_compressed_size
    while at < stop:
        file.seek(at)
        data = file.read(min(_HEADER, stop - at))
        header, begin = read_struct(data, 0, len(data))
        told = [header.get(field) for field in (1, 2, 3)]
        numbers = [one for one in told if isinstance(one, int) and one >= 0]
        if len(numbers) != len(told):
            raise ValueError("a page has no sizes")
        kind, plain, packed = numbers
        _check_growth("page", packed, plain)
        yield kind, plain
        at += begin + packed
