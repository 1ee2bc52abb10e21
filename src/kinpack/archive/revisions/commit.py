"""Commits: the next manifest, created only if nobody else has created it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.stores.store import TEMPORARY, Store
from kinpack.archive.stores.system_errors import existing
from kinpack.errors import ArchiveError

_Result = TypeVar("_Result")


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
    store: Store, base: Snapshot, propose: Callable[[Snapshot], tuple[Manifest | None, _Result]]
) -> tuple[Snapshot, _Result]:
    """Make a change durable and visible, on top of whatever others have committed meanwhile.

    Args:
        store: where the archive lies.
        base: the revision that the change was made for.
        propose: gives the manifest that makes the change to a revision (``None`` for no change),
            and a result; called again with the newest revision for every lost race.

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
            return Snapshot(store, manifest, base), result
        if not base.manifest.number:
            raise existing(store.where(""))
        newest = load_manifest(store, known=base.manifest)
        if (newest.codec, newest.describer) != (base.manifest.codec, base.manifest.describer):
            raise ArchiveError(
                f"{store.where('')}: its codec or describer was changed meanwhile; open it again "
                "and retry"
            )
        base = Snapshot(store, newest, base)


def remove_leftovers(store: Store) -> None:
    """Delete what dead writers left: temporary files, and segments or codes no manifest names.

    To be called only while nobody is writing. Where a manifest cannot be read, segments stay.

    Args:
        store: where the archive lies.

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
    numbers = manifest_numbers(store)
    if not unnamed or not numbers:
        return
    unnamed.difference_update(*(entry.files for entry in load_manifest(store).segments))
    for number in reversed(numbers):
        if not unnamed:
            return
        unnamed.difference_update(*(entry.files for entry in load_record(store, number).segments))
    store.delete(*sorted(unnamed))
