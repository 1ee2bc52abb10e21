"""Hugging Face data sets as sources: Parquet or Arrow files read in place, or a name of the hub.

A data set has splits, each a table of rows. One column holds the pictures, as their files' bytes;
another may hold the class. Rows are streamed, so memory stays flat whatever the size of the table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from kinpack.column_types import TYPES, Schema, joined
from kinpack.errors import MissingExtraError, SourceError, see_memory, shown
from kinpack.pictures.images import Image, read_image
from kinpack.pictures.reading import Reading
from kinpack.sources.items import Item, Source, refuse
from kinpack.sources.table_limits import ROWS, check_buffers, rows_at_once
from kinpack.sources.typed_arrays import type_for, values_of

# The words for a split that a file or a folder is called by, and the split they mean.
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_ORDER = ("train", "validation", "test")
_NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp")  # img2dataset has jpg


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the rows of a data set hold what is wanted.

    Attributes:
        picture: the column of pictures, struct {bytes, path} or binary.
        label: the column of labels, or None.
        classes: what an integer label means, or None where it stands for itself.
        others: the types of the columns that are kept beside, by their names.
        words: what an integer of one of these means, where that is a class.
    """

    picture: str
    label: str | None
    classes: tuple[str, ...] | None
    others: Schema = field(default_factory=dict)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def read(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys([self.picture, *filter(None, [self.label]), *self.others]))


@dataclass(frozen=True, slots=True)
class _Split:
    """One split.

    Attributes:
        name: as "train".
        rows: how many there are.
        batches: starts an iteration over all rows, as Arrow record batches or tables.
    """

    name: str
    rows: int
    batches: Callable[[], Iterator[Any]]

    def id(self, row: int) -> str:
        """The id of the picture in a row."""
        return f"{self.name}/{row:0{max(5, len(str(self.rows - 1)))}}"


class _DatasetSource:
    """The rows of the splits, one after the other."""

    def __init__(
        self,
        name: str,
        splits: Sequence[_Split],
        columns: _Columns,
        *,
        reading: Reading,
        follow_paths: bool,
        root: Path | None = None,
    ) -> None:
        self.name = name
        self._splits = splits
        self._columns = columns
        self._reading = reading
        self._follow_paths, self._root = follow_paths, root
        if len(self) == 0:
            raise SourceError(f"no images in {name}: its table has no rows; check the files")

    def __len__(self) -> int:
        return sum(split.rows for split in self._splits)

    @property
    def columns(self) -> Schema:
        """The types of the columns that its items have."""
        return self._columns.others

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return (split.id(row) for split in self._splits for row in range(split.rows))

    def __iter__(self) -> Iterator[Item]:
        import pyarrow as pa

        for split in self._splits:
            row = 0
            try:
                for batch in split.batches():
                    for picture, label, known in self._rows(batch):
                        id_ = split.id(row)
                        load = self._loader(picture, id_)
                        yield Item(id_, self._label(label, id_), load, known)
                        row += 1
            except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
                raise _unreadable(f"{self.name}: row {row} of {split.name}", error) from error

    def _rows(self, batch: Any) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
        columns = self._columns
        pictures = batch.column(columns.picture)
        labels = None if columns.label is None else batch.column(columns.label)
        others = {name: self._others(batch, name, of) for name, of in columns.others.items()}
        for i in range(len(pictures)):
            label = None if labels is None else labels[i].as_py()
            yield pictures[i].as_py(), label, {name: them[i] for name, them in others.items()}

    def _others(self, batch: Any, name: str, of: str) -> list[Any]:
        words = self._columns.words.get(name)
        if words is None:
            return values_of(batch.column(name), of)
        numbers = values_of(batch.column(name), "int64")
        known = range(len(words))
        return [words[number] if number in known else None for number in numbers]

    def _label(self, value: Any, id_: str) -> str | None:
        classes = self._columns.classes
        if value is None or value == -1:  # −1 is the hub's "unknown"
            return None
        if classes is None:
            return str(value)
        if not 0 <= value < len(classes):
            raise SourceError(
                f"{self.name}: {id_} has the class {value} of {len(classes)}; repair the table"
            )
        return classes[int(value)]

    def _below(self, path: Any) -> Path | None:
        """The file that a row names, if it lies in the data set's folder: others are private."""
        if self._root is None or not isinstance(path, str) or "\0" in path:
            return None
        root = self._root.resolve()
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None

    def _loader(self, picture: Any, id_: str) -> Callable[[], Image]:
        where = f"{self.name}: {id_}"
        kind = "path" if isinstance(picture, str) else "bytes"
        cell = picture if isinstance(picture, dict) else {kind: picture}
        data, path = cell.get("bytes"), cell.get("path")
        if data is None and path and self._follow_paths:
            return partial(read_image, path, self._reading, where=where)
        if data is None and path and (file := self._below(path)):
            return partial(read_image, file, self._reading, where=where)
        if data is None:
            return partial(refuse, f"{where}: the row holds no picture; leave it out")
        return partial(read_image, data, self._reading, where=where)


