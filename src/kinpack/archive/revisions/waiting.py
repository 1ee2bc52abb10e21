"""Waiting parts: what an interrupted addition has finished, noted until the same one goes on.

A note lies beside the segments that it names, which no manifest does. It stays for a week; what is
older goes with its segments, when the next writer or ``gc`` cleans up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kinpack.archive.revisions.manifest import canonical, digest, unsealed
from kinpack.archive.segments.fields import MalformedError
from kinpack.archive.segments.part import Part
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError

WAITING_SECONDS = 7 * 24 * 3600.0
"""So long finished segments wait for an interrupted addition to go on."""

MOST_BYTES = 1 << 28
"""Most that a note may take."""

_FOLDER = "segments/"
_NAME = re.compile(rf"{_FOLDER}([0-9a-f]{{64}})\.json")


def waiting_file(shard: str) -> str:
    """Name of the note of a part, from the name of its shard."""
    return f"{_FOLDER}{shard}.json"


def put_waiting(store: Store, part: Part) -> None:
    """Note that a part is done; its segments are there already.

    Another note of the same name stays: those images were coded twice, and the first will do.

    Raises:
        ArchiveError: the store cannot be written.
    """
    body = part.to_dict()
    store.create(waiting_file(part.shard), canonical({**body, "checksum": digest(body)}) + b"\n")


def waiting_names(store: Store) -> list[str]:
    """Names of the files that are notes of parts, or seem to be.

    Raises:
        ArchiveError: the store cannot be read.
    """
    return [name for name in store.list(_FOLDER) if is_note(name)]


def load_waiting(store: Store, name: str) -> Part:
    """Read a note.

    Args:
        store: where it lies.
        name: of the file.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    body = unsealed(store.read(name, MOST_BYTES))
    del body["checksum"]
    part = Part.from_dict(body)
    if waiting_file(part.shard) != name:
        raise MalformedError(f"this is the note of {part.shard} under a wrong name")
    return part


def waiting_parts(store: Store, named: Iterable[SegmentEntry] = ()) -> dict[str, Part]:
    """The parts that wait, by the names of their notes; damaged notes are left out.

    Args:
        store: where they lie.
        named: segments that a revision names already, whose notes are left out, too.

    Raises:
        ArchiveError: the store cannot be read.
    """
    return _parts(store, waiting_names(store), named)


def _parts(store: Store, names: Iterable[str], named: Iterable[SegmentEntry]) -> dict[str, Part]:
    there = {entry.name for entry in named}
    found = {}
    for name in names:
        with suppress(ArchiveError):
            part = load_waiting(store, name)
            if not there.intersection(entry.name for entry in part.segments):
                found[name] = part
    return found


def spared_files(
    store: Store, ages: Mapping[str, float], named: Iterable[SegmentEntry], seconds: float
) -> set[str]:
    """The notes that wait, and the files that they name; not those that are too old.

    Args:
        store: where they lie.
        ages: seconds since each file was written.
        named: segments that a revision names already.
        seconds: for which a note counts.

    Raises:
        ArchiveError: the store cannot be read.
    """
    spared: set[str] = set()
    young = [name for name, age in ages.items() if age < seconds and _NAME.fullmatch(name)]
    for name, part in _parts(store, young, named).items():
        spared.update([name], part.files)
    return spared


def is_note(name: str) -> bool:
    """Tell whether a file is the note of a part, or seems to be."""
    return bool(_NAME.fullmatch(name))
