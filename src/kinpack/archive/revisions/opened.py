"""Archives as people give them: open, or by their path or address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from kinpack.archive.revisions.manifest_chain import load_manifest
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.stores.opening import open_store

Readable: TypeAlias = Reader | str | os.PathLike[str]
"""An open archive, which stands for the revision that it shows, or the path or address of one."""


@contextmanager
def opened(archive: Readable) -> Iterator[Reader]:
    """An open archive as it is; one that is named is open during the block.

    Raises:
        ArchiveError: there is no archive, or its manifest is damaged.
    """
    if isinstance(archive, Reader):
        yield archive
        return
    store = open_store(archive)
    try:
        yield Reader(store, load_manifest(store))
    finally:
        store.close()
