"""Limits of a segment: what its Parquet metadata declare, checked before anything is allocated.

A segment may come from a stranger. Its footer and the headers of its pages are read here first,
and must be of the form that the format fixes; so a reader of Parquet never sees a size, a type, an
encoding or a count that the bytes there do not bear out, and never makes long texts of few bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.guard.column_table import (
    PHYSICAL,
    Column,
    most_text,
)
from kinpack.thrift import read_struct

MAGIC = b"PAR1"
_TYPES = {"BOOLEAN": 0, "INT32": 1, "INT64": 2, "FLOAT": 4, "DOUBLE": 5, "BYTE_ARRAY": 6}
_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY = 0, 2, 8
_ENCODINGS = {
    "PLAIN": frozenset({_PLAIN}),
    "DICTIONARY": frozenset({_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY}),
    "DELTA_BINARY_PACKED": frozenset({5}),
    "DELTA_LENGTH_BYTE_ARRAY": frozenset({6}),
    "DELTA_BYTE_ARRAY": frozenset({7}),
}
_UNCOMPRESSED, _ZSTD = 0, 6
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_HEADER = 1 << 16  # longest page header that is looked at


class Pages(NamedTuple):
    """Where the pages of a column lie in a segment's tail.

    Attributes:
        start: their first byte.
        stop: one past their last.
        packed: whether they are packed by Zstandard.
    """

    start: int
    stop: int
    packed: bool


def check_limits(
    tail: bytes, table: Mapping[str, Column], *, offset: int, rows: int
) -> dict[str, Pages]:
    """Hold the metadata at the end of a segment's file against what a segment must be.

    How long texts become that share their beginnings is told by the texts alone: before these are
    decoded, ``check_prefixes`` sees to it.

    Args:
        tail: the file's bytes from the payloads' end on.
        table: all columns that there may be, by name, in their order.
        offset: byte in the file at which they begin.
        rows: images that there must be.

    Returns:
        The pages of each column that is there, but of the payload.

    Raises:
        ValueError: they are not those of a segment of so many images, or declare sizes that are
            not borne out.
    """
    if len(tail) < 12 or tail[-4:] != MAGIC:
        raise ValueError("it does not end as a Parquet file")
    begin = len(tail) - 8 - int.from_bytes(tail[-8:-4], "little")
    if begin < 0:
        raise ValueError("its footer is longer than all but the payloads")
    footer, end = read_struct(tail, begin, len(tail) - 8)
    if end != len(tail) - 8:
        raise ValueError("its footer is shorter than stated")
    columns = _check_schema(footer.get(2), table)
    groups = footer.get(4)
    if not (isinstance(groups, list) and len(groups) == 1) or footer.get(3) != rows:
        raise ValueError(f"it has not {rows} rows in one group")
    group = groups[0]
    chunks = group.get(1) if isinstance(group, dict) else None
    if not isinstance(chunks, list) or len(chunks) != len(columns) or group.get(3) != rows:
        raise ValueError("its row group is not that of a segment")
    place = 4
    pages: dict[str, Pages] = {}
    for column, chunk in zip(columns, chunks, strict=True):
        place = _check_chunk(chunk, column, rows, place)
        if column.name == "payload":
            if place != offset:
                raise ValueError("its payloads end elsewhere than stated")
            continue
        start = chunk[3].get(11, chunk[3][9]) - offset
        where = pages[column.name] = Pages(start, place - offset, chunk[3][4] == _ZSTD)
        _check_pages(tail, where, column, rows=rows, most=_most_bytes(column, rows))
    if place > offset + begin:
        raise ValueError("its columns reach into its footer")
    return pages


def check_prefixes(tail: bytes, pages: Pages, column: Column, *, rows: int) -> None:
    """See that texts do not become too long when each is written out that shares its beginning.

    Args:
        tail: the file's bytes from the payloads' end on.
        pages: of the column, as ``check_limits`` gave them.
        column: of the encoding ``DELTA_BYTE_ARRAY``; of no other there is anything to see.
        rows: images that there must be.

    Raises:
        ValueError: they become longer than a segment's may be, or their lengths are broken.
    """
    if column.encoding == "DELTA_BYTE_ARRAY":
        most = _most_bytes(column, rows)
        _check_pages(tail, pages, column, rows=rows, most=most, prefixes=most_text(rows))


def _most_bytes(column: Column, rows: int) -> int:
    """Most bytes of a column's pages, unpacked."""
    if column.dtype == "string":
        return most_text(rows) + 16 * rows + 1024
    return 9 * rows + 4096


