"""Columns of tables that others made, as the types that an archive keeps."""

from __future__ import annotations

from typing import Any

from kinpack.column_types import TYPES


def type_for(arrow_type: Any) -> str | None:
    """The name of the type that keeps the values of an Arrow type, ``None`` if none does."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(arrow_type):
        return type_for(arrow_type.value_type)
    if types.is_timestamp(arrow_type):
        return "timestamp" if arrow_type.tz is None else "timestamp_utc"
    for test, name in (
        (types.is_boolean, "bool"),
        (types.is_integer, "int64"),
        (types.is_floating, "float64"),
        (types.is_string, "string"),
        (types.is_large_string, "string"),
        (types.is_date, "date"),
    ):
        if test(arrow_type):
            return name
    return None


def values_of(array: Any, of: str) -> list[Any]:
    """The values of an Arrow array, or chunked one, as Python has them; finer times are cut off.

    Args:
        array: of a type for which ``type_for`` gives a name.
        of: that name.

    Raises:
        ValueError: a value does not fit the type: too large, or no date that Python has.
    """
    import pyarrow as pa

    kept = TYPES[of]
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_decode()
    typed = whole.cast(kept.arrow_type, safe=not pa.types.is_timestamp(whole.type))
    kept.check(typed)
    return kept.values(typed)
