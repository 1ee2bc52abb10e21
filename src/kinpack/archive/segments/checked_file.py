"""Files that a manifest names with their size and SHA-256, read whole and checked."""

from __future__ import annotations

import hashlib
from typing import Protocol, overload

from kinpack.archive.stores.store import MappedStore, Store
from kinpack.errors import ArchiveError
from kinpack.mapped_memory import let_go


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


@overload
def read_checked(store: Store, entry: Named, what: str, cure: str) -> bytes: ...
@overload
def read_checked(
    store: Store, entry: Named, what: str, cure: str, *, mapped: bool
) -> bytes | memoryview: ...
def read_checked(
    store: Store, entry: Named, what: str, cure: str, *, mapped: bool = False
) -> bytes | memoryview:
    """A whole file, every byte of it checked.

    Args:
        store: where it lies.
        entry: what the manifest says of it.
        what: what it holds, and that this is damaged, for the message.
        cure: what is to be done then.
        mapped: whether it may be mapped into memory in place of being read.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    found = store.mapped(entry.file) if mapped and isinstance(store, MappedStore) else None
    data = store.read_range(entry.file, 0, entry.bytes) if found is None else found
    if hashlib.sha256(data).hexdigest() != entry.sha256 or store.size(entry.file) != entry.bytes:
        raise ArchiveError(
            f"{store.where(entry.file)}: {what}: their SHA-256 does not hold; {cure}"
        )
    if isinstance(data, memoryview):
        let_go(data)
    return data