def _check_schema(schema: Any, table: Mapping[str, Column]) -> list[Column]:
    """See that the columns are those of a segment; gives those that are there."""
    fields = schema[1:] if isinstance(schema, list) else []
    if not fields or not isinstance(schema[0], dict) or schema[0].get(5) != len(fields):
        raise ValueError("its columns are none, or nested")
    found: list[Column] = []
    for column in table.values():
        field = fields[len(found)] if len(found) < len(fields) else None
        name = field.get(4) if isinstance(field, dict) else None
        if column.optional and name != column.name.encode():
            continue
        told = (field.get(1), field.get(3), field.get(5, 0)) if isinstance(field, dict) else None
        kind = _TYPES[PHYSICAL[column.dtype]]
        if name != column.name.encode() or told != (kind, int(column.optional), 0):
            raise ValueError(f"its column {column.name} is of another name or type")
        found.append(column)
    if len(found) != len(fields):
        raise ValueError("it has other columns than a segment")
    return found


def _check_chunk(chunk: Any, column: Column, rows: int, place: int) -> int:
    """See that a column's chunk begins where the one before ended; gives where it ends."""
    name, kind = column.name, _TYPES[PHYSICAL[column.dtype]]
    metadata = chunk.get(3) if isinstance(chunk, dict) else None
    if not isinstance(metadata, dict) or 1 in chunk or 8 in chunk or 9 in chunk:
        raise ValueError(f"its column {name} is in another file, or encrypted")
    size, start = metadata.get(7), metadata.get(11, metadata.get(9))
    data = metadata.get(9)
    if not all(type(number) is int for number in (size, start, data, metadata.get(4))):
        raise ValueError(f"the place of its column {name} is missing")
    if metadata.get(1) != kind or metadata.get(5) != rows or metadata.get(3) != [name.encode()]:
        raise ValueError(f"its column {name} is of another type or size")
    if metadata[4] not in (_UNCOMPRESSED, _ZSTD):
        raise ValueError(f"its column {name} is packed in an unknown way")
    if start != place or not start <= data <= start + size:
        raise ValueError(f"its column {name} is elsewhere than behind the one before")
    return int(start + size)


def _check_pages(
    tail: bytes, pages: Pages, column: Column, *, rows: int, most: int, prefixes: int = 0
) -> None:
    """Walk over a column's pages: their values add up to the rows, their bytes to no more."""
    at, stop, packing = pages
    encodings = _ENCODINGS[column.encoding]
    if not 0 <= at <= stop <= len(tail):
        raise ValueError("a column lies outside the file")
    values = text = 0
    first = True
    while at < stop:
        page, begin = read_struct(tail, at, min(stop, at + _HEADER))
        kind, plain, packed = page.get(1), page.get(2), page.get(3)
        header = page.get(7 if kind == _DICTIONARY_PAGE else 5)
        if type(plain) is not int or type(packed) is not int or not isinstance(header, dict):
            raise ValueError("a page has no sizes")
        if not 0 <= plain <= most or not 0 <= packed <= stop - begin:
            raise ValueError(f"a page of {packed} bytes declares {plain}, more than it may hold")
        if not packing and plain != packed:
            raise ValueError("a page that is not packed declares another size than it has")
        count, encoding = header.get(1), header.get(2)
        if type(count) is not int or not 0 <= count <= rows:
            raise ValueError(f"a page declares {count} values")
        most -= plain
        at = begin + packed
        if kind == _DICTIONARY_PAGE and first and _PLAIN_DICTIONARY in encodings:
            first = False
            continue
        first = False
        if kind != _DATA_PAGE or encoding not in encodings:
            raise ValueError(f"a page is of the sort {kind} and encoded in the way {encoding}")
        values += count
        if prefixes:
            data = tail[begin:at]
            text += plain + prefix_bytes(_unpacked(data, plain) if packing else data, count)
            if text > prefixes + 16 * rows + 1024:
                raise ValueError(f"its {column.name}s are longer than {prefixes} bytes together")
    if values != rows:
        raise ValueError(f"a column has {values} values in place of {rows}")


