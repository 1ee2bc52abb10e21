"""Conditions of a search as JSON has them: a column, an operator, a value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

from kinpack.search.distances.distance import SearchError

if TYPE_CHECKING:
    import pyarrow.compute as pc

OPERATORS = ("contains", "=", "!=", "<", "<=", ">", ">=")
"""How values are compared; ``contains`` is of texts, in whatever case."""
OWN_TYPES = {
    **dict.fromkeys(("id", "label", "kind"), "string"),
    **dict.fromkeys(("width", "height", "channels", "quality", "length"), "int64"),
}
"""Types of the columns that every archive has."""
_MOST = 64  # conditions


def filter_of(conditions: Any, schema: Mapping[str, str]) -> pc.Expression:
    """Make one filter of conditions, all of which an image must pass.

    An image that has no value in a column passes no condition of it. Dates and times are texts by
    ISO 8601.

    Args:
        conditions: a list of triples, such as ``["year", ">=", 2019]``.
        schema: the types of the columns that users added, by their names.

    Raises:
        SearchError: it is no such list, or a condition is none for its column.
    """
    if not isinstance(conditions, list) or not 1 <= len(conditions) <= _MOST:
        raise SearchError(f"filters are a list of 1 to {_MOST} conditions")
    return reduce(lambda one, other: one & other, (_one(each, schema) for each in conditions))


def _one(condition: Any, schema: Mapping[str, str]) -> pc.Expression:
    import pyarrow.compute as pc

    if not isinstance(condition, list) or len(condition) != 3:
        raise SearchError('a condition is a column, an operator and a value: ["width", ">", 200]')
    column, operator, value = condition
    types = {**schema, **OWN_TYPES}
    if not isinstance(column, str) or column not in types:
        raise SearchError(f"there is no column {column!r}; there are {', '.join(sorted(types))}")
    if operator not in OPERATORS:
        raise SearchError(f"there is no operator {operator!r}; there are {', '.join(OPERATORS)}")
    field = pc.field(column)
    if operator == "contains":
        if types[column] != "string" or not isinstance(value, str):
            raise SearchError(f"only texts contain others, and {column!r} holds none")
        return pc.match_substring(field, value, ignore_case=True)
    wanted = _scalar(column, types[column], value)
    if types[column] == "bool" and operator not in ("=", "!="):
        raise SearchError(f"{column!r} is true or false: compare it by = or !=")
    compared: dict[str, pc.Expression] = {
        "=": field == wanted,
        "!=": field != wanted,
        "<": field < wanted,
        "<=": field <= wanted,
        ">": field > wanted,
        ">=": field >= wanted,
    }
    return compared[operator]


def _scalar(column: str, type_: str, value: Any) -> Any:
    """A value as an Arrow scalar of the column's type, or of numbers, of one that holds it."""
    import pyarrow as pa

    refusal = SearchError(f"the column {column!r} is of the type {type_}, which {value!r} is not")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        match type_:
            case "bool" if isinstance(value, bool):
                return pa.scalar(value)
            case "string" if isinstance(value, str):
                return pa.scalar(value)
            case "int64" | "float64" if is_number:
                whole = isinstance(value, int) and type_ == "int64"
                return pa.scalar(value, pa.int64() if whole else pa.float64())
            case "date" if isinstance(value, str):
                return pa.scalar(date.fromisoformat(value), pa.date32())
            case "timestamp" if isinstance(value, str):
                time = datetime.fromisoformat(value).replace(tzinfo=None)
                return pa.scalar(time, pa.timestamp("us"))
            case "timestamp_utc" if isinstance(value, str):
                time = datetime.fromisoformat(value)
                time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
                micros = (time - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
                return pa.scalar(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise refusal from error
    raise refusal


_MICROSECOND = datetime.resolution
