"""Undoing: a commit of which files are missing is followed by one that takes it back."""

from __future__ import annotations

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import put_next
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.stores.store import Store


def undo(store: Store, manifest: Manifest, base: Manifest) -> None:
    """Follow a commit of which files are missing by one that takes back what it did.

    Args:
        store: where the archive lies.
        manifest: the commit.
        base: the one before it.
    """
    if not base.number:
        store.delete(manifest.file)
        return
    done = {entry.name: entry for entry in manifest.segments}
    before = {entry.name: entry for entry in base.segments}

    def taken_back(now: Snapshot) -> tuple[Manifest, None]:
        segments = base.segments
        if now.manifest.number > manifest.number:  # what others have done since stays
            segments = tuple(
                before[entry.name] if entry == done.get(entry.name) else entry
                for entry in now.manifest.segments
                if entry.name in before or entry.name not in done
            )
        change = {"verb": "undo", "undone": manifest.number}
        return now.manifest.following(segments, change), None

    put_next(store, Snapshot(store, manifest), taken_back)
