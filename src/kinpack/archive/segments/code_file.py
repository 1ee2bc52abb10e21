"""Code files: product codes of one segment's images, of one describer, in a file of their own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.segments.checked_file import read_checked
from kinpack.archive.segments.fields import MalformedError, hexadecimal, integer, same_keys
from kinpack.archive.stores.store import Store

FOLDER = "codes/"
SUFFIX = ".bin"
NAME = r"[a-z0-9][a-z0-9_-]{0,31}"
"""What a column of codes may be called, as a regular expression."""
MAPPED = 1 << 14
"""Bytes from which a file of codes is mapped into memory."""
AUTO = "auto"
"""What a search calls the usual column."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """What a manifest says of the file that holds the codes of one segment in one column.

    The file holds nothing but the packed codes, row after row, deleted ones included.

    Attributes:
        column: name of the column of codes, which is that of a describer in the archive.
        name: 32 hexadecimal digits; the file is ``codes/<name>.<column>.bin``.
        bytes: size of the file: rows of the segment times bytes of a code.
        sha256: of the file, hexadecimal.
    """

    column: str
    name: str
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return f"{FOLDER}{self.name}.{self.column}{SUFFIX}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, rows: int) -> CodeFile:
        """The entry of JSON values, each checked.

        Args:
            values: the values.
            rows: of the segment.

        Raises:
            MalformedError: a value is missing, unknown or out of its range.
        """
        same_keys(values, cls.__dataclass_fields__, "file of codes")
        n_bytes = integer(values, "bytes", rows)
        if n_bytes % rows:
            raise MalformedError(f"{n_bytes} bytes are no codes of {rows} images")
        return cls(
            column_name(values["column"]),
            hexadecimal(values, "name", 32),
            n_bytes,
            hexadecimal(values, "sha256", 64),
        )


def column_name(value: Any) -> str:
    """See that a value may be the name of a column of codes.

    Raises:
        MalformedError: it may not.
    """
    if not isinstance(value, str) or value == AUTO or not re.fullmatch(NAME, value, re.ASCII):
        raise MalformedError(
            f"{value!r} is no name of a column of codes: up to 32 of a-z, 0-9, _ and -, the first "
            f"a letter or a digit, and not {AUTO!r}"
        )
    return value


def code_file(column: str, name: str, data: bytes) -> CodeFile:
    """What is to be said of a file of codes of this content."""
    return CodeFile(column, name, len(data), hashlib.sha256(data).hexdigest())


def read_code_file(store: Store, entry: CodeFile) -> bytes | memoryview:
    """The file of a segment's codes, every byte of it checked; a large one mapped, if that can be.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return read_checked(
        store,
        entry,
        f"the codes of {entry.column!r} are damaged",
        "restore the file from a copy, make them anew with kinpack embed, or search other codes "
        "with --codes",
        mapped=entry.bytes >= MAPPED,
    )
