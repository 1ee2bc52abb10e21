"""Metadata: what a table says of each picture of a source, joined by id or by path."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kinpack.column_types import TYPES, Schema, check_schema, joined
from kinpack.errors import SourceError, see_memory, shown
from kinpack.sources.items import Item, Source, columns_of, ids_of
from kinpack.sources.opening import at_once_of, left_out_of
from kinpack.sources.typed_arrays import type_for, values_of

if TYPE_CHECKING:
    import pyarrow as pa

Table: TypeAlias = "str | os.PathLike[str] | pa.Table"
"""What ``with_metadata`` takes: the path of a table's file, or an Arrow table."""

KEYS = ("id", "path", "file", "file_name")
"""Columns by which rows are joined to pictures: the first that names one of them."""

_TEXTS = (*KEYS, "label")
_LARGEST_BLOCK = 1 << 30
_SUFFIXES = ".csv, .tsv or .parquet"


def with_metadata(source: Source, metadata: Table) -> Source:
    """Join a table to a source: its pictures get the table's columns.

    Rows are joined by the column ``id``; or by ``path``, ``file`` or ``file_name``, a path below
    the folder of the source, or an absolute one. A column ``label`` says the labels. A picture
    without a row has no values. Types are those of a Parquet file; those of a CSV file are told by
    its values, where an empty one is none.

    Args:
        source: the pictures.
        metadata: a ``.csv``, ``.tsv`` or ``.parquet`` file, or an Arrow table.

    Returns:
        The source, whose items have more columns; ``unmatched_of`` tells which rows are of none.

    Raises:
        SourceError: the table cannot be read, has no column to go by, none of its rows is of a
            picture, one comes twice, or a column is of a sort that no archive keeps.
    """
    table, where = _read(metadata)
    key, rows, unmatched = _key(table, source, where)
    kept = {name: of for name, of in _schema(table, where).items() if name != key}
    if both := kept.keys() & columns_of(source).keys():
        raise SourceError(
            f"{where}: column {min(both)!r} is one that the pictures have already; rename it, or "
            "leave theirs"
        )
    try:
        values = {name: values_of(table.column(name), of) for name, of in kept.items()}
        labels = _texts(table, "label", where) if "label" in table.column_names else None
        joined(columns_of(source), kept)
    except ValueError as error:
        raise SourceError(f"{where}: {' '.join(str(error).split())}") from error
    return _Joined(source, _Rows(rows, values, labels), kept, unmatched)


