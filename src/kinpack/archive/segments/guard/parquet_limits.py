"""Limits of a segment: what its Parquet metadata declare, checked before anything is allocated.

A segment may come from a stranger. Its footer and the headers of its pages are read here first,
and must be of the form that the format fixes; so a reader of Parquet never sees a size, a type, an
encoding or a count that the bytes there do not bear out, and never makes long texts of few bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.guard.thrift import read_struct

MOST_CODE_BYTES = 255
"""Longest product code, in bytes."""

MAGIC = b"PAR1"
_BOOLEAN, _INT32, _INT64, _INT96, _FLOAT, _DOUBLE, _BYTES, _FIXED = range(8)
_PLAIN, _PLAIN_DICTIONARY, _RLE, _DELTA, _DELTA_LENGTH, _DELTA_BYTES = 0, 2, 3, 5, 6, 7
_RLE_DICTIONARY = 8
_UNCOMPRESSED, _ZSTD = 0, 6
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_BY_DICTIONARY = frozenset({_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY})

# name -> type, encodings of data pages
_COLUMNS = {
    "payload": (_BYTES, frozenset({_DELTA_LENGTH})),
    "code": (_FIXED, frozenset({_PLAIN})),
    "id": (_BYTES, frozenset({_DELTA_BYTES})),
    "label": (_BYTES, _BY_DICTIONARY),
    "length": (_INT32, frozenset({_DELTA})),
    **dict.fromkeys(("width", "height", "channels", "quality", "kind"), (_INT32, _BY_DICTIONARY)),
    "checksum": (_INT32, frozenset({_PLAIN})),
}
_HEADER = 1 << 16  # longest page header that is looked at


def most_text(rows: int) -> int:
    """Most bytes that all ids of a segment, or all its labels, may have."""
    return (1 << 20) + (rows << 12)


IdPages: TypeAlias = tuple[int, int, bool]
"""Where the pages of ids begin in a segment's tail, where they end, and whether they are packed."""


def check_limits(tail: bytes, *, offset: int, rows: int) -> IdPages:
    """Hold the metadata at the end of a segment's file against what a segment must be.

    How long ids become that share their beginnings is told by the ids alone: before these are
    decoded, ``check_ids`` sees to it.

    Args:
        tail: the file's bytes from the payloads' end on.
        offset: byte in the file at which they begin.
        rows: images that there must be.

    Returns:
        What ``check_ids`` needs.

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
    code_bytes = _check_schema(footer.get(2))
    groups = footer.get(4)
    if not (isinstance(groups, list) and len(groups) == 1) or footer.get(3) != rows:
        raise ValueError(f"it has not {rows} rows in one group")
    group = groups[0]
    chunks = group.get(1) if isinstance(group, dict) else None
    if not isinstance(chunks, list) or len(chunks) != len(_COLUMNS) or group.get(3) != rows:
        raise ValueError("its row group is not that of a segment")
    place = 4
    id_pages = 0, 0, False
    for (name, (kind, encodings)), chunk in zip(_COLUMNS.items(), chunks, strict=True):
        place = _check_chunk(chunk, name, kind, rows, place)
        if name == "payload":
            if place != offset:
                raise ValueError("its payloads end elsewhere than stated")
            continue
        start, zstd = chunk[3].get(11, chunk[3][9]) - offset, chunk[3][4] == _ZSTD
        _check_pages(
            tail,
            (start, place - offset),
            rows=rows,
            most=_most_bytes(name, rows, code_bytes),
            encodings=encodings,
            zstd=zstd,
        )
        if name == "id":
            id_pages = start, place - offset, zstd
    if place > offset + begin:
        raise ValueError("its columns reach into its footer")
    return id_pages


def check_ids(tail: bytes, pages: IdPages, *, rows: int) -> None:
    """See that ids do not become too long when each is written out.

    Args:
        tail: the file's bytes from the payloads' end on.
        pages: what ``check_limits`` gave for it.
        rows: images that there must be.

    Raises:
        ValueError: they become longer than a segment's may be, or their lengths are broken.
    """
    start, stop, zstd = pages
    _check_pages(
        tail,
        (start, stop),
        rows=rows,
        most=_most_bytes("id", rows, 0),
        encodings=_COLUMNS["id"][1],
        zstd=zstd,
        prefixes=most_text(rows),
    )


def _most_bytes(name: str, rows: int, code_bytes: int) -> int:
    """Most bytes of a column's pages, unpacked."""
    if name in ("id", "label"):
        return most_text(rows) + 16 * rows + 1024
    return (code_bytes if name == "code" else 8) * rows + 4096


def _check_schema(schema: Any) -> int:
    """See that the columns are those of a segment; gives the bytes of a product code."""
    if not isinstance(schema, list) or len(schema) != len(_COLUMNS) + 1:
        raise ValueError("it has not the columns of a segment")
    if not isinstance(schema[0], dict) or schema[0].get(5) != len(_COLUMNS):
        raise ValueError("its columns are nested")
    for (name, (kind, _)), column in zip(_COLUMNS.items(), schema[1:], strict=True):
        optional = 1 if name == "label" else 0
        if not isinstance(column, dict) or (
            (column.get(4), column.get(1), column.get(3), column.get(5, 0))
            != (name.encode(), kind, optional, 0)
        ):
            raise ValueError(f"its column {name} is of another name or type")
    width = schema[2].get(2)
    if type(width) is not int or not 0 < width <= MOST_CODE_BYTES:
        raise ValueError(f"its product codes have {width} bytes")
    return width


def _check_chunk(chunk: Any, name: str, kind: int, rows: int, place: int) -> int:
    """See that a column's chunk begins where the one before ended; gives where it ends."""
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
    tail: bytes,
    span: tuple[int, int],
    *,
    rows: int,
    most: int,
    encodings: frozenset[int],
    zstd: bool,
    prefixes: int = 0,
) -> None:
    """Walk over a column's pages: their values add up to the rows, their bytes to no more."""
    at, stop = span
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
        if not zstd and plain != packed:
            raise ValueError("a page that is not packed declares another size than it has")
        count, encoding = header.get(1), header.get(2)
        if type(count) is not int or not 0 <= count <= rows:
            raise ValueError(f"a page declares {count} values")
        most -= plain
        data = tail[begin : begin + packed]
        at = begin + packed
        if kind == _DICTIONARY_PAGE and first and _PLAIN_DICTIONARY in encodings:
            first = False
            continue
        first = False
        if kind != _DATA_PAGE or encoding not in encodings:
            raise ValueError(f"a page is of the sort {kind} and encoded in the way {encoding}")
        values += count
        if prefixes:
            text += plain + prefix_bytes(_unpacked(data, plain) if zstd else data, count)
            if text > prefixes + 16 * rows + 1024:
                raise ValueError(f"its ids are longer than {prefixes} bytes together")
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
    made = np.zeros((bits.size, per, 4), np.uint8)
    for width in set(bits.tobytes()) - {0}:
        chosen = np.flatnonzero(bits == width)
        raw = data[begins[chosen][:, None] + np.arange(per * width // 8)]
        ones = np.unpackbits(raw, axis=1, bitorder="little").reshape(-1, per, width)
        whole = np.packbits(ones, axis=2, bitorder="little")  # each number from a byte's begin on
        made[chosen, :, : whole.shape[2]] = whole
    raised = made.view("<u4").reshape(len(widths), -1)
    steps: NDArray[np.int64] = raised + np.array(smallest)[:, None]
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
