"""Images whose packets are the same bytes: found by their checksums, without drawing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.reader import Reader
from kinpack.archive.segments.segment import Segment
from kinpack.errors import PayloadError

Stated: TypeAlias = np.recarray[Any, Any]
"""What the index states of each image's packet, a row an image: ``length``, ``checksum``,
``width``, ``height``, ``channels``, ``kind`` and ``quality``."""

_TELLING = ("checksum", "width", "height", "channels", "kind", "quality")
_ROW = np.dtype([("length", np.int64), *((name, np.int64) for name in _TELLING)])


def stated(reader: Reader) -> Stated:
    """What is stated of each image, in the order of positions.

    Raises:
        ArchiveError: a segment is missing or damaged.
    """
    parts = [_of_segment(segment, rows) for segment, rows in reader.parts()]
    return np.concatenate([np.zeros(0, _ROW), *parts]).view(np.recarray)


def equal_packets(reader: Reader, table: Stated) -> list[list[int]]:
    """The positions of images that are stored as the same bytes, ascending, those of each together.

    Checksums tell which may be, payloads which are; of a payload that is damaged nothing is told.

    Args:
        reader: the archive.
        table: what is stated of its images.

    Raises:
        ArchiveError: a segment is missing or damaged.
    """
    order = np.lexsort([table[name] for name in _ROW.names or ()])
    differs = table[order][1:] != table[order][:-1]
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


def _of_segment(segment: Segment, rows: NDArray[np.int64] | None) -> NDArray[Any]:
    """What the index of a segment states of its live packets."""
    index = segment.index
    table = np.empty(len(index.starts) - 1, _ROW)
    table["length"] = np.diff(index.starts)
    for name in _TELLING:
        table[name] = index.numbers[name]
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
