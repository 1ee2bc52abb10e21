"""Revisions: finding the manifests of a store, and reading those that a revision is made of."""

from __future__ import annotations

from kinpack.archive.revisions.manifest import Manifest, manifest_file, manifest_number
from kinpack.archive.revisions.record import Record
from kinpack.archive.stores.store import FOLDER, UNFINISHED, Store
from kinpack.errors import ArchiveError

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
