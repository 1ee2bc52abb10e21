"""Code files: the describer's product codes of one segment's images, in a file of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.segments.fields import MalformedError, hexadecimal, integer, same_keys
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError

FOLDER = "codes/"
SUFFIX = ".bin"


@dataclass(frozen=True, slots=True)
class CodeFile:
    """What a manifest says of the file that holds the describer's codes of one segment.

    The file holds nothing but the packed codes, row after row, deleted ones included.

    Attributes:
        name: 32 hexadecimal digits, by custom the segment's; the file is ``codes/<name>.bin``.
        bytes: size of the file: rows of the segment times bytes of a code.
        sha256: of the file, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return f"{FOLDER}{self.name}{SUFFIX}"

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
        return cls(hexadecimal(values, "name", 32), n_bytes, hexadecimal(values, "sha256", 64))


def code_file(name: str, data: bytes) -> CodeFile:
    """What is to be said of a file of this name and content."""
    return CodeFile(name, len(data), hashlib.sha256(data).hexdigest())


def read_code_file(store: Store, entry: CodeFile) -> bytes:
    """The file of a segment's codes, every byte of it checked.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    data = store.read_range(entry.file, 0, entry.bytes)
    if hashlib.sha256(data).hexdigest() != entry.sha256 or store.size(entry.file) != entry.bytes:
        raise ArchiveError(
            f"{store.where(entry.file)}: the describer's codes are damaged: their SHA-256 does not "
            "hold; restore the file from a copy, make them anew with: kinpack repair, or search "
            "with --codes codec"
        )
    return data
