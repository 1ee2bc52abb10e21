"""Columns of picture files: what folder, camera and bytes tell of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kinpack.column_types import Schema
from kinpack.errors import ImageError, SourceError, see_memory
from kinpack.pictures.exif import read_shot
from kinpack.pictures.images import Image

GROUPS: dict[str, Schema] = {
    "file": {"path": "string", "size": "int64", "modified": "timestamp_utc"},
    "exif": {"date": "timestamp", "camera": "string"},
    "gps": {"latitude": "float64", "longitude": "float64"},
    "hash": {"sha256": "string"},
}
"""The columns that can be asked for, a name for some of them together, and their types."""

KNOWN_BY: tuple[str, ...] = ("file", "hash")
"""The groups by which it is told whether a file is still the one that was taken."""

_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What tells whether a file is still the same.

    Attributes:
        size: its bytes.
        modified: when it was changed, in microseconds since 1970, rounded down.
        sha256: of its bytes, hexadecimal; ``None`` where it was not read.
    """

    size: int
    modified: int
    sha256: str | None = None

    @classmethod
    def of(cls, path: str) -> FileFacts:
        """What the folder tells of a file.

        Raises:
            OSError: it is not there, or may not be looked at.
        """
        status = os.stat(path)  # noqa: PTH116 (by the million)
        return cls(status.st_size, _microseconds(status))

    @classmethod
    def read(cls, path: str) -> FileFacts:
        """The same, and the hash of its bytes.

        Raises:
            OSError: it cannot be read, or was changed meanwhile.
        """
        if not os.path.isfile(path):  # noqa: PTH113 (a pipe would block until somebody writes)
            raise OSError(f"{path}: no regular file")
        before = cls.of(path)
        found = cls(before.size, before.modified, _sha256(path))
        if cls.of(path) != before:
            raise OSError(f"{path}: changed while it was read")
        return found

    def columns(self, path: str) -> dict[str, Any]:
        """The values of the columns of ``KNOWN_BY``.

        Args:
            path: what the column ``path`` gets.
        """
        modified = _BEGIN + timedelta(microseconds=self.modified)
        of_file = {"path": path, "size": self.size, "modified": modified}
        return of_file if self.sha256 is None else {**of_file, "sha256": self.sha256}


def _microseconds(status: os.stat_result) -> int:
    # Rounded down: what Python, Arrow and DuckDB hold alike.
    return status.st_mtime_ns // 1000


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class FileColumns:
    """Groups of columns that files are asked for.

    Attributes:
        groups: keys of ``GROUPS``.
    """

    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], where: str) -> FileColumns:
        """The groups of some names.

        Raises:
            SourceError: one is no group.
        """
        for name in names:
            if name not in GROUPS:
                raise SourceError(
                    f"{where}: files have no columns {name!r}; ask for {', '.join(GROUPS)}"
                )
        return cls(tuple(dict.fromkeys(names)))

    @property
    def schema(self) -> Schema:
        """The types of the columns by their names."""
        return {name: of for group in self.groups for name, of in GROUPS[group].items()}

    def load(self, load: Callable[[], Image], path: str, name: str, known: dict[str, Any]) -> Image:
        """Load a picture, and note what is known of its file: all of the same bytes.

        Args:
            load: decodes it.
            path: of the file.
            name: what the column ``path`` gets.
            known: gets the values of the columns.

        Raises:
            ImageError: it cannot be read, or is written to meanwhile.
        """
        try:
            before = os.stat(path)  # noqa: PTH116 (by the million)
            values = self._values(path, name, before)
            image = load()
            after = os.stat(path)  # noqa: PTH116
        except OSError as error:
            see_memory(error, name)
            raise ImageError(
                f"{name}: cannot be read ({error.strerror}); check it and its rights"
            ) from error
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ImageError(f"{name}: the file was changed while it was read; add it again")
        known.update(values)
        return image

    def _values(self, path: str, name: str, status: os.stat_result) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if "file" in self.groups:
            values |= FileFacts(status.st_size, _microseconds(status)).columns(name)
        if "hash" in self.groups:
            values["sha256"] = _sha256(path)
        if "exif" in self.groups or "gps" in self.groups:
            shot = read_shot(Path(path), name)
            told = {column: getattr(shot, column) for column in shot.__dataclass_fields__}
            values |= {column: told[column] for column in told if column in self.schema}
        return values
