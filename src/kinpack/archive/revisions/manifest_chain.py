"""The chain of manifests: found in a store, read, and followed by the next or by the very first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from kinpack.archive.revisions.manifest import Manifest, manifest_file, manifest_number
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.opening import new_store
from kinpack.archive.stores.store import FOLDER, TEMPORARY, UNFINISHED, Store
from kinpack.archive.stores.system_errors import existing
from kinpack.errors import ArchiveError

_Result = TypeVar("_Result")

LONGEST_CHAIN = 100
"""Most manifests that may have to be read for one revision; the writer needs at most 52."""

MOST_BYTES = 1 << 28
"""Most that a manifest may take: it would name more than a million segments."""


def manifest_numbers(store: Store) -> list[int]:
    """Numbers of all manifests in a store, ascending.

    Raises:
        ArchiveError: the store cannot be read.
    """
    numbers = (manifest_number(name) for name in store.list(FOLDER))
    return [number for number in numbers if number is not None]


def read_manifest(store: Store, name: str) -> bytes:
    """Read the file of a manifest.

    Raises:
        ArchiveError: it is missing, larger than any can be, or cannot be read.
    """
    if store.size(name) > MOST_BYTES:
        raise ArchiveError(
            f"{store.where(name)}: damaged manifest: it is larger than any can be; restore the "
            "file from a copy"
        )
    return store.read(name)


def load_record(store: Store, number: int) -> Record:
    """Read what one manifest file says.

    Raises:
        ArchiveError: it is missing or damaged, or is that of another number.
    """
    name = manifest_file(number)
    record = Record.from_bytes(read_manifest(store, name), where=store.where(name))
    if record.number != number:
        raise ArchiveError(
            f"{store.where(name)}: this is manifest {record.number} under a wrong name; give it "
            "back its own name"
        )
    return record


def load_manifest(store: Store, at: int | None = None, known: Manifest | None = None) -> Manifest:
    """Read the newest revision, or one by its number.

    Args:
        store: the archive's store.
        at: the number; ``None`` for the newest.
        known: a revision of the same archive that has been read already.

    Raises:
        ArchiveError: there is none, or a manifest is missing or damaged.
    """
    numbers = manifest_numbers(store)
    if not numbers:
        if known is not None and known.number:
            raise ArchiveError(
                f"{store.where('')}: the archive that was opened is gone, whatever lies there now; "
                "open it again"
            )
        if store.list(UNFINISHED):
            raise ArchiveError(
                f"{store.where('')}: the unfinished start of an archive; wait for whoever writes "
                "it, or begin again with: kinpack pack SOURCE -o ARCHIVE"
            )
        raise ArchiveError(
            f"{store.where('')}: no kinpack archive: it has no manifests; name another path, or "
            "make an archive with: kinpack pack SOURCE -o ARCHIVE"
        )
    if at is not None and at not in numbers:
        raise ArchiveError(
            f"{store.where('')}: there is no revision {at}; it has {numbers[0]} to {numbers[-1]}"
        )
    try:
        return _load(store, numbers[-1] if at is None else at, known)
    except ArchiveError:
        newest = manifest_numbers(store)[-1:]
        if at is not None or newest in ([], numbers[-1:]):
            raise
        return _load(store, newest[0], known)  # what was the newest has been collected meanwhile


def refreshed(store: Store, known: Manifest) -> Manifest:
    """The newest revision; ``known`` itself if it still is.

    The revisions that are there follow each other without a gap, and the oldest go first: if the
    next one is missing and this one is not, this is the newest.

    Args:
        store: the archive's store.
        known: a revision that was read before.

    Raises:
        ArchiveError: a manifest is missing or damaged.
    """
    if not store.exists(manifest_file(known.number + 1)) and store.exists(known.file):
        return known
    newest = load_manifest(store, known=known)
    return known if newest.number == known.number else newest


def _load(store: Store, number: int, known: Manifest | None) -> Manifest:
    """Read a revision: its manifest, and those that it builds on."""
    read: dict[tuple[int, str], Manifest] = {}
    while known is not None and known.number:
        read[known.number, known.checksum] = known
        known = known.base
    chain = [load_record(store, number)]
    while (base := chain[-1].base) is not None and base not in read:
        if len(chain) >= LONGEST_CHAIN:
            raise ArchiveError(
                f"{store.where(manifest_file(number))}: damaged manifest: it builds on more than "
                f"{LONGEST_CHAIN} others; restore the file from a copy"
            )
        chain.append(load_record(store, base[0]))
    manifest = read[base] if base is not None else None
    for record in reversed(chain):
        manifest = record.on(manifest, where=store.where(manifest_file(record.number)))
    if manifest is None:
        raise ArchiveError(f"{store.where('')}: there is no revision {number}")
    return manifest


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
