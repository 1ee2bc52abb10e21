"""The end of a segment's file, from which its columns are decoded, whatever a stranger wrote."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from kinpack.archive.segments.guard.column_table import (
    NO_COLUMNS,
    Column,
    columns_with,
    most_text,
)
from kinpack.archive.segments.guard.parquet_limits import check_limits, check_prefixes
from kinpack.column_types import Schema
from kinpack.errors import LOW_MEMORY, is_low_memory

UNREADABLE = (ArithmeticError, LookupError, MemoryError, OSError, TypeError, ValueError)
"""What the Parquet library raises on files that are damaged, or none of its."""


def reason_of(error: Exception) -> str:
    """Why something cannot be read, in one line: memory that runs out is no damage."""
    if is_low_memory(error):
        return LOW_MEMORY
    return " ".join(str(error).split()) or type(error).__name__


class Tail:
    """The end of a segment's file, from which columns are decoded when they are asked for.

    What its metadata declare is checked at once. Decoding raises ValueError where the columns are
    not what the format says, or do not fit; the Parquet library's own errors (OSError, ValueError,
    LookupError, TypeError) may come too.

    Args:
        tail: the file's bytes from the payloads' end on.
        offset: byte in the file at which they begin.
        rows: images that there must be.
        schema: the types of users' columns, by their names; a segment may lack some.

    Raises:
        ValueError: the metadata are not those of such a segment, or declare too much.
    """

    def __init__(self, tail: bytes, *, offset: int, rows: int, schema: Schema = NO_COLUMNS) -> None:
        self._table = columns_with(schema)
        self._pages = check_limits(tail, self._table, offset=offset, rows=rows)
        self._tail, self._offset = tail, offset
        self._rows = rows
        self._arrays: dict[str, Any] = {}

    def columns(self, *names: str) -> dict[str, Any]:
        """What is decoded by now, these columns among it, as Arrow arrays; each is decoded once.

        Args:
            names: of the columns; without any, all but the payloads.
        """
        new = [name for name in names or self._pages if name not in self._arrays]
        for name in new:
            check_prefixes(self._tail, self._pages[name], self._table[name], rows=self._rows)
        for name, array in self.read(new).items() if new else ():
            column = self._table[name]
            array.validate(full=True)  # offsets, UTF-8: the file may be a stranger's
            if column.dtype == "string":
                array = _texts(array, column, most_text(self._rows))
            if array.null_count and not column.optional:
                raise ValueError(f"its column {name} lacks values")
            if column.optional and array.type != column.arrow_type:
                raise ValueError(f"its column {name} is of the type {array.type}")
            if column.values is not None:
                try:
                    column.values.check(array)
                except ValueError as error:
                    raise ValueError(f"its column {name} {error}") from error
            self._arrays[name] = array
        return self._arrays

    def read(self, names: list[str]) -> dict[str, Any]:
        """Columns as Arrow arrays of so many rows."""
        import pyarrow.parquet as pq

        by_dictionary = [
            name
            for name in names
            if self._table[name].dtype == "string" and self._table[name].encoding == "DICTIONARY"
        ]
        file = pq.ParquetFile(_as_file(self._tail, self._offset), read_dictionary=by_dictionary)
        metadata = file.metadata
        if metadata.num_row_groups != 1 or metadata.num_rows != self._rows:
            raise ValueError(f"it has not {self._rows} rows in one group")
        # The accessors of a row group's metadata end the process on some damaged footers: not used.
        table = file.read(columns=names, use_threads=False).combine_chunks()
        if sorted(table.column_names) != sorted(names) or len(table) != self._rows:
            raise ValueError("it has not the columns of a segment")
        return {name: table.column(name).chunk(0) for name in names}


def _texts(array: Any, column: Column, most: int) -> Any:
    """An Arrow array of strings; those of a dictionary only if they do not become too long."""
    import pyarrow as pa

    if column.encoding == "DICTIONARY":
        if not pa.types.is_dictionary(array.type):
            raise ValueError(f"its {column.name}s are of the type {array.type}")
        _check_words(array, column, most)
        array = array.cast(pa.string())
    if array.type != pa.string():
        raise ValueError(f"its {column.name}s are not all text")
    return array


def _check_words(array: Any, column: Column, most: int) -> None:
    """See that the words of a dictionary do not become too long when each row gets its own."""
    import pyarrow as pa

    words = array.dictionary
    if words.type != pa.string():
        raise ValueError(f"its {column.name}s are of the type {words.type}")
    if not len(words):
        return
    ends = np.frombuffer(words.buffers()[1], np.int32, len(words) + 1, 4 * words.offset)
    lengths = np.diff(ends.astype(np.int64))
    if int(lengths.max()) * len(array) <= most:
        return
    places = [place for place in array.indices.to_pylist() if place is not None]
    if int(lengths[places].sum()) > most:
        raise ValueError(f"its {column.name}s are longer than {most} bytes together")


def _as_file(tail: bytes, offset: int) -> Any:
    """A file of which only the end is known, as Arrow reads one; what is before reads as zeros.

    The Parquet library reads 64 KiB for the footer, however near the payloads' end may be. The
    system makes a page of the zeros when it is looked at: all others take no memory.
    """
    import pyarrow as pa

    pages = mmap.mmap(-1, offset + len(tail))
    pages[offset:] = tail
    return pa.BufferReader(pa.py_buffer(pages))
