"""What a stranger's table may make of few bytes: its pages are looked at before they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from kinpack.thrift import read_struct

PAGE_BYTES = 64 << 20
"""Most bytes of a page, unpacked, unless its own bytes in the file bear more out."""

PAGE_GROWTH = 8
"""Most times that a page may grow beyond that by unpacking; pictures are packed already."""

ROWS = 32
"""Most rows that are read at a time."""

_DICTIONARY_PAGE = 2
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
        most = max(PAGE_BYTES, PAGE_GROWTH * packed)
        if plain > most:
            raise ValueError(f"a page of {packed} bytes declares {plain}, more than {most}")
        yield kind, plain
        at += begin + packed
