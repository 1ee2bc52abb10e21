"""Tolerant reading: the packets of a segment, each whole or with what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kinpack.archive.segments.segment import Segment
from kinpack.codec.packets.packet import Packet
from kinpack.errors import KinpackError

_TOGETHER = 256


def packets_or_errors(
    segment: Segment, rows: Sequence[int]
) -> Iterator[tuple[int, Packet | KinpackError]]:
    """Read packets, neighbours together, and where that fails one by one.

    Args:
        segment: where they are; its index must be whole.
        rows: 0 for the segment's first image; in the order that is wanted.

    Yields:
        Each row with its packet, or with the error that it met.
    """
    for first in range(0, len(rows), _TOGETHER):
        some = rows[first : first + _TOGETHER]
        try:
            packets = list(segment.packets(some))
        except KinpackError:
            for row in some:
                yield row, _one(segment, row)
        else:
            yield from zip(some, packets, strict=True)


def _one(segment: Segment, row: int) -> Packet | KinpackError:
    try:
        return segment.packet(row)
    except KinpackError as error:
        return error
