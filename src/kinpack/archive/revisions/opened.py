"""Archives as people give them, open, or by their path or address; and as processes open them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeAlias

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_manifest, replaced
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.snapshot import Snapshot, live_rows
from kinpack.archive.revisions.stored_codec import Codec, Threaded
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.opening import open_store, place_of
from kinpack.errors import ArchiveError
from kinpack.jobs.suiting import suiting
from kinpack.jobs.table import EngineName

TASK = 256
"""Images that another process draws at a time."""

Readable: TypeAlias = Reader | str | os.PathLike[str]
"""An open archive, which stands for the revision that it shows, or the path or address of one."""


@contextmanager
def opened(archive: Readable) -> Iterator[Reader]:
    """An open archive as it is; one that is named is open during the block.

    Raises:
        ArchiveError: there is no archive, or its manifest is damaged.
    """
    if isinstance(archive, Reader):
        yield archive
        return
    store = open_store(archive)
    try:
        yield Reader(store, load_manifest(store))
    finally:
        store.close()


class RevisionAt:
    """A revision that may be sent to other processes, each of which opens it anew.

    Args:
        place: path or address of the archive.
        manifest: the revision.
        codec: draws its images.
    """

    def __init__(self, place: str | os.PathLike[str], manifest: Manifest, codec: Codec) -> None:
        found = place_of(place)
        self._place = found.absolute() if isinstance(found, Path) else found
        self._number, self._checksum = manifest.number, manifest.checksum
        self.codec = codec.with_threads(1) if isinstance(codec, Threaded) else codec

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "snapshot"}

    @property
    def is_reachable(self) -> bool:
        """Whether other processes can read the place."""
        return not str(self._place).startswith("memory://")

    @cached_property
    def snapshot(self) -> Snapshot:
        """The revision, opened.

        Raises:
            ArchiveError: it is not there any more.
        """
        store = open_store(self._place)
        manifest = load_manifest(store, self._number)
        if manifest.checksum != self._checksum:
            raise replaced(store)
        return Snapshot(store, manifest)

    def rows_of(self, things: Sequence[tuple[int, int]]) -> Iterator[tuple[Segment, list[int]]]:
        """Runs of things that lie in one segment.

        Args:
            things: segments and rows, by their numbers.
        """
        for part, run in groupby(things, lambda one: one[0]):
            yield self.snapshot.segments[part], [row for _, row in run]


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which other processes work on an archive.

    Attributes:
        place: path or address of the archive.
        jobs: how many there are; ``None`` for as many as suit.
        engine: what runs them.
    """

    place: str | os.PathLike[str]
    jobs: int | None = None
    engine: EngineName = "processes"

    def workers(self, revision: RevisionAt, count: int, try_out: Callable[[int], object]) -> int:
        """Tell how many processes work on a revision.

        Args:
            revision: which one.
            count: things to be done.
            try_out: does one of the first, for nothing.

        Raises:
            KinpackError: what is asked for is no number.
            ArchiveError: other processes are asked for, and cannot open it.
        """
        if revision.is_reachable:
            return suiting(self.jobs, count, try_out)
        if self.jobs not in (None, 1):
            raise ArchiveError(
                f"{self.place}: it is in the memory of this process; use one process: --jobs 1"
            )
        return 1


def live_things(snapshot: Snapshot, parts: Iterable[int]) -> Iterator[list[tuple[int, int]]]:
    """Tasks of other processes: the images of some segments, by segment and row, some at a time.

    Args:
        snapshot: the revision.
        parts: numbers of the segments.
    """
    things = ((part, row) for part in parts for row in live_rows(snapshot.manifest.segments[part]))
    while task := [(part, int(row)) for part, row in islice(things, TASK)]:
        yield task
