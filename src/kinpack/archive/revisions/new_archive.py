"""New archives: a place is claimed, filled, and an archive with its first commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import cleaned_up, missing_files
from kinpack.archive.revisions.undoing import undo
from kinpack.archive.stores.opening import new_store
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.system_errors import existing


@contextmanager
def building(target: str | os.PathLike[str]) -> Iterator[Store]:
    """A store in which a new archive is made; it is one as soon as its first manifest is there.

    Args:
        target: the archive's path or address.

    Yields:
        The store; whatever leaves the block as an error removes what was made.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    store = new_store(target)
    try:
        store.begin()
        born = False
        try:
            yield store
            born = True
        finally:
            store.end(born=born)
    finally:
        store.close()


def check_free(target: str | os.PathLike[str]) -> None:
    """See that a new archive can be begun at a place, by beginning one.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
    """
    store = new_store(target)
    try:
        store.begin()
        store.end(born=False)
    finally:
        store.close()


def commit_first(store: Store, manifest: Manifest) -> None:
    """Make the first commit of a new archive.

    Args:
        store: where the archive is to lie; its segments and codec are there.
        manifest: the revision.

    Raises:
        ArchiveError: somebody else was faster, or the store cannot be written.
    """
    if not store.create(manifest.file, manifest.to_bytes()):
        raise existing(store.where(""))
    base = replace(manifest, number=0, segments=())
    if missing := missing_files(store, manifest, base):
        undo(store, manifest, base)
        raise cleaned_up(store, missing)
