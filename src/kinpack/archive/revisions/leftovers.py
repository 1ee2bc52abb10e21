"""Leftovers: files that no revision names, removed so that no commit loses what it has named."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.waiting import WAITING_SECONDS, is_note, spared_files
from kinpack.archive.stores.store import FOLDER, TEMPORARY, UNFINISHED, Store

_DATA = (
    ("segments/", (".parquet", ".index", ".json")),
    ("codes/", ".bin"),
    ("describers/", ".kine"),
)
_ASIDE = re.compile(rf"(?!{FOLDER})(.*/){re.escape(TEMPORARY)}[0-9a-f]{{32}}-of-([^/]+)")


def remove_unnamed(store: Store, names: Sequence[str], newest: int) -> list[str]:
    """Remove files that no revision names, but for what was committed meanwhile.

    Locks and leases keep others from committing now. Where they keep nobody out, this does: files
    are moved aside first, then what was committed is looked at, and what that names moved back. Who
    commits does it the other way round, the manifest first, and then looks whether its files are
    there. So one of the two sees the other, whatever stands still where.

    Others may clean up meanwhile. So what is removed is removed by the name that it got here, which
    nothing else ever has: whoever gave it back has taken that name away.

    Args:
        store: where the archive lies.
        names: of the files; in a store that cannot rename they go after the look.
        newest: number of the newest revision that was looked at.

    Returns:
        The names of those that stay.

    Raises:
        ArchiveError: the store cannot be read or written; what was moved aside is moved back.
    """
    aside: dict[str, str] = {}
    staying: list[str] = []  # under their own names, up to the look
    named = set(names)
    try:
        for name in names:
            folder, _, last = name.rpartition("/")
            other = f"{folder}/{TEMPORARY}{uuid.uuid4().hex}-of-{last}"
            moved = None if last.startswith(TEMPORARY) else store.rename(name, other)
            if moved is None:
                staying.append(name)
            elif moved:
                aside[name] = other
        numbers = (number for number in manifest_numbers(store) if number > newest)
        records = [load_record(store, number) for number in numbers]
        named = {file for record in records for file in named_files(record)}
    finally:
        stay = [name for name in names if name in named]
        for name in stay:
            if name in aside:
                store.rename(aside.pop(name), name)
    store.delete(*aside.values(), *(name for name in staying if name not in named))
    return stay


def given_back(store: Store, names: Iterable[str], *, dry_run: bool = False) -> list[str]:
    """Give files that somebody moved aside their own names again, for a revision may name them.

    Whoever moved them was killed before the look, or cleans up at this moment.

    Args:
        store: where the archive lies.
        names: of its files.
        dry_run: whether to rename nothing.

    Returns:
        The names, in their order, as they are then.

    Raises:
        ArchiveError: the store cannot be read or written.
    """
    found = []
    for name in names:
        parts = _ASIDE.fullmatch(name)
        own = parts[1] + parts[2] if parts else name
        moved = own != name and not store.exists(own) and (dry_run or store.rename(name, own))
        found.append(own if moved else name)
    return found


def named_files(of: Manifest | Record) -> set[str]:
    """The segments, codes and describers that a revision, or what a manifest says, names."""
    files = {file for entry in of.segments for file in entry.files}
    return files.union(entry.file for entry in of.describers)


def remove_leftovers(store: Store, known: Manifest) -> None:
    """Delete what dead writers left: temporary files, and data files that no manifest names.

    To be called only while nobody is writing. Where a manifest cannot be read, data files stay; so
    does what waits for an interrupted addition to go on.

    Args:
        store: where the archive lies.
        known: a revision that has been read already.

    Raises:
        ArchiveError: the store cannot be read or written.
    """
    names = given_back(store, store.list())
    store.delete(*(name for name in names if name.rpartition("/")[2].startswith(TEMPORARY)))
    unnamed = {
        name
        for name in names
        if any(name.startswith(folder) and name.endswith(suffix) for folder, suffix in _DATA)
    }
    unnamed -= named_files(known)
    numbers = manifest_numbers(store) if unnamed else []
    if not numbers:
        return
    newest = load_manifest(store)
    unnamed -= named_files(newest)
    if any(map(is_note, unnamed)):
        unnamed -= spared_files(store, store.ages(), newest.segments, WAITING_SECONDS)
    for number in reversed(numbers):
        if not unnamed:
            return
        unnamed -= named_files(load_record(store, number))
    remove_unnamed(store, sorted(unnamed), numbers[-1])


def remove_unfinished(store: Store, keep: Iterable[str] = ()) -> None:
    """Delete what a dead writer left of a new archive that has no manifest yet.

    Args:
        store: where it is to lie, claimed.
        keep: names of files that stay.

    Raises:
        ArchiveError: the store cannot be read or written.
    """
    kept = set(keep)
    names = [name for name in store.list() if not name.startswith((UNFINISHED, FOLDER))]
    store.delete(*(name for name in names if name not in kept))
