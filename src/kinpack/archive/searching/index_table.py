"""The index of a revision as an Arrow table: what filters, SQL and users look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.searched import Rows
from kinpack.archive.segments.segment import Index
from kinpack.codec.packets.packet import Kind
from kinpack.column_types import TYPES

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {kind.value: kind.name.lower() for kind in Kind}


def table_of(rows: Rows) -> pa.Table:
    """What is known of every image of a revision, a row each in the order of positions.

    Raises:
        ArchiveError: a segment is missing or damaged.
    """
    import pyarrow as pa

    parts = []
    for segment, live in rows.parts():
        table = index_table(segment.index)
        parts.append(table if live is None else table.take(_array(live)))
    return pa.concat_tables(parts) if parts else index_table(Index.empty(rows.schema))


def index_table(index: Index) -> pa.Table:
    """What is known of every image of a segment, deleted ones included."""
    import pyarrow as pa

    numbers = {name: _array(index.numbers[name]) for name in ("width", "height", "channels")}
    kinds = [_KINDS.get(kind, f"unknown-{kind}") for kind in index.numbers["kind"].tolist()]
    columns = {
        "id": index.ids,
        "label": index.optional["label"],
        **numbers,
        "kind": TYPES["string"].array(kinds),
        "quality": _array(index.numbers["quality"]),
        "length": _array(np.diff(index.starts)),
        **{name: array for name, array in index.optional.items() if name != "label"},
    }
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def _array(numbers: NDArray[Any]) -> Any:
    """An Arrow array of the same buffer: ``pa.array`` would import pandas first."""
    import pyarrow as pa

    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])
