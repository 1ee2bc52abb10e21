"""The columns of a segment: one table from which its writer, its reader and its guard derive.

A column that is added here is written, read, checked, copied and listed. Whoever has a value of an
image gives it in ``Item.columns``; it comes back in ``ImageEntry.columns``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

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

PHYSICAL = {**NUMBERS, "string": "BYTE_ARRAY", "binary": "BYTE_ARRAY"}
"""Types of columns, and Parquet's types that hold them."""


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
        if self.dtype not in PHYSICAL or (self.limit > 0) == (self.dtype in NUMBERS):
            raise ValueError(f"{self.name}: {self.dtype} with a limit of {self.limit} bytes")
        if self.optional and (self.dtype == "binary" or "ARRAY" in self.encoding):
            raise ValueError(
                f"{self.name}: optional are numbers and texts, no array by differences"
            )

    @property
    def arrow_type(self) -> Any:
        """The Arrow type of its values."""
        import pyarrow as pa

        known = {"string": pa.string(), "binary": pa.binary()}
        return known.get(self.dtype) or pa.from_numpy_dtype(self.dtype)


_LONGEST_TEXT = 1 << 16

COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("payload", "binary", "DELTA_LENGTH_BYTE_ARRAY", packed=False, limit=2**31 - 1),
        Column("id", "string", "DELTA_BYTE_ARRAY", limit=_LONGEST_TEXT),
        Column("label", "string", "DICTIONARY", optional=True, limit=_LONGEST_TEXT),
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


def optional_columns() -> list[Column]:
    """The columns of which an image may have no value: what else is known of it."""
    return [column for column in COLUMNS.values() if column.optional]


def most_text(rows: int) -> int:
    """Most bytes that all ids of a segment may have, all labels, all texts of another column."""
    return (1 << 20) + (rows << 12)