def _unpacked(data: bytes, size: int) -> bytes:
    import pyarrow as pa

    unpacked: bytes = pa.decompress(data, size, codec="zstd", asbytes=True)
    return unpacked


def prefix_bytes(data: bytes, count: int) -> int:
    """Bytes that texts take from those before them, by the format DELTA_BYTE_ARRAY.

    Args:
        data: a page's values; what they begin with are the prefixes' lengths.
        count: how many values there are.

    Returns:
        The sum of the prefixes' lengths.

    Raises:
        ValueError: the lengths are broken.
    """
    block, at = _number(data, 0)
    minis, at = _number(data, at)
    total, at = _number(data, at)
    first, at = _number(data, at)
    if total != count or not 0 < minis <= 64 or block % (minis * 32) or not 0 < block <= 1 << 16:
        raise ValueError("the lengths of its ids are laid out in an unknown way")
    value = first >> 1 ^ -(first & 1)
    if count == 0:
        return 0
    per = block // minis
    smallest: list[int] = []  # step of each block
    widths: list[bytes] = []  # bits of the steps in each of its miniblocks
    places: list[int] = []  # where they begin
    left = count - 1
    while left > 0:
        step, at = _number(data, at)
        bits = data[at : at + minis]
        if len(bits) < minis:
            raise ValueError("the lengths of its ids end early")
        if left < block:  # what is left out has no bytes, whatever width it states
            used = -(-left // per)
            bits = bits[:used] + bytes(minis - used)
        smallest.append(step >> 1 ^ -(step & 1))
        widths.append(bits)
        places.append(at + minis)
        at += minis + per * sum(bits) // 8
        left -= block
        if at > len(data):
            raise ValueError("the lengths of its ids end early")
    steps = _steps(np.frombuffer(data, np.uint8), smallest, widths, places, per)[: count - 1]
    lengths = value + np.cumsum(steps)
    least = min(value, int(lengths.min())) if count > 1 else value
    if least < 0 or (count > 1 and int(lengths.max()) > 1 << 31):
        raise ValueError("the lengths of its ids are no lengths")
    return value + int(lengths.sum())


def _steps(
    data: NDArray[np.uint8], smallest: list[int], widths: list[bytes], places: list[int], per: int
) -> NDArray[np.int64]:
    """The differences that miniblocks hold, all with one width of bits at a time."""
    if not smallest:
        return np.zeros(0, np.int64)
    if max(map(abs, smallest)) > 1 << 32:
        raise ValueError("the lengths of its ids are no lengths")
    bits = np.frombuffer(b"".join(widths), np.uint8).reshape(len(widths), -1)
    if bits.max() > 32:
        raise ValueError("the lengths of its ids are no lengths")
    sizes = per * bits.astype(np.int64) // 8
    begins = (np.array(places)[:, None] + np.cumsum(sizes, axis=1) - sizes).ravel()
    made = np.zeros((bits.size, per), np.int64)
    for width in set(bits.tobytes()) - {0}:
        chosen = np.flatnonzero(bits == width)
        raw = data[begins[chosen][:, None] + np.arange(per * width // 8)]
        ones = np.unpackbits(raw, axis=1, bitorder="little").reshape(-1, per, width)
        some = np.zeros((len(chosen), per), np.int64 if width > 15 else np.int16)
        for place in range(width - 1, -1, -1):
            some <<= 1
            some |= ones[:, :, place]
        made[chosen] = some
    steps: NDArray[np.int64] = made.reshape(len(widths), -1) + np.array(smallest)[:, None]
    return steps.ravel()


def _number(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("the lengths of its ids are broken")
