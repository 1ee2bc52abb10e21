"""Repeats: images that are added under new ids, though the archive holds them under others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.segment import Segment

MOST_IMAGES = 1 << 20
"""Images of an archive through which is looked at most; each takes eight bytes meanwhile."""


def sum_of(checksum: int, length: int) -> int:
    """What two images share that have the same payload: as ``Segment.sums`` has it."""
    return checksum << 32 | length


def repeated(
    base: Snapshot,
    stored: Sequence[Segment],
    sums: NDArray[np.uint64],
    living: NDArray[np.bool_],
    gone: NDArray[np.int64],
) -> list[tuple[str, str]]:
    """Find images that are added, of which another one in the archive has the very payload.

    The checksum and the length of the payload tell it: of a million images and a million more, two
    strangers have both with a chance of about one in a thousand.

    Args:
        base: the revision that they are added to.
        stored: the segments that hold them.
        sums: of all their rows, uint64 (rows,).
        living: whether each row is wanted, bool (rows,).
        gone: positions of images in the revision that one of them replaces.

    Returns:
        The id of each, and that of the one that is there; none in a large archive.

    Raises:
        ArchiveError: a segment is missing or damaged.
    """
    if not len(base) or len(base) > MOST_IMAGES:
        return []
    there = np.concatenate(
        [part.sums if rows is None else part.sums[rows] for part, rows in base.parts()]
    )
    there[gone] = 0  # which no payload has
    rows = np.flatnonzero(np.isin(sums, there) & living)
    if not len(rows):
        return []
    order = np.argsort(there, kind="stable")
    positions = order[np.searchsorted(there, sums[rows], sorter=order)]
    ids = [name for part in stored for name in part.ids.to_pylist()]
    others = base.entries_at(positions.tolist())
    return [(ids[row], other.id) for row, other in zip(rows.tolist(), others, strict=True)]
