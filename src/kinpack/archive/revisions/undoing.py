"""Undoing: a commit of which files are missing is taken away, or else taken back by another."""

from __future__ import annotations

from dataclasses import replace

from kinpack.archive.revisions.manifest import Manifest, manifest_file
from kinpack.archive.revisions.manifest_chain import holds, load_manifest, put_next
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError


def undo(store: Store, manifest: Manifest, base: Manifest) -> None:
    """Take away a commit of which files are missing.

    Where somebody has built on it, it stays, and one follows that takes back what it did. Whoever
    builds on it just now sees after its own commit that it is gone, and takes that away.

    Args:
        store: where the archive lies.
        manifest: the commit.
        base: the one before it.

    Raises:
        ArchiveError: that was forgotten meanwhile, so that nothing can be given back; or the store
            cannot be written.
    """
    done = {entry.name: entry for entry in manifest.segments}
    before = {entry.name: entry for entry in base.segments}

    def taken_back(now: Snapshot) -> tuple[Manifest, None]:
        segments = [entry for entry in base.segments if entry.name not in done]
        for entry in now.manifest.segments:
            if entry.name in before and entry.name in done:
                was = before[entry.name]
                as_it_was = replace(done[entry.name], codes=was.codes, index=was.index)
                given_back = entry.with_restored(as_it_was.deleted_since(was) or ())
                segments.append(replace(given_back, codes=was.codes, index=was.index))
            elif entry.name not in done:
                codes = tuple(one for one in entry.codes if base.describer(one.column))
                segments.append(replace(entry, codes=codes))
        change = {"verb": "undo", "undone": manifest.number}
        return (
            now.manifest.following(tuple(segments), change, describers=base.describers),
            None,
        )

    with store.writing(lambda: None):  # the lease that it was made under may be gone
        if base.number and not holds(store, base):
            raise ArchiveError(
                f"{store.where(manifest.file)}: files of this revision are gone, and the revision "
                "before it; save what is whole with: kinpack repair"
            )
        store.delete(manifest.file)
        if store.exists(manifest_file(manifest.number + 1)):
            store.create(manifest.file, manifest.to_bytes())
            put_next(store, Snapshot(store, load_manifest(store)), taken_back)