def open_tables(
    root: Path,
    files: Sequence[str],
    *,
    name: str,
    reading: Reading,
    split: str | None,
    column: str | None = None,
    columns: Sequence[str] = (),
) -> Source:
    """Open a data set that lies on this machine as Parquet or Arrow files.

    The split of a file is the word before its shard number (``train-00000-of-00001.parquet``),
    or the nearest word for a split in its name or its folders', or else ``train``.

    Args:
        root: the folder.
        files: paths below it with "/" between, in the order in which their rows count.
        name: what messages call the data set.
        reading: how its pictures are read.
        split: the only split to take, or None for all: train, validation, test, then the others
            by name.
        column: that holds the pictures; by default the only one that may.
        columns: names of those that are kept beside picture and label.

    Raises:
        SourceError: a file is damaged, no column holds pictures, the split is unknown, there are
            no rows, or there are several configurations.
    """
    import pyarrow as pa

    if any(file.lower().endswith(".parquet") for file in files):
        files = [file for file in files if file.lower().endswith(".parquet")]
    for file in files:  # a named pipe would block until somebody writes
        if (root / file).exists() and not (root / file).is_file():
            raise SourceError(f"{shown(root / file)}: not a regular file; leave it out")
    by_split: dict[str, list[Path]] = {}
    configurations: set[str] = set()
    for file in files:
        its_split, configuration = _place(PurePosixPath(file))
        by_split.setdefault(its_split, []).append(root / file)
        configurations.add(configuration)
    if len(configurations) > 1:
        raise SourceError(
            f"{name}: several data sets lie there, in {', '.join(sorted(configurations))}; give "
            "the folder of one"
        )
    names = sorted(by_split, key=lambda s: (_ORDER.index(s) if s in _ORDER else len(_ORDER), s))
    if split is not None and split not in by_split:
        raise SourceError(f"{name}: no split {split!r}; there are {', '.join(names)}")
    try:
        wanted = {one: by_split[one] for one in names if split in (None, one)}
        about = {one: [_about(path) for path in paths] for one, paths in wanted.items()}
        found = _find_columns(next(iter(about.values()))[0][0], name, column, columns)
        splits = [
            _Split(one, sum(rows for _, rows in about[one]), partial(_read, wanted[one], found))
            for one in wanted
        ]
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _unreadable(name, error) from error
    return _DatasetSource(name, splits, found, reading=reading, follow_paths=False, root=root)


def open_hub(
    name: str,
    *,
    reading: Reading,
    split: str | None,
    column: str | None = None,
    columns: Sequence[str] = (),
) -> Source:
    """Open a data set of the Hugging Face hub; it is fetched into the hub's own cache.

    Args:
        name: owner/name.
        reading: how its pictures are read.
        split: the only split to take, or None for all, in the data set's order.
        column: that holds the pictures; by default the only one that may.
        columns: names of those that are kept beside picture and label.

    Raises:
        MissingExtraError: the ``datasets`` package is not installed.
        SourceError: it cannot be fetched, or no column holds pictures.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"{name}: no such file or folder here; to fetch the Hugging Face data set of that "
            "name, install the extra: pip install 'kinpack[datasets]'"
        ) from error
    try:
        loaded = datasets.load_dataset(name, split=split)
    except Exception as error:  # whatever its network, cache and builders raise
        see_memory(error, name)
        reason = shown(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise SourceError(
            f"{name}: no such file or folder here, and not to be had from the Hugging Face hub "
            f"({reason}); check the name, the split and the network"
        ) from error
    tables = {split: loaded} if split is not None else dict(loaded)
    return _of_tables(tables, name, reading, column, columns)


def open_dataset(
    dataset: Any,
    *,
    reading: Reading,
    split: str | None,
    column: str | None,
    columns: Sequence[str] = (),
) -> Source:
    """Open a ``datasets.Dataset``, or a ``DatasetDict`` of several splits."""
    tables = (
        dict(dataset) if isinstance(dataset, dict) else {str(dataset.split or "train"): dataset}
    )
    if split is not None and split not in tables:
        raise SourceError(f"no split {split!r}; there are {', '.join(map(str, tables))}")
    wanted = {one: table for one, table in tables.items() if split in (None, one)}
    return _of_tables(wanted, "a data set", reading, column, columns)


def _of_tables(
    tables: dict[str, Any],
    name: str,
    reading: Reading,
    column: str | None,
    columns: Sequence[str],
) -> Source:
    if not all(hasattr(table, "__len__") for table in tables.values()):
        raise SourceError(
            f"{name}: its rows are streamed, and can be read only once; open it without streaming"
        )
    schema = next(iter(tables.values())).features.arrow_schema
    found = _find_columns(schema, name, column, columns)
    splits = [
        _Split(
            str(its_name),
            len(table),
            partial(table.with_format("arrow").iter, batch_size=ROWS),
        )
        for its_name, table in tables.items()
    ]
    return _DatasetSource(name, splits, found, reading=reading, follow_paths=True)


def _place(file: PurePosixPath) -> tuple[str, str]:
    """Give the split and the folder of the configuration of a file below the data set's folder."""
    folder = file.parent
    shard = re.fullmatch(r"(\w+)-\d+-of-\d+", file.stem)
    words = [_SPLIT_WORDS.get(word) for word in re.split(r"[^a-z]+", file.stem.lower())]
    if shard and shard[1] != "data":
        return shard[1], str(folder)
    for word in words:
        if word:
            return word, str(folder)
    if folder.name.lower() in _SPLIT_WORDS:
        return _SPLIT_WORDS[folder.name.lower()], str(folder.parent)
    return "train", str(folder)


