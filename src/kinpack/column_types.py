"""Types of the columns that users add to an archive, and the values that such columns hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Schema: TypeAlias = Mapping[str, str]
"""The types of columns by their names, a key of `TYPES` each."""

MOST_COLUMNS = 256
"""Most columns that an archive may have beyond its own."""

LONGEST_NAME = 100
"""Most characters of a column's name."""

LONGEST_TEXT = 1 << 16
"""Most bytes of a text in a column."""

RESERVED = frozenset(
    (
        *("payload", "id", "label", "length", "width", "height", "channels", "quality", "kind"),
        "checksum",  # of segments; what follows is told of an image beside its columns
        *("image", "file", "offset", "position", "rank", "distance", "similarity", "compared"),
    )
)
"""Names that no column of a user may have, in whatever case."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FIRST_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_BEGIN = datetime(1970, 1, 1)  # of no zone, as such a column's times are


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type of columns.

    Attributes:
        name: as manifests spell it.
        physical: Parquet's type that holds its values.
        storage: numpy's type that does; empty for texts.
        what: in words, for messages.
    """

    name: str
    physical: str
    storage: str
    what: str

    @property
    def arrow_type(self) -> Any:
        """The Arrow type of its values."""
        return _arrow_type(self.name)

    def stored(self, value: Any) -> Any:
        """What is stored for a value: an integer, a float, a text, a bool, or ``None`` for none.

        Raises:
            ValueError: the column can hold no such value; the text says what it takes.
        """
        kind = type(value)
        match self.name:
            case _ if value is None:
                return None
            case "bool" if kind is bool:
                return value
            case "int64" if kind is int and -(1 << 63) <= value < 1 << 63:
                return value
            case "float64" if kind is float or (kind is int and abs(value) <= 1 << 53):
                return None if math.isnan(value) else _finite(float(value))
            case "string" if isinstance(value, str):
                if len(value.encode()) > LONGEST_TEXT:
                    raise ValueError(f"has more than {LONGEST_TEXT:,} bytes; shorten it")
                return str(value)
            case "date" if kind is date:
                return value.toordinal() - _FIRST_DAY
            case "timestamp" if isinstance(value, datetime) and value.tzinfo is None:
                return (value - _BEGIN) // _MICROSECOND
            case "timestamp_utc" if isinstance(value, datetime) and value.tzinfo is not None:
                return (value.astimezone(UTC).replace(tzinfo=None) - _BEGIN) // _MICROSECOND
        raise ValueError(f"is no {self.what}")

    def array(self, stored: Sequence[Any]) -> Any:
        """An Arrow array of what is stored, put together from buffers.

        ``pa.array`` would import pandas first, which is slow.
        """
        import pyarrow as pa

        present = np.array([value is not None for value in stored], bool)
        valid = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        if self.storage:
            plain = np.array([0 if value is None else value for value in stored], self.storage)
            if self.name == "bool":
                plain = np.packbits(plain.astype(bool), bitorder="little")
            buffers = [valid, pa.py_buffer(plain)]
        else:
            texts = [b"" if value is None else value.encode() for value in stored]
            ends = np.zeros(len(texts) + 1, np.int32)
            np.cumsum([len(text) for text in texts], out=ends[1:])
            buffers = [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(self.arrow_type, len(stored), buffers)

    def values(self, array: Any) -> list[Any]:
        """Values of Python, of an Arrow array of this type, ``None`` for none."""
        import pyarrow as pa

        if self.name != "timestamp_utc":
            values: list[Any] = array.to_pylist()
            return values
        # With a zone, Arrow would ask for the system's data of zones, and import pandas.
        times = array.view(pa.int64()).to_pylist()
        begin = _BEGIN.replace(tzinfo=UTC)
        return [None if time is None else begin + time * _MICROSECOND for time in times]

    def check(self, array: Any) -> None:
        """See that every value of an Arrow array of this type is one that Python has.

        Raises:
            ValueError: a date or a time is before the year 1 or after 9999.
        """
        if self.name not in ("date", "timestamp", "timestamp_utc") or not len(array):
            return
        lowest, highest = _REACH[self.name]
        numbers = _numbers(array, self.storage)
        if len(numbers) and (int(numbers.min()) < lowest or int(numbers.max()) > highest):
            raise ValueError(f"holds a {self.what} outside the years 1 to 9999")


@cache
def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    return {
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "string": pa.string(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamp_utc": pa.timestamp("us", tz="UTC"),
    }[name]


TYPES = {
    one.name: one
    for one in (
        ColumnType("bool", "BOOLEAN", "bool", "bool"),
        ColumnType("int64", "INT64", "int64", "integer of 64 bits"),
        ColumnType("float64", "DOUBLE", "float64", "finite number"),
        ColumnType("string", "BYTE_ARRAY", "", "text"),
        ColumnType("date", "INT32", "int32", "date"),
        ColumnType("timestamp", "INT64", "int64", "time without a zone"),
        ColumnType("timestamp_utc", "INT64", "int64", "time with a zone"),
    )
}
"""All types by name."""

_REACH = {
    "date": (date.min.toordinal() - _FIRST_DAY, date.max.toordinal() - _FIRST_DAY),
    **dict.fromkeys(
        ("timestamp", "timestamp_utc"),
        ((datetime.min - _BEGIN) // _MICROSECOND, (datetime.max - _BEGIN) // _MICROSECOND),
    ),
}


def type_of(value: Any) -> str | None:
    """The name of the type that a value of Python is of, ``None`` if there is none."""
    if isinstance(value, datetime):
        return "timestamp" if value.tzinfo is None else "timestamp_utc"
    known = {bool: "bool", int: "int64", float: "float64", date: "date"}
    return known.get(type(value)) or ("string" if isinstance(value, str) else None)


@lru_cache(64)
def name_of(arrow_type: Any) -> str | None:
    """The name of the type that has just this Arrow type, ``None`` if there is none."""
    return next((name for name, one in TYPES.items() if one.arrow_type == arrow_type), None)


def check_name(name: Any) -> str:
    """See that a column may have a name.

    Raises:
        ValueError: it may not; the text says why.
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"{name!r} is no name of a column: it has 1 to {LONGEST_NAME} characters")
    if name != name.strip(" ") or _CONTROL.search(name):
        raise ValueError(f"{name!r} is no name of a column: it is of letters, no space at its ends")
    if name.casefold() in RESERVED:
        raise ValueError(f"a column of the archive's own is called {name!r}; rename yours")
    return name


def check_schema(schema: Mapping[str, Any]) -> dict[str, str]:
    """See that an archive may have columns; gives them in the order of their names.

    Raises:
        ValueError: a name or a type is none, or they are too many.
    """
    for name, of in schema.items():
        check_name(name)
        if not isinstance(of, str) or of not in TYPES:
            raise ValueError(f"{name!r} is of the type {of!r}; types are {', '.join(TYPES)}")
    if len(schema) > MOST_COLUMNS:
        raise ValueError(f"there are {len(schema)} columns, more than {MOST_COLUMNS}; leave some")
    return dict(sorted(schema.items()))


def joined(one: Schema, other: Schema) -> dict[str, str]:
    """The columns of two schemas.

    Where the first has numbers with a fraction, integers of the other become such.

    Raises:
        ValueError: a column is of another type in each, two names differ in case alone, which SQL
            would not tell apart, or all of them may not be together.
    """
    for name, of in other.items():
        known = one.get(name, of)
        if of != known and (of, known) != ("int64", "float64"):
            raise ValueError(
                f"column {name!r} is of the type {known} already, and these are of the type {of}; "
                "convert them, or rename their column"
            )
    together = check_schema({**other, **one})
    folded: dict[str, str] = {}
    for name in together:
        if (same := folded.setdefault(name.casefold(), name)) != name:
            raise ValueError(f"two columns are called {same!r} and {name!r}; rename one")
    return together


def json_value(value: Any) -> Any:
    """A value as JSON has it: dates and times as ISO 8601, numbers that are none as null."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _finite(value: float) -> float:
    if math.isinf(value):
        raise ValueError("is no finite number")
    return value


def _numbers(array: Any, storage: str) -> NDArray[Any]:
    """The numbers of an Arrow array that are there, without Arrow's way to numpy."""
    import pyarrow.compute as pc

    some = pc.drop_null(array)
    dtype = np.dtype(storage)
    return np.frombuffer(some.buffers()[1] or b"", dtype, len(some), some.offset * dtype.itemsize)
