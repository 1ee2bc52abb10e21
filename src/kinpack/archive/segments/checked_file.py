"""Files that a manifest names with their size and SHA-256, read whole and checked."""

from __future__ import annotations

import hashlib
from typing import Protocol

from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError


class Named(Protocol):
    """What a manifest says of a file."""

    @property
    def file(self) -> str:
        """Its name in the store."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Of its content, hexadecimal."""


def read_checked(store: Store, entry: Named, what: str, cure: str) -> bytes:
    """A whole file, every byte of it checked.

    Args:
        store: where it lies.
        entry: what the manifest says of it.
        what: what it holds, and that this is damaged, for the message.
        cure: what is to be done then.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    data = store.read_range(entry.file, 0, entry.bytes)
    if hashlib.sha256(data).hexdigest() != entry.sha256 or store.size(entry.file) != entry.bytes:
        raise ArchiveError(
            f"{store.where(entry.file)}: {what}: their SHA-256 does not hold; {cure}"
        )
    return data
