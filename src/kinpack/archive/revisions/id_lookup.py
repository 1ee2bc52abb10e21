"""Finding images by their ids: first by looking through segments, then by an index of hashes.

An index of all ids takes a while to make, and whoever wants one image need not wait for it. So ids
are looked for where they lie, one segment after the other, until that has been as much work as the
index is; then the index is made, and kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.hash_index import HashIndex
from kinpack.archive.segments.segment import Segment

_LOOKS = 16
"""Times that an archive is looked through, about, before its index is made."""
_WORTH = 256
"""Images that can be looked through in the time that it takes to begin a segment."""
_SAMPLE = 32
"""Ids of a segment by which it is judged where ids differ."""


class Places(Protocol):
    """The images among which is looked: a ``Snapshot``, as far as it is needed here."""

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def parts(self, position: int = 0) -> Iterator[tuple[Segment, NDArray[np.int64] | None]]:
        """Every segment from a position on, with its live rows; ``None`` where all are."""
        ...

    def locate(self, position: int) -> tuple[Segment, int]:
        """The segment of an image, and its row there."""
        ...


class IdLookup:
    """Tells the positions of ids; may be called from many threads.

    Args:
        places: the images.
        former: the lookup of other images, to which more have been added at the end.
    """

    def __init__(self, places: Places, former: IdLookup | None = None) -> None:
        self._places = places
        self._index: HashIndex | None = None
        self._budget = _LOOKS * len(places)
        if former is not None:
            self._index = former._index
            self._budget = min(self._budget, former._budget)
        self._last: tuple[str, int | None] = "", None
        self._making = threading.Lock()

    def find(self, name: str) -> int | None:
        """The position of an id, ``None`` if it is not there.

        Raises:
            ArchiveError: a segment is missing or damaged.
        """
        last, position = self._last  # who asks whether an image is there often wants it next
        if last != name:
            position = self._look(name) if self._budget > 0 else self._indexed(name)
            self._last = name, position
        return position

    def find_all(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The positions of many ids, int64, shape (names,); −1 for those that are not there.

        Raises:
            ArchiveError: a segment is missing or damaged.
        """
        positions = np.full(len(names), -1, np.int64)
        likely = np.flatnonzero(self._whole_index().holds(_hashes(names)))
        for at in likely.tolist():
            position = self._indexed(names[at])
            positions[at] = -1 if position is None else position
        return positions

    def _look(self, name: str) -> int | None:
        """Look through the segments in turn."""
        text = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
        first = 0
        for segment, rows in self._places.parts():
            ids = segment.ids
            self._budget -= len(ids) + _WORTH
            for row in rows_of(ids, text).tolist():
                if rows is None:
                    return first + int(row)
                place = int(np.searchsorted(rows, row))
                if place < len(rows) and rows[place] == row:
                    return first + place
            first += len(ids) if rows is None else len(rows)
        return None

    def _indexed(self, name: str) -> int | None:
        for position in self._whole_index().numbers(hash(name)):
            segment, row = self._places.locate(position)
            if segment.ids[row].as_py() == name:
                return position
        return None

    def _whole_index(self) -> HashIndex:
        """The index of all images, made at the first need."""
        index = self._index
        if index is None or len(index) < len(self._places):
            with self._making:
                index = self._index or HashIndex()
                if len(index) < len(self._places):
                    index = self._index = index.extended(self._hashes_from(len(index)))
            self._budget = 0
        return index

    def _hashes_from(self, position: int) -> NDArray[np.int64]:
        """Hashes of the ids from a position on, where a segment begins."""
        made = [np.zeros(0, np.int64)]
        for segment, rows in self._places.parts(position):
            hashes = _hashes(segment.ids.to_pylist())
            made.append(hashes if rows is None else hashes[rows])
        return np.concatenate(made)


def rows_of(ids: Any, text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows of a text in an Arrow array of strings, ascending, int64.

    Args:
        ids: without nulls.
        text: its bytes, uint8.
    """
    ends = np.frombuffer(ids.buffers()[1], np.int32, len(ids) + 1, 4 * ids.offset)
    rows = np.flatnonzero(np.diff(ends) == len(text))
    if not len(text) or not len(rows):
        return rows
    data = np.frombuffer(ids.buffers()[2], np.uint8)
    starts = ends[rows].astype(np.int64)
    for place in _telling(data, starts, text):
        same = data[starts + place] == text[place]
        rows, starts = rows[same], starts[same]
        if not len(rows):
            break
    return rows


def _telling(
    data: NDArray[np.uint8], starts: NDArray[np.int64], text: NDArray[np.uint8]
) -> list[int]:
    """The places in a text, those first that tell it from others: paths begin and end alike."""
    some = starts[:: max(1, len(starts) // _SAMPLE)]
    alike = sum((data[start : start + len(text)] == text for start in some.tolist()), start=0)
    order: list[int] = np.argsort(alike, kind="stable").tolist()
    return order


def _hashes(names: Sequence[str]) -> NDArray[np.int64]:
    """The hashes by which this process knows ids; who chooses ids cannot tell them."""
    return np.fromiter(map(hash, names), np.int64, len(names))
