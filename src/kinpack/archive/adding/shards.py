"""Shards: a source cut into runs of items, which are coded one by one, or found to be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from kinpack.archive.adding.shard_names import begin_of, digest_of, first_of, shard_name
from kinpack.archive.segments.part import Part
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError
from kinpack.sources.items import Item

LEAST, MOST = 8, 1 << 14
"""Fewest and most items of a shard that another process codes."""

_EACH = 12  # shards of a process: the last of them leave nobody idle for long
_CHUNK = 4 << 20


def shard_size(items: int | None, workers: int) -> int:
    """How many items a shard has.

    Args:
        items: of all shards; ``None`` where nobody knows.
        workers: processes that code them.
    """
    return max(LEAST, min(MOST, -(-(items or MOST) // (_EACH * workers))))


class Shards:
    """The shards of a source, in its order: each a part that is done, or items to be coded.

    Args:
        items: those of the source.
        way: a digest of how they are coded.
        waiting: parts that are done, by any names.
        size: most items of a shard; ``None`` for all that come before one that is done.
    """

    def __init__(
        self, items: Iterable[Item], way: bytes, waiting: Mapping[str, Part], size: int | None
    ) -> None:
        self._items, self._way, self._size = iter(items), way, size
        self._waiting: dict[str, list[Part]] = {}
        for part in waiting.values():
            self._waiting.setdefault(begin_of(part.shard), []).append(part)
        self._coming: deque[tuple[Item, bytes | None]] = deque()  # looked at, not given

    def __iter__(self) -> Iterator[Part | Iterator[Item]]:
        """Give each shard; its items are to be drawn before the next shard is."""
        while self._look(1):
            part = self._done()
            if part is None:
                yield self._run()
            else:
                for _ in range(part.items):
                    self._coming.popleft()
                yield part

    def _run(self) -> Iterator[Item]:
        count = 0
        while self._look(1) and (count == 0 or not self._done()) and count != self._size:
            yield self._coming.popleft()[0]
            count += 1

    def _look(self, count: int) -> bool:
        """Look at so many items ahead; False where fewer are left."""
        while len(self._coming) < count:
            item = next(self._items, None)
            if item is None:
                return False
            self._coming.append((item, digest_of(item) if self._waiting else None))
        return True

    def _done(self) -> Part | None:
        """The part that holds the next items, if one does."""
        begin = first_of(self._way, self._coming[0][1])
        for part in self._waiting.get(begin or "", ()):
            if self._look(part.items):
                digests = [self._coming[i][1] for i in range(part.items)]
                if shard_name(self._way, digests) == part.shard:
                    return part
        return None


def is_whole(store: Store, part: Part) -> bool:
    """Tell whether all files of a part are there, with their sizes and checksums."""
    sums = {entry.file: entry.sha256 for entry in part.segments}
    sums |= {one.file: one.sha256 for entry in part.segments for one in entry.codes}
    try:
        for file, n_bytes in part.files.items():
            if store.size(file) != n_bytes:
                return False
            found = sha256()
            for offset in range(0, n_bytes, _CHUNK):
                found.update(store.read_range(file, offset, min(_CHUNK, n_bytes - offset)))
            if found.hexdigest() != sums[file]:
                return False
    except ArchiveError:
        return False
    return True
