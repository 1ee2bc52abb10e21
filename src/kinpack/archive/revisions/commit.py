"""Commits: the next manifest, created only if nobody else has; the first makes an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.opening import new_store
from kinpack.archive.stores.store import TEMPORARY, Store
from kinpack.archive.stores.system_errors import existing
from kinpack.errors import ArchiveError

_Result = TypeVar("_Result")


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


def commit(
    store: Store,
    base: Snapshot,
    propose: Callable[[Snapshot], tuple[Manifest | None, _Result]],
    written: Segment | None = None,
) -> tuple[Snapshot, _Result]:
    """Make a change durable and visible, on top of whatever others have committed meanwhile.

    Args:
        store: where the archive lies.
        base: the revision that the change was made for.
        propose: gives the manifest that makes the change to a revision (``None`` for no change),
            and a result; called again with the newest revision for every lost race.
        written: a segment that the change brings, which the new revision need not read again.

    Returns:
        The new revision and the result that belongs to it.

    Raises:
        ArchiveError: the store cannot be written, or somebody has changed the codec or the
            describer meanwhile, or has made the archive that was to be made.
    """
    while True:
        manifest, result = propose(base)
        if manifest is None:
            return base, result
        if store.create(manifest.file, manifest.to_bytes()):
            return Snapshot(store, manifest, base, written), result
        if not base.manifest.number:
            raise existing(store.where(""))
        newest = load_manifest(store, known=base.manifest)
        if (newest.codec, newest.describer) != (base.manifest.codec, base.manifest.describer):
            raise ArchiveError(
                f"{store.where('')}: its codec or describer was changed meanwhile; open it again "
                "and retry"
            )
        base = Snapshot(store, newest, base)


def remove_leftovers(store: Store, known: Manifest) -> None:
    """Delete what dead writers left: temporary files, and segments or codes no manifest names.

    To be called only while nobody is writing. Where a manifest cannot be read, segments stay.

    Args:
        store: where the archive lies.
        known: a revision that has been read already.

    Raises:
        ArchiveError: the store cannot be read or written.
    """
    names = store.list()
    store.delete(*(name for name in names if name.rpartition("/")[2].startswith(TEMPORARY)))
    unnamed = {
        name
        for name in names
        if (name.startswith("segments/") and name.endswith(".parquet"))
        or (name.startswith("codes/") and name.endswith(".bin"))
    }
    unnamed.difference_update(*(entry.files for entry in known.segments))
    numbers = manifest_numbers(store) if unnamed else []
    if not numbers:
        return
    unnamed.difference_update(*(entry.files for entry in load_manifest(store).segments))
    for number in reversed(numbers):
        if not unnamed:
            return
        unnamed.difference_update(*(entry.files for entry in load_record(store, number).segments))
    store.delete(*sorted(unnamed))
