"""Drawing the images that are compared, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from kinpack.archive.duplicates.equal_packets import Stated
from kinpack.archive.revisions.reader import Reader
from kinpack.errors import PayloadError
from kinpack.limits import batches
from kinpack.pictures.images import Image
from kinpack.search.duplicates.thumbnail import Thumbnail

HELD = 1 << 12
"""Thumbnails that are kept, 16 kB each; others are drawn again when they are needed."""
_TOGETHER = 64  # images drawn at a time


class Drawings:
    """The images of an archive's revision, drawn when they are needed.

    Args:
        reader: the archive.
        table: what is stated of its images, by position.

    Attributes:
        damaged: positions of those that cannot be drawn.
    """

    def __init__(self, reader: Reader, table: Stated) -> None:
        self._reader, self._table = reader, table
        self._held: OrderedDict[int, Thumbnail] = OrderedDict()
        self.damaged: set[int] = set()

    def images(self, positions: Sequence[int]) -> Iterator[list[tuple[int, Image]]]:
        """Images with their positions, some at a time, fewer of large ones; none that is damaged.

        Raises:
            ArchiveError: a segment, or the codec, is missing or damaged.
        """

        def n_bytes(position: int) -> int:
            row = self._table[position]
            return int(row.width * row.height * row.channels)

        for some in batches(positions, _TOGETHER, n_bytes=n_bytes):
            drawn = self._drawn(some)
            for position, image in drawn:
                self._hold(position, Thumbnail.of(image))
            yield drawn

    def thumbnails(self, positions: Sequence[int]) -> dict[int, Thumbnail]:
        """Thumbnails by position, `HELD` at most; those of damaged images are missing.

        Raises:
            ArchiveError: a segment, or the codec, is missing or damaged.
        """
        there = {at: self._held[at] for at in positions if at in self._held}
        for at in there:
            self._held.move_to_end(at)
        missing = [at for at in positions if at not in there and at not in self.damaged]
        for drawn in self.images(sorted(set(missing))):
            there.update((at, self._held[at]) for at, _ in drawn)
        return there

    def _hold(self, position: int, thumbnail: Thumbnail) -> None:
        self._held[position] = thumbnail
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def _drawn(self, positions: Sequence[int]) -> list[tuple[int, Image]]:
        try:
            return list(zip(positions, self._reader.__getitems__(positions), strict=True))
        except PayloadError:
            found = []
            for position in positions:
                try:
                    found.append((position, self._reader[position]))
                except PayloadError:
                    self.damaged.add(position)
            return found
