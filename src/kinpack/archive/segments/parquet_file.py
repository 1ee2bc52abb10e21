"""The Parquet file of a segment: its columns laid out as the table of columns says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinpack.archive.segments.guard.column_table import COLUMNS, NUMBERS, Column
from kinpack.archive.stores.store import FORMAT

_ZSTD_LEVEL = 19
_ONE_PAGE = 1 << 30


def arrow_type(column: Column) -> Any:
    """The Arrow type of a column's values; none of ``fixed``, which depends on the codec."""
    import pyarrow as pa

    known = {"string": pa.string(), "binary": pa.binary()}
    return known.get(column.dtype) or pa.from_numpy_dtype(column.dtype)


def arrow_array(column: Column, values: Sequence[Any]) -> Any:
    """An Arrow array of a column's values; ``pa.array`` would import pandas first, which is slow.

    Args:
        column: of texts or numbers.
        values: row by row, ``None`` where an optional one is missing.
    """
    import pyarrow as pa

    valid = None
    if None in values:
        valid = pa.py_buffer(
            np.packbits([value is not None for value in values], bitorder="little")
        )
    if column.dtype in NUMBERS:
        numbers = np.array([0 if value is None else value for value in values], column.dtype)
        buffers = [valid, pa.py_buffer(numbers)]
    else:
        encoded = [b"" if value is None else value.encode() for value in values]
        ends = np.zeros(len(values) + 1, np.int32)
        np.cumsum([len(text) for text in encoded], out=ends[1:])
        buffers = [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(arrow_type(column), len(values), buffers)


def arrow_arrays(
    columns: Mapping[str, Sequence[Any]], payloads: bytearray, codes: bytearray
) -> dict[str, Any]:
    """All columns of a segment as Arrow arrays, in their order.

    Args:
        columns: the values of each column but payloads and codes, row by row.
        payloads: all payloads, one after the other; ``length`` says where each ends.
        codes: all packed product codes, of equal size.
    """
    import pyarrow as pa

    rows = len(columns["id"])
    offsets = np.zeros(rows + 1, np.int32)
    np.cumsum(columns["length"], out=offsets[1:])
    whole = {
        "payload": (pa.binary(), [None, pa.py_buffer(offsets), pa.py_buffer(payloads)]),
        "code": (pa.binary(len(codes) // rows), [None, pa.py_buffer(codes)]),
    }
    return {
        name: pa.Array.from_buffers(whole[name][0], rows, whole[name][1])
        if name in whole
        else arrow_array(column, columns[name])
        for name, column in COLUMNS.items()
    }


def to_parquet(arrays: Mapping[str, Any], codec: str) -> tuple[Any, int, int]:
    """Lay columns out as a Parquet file of one row group.

    Args:
        arrays: all columns of a segment as Arrow arrays, in their order.
        codec: SHA-256 of the codec file, noted in the footer.

    Returns:
        The file, as an Arrow buffer; and one past the last byte of the payloads, and of the product
        codes, its two first columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = len(arrays["id"])
    columns = [COLUMNS[name] for name in arrays]
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
        data_page_size=_ONE_PAGE,
        dictionary_pagesize_limit=_ONE_PAGE,
        store_schema=False,
        **options,
    ) as writer:
        writer.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), rows)
        writer.add_key_value_metadata({"kinpack.format": str(FORMAT), "kinpack.codec": codec})
    data = sink.getvalue()
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    chunks = group.column(0), group.column(1)  # neither has a dictionary
    payload, code = (chunk.data_page_offset + chunk.total_compressed_size for chunk in chunks)
    return data, payload, code
