"""Snapshots: the revision of an archive that one manifest names, image by image.

An index of all ids takes a while to make, and whoever wants one image need not wait for it. So ids
are looked for where they lie, one segment after the other, until that has been as much work as the
index is; then the index is made, and kept.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.hash_index import HashIndex, hashes_of, rows_of
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError, NotFoundError
from kinpack.limits import batches
from kinpack.search.engines.packed_codes import PackedCodes

LOOKS = 16
"""Times that an archive is looked through, about, before its index is made."""
_AT_ONCE = 8  # codes read
WORTH = 256
"""Images that can be looked through in the time that it takes to begin a segment."""


class Snapshot:
    """All images of one revision, numbered 0 to ``len - 1`` in the order in which they were added.

    Nothing of it ever changes; indices of segments are read at the first need. Its methods may be
    called from many threads.

    Args:
        store: where the archive lies.
        manifest: the revision.
        former: another revision of the same archive, whose segments need not be read again.
        written: a segment that was written just now, which need not be read again either.

    Attributes:
        manifest: the revision.
        segments: in the order in which they were added.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        former: Snapshot | None = None,
        written: Segment | None = None,
    ) -> None:
        self.manifest = manifest
        self._store = store
        self._ends = list(accumulate(entry.live for entry in manifest.segments))
        same = 0  # segments that are those of the former revision, with the same images
        schema = manifest.columns
        if former is not None and former.manifest.columns == schema:
            pairs = zip(former.manifest.segments, manifest.segments, strict=False)
            alike = (old is new or old == new for old, new in pairs)
            same = sum(takewhile(bool, alike))
        self.segments: list[Segment] = former.segments[:same] if former else []
        if same < len(manifest.segments):
            left = [*(former.segments[same:] if former else ()), *([written] if written else ())]
            known = {segment.manifest_entry.name: segment for segment in left}
            self.segments += [
                Segment(store, entry, known.get(entry.name), schema=schema)
                for entry in manifest.segments[same:]
            ]
        self._live: dict[int, NDArray[np.int64]] = {}
        self._columns: dict[str, tuple[PackedCodes, NDArray[np.int64] | None]] = {}
        self._index: HashIndex | None = None
        self._budget = LOOKS * len(self)
        if former is not None and same == len(former.segments):  # only something was added
            self._index, self._budget = former._index, min(self._budget, former._budget)
        self._last: tuple[str, int | None] = "", None
        self._indexing = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def where(self) -> str:
        """What messages call the archive."""
        return self._store.where("")

    @property
    def schema(self) -> Schema:
        """The types of the columns that users added, by their names."""
        return self.manifest.columns

    def locate(self, position: int) -> tuple[Segment, int]:
        """The segment of an image, and its row there.

        Args:
            position: 0 to ``len - 1``.
        """
        part = bisect_right(self._ends, position)
        inside = position - (self._ends[part - 1] if part else 0)
        if self.manifest.segments[part].deleted:
            inside = int(self._rows(part)[inside])
        return self.segments[part], inside

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def find(self, name: str) -> int | None:
        """The position of an id, ``None`` if it is not there.

        Raises:
            ArchiveError: a segment is missing or damaged.
        """
        last, position = self._last  # who asks whether an image is there often wants it next
        if last != name:
            position = None
            if self._budget > 0:
                position = self._look(name)
            else:
                for likely in self._whole_index().numbers(hash(name)):
                    segment, row = self.locate(likely)
                    if segment.ids[row].as_py() == name:
                        position = likely
                        break
            self._last = name, position
        return position

    def find_all(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The positions of many ids, int64, shape (names,); −1 for those that are not there.

        Raises:
            ArchiveError: a segment is missing or damaged.
        """
        positions = np.full(len(names), -1, np.int64)
        likely = np.flatnonzero(self._whole_index().holds(hashes_of(names)))
        for at in likely.tolist():
            position = self.find(names[at])
            positions[at] = -1 if position is None else position
        return positions

    def _look(self, name: str) -> int | None:
        """Look through the segments in turn."""
        text = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
        first = 0
        for segment, rows in self.parts():
            ids = segment.ids
            self._budget -= len(ids) + WORTH
            for row in rows_of(ids, text).tolist():
                if rows is None:
                    return first + int(row)
                place = int(np.searchsorted(rows, row))
                if place < len(rows) and rows[place] == row:
                    return first + place
            first += len(ids) if rows is None else len(rows)
        return None

    def _whole_index(self) -> HashIndex:
        """The index of all images, made at the first need."""
        index = self._index
        if index is None or len(index) < len(self):
            with self._indexing:
                index = self._index or HashIndex()
                if len(index) < len(self):
                    hashes = [np.zeros(0, np.int64)]
                    for segment, rows in self.parts(len(index)):  # where a segment begins
                        made = hashes_of(segment.ids.to_pylist())
                        hashes.append(made if rows is None else made[rows])
                    index = self._index = index.extended(np.concatenate(hashes))
            self._budget = 0
        return index

    def position(self, name: str) -> int:
        """The position of an id that is there.

        Raises:
            NotFoundError: it is not, or is no string.
            ArchiveError: a segment is missing or damaged.
        """
        if not isinstance(name, str):
            raise NotFoundError(
                f"{self.where}: an id is a string, no {type(name).__name__}; one image "
                "by its position is archive[N], several by their ids are read_many(IDS)"
            )
        position = self.find(name)
        if position is None:
            raise NotFoundError(
                f"{self.where}: it holds no image {name!r}; list its ids with: kinpack ls ARCHIVE"
            )
        return position

    def codes_of(self, column: str) -> tuple[PackedCodes, NDArray[np.int64] | None]:
        """The codes of a column, as far as images have one.

        Returns:
            Packed codes (n), and int64 (n,), the positions of their images, ascending; ``None``
            where all images have one.

        Raises:
            ArchiveError: a file of codes is missing or damaged.
        """
        if column not in self._columns:
            self._columns[column] = self._together(column)
        return self._columns[column]

    def _together(self, column: str) -> tuple[PackedCodes, NDArray[np.int64] | None]:
        """The living codes of all segments that have some, and their positions."""
        parts: list[NDArray[np.uint8]] = []
        places, first = [(0, 0)], 0
        for segment, rows in self.parts():
            part, live = segment.codes_of(column), segment.manifest_entry.live
            if part is not None:
                parts.append(part if rows is None else part[rows])
                places.append((first, first + live))
                if part.shape[1] != parts[0].shape[1]:
                    raise ArchiveError(
                        f"{segment.where}: its codes of {column!r} have {part.shape[1]} bytes "
                        f"each, those of the first segment {parts[0].shape[1]}; make them anew "
                        "with: kinpack embed"
                    )
            first += live
        codes = PackedCodes(parts, parts[0].shape[1] if parts else 8)
        if len(codes) == len(self):
            return codes, None
        return codes, np.concatenate([np.arange(*bounds) for bounds in places])

    def codes_at(self, column: str, positions: Sequence[int]) -> list[bytes | None]:
        """The packed codes of some images in a column, ``None`` where one has none.

        Raises:
            ArchiveError: a file of codes is missing or damaged.
        """
        places = [self.locate(position) for position in positions]
        if len(places) < _AT_ONCE:
            return [segment.code_at(column, row) for segment, row in places]
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # a store far away takes its time
            return list(pool.map(lambda place: place[0].code_at(column, place[1]), places))

    def ids(self) -> Iterator[str]:
        """All ids, in the order of positions."""
        return self._living(segment.ids for segment in self.segments)

    def labels(self) -> Iterator[str | None]:
        """All labels, in the order of positions."""
        return self._living(segment.index.optional["label"] for segment in self.segments)

    def _living(self, columns: Iterable[Any]) -> Iterator[Any]:
        """The values of living images, of an Arrow array for each segment."""
        for (_, rows), column in zip(self.parts(), columns, strict=True):
            values = column.to_pylist()
            yield from values if rows is None else (values[row] for row in rows.tolist())

    def entries(self) -> Iterator[ImageEntry]:
        """What is known of every image without its payload, in the order of positions."""
        for segment, rows in self.parts():
            if rows is None:
                yield from segment.entries()
            else:
                live = set(rows.tolist())
                yield from (entry for row, entry in enumerate(segment.entries()) if row in live)

    def entry(self, position: int) -> ImageEntry:
        """What is known of one image without its payload.

        Args:
            position: 0 to ``len - 1``.
        """
        segment, row = self.locate(position)
        return segment.entry(row)

    def entries_at(self, positions: Sequence[int]) -> list[ImageEntry]:
        """What is known of some images without their payloads, in their order.

        Args:
            positions: each 0 to ``len - 1``.
        """
        places: dict[Segment, list[tuple[int, int]]] = {}
        for order, position in enumerate(positions):
            segment, row = self.locate(position)
            places.setdefault(segment, []).append((order, row))
        found: list[ImageEntry | None] = [None] * len(positions)
        for segment, pairs in places.items():
            entries = segment.entries_at([row for _, row in pairs])
            for (order, _), entry in zip(pairs, entries, strict=True):
                found[order] = entry
        return [entry for entry in found if entry is not None]

    def told_at(self, positions: NDArray[np.int64]) -> dict[str, list[Any]]:
        """What some images are called and what else is known of them, in their order.

        Args:
            positions: int64 (h,), each 0 to ``len - 1``.

        Returns:
            By the name of the column, ``id`` and ``label`` first, a value for each.
        """
        told: dict[str, list[Any]] = {name: [] for name in ("id", "label", *self.schema)}
        places = []
        for segment, rows, at in self._by_segment(positions):
            places.append(at)
            for name, values in segment.told_at(rows).items():
                told[name] += values
        order = np.argsort(np.concatenate(places)).tolist() if places else []
        return {name: [values[at] for at in order] for name, values in told.items()}

    def pixels_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pixels of some images, int64 (h,), in their order.

        Args:
            positions: int64 (h,), each 0 to ``len - 1``.
        """
        found = np.zeros(len(positions), np.int64)
        for segment, rows, at in self._by_segment(positions):
            found[at] = segment.pixels_at(rows)
        return found

    def _by_segment(
        self, positions: NDArray[np.int64]
    ) -> Iterator[tuple[Segment, NDArray[np.int64], NDArray[np.int64]]]:
        """Segments of some images, with their rows there, and their places among the positions."""
        parts = np.searchsorted(self._ends, positions, side="right")
        order = np.argsort(parts, kind="stable")
        begins = np.flatnonzero(np.diff(parts[order], prepend=-1))
        for at in np.split(order, begins[1:]) if len(order) else ():
            part = int(parts[at[0]])
            rows = positions[at] - (self._ends[part - 1] if part else 0)
            if self.manifest.segments[part].deleted:
                rows = self._rows(part)[rows]
            yield self.segments[part], rows, at

    def batches(self, size: int) -> Iterator[list[tuple[ImageEntry, Packet]]]:
        """All images with their packets, in the order of positions, some at a time.

        Args:
            size: most images in a batch; large ones make it shorter.

        Raises:
            PayloadError: a packet is damaged.
            ArchiveError: a segment is missing or damaged.
        """
        packets = (
            packet
            for segment, rows in self.parts()
            for packet in segment.packets(
                range(segment.manifest_entry.rows) if rows is None else rows.tolist()
            )
        )
        both = zip(self.entries(), packets, strict=True)
        return batches(both, size, n_bytes=lambda one: one[1].pixel_bytes)

    def without(self, positions: Iterable[int]) -> tuple[SegmentEntry, ...]:
        """The entries of the segments with further images deleted.

        Args:
            positions: of the images to delete.
        """
        dead: dict[str, list[int]] = {}
        for position in positions:
            segment, row = self.locate(position)
            dead.setdefault(segment.manifest_entry.name, []).append(row)
        return tuple(
            entry.without(dead[entry.name]) if entry.name in dead else entry
            for entry in self.manifest.segments
        )

    def _rows(self, part: int) -> NDArray[np.int64]:
        """Live rows of a segment that has deleted ones; remembered once its index is read."""
        rows = self._live.get(part)
        if rows is None:
            rows = live_rows(self.manifest.segments[part])
            if self.segments[part].is_read:
                self._live[part] = rows
        return rows

    def parts(self, position: int = 0) -> Iterator[tuple[Segment, NDArray[np.int64] | None]]:
        """Every segment with its live rows, ascending; ``None`` where all are.

        Args:
            position: at which the first segment that is wanted begins.
        """
        first = bisect_right(self._ends, position) if position else 0
        for part in range(first, len(self.segments)):
            deleted = self.manifest.segments[part].deleted
            yield self.segments[part], self._rows(part) if deleted else None


def live_rows(entry: SegmentEntry) -> NDArray[np.int64]:
    """The rows of a segment that are not deleted, ascending, int64."""
    live = np.ones(entry.rows, bool)
    for start, stop in entry.deleted:
        live[start:stop] = False
    return np.flatnonzero(live)
