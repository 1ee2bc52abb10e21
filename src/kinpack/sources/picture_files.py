"""Picture files as a source: each under its path below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kinpack.column_types import Schema
from kinpack.errors import SourceError, shown
from kinpack.pictures.images import Image, read_image
from kinpack.pictures.reading import Reading
from kinpack.sources.file_columns import FileColumns
from kinpack.sources.folders import LeftOut, Patterns
from kinpack.sources.items import Item, refuse


@dataclass(frozen=True, slots=True)
class Area:
    """A folder of which a source takes all pictures, and which it therefore speaks for.

    Attributes:
        path: of the folder below the source's root, "." for the root itself.
        patterns: which of its files are wanted.
    """

    path: str
    patterns: Patterns

    def covers(self, name: str) -> bool:
        """Tell whether a path below the root is one that the source would take, were it there."""
        if self.path == ".":
            return self.patterns.want(name)
        above, below = name[: len(self.path) + 1], name[len(self.path) + 1 :]
        return above == f"{self.path}/" and self.patterns.want(below)


class FileSource:
    """Picture files below one folder.

    Args:
        name: what messages call the collection.
        root: the folder.
        names: paths of the files below it, with "/" between.
        reading: how pictures are read.
        columns: what else is kept of each, keys of ``file_columns.GROUPS``.
        left_out: what lies there and is not taken.
        areas: the folders of which all pictures were taken.
        prefix: what all ids begin with.

    Attributes:
        root: the folder, absolute; ``None`` where ids are no paths below it, having a prefix.

    Raises:
        SourceError: two files have one id, or files have no such columns.
    """

    def __init__(
        self,
        name: str,
        root: str,
        names: Sequence[str],
        reading: Reading,
        columns: Sequence[str],
        left_out: LeftOut | None = None,
        areas: Sequence[Area] = (),
        prefix: str = "",
    ) -> None:
        self.name = name
        self.left_out = left_out or LeftOut()
        absolute = os.path.abspath(root)  # noqa: PTH100 (which resolves no link)
        self.root = None if prefix else absolute
        self._files = FileColumns.of(columns, name)
        self._root, self._names, self._reading = root, names, reading
        self._areas, self._prefix = areas, prefix
        once: set[str] = set()
        for id_ in map(utf8_name, names):
            if id_ in once:
                raise SourceError(f"{name}: two pictures are called {id_}; leave one out")
            once.add(id_)

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return (self._prefix + utf8_name(name) for name in self._names)

    @property
    def columns(self) -> Schema:
        """The types of the columns that its items have."""
        return self._files.schema

    def files(self) -> Iterator[tuple[str, str]]:
        """The id and the path of each file, in their order."""
        for name in self._names:
            yield self._prefix + utf8_name(name), self._path(name)

    def below(self, id: str) -> str:  # noqa: A002
        """The path below the root of a file of this id: what the column ``path`` gets."""
        return id.removeprefix(self._prefix)

    def covers(self, id: str) -> bool:  # noqa: A002
        """Tell whether a file of this id would be taken, if it were there."""
        if not id.startswith(self._prefix):
            return False
        name = id[len(self._prefix) :]
        return any(area.covers(name) for area in self._areas)

    def only(self, ids: Container[str]) -> FileSource:
        """The same without the files of other ids."""
        names = [name for name in self._names if self._prefix + utf8_name(name) in ids]
        return self._like(names, self._prefix)

    def prefixed(self, prefix: str) -> FileSource:
        """The same, all ids beginning with a text."""
        return self._like(self._names, prefix + self._prefix)

    def with_columns(self, groups: Sequence[str]) -> FileSource:
        """The same with these groups of columns, too."""
        return self._like(self._names, self._prefix, (*self._files.groups, *groups))

    def _like(
        self, names: Sequence[str], prefix: str, groups: Sequence[str] | None = None
    ) -> FileSource:
        return FileSource(
            self.name,
            self._root,
            names,
            self._reading,
            self._files.groups if groups is None else groups,
            self.left_out,
            self._areas,
            prefix,
        )

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)  # noqa: PTH118 (by the million)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Item]:
        for name in self._names:
            below, path = utf8_name(name), self._path(name)
            load: Callable[[], Image] = partial(read_image, path, self._reading)
            if below != name:
                message = f"{shown(path)}: the file's name is not valid UTF-8; rename it"
                load = partial(refuse, message)
            known: dict[str, Any] = {}
            if self._files.groups and below == name:
                load = partial(self._files.load, load, path, below, known)
            id_ = self._prefix + below
            yield Item(id_, label_of(id_), load, known, path)


def label_of(id: str) -> str | None:  # noqa: A002
    """The label of a picture file: the first folder of its id, ``None`` without any."""
    return id.partition("/")[0] if "/" in id else None


def utf8_name(name: str) -> str:
    r"""Spell a file name in valid UTF-8: bytes that are not, as ``\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
