"""Index files: the index of one segment written anew, in a file of its own, payloads untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.segments.checked_file import read_checked
from kinpack.archive.segments.fields import MalformedError, hexadecimal, integer, same_keys
from kinpack.archive.stores.store import Store

_LEAST_BYTES = 4
"""Bytes that each image takes of an index at least: a checksum, not packed."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """What a manifest says of the file that holds a segment's index in place of its own end.

    The file holds what would follow the payloads in a segment of the same payloads and of other
    names: all columns but theirs, and the footer.

    Attributes:
        name: 32 hexadecimal digits; the file is ``segments/<name>.index``.
        bytes: size of the file.
        offset: byte at which it would begin in such a segment; offsets in its footer count so.
        sha256: of the file, hexadecimal.
    """

    name: str
    bytes: int
    offset: int
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return f"segments/{self.name}.index"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, rows: int) -> IndexFile:
        """The entry of JSON values, each checked.

        Args:
            values: the values.
            rows: of the segment.

        Raises:
            MalformedError: a value is missing, unknown or out of its range.
        """
        same_keys(values, cls.__dataclass_fields__, "file of an index")
        n_bytes = integer(values, "bytes", 1)
        if rows * _LEAST_BYTES > n_bytes:
            raise MalformedError(f"{rows} rows are more than {n_bytes} bytes can hold")
        return cls(
            hexadecimal(values, "name", 32),
            n_bytes,
            integer(values, "offset", 4),
            hexadecimal(values, "sha256", 64),
        )


def index_file(name: str, data: bytes, offset: int) -> IndexFile:
    """What is to be said of an index file of this content."""
    return IndexFile(name, len(data), offset, hashlib.sha256(data).hexdigest())


def read_index_file(store: Store, entry: IndexFile) -> bytes:
    """The file of a segment's index, every byte of it checked.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return read_checked(
        store,
        entry,
        "the names of images are damaged",
        "restore the file from a copy, or save all images, some under the names that they had "
        "before, with: kinpack repair",
    )
