"""History: the states of an archive that can still be opened, and what each commit did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.manifest import load_manifest, manifest_numbers
from kinpack.archive.store import Store


@dataclass(frozen=True, slots=True)
class State:
    """One state of an archive.

    Attributes:
        number: names it; ``Archive.open`` takes it as ``at``.
        created: when it was committed, in UTC, as ISO 8601 to the second.
        kinpack: version of the writer.
        images: how many it holds.
        segments: files that hold them.
        change: what the commit did: its ``verb`` and counts.
    """

    number: int
    created: str
    kinpack: str
    images: int
    segments: int
    change: Mapping[str, Any]


def history(store: Store) -> list[State]:
    """The states of an archive, the oldest first.

    Args:
        store: where the archive lies.

    Raises:
        ArchiveError: there is no archive, or a manifest is damaged.
    """
    if not manifest_numbers(store):
        load_manifest(store)  # says that it is no archive
    states = []
    for number in manifest_numbers(store):
        manifest = load_manifest(store, number)
        states.append(
            State(
                number,
                manifest.created,
                manifest.writer,
                manifest.images,
                len(manifest.segments),
                manifest.change,
            )
        )
    return states
