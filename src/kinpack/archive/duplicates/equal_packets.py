"""Images whose packets are the same bytes: found by their checksums, without drawing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.reader import Reader
from kinpack.archive.segments.segment import Segment
from kinpack.errors import PayloadError

_TELLING = ("checksum", "width", "height", "channels", "kind", "quality")


def equal_packets(reader: Reader) -> list[list[int]]:
    """The positions of images that are stored as the same bytes, ascending, those of each together.

    Checksums tell which may be, payloads which are; of a payload that is damaged nothing is told.

    Raises:
        ArchiveError: a segment is missing or damaged.
    """
    tables = [_stated(segment, rows) for segment, rows in reader.parts()]
    if not tables:
        return []
    table = np.concatenate(tables)
    order = np.lexsort(table.T[::-1])
    differs = (table[order][1:] != table[order][:-1]).any(axis=1)
    runs = np.split(order, np.flatnonzero(differs) + 1)
    places = list(_places(reader, {int(at) for run in runs if len(run) > 1 for at in run}))
    payloads: dict[int, bytes] = {}
    for position, segment, row in places:
        try:
            payloads[position] = hashlib.sha256(segment.packet(row).payload).digest()
        except PayloadError:
            continue
    found = []
    for run in runs:
        same: dict[bytes, list[int]] = {}
        for position in sorted(run.tolist()) if len(run) > 1 else ():
            if position in payloads:
                same.setdefault(payloads[position], []).append(position)
        found += [some for some in same.values() if len(some) > 1]
    return sorted(found)


def _stated(segment: Segment, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """What the index states of each live packet, (n, 7)."""
    index = segment.index
    columns = [np.diff(index.starts), *(index.numbers[name] for name in _TELLING)]
    table: NDArray[np.int64] = np.stack([one.astype(np.int64) for one in columns], axis=1)
    return table if rows is None else table[rows]


def _places(reader: Reader, wanted: set[int]) -> Iterator[tuple[int, Segment, int]]:
    """Position, segment and row of some images."""
    first = 0
    for segment, rows in reader.parts():
        live = segment.manifest_entry.live
        for position in range(first, first + live):
            if position in wanted:
                at = position - first
                yield position, segment, at if rows is None else int(rows[at])
        first += live
