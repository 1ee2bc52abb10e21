"""Checks of images: packets read, and drawn if that is asked, here or in other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kinpack.archive.revisions.opened import RevisionAt, Sharing, live_things
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.tolerant_reading import packets_or_errors
from kinpack.codec.packets.packet import Packet
from kinpack.errors import KinpackError
from kinpack.jobs.mapping import Lost, map_ordered
from kinpack.jobs.table import engine_named
from kinpack.limits import PIXEL_BYTES
from kinpack.progress import Progress

_BATCH = 256


@dataclass(slots=True)
class Checked:
    """What checks of images found.

    Attributes:
        problems: one line each.
        images: whose packets are whole.
    """

    problems: list[str] = field(default_factory=list)
    images: int = 0


class ImageChecks:
    """Work on images of a revision: each packet is read, and drawn.

    Args:
        revision: which one, where other processes do the work.
    """

    def __init__(self, revision: RevisionAt) -> None:
        self._revision = revision

    def __call__(self, things: Sequence[tuple[int, int]], progress: Progress) -> Checked:
        """Check the images of some segments and rows."""
        return _checked(self._revision.rows_of(things), self._revision.codec, progress)


def check_images(
    snapshot: Snapshot,
    parts: Sequence[int],
    codec: Codec | None,
    progress: Progress | None,
    sharing: Sharing | None,
) -> Iterator[Checked]:
    """Check the packets of images, and draw them.

    Args:
        snapshot: the revision.
        parts: numbers of the segments that are looked at; their indices are whole.
        codec: draws the images; ``None`` where they are not to be drawn.
        progress: called with the number of images just checked.
        sharing: which other processes draw; ``None`` for none.

    Raises:
        ArchiveError: the archive cannot be opened from another process.
        KinpackError: ``sharing`` asks for something that is not there.
    """
    if codec is not None and sharing is not None:
        revision = RevisionAt(sharing.place, snapshot.manifest, codec)
        things = (one for task in live_things(snapshot, parts) for one in task)

        def draw(_: int) -> None:
            part, row = next(things)
            codec.decode([snapshot.segments[part].packet(row)], threads=1)

        workers = sharing.workers(revision, len(snapshot), draw)
        if workers > 1 or sharing.engine != "processes":
            with engine_named(sharing.engine)(ImageChecks(revision), workers) as engine:
                for found in map_ordered(engine, live_things(snapshot, parts), progress):
                    yield _of_lost(snapshot, found) if isinstance(found, Lost) else found
            return
    runs = (
        (snapshot.segments[part], [row for _, row in task])
        for part in parts
        for task in live_things(snapshot, [part])
    )
    yield _checked(runs, codec, progress)


def _of_lost(snapshot: Snapshot, lost: Lost[tuple[int, int]]) -> Checked:
    part, row = lost.thing
    segment = snapshot.segments[part]
    name = segment.ids[row].as_py()
    return Checked([f"{segment.where}: image {name!r}: drawing it {lost.reason}"])


def _checked(
    runs: Iterator[tuple[Segment, list[int]]], codec: Codec | None, progress: Progress | None
) -> Checked:
    """Check images, drawn some at a time, whatever segments they lie in."""
    checked = Checked()
    waiting: list[tuple[str, Packet]] = []
    pixels = 0
    for segment, rows in runs:
        names = segment.ids
        for row, packet in packets_or_errors(segment, rows):
            if isinstance(packet, KinpackError):
                checked.problems.append(str(packet))
            else:
                checked.images += 1
                waiting.append((f"{segment.where}: image {names[row].as_py()!r}", packet))
                pixels += packet.pixel_bytes
            if codec is None:
                waiting.clear()
            elif len(waiting) >= _BATCH or pixels >= PIXEL_BYTES:
                checked.problems += _undrawn(codec, waiting)
                waiting, pixels = [], 0
            if progress:
                progress(1)
    if codec is not None:
        checked.problems += _undrawn(codec, waiting)
    return checked


def _undrawn(codec: Codec, waiting: Sequence[tuple[str, Packet]]) -> list[str]:
    """What is wrong with packets that are drawn; on an error one by one, to name those it hits."""
    if not waiting:
        return []
    try:
        images = codec.decode([packet for _, packet in waiting])
    except KinpackError as error:
        if len(waiting) == 1:
            return [f"{waiting[0][0]}: {error}; restore it from a copy"]
        return [line for one in waiting for line in _undrawn(codec, [one])]
    return [
        f"{where} decodes to the shape {image.shape}; restore it from a copy"
        for (where, packet), image in zip(waiting, images, strict=True)
        if image.shape != (packet.height, packet.width, packet.channels)
    ]