def unmatched_of(source: Source) -> list[str]:
    """The rows of a table that was joined to a source that are of none of its pictures."""
    found = getattr(source, "unmatched", None)
    return found if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a table.

    Attributes:
        places: the row of each id.
        values: of each column, row by row.
        labels: likewise, ``None`` without any.
    """

    places: Mapping[str, int]
    values: Mapping[str, list[Any]]
    labels: list[str | None] | None

    def join(self, item: Item) -> Item:
        """The item with what its row says, if it has one."""
        row = self.places.get(item.id)
        if row is None:
            return item
        told = {name: values[row] for name, values in self.values.items()}
        label = item.label if self.labels is None else self.labels[row] or item.label
        known: Any = item.columns  # as it is: loading a file adds to it
        return replace(item, label=label, columns=ChainMap(told, known))


class _Joined:
    """A source whose items have what the rows of a table say."""

    def __init__(self, source: Source, rows: _Rows, schema: Schema, unmatched: list[str]) -> None:
        self.name = source.name
        self.left_out, self.at_once = left_out_of(source), at_once_of(source)
        self.columns = {**columns_of(source), **schema}
        self.unmatched = unmatched
        self.root = getattr(source, "root", None)
        self._source, self._rows = source, rows

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return iter(ids_of(self._source))

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Item]:
        return map(self._rows.join, self._source)


def _read(metadata: Table) -> tuple[pa.Table, str]:
    """A table, and what messages call it."""
    import pyarrow as pa

    if isinstance(metadata, pa.Table):
        return metadata, "the table"
    if not isinstance(metadata, str | os.PathLike):
        raise SourceError(
            f"metadata is a {type(metadata).__name__}; give a {_SUFFIXES} file or an Arrow table"
        )
    path, where = Path(metadata), shown(metadata)
    try:
        match path.suffix.lower():
            case ".csv":
                return _read_csv(path, ","), where
            case ".tsv":
                return _read_csv(path, "\t"), where
            case ".parquet":
                import pyarrow.parquet as pq

                with pq.ParquetFile(path) as file:
                    return file.read(use_threads=False), where
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        see_memory(error, where)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SourceError(f"{where}: the table cannot be read ({shown(reason)})") from error
    raise SourceError(f"{where}: metadata are read from {_SUFFIXES} files; name one")


def _read_csv(path: Path, delimiter: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pc

    size = path.stat().st_size
    return pc.read_csv(
        path,
        # In one piece, as far as that goes: a type is told by all values, not by the first.
        read_options=pc.ReadOptions(use_threads=False, block_size=min(size + 1, _LARGEST_BLOCK)),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict.fromkeys(_TEXTS, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _schema(table: pa.Table, where: str) -> Schema:
    """The types of a table's columns, but its keys and labels and those without any value."""
    import pyarrow as pa

    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(f"{where}: two columns are called {twice!r}; rename one")
    schema: dict[str, str] = {}
    for field in table.schema:
        if field.name in (*KEYS, "label") and field.name != "path":
            continue
        if pa.types.is_null(field.type):
            continue
        of = type_for(field.type)
        if of is None:
            raise SourceError(
                f"{where}: column {field.name!r} is of the type {field.type}; kept are "
                f"{', '.join(TYPES)}: convert it, or leave it out"
            )
        schema[field.name] = of
    try:
        return check_schema(schema)
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error


def _key(table: pa.Table, source: Source, where: str) -> tuple[str, dict[str, int], list[str]]:
    """The column that names pictures, the row of each, and what else it names."""
    there = [name for name in KEYS if name in table.column_names]
    if not there:
        raise SourceError(
            f"{where}: it has no column {' or '.join(KEYS)} to go by, only "
            f"{', '.join(table.column_names) or 'none'}; name one so"
        )
    ids = dict.fromkeys(ids_of(source))
    root = getattr(source, "root", None)
    for key in there:
        named = [_id(value, root) for value in _texts(table, key, where)]
        if not any(name in ids for name in named):
            continue
        rows: dict[str, int] = {}
        for row, name in enumerate(named):
            if name is None:
                raise SourceError(f"{where}: row {row + 1} has no {key}; give it one, or drop it")
            if rows.setdefault(name, row) != row:
                raise SourceError(f"{where}: the {key} {name!r} comes twice; leave one row")
        return key, rows, [name for name in rows if name not in ids]
    some = next((name for name in _texts(table, there[0], where) if name), "")
    raise SourceError(
        f"{where}: none of its {len(table):,} rows is of a picture of {source.name}: {there[0]} is "
        f"{some!r} in one, and {next(iter(ids), '')!r} is a picture's id"
    )


def _texts(table: pa.Table, key: str, where: str) -> list[str | None]:
    of = type_for(table.column(key).type)
    if of not in ("string", "int64"):
        raise SourceError(f"{where}: column {key!r} is no text; write ids or paths there")
    return [None if one is None else str(one) for one in values_of(table.column(key), of)]


def _id(value: str | None, root: str | None) -> str | None:
    """The id that a value of a key names: ids of files are paths below the folder."""
    if value is None or root is None:
        return value
    if os.path.isabs(value):  # noqa: PTH117 (by the million)
        value = os.path.relpath(value, root)
    plain = value.replace(os.sep, "/")
    return plain.removeprefix("./")
