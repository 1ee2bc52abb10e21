"""The chain of manifests: found in a store, read, and followed by the next or by the very first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from kinpack.archive.revisions.manifest import (
    HIGHEST,
    Manifest,
    manifest_file,
    manifest_number,
)
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import FOLDER, UNFINISHED, Store
from kinpack.archive.stores.system_errors import existing
from kinpack.errors import ArchiveError

_ATTEMPTS = 1000  # to commit, each lost to a commit of somebody else's
_Result = TypeVar("_Result")

LONGEST_CHAIN = 100
"""Most manifests that may have to be read for one revision; the writer needs at most 52."""

_LOOKS = 5  # at a gap in a listing: others may commit and forget meanwhile

MOST_BYTES = 1 << 28
"""Most that a manifest may take: it would name more than a million segments."""


def manifest_numbers(store: Store) -> list[int]:
    """Numbers of all manifests in a store, ascending, whatever is missing between them.

    Raises:
        ArchiveError: the store cannot be read.
    """
    numbers = (manifest_number(name) for name in store.list(FOLDER))
    return [number for number in numbers if number is not None]


def unbroken_numbers(store: Store) -> list[int]:
    """Numbers of all manifests in a store, ascending, where they follow each other.

    Raises:
        ArchiveError: there is a gap between them, or the store cannot be read.
    """
    for _ in range(_LOOKS):
        numbers = manifest_numbers(store)
        if not numbers or numbers[-1] - numbers[0] == len(numbers) - 1:
            return numbers
    last = next(low for low, high in pairwise(numbers) if high > low + 1)
    raise ArchiveError(
        f"{store.where(manifest_file(last + 1))}: this manifest is missing, though there are later "
        "ones; restore the file from a copy, open a revision by its number, or save what is whole "
        "with: kinpack repair"
    )


def load_record(store: Store, number: int) -> Record:
    """Read what one manifest file says.

    Raises:
        ArchiveError: it is missing or damaged, or is that of another number.
    """
    name = manifest_file(number)
    record = Record.from_bytes(store.read(name, MOST_BYTES), where=store.where(name))
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
        ArchiveError: there is none, a manifest is missing or damaged, or another archive than the
            known one lies there.
    """
    numbers = unbroken_numbers(store) if at is None else manifest_numbers(store)
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
        found = _load(store, numbers[-1] if at is None else at, known)
    except ArchiveError:
        newest = unbroken_numbers(store)[-1:]
        if at is not None or newest in ([], numbers[-1:]):
            raise
        found = _load(store, newest[0], known)  # what was the newest has been collected meanwhile
    if known is not None and known.number:
        if not _is_later(store, found, known):
            raise replaced(store)
    elif at is None and found.number - 1 in numbers:
        _see_parent(store, found)
    return found


def _see_parent(store: Store, found: Manifest) -> None:
    """Refuse a revision that does not follow the one before it, where that is there and whole."""
    number = found.number - 1
    if found.base is not None and found.base.number == number:
        return  # which was seen when it was read
    try:
        before = load_record(store, number)
    except ArchiveError:
        return
    if (before.archive, before.checksum) != (found.archive, found.parent):
        raise ArchiveError(
            f"{store.where(found.file)}: it follows another manifest {number} than there is; open "
            "an earlier revision by its number, or save what is whole with: kinpack repair"
        )


def replaced(store: Store) -> ArchiveError:
    """The error for a place where something else lies by now than was opened."""
    return ArchiveError(
        f"{store.where('')}: what was opened is not what lies here by now: another archive, or "
        "another copy, was put in its place; open it again"
    )


def holds(store: Store, known: Manifest) -> bool:
    """Tell whether the manifest of a revision that was read before is there still, the same.

    Raises:
        ArchiveError: the store cannot be read.
    """
    try:
        data = store.read(known.file, MOST_BYTES)
    except ArchiveError:
        if store.exists(known.file):
            raise
        return False
    return f'"checksum":"{known.checksum}"'.encode() in data


def _is_later(store: Store, found: Manifest, known: Manifest) -> bool:
    """Whether a revision is a known one, or has followed it."""
    if found.archive != known.archive or found.number < known.number:
        return False
    linked = found
    while linked.base is not None and linked.number > known.number + 1:
        linked = linked.base
    if linked.number == known.number:
        return linked.checksum == known.checksum
    if linked.number == known.number + 1:
        return linked.parent == known.checksum
    return holds(store, known) or not store.exists(known.file)