def _find_columns(schema: Any, name: str, column: str | None, others: Sequence[str]) -> _Columns:
    """Find pictures and labels by the hub's description of the features, or else by their types.

    Args:
        schema: of the tables.
        name: of the data set, for messages.
        column: that holds the pictures, if one was chosen.
        others: names of the columns that are kept beside.
    """
    import pyarrow as pa

    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        kinds = {key: value["_type"] for key, value in features.items() if "_type" in value}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        features, kinds = {}, {}
    types = {field.name: field.type for field in schema}
    pictures = [key for key in kinds if kinds[key] == "Image" and key in types] or [
        key for key, type_ in types.items() if pa.types.is_struct(type_) and "bytes" in type_.names
    ]
    pictures = pictures or [
        key for key, type_ in types.items() if key in _NAMES and _may_hold(type_, pa)
    ]
    if column is not None:
        if column not in types:
            raise SourceError(f"{name}: no column {column!r}; there are {', '.join(types)}")
        pictures = [column]
    if len(pictures) > 1:
        pictures = [key for key in pictures if key in _NAMES][:1] or pictures
    if len(pictures) > 1:
        raise SourceError(
            f"{name}: several columns hold pictures, {', '.join(pictures)}; choose one with "
            "--column"
        )
    if not pictures:
        raise SourceError(
            f"{name}: no column holds pictures, only {', '.join(types)}; give a data set with "
            "a feature of type Image"
        )
    classes = [key for key in kinds if kinds[key] == "ClassLabel" and key in types]
    words = {key: features[key]["names"] for key in classes if features[key].get("names")}
    kept = {one: _kept(one, types, one in words, name) for one in others}
    words = {key: names for key, names in words.items() if key in kept}
    try:
        joined({}, kept)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error
    if classes:
        names = features[classes[0]].get("names")
        return _Columns(pictures[0], classes[0], tuple(names) if names else None, kept, words)
    label = types.get("label")
    usable = label is not None and any(
        test(label) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    )
    return _Columns(pictures[0], "label" if usable else None, None, kept, words)


def _kept(column: str, types: Mapping[str, Any], is_class: bool, name: str) -> str:
    """The type in which a column of a data set is kept."""
    if column not in types:
        raise SourceError(f"{name}: it has no column {column!r}; there are {', '.join(types)}")
    of = "string" if is_class else type_for(types[column])
    if of is None:
        raise SourceError(
            f"{name}: column {column!r} is of the type {types[column]}; kept are "
            f"{', '.join(TYPES)}: leave it out"
        )
    return of


def _may_hold(type_: Any, pa: Any) -> bool:
    """Whether a column of a type may hold pictures, or paths of some."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string)
    return any(test(type_) for test in tests)


def _about(path: Path) -> tuple[Any, int]:
    """The schema of a table, and how many rows it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    with pa.memory_map(os.fspath(path)) as stream:
        check_buffers(stream)
    with _open_arrow(path) as reader:
        return reader.schema, sum(batch.num_rows for batch in reader)


def _read(paths: Sequence[Path], columns: _Columns) -> Iterator[Any]:
    import pyarrow.parquet as pq

    wanted = columns.read
    for path in paths:
        if path.suffix.lower() == ".parquet":
            # One row group after the other, on this thread: else several are held at a time.
            with (
                path.open("rb") as raw,
                pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file,
            ):
                for group in range(file.num_row_groups):
                    rows = rows_at_once(raw, file.metadata.row_group(group), wanted)
                    yield from file.iter_batches(
                        rows, row_groups=[group], columns=wanted, use_threads=False
                    )
        else:
            with _open_arrow(path) as reader:
                yield from reader


def _open_arrow(path: Path) -> Any:
    import pyarrow as pa

    alone = pa.ipc.IpcReadOptions(use_threads=False)  # as for Parquet: nothing runs on after a read
    return pa.ipc.open_stream(pa.memory_map(os.fspath(path)), options=alone)


def _unreadable(where: str, error: Exception) -> SourceError:
    """The error for a table that cannot be read, unless it only lacked memory."""
    see_memory(error, where)
    reason = shown(str(error).strip().partition("\n")[0]) or type(error).__name__
    return SourceError(f"{where}: the table cannot be read ({reason}); fetch or write it again")
