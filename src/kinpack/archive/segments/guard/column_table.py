"""The columns of a segment: one table from which its writer, its reader and its guard derive.

A column that is added here is written, read, checked, copied and listed. Behind these lie the
columns that users add, whose names and types a manifest says. Whoever has a value of an image gives
it in ``Item.columns``; it comes back in ``ImageEntry.columns``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from kinpack.column_types import LONGEST_TEXT, TYPES, ColumnType, Schema

Encoding: TypeAlias = Literal[
    "PLAIN", "DICTIONARY", "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"
]
"""How Parquet lays out a page of values; a dictionary may give way to ``PLAIN``."""

NUMBERS = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16", "uint32"), "INT32"),
    **dict.fromkeys(("int64", "uint64"), "INT64"),
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
"""Types of numbers, by numpy's names, and Parquet's types that hold them."""

PHYSICAL = {
    **NUMBERS,
    **{name: one.physical for name, one in TYPES.items()},
    "binary": "BYTE_ARRAY",
}
"""Types of columns, and Parquet's types that hold them."""


_BYTES = "BYTE_ARRAY"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a segment, as the format fixes it.

    Attributes:
        name: in the file.
        dtype: a key of ``PHYSICAL``.
        encoding: of the pages of values.
        packed: whether its pages are packed by Zstandard.
        optional: whether an image may have no value; a segment without the column has none at all.
        limit: most bytes of a value, where its type does not say.
    """

    name: str
    dtype: str
    encoding: Encoding
    packed: bool = True
    optional: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in PHYSICAL or (self.limit > 0) != (PHYSICAL[self.dtype] == _BYTES):
            raise ValueError(f"{self.name}: {self.dtype} with a limit of {self.limit} bytes")
        if self.optional and (self.dtype == "binary" or "ARRAY" in self.encoding):
            raise ValueError(
                f"{self.name}: optional are numbers and texts, no array by differences"
            )

    @property
    def arrow_type(self) -> Any:
        """The Arrow type of its values."""
        import pyarrow as pa

        if self.dtype in TYPES:
            return TYPES[self.dtype].arrow_type
        return pa.binary() if self.dtype == "binary" else pa.from_numpy_dtype(self.dtype)

    @property
    def values(self) -> ColumnType | None:
        """The type of its values, where it is one that users' columns have, too."""
        return TYPES.get(self.dtype)


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("payload", "binary", "DELTA_LENGTH_BYTE_ARRAY", packed=False, limit=2**31 - 1),
        Column("id", "string", "DELTA_BYTE_ARRAY", limit=LONGEST_TEXT),
        Column("label", "string", "DICTIONARY", optional=True, limit=LONGEST_TEXT),
        Column("length", "int32", "DELTA_BINARY_PACKED"),
        Column("width", "uint16", "DICTIONARY"),
        Column("height", "uint16", "DICTIONARY"),
        Column("channels", "uint8", "DICTIONARY"),
        Column("quality", "uint8", "DICTIONARY"),
        Column("kind", "uint8", "DICTIONARY"),
        Column("checksum", "uint32", "PLAIN", packed=False),
    )
}
"""All columns by name, in the order in which they lie in the file: payloads first."""


def columns_with(schema: Schema) -> Mapping[str, Column]:
    """All columns by name, in their order: those of every segment, then users', by their names.

    Args:
        schema: the types of users' columns by their names.
    """
    if not schema:
        return COLUMNS
    return COLUMNS | {name: _of_user(name, of) for name, of in sorted(schema.items())}


def optional_columns(schema: Schema) -> list[Column]:
    """The columns of which an image may have no value: what else is known of it.

    Args:
        schema: the types of users' columns by their names.
    """
    return [column for column in columns_with(schema).values() if column.optional]


NO_COLUMNS: Schema = MappingProxyType({})
"""The schema of an archive to which no columns were added."""


def _of_user(name: str, of: str) -> Column:
    # A dictionary may give way to PLAIN, so either is read.
    limit = LONGEST_TEXT if of == "string" else 0
    encoding: Encoding = "PLAIN" if of == "bool" else "DICTIONARY"
    return Column(name, of, encoding, optional=True, limit=limit)


def most_text(rows: int) -> int:
    """Most bytes that all ids of a segment may have, all labels, all texts of another column."""
    return (1 << 20) + (rows << 12)