def refreshed(store: Store, known: Manifest) -> Manifest:
    """The newest revision; ``known`` itself if it still is.

    The revisions that are there follow each other without a gap, and the oldest go first: if the
    next one is missing and this one is not, this is the newest.

    Args:
        store: the archive's store.
        known: a revision that was read before.

    Raises:
        ArchiveError: a manifest is missing or damaged, or another archive lies there by now.
    """
    if store.is_moved():
        raise replaced(store)
    if not store.exists(manifest_file(known.number + 1)) and holds(store, known):
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
        ArchiveError: the store cannot be written, another archive lies there by now, somebody has
            made the archive that was to be made, or has removed what this one wrote.
    """
    former, manifest, result = put_next(store, base, propose)
    if manifest is None:
        return former, result
    if missing := missing_files(store, manifest, former.manifest):
        from kinpack.archive.revisions.undoing import undo

        undo(store, manifest, former.manifest)
        raise cleaned_up(store, missing)
    return Snapshot(store, manifest, former, written), result


def put_next(
    store: Store, base: Snapshot, propose: Callable[[Snapshot], tuple[Manifest | None, _Result]]
) -> tuple[Snapshot, Manifest | None, _Result]:
    """Put the next manifest; gives the revision that it follows, itself, and the result."""
    for _ in range(_ATTEMPTS):
        if base.manifest.number and not holds(store, base.manifest):
            raise replaced(store)
        if base.manifest.number == HIGHEST:
            raise ArchiveError(
                f"{store.where('')}: no revision can follow number {HIGHEST}; write a new archive "
                "with: kinpack copy"
            )
        manifest, result = propose(base)
        if manifest is None:
            return base, None, result
        if store.create(manifest.file, manifest.to_bytes()):
            return base, manifest, result
        if not base.manifest.number:
            raise existing(store.where(""))
        base = Snapshot(store, load_manifest(store, known=base.manifest), base)
        if base.manifest.number < manifest.number and store.exists(manifest.file):
            break  # else somebody's commit had the name, and was taken back
    place = store.where(manifest_file(base.manifest.number + 1))
    raise ArchiveError(
        f"{place}: something has this name and is no revision, or others commit without end; look "
        "with: kinpack verify"
    )


def missing_files(store: Store, manifest: Manifest, base: Manifest) -> list[str]:
    """Look after a commit whether it is one: its writer may have stood still for any time.

    One that does not follow what is there is taken away: nobody can have built on it. Where the one
    before it was forgotten since, it stays.

    Returns:
        Files that it brings and that are not there, whole.

    Raises:
        ArchiveError: others have gone on without it, another archive lies there, or the store
            cannot be read.
    """
    try:
        held = base.number > 0 and holds(store, base)
        follows = held or _is_oldest(store, manifest)
        known = _sizes(base) if held else {}
        missing = [
            file
            for file, n_bytes in _sizes(manifest).items()
            if file not in known and not _is_whole(store, file, n_bytes)
        ]
    except ArchiveError as error:
        raise ArchiveError(
            f"{error}; revision {manifest.number} was written before that: look with: kinpack "
            "history"
        ) from error
    if not follows:
        with store.writing(lambda: None):  # the lease that it was made under may be gone
            store.delete(manifest.file)
        raise replaced(store)
    return missing


def _sizes(manifest: Manifest) -> dict[str, int]:
    """The files of a revision's segments, codes and describers, and the bytes of each."""
    sizes = {entry.file: entry.bytes for entry in manifest.describers}
    for segment in manifest.segments:
        sizes |= segment.files
    return sizes


def _is_whole(store: Store, file: str, n_bytes: int) -> bool:
    """Whether a file is there, of so many bytes, though it may be going just now."""
    if not store.exists(file):
        return False
    try:
        return store.size(file) == n_bytes
    except ArchiveError:
        if store.exists(file):
            raise
        return False


def _is_oldest(store: Store, manifest: Manifest) -> bool:
    """Whether a commit is there, none is before it, and what is after it follows it."""
    numbers = manifest_numbers(store)
    if numbers != list(range(manifest.number, manifest.number + len(numbers))) or not numbers:
        return False
    return len(numbers) == 1 or load_record(store, numbers[1]).parent == manifest.checksum


def cleaned_up(store: Store, missing: list[str]) -> ArchiveError:
    """The error for a commit of which files are missing."""
    return ArchiveError(
        f"{store.where(missing[0])}: this was written just now and is gone: its writer stood still "
        "for so long that others took it for dead and cleaned up; the commit was undone, try again"
    )
