"""How many processes a source is worth: their start must not cost more than they save."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sized
from itertools import islice
from time import monotonic

from kinpack.archive.adding.segment_writer import SegmentWriter
from kinpack.archive.adding.shard_names import digest_of
from kinpack.arguments import whole_number
from kinpack.errors import ArchiveError, KinpackError
from kinpack.limits import cores
from kinpack.sources.items import Item

FEWEST = 64
"""Images of fewer of which nobody asks how long they take."""

WORTH_SECONDS = 20.0
"""Seconds of work for which processes are begun: each takes about two of a core to begin."""

_TRIED = 3


def job_count(items: Iterable[Item], writer: SegmentWriter, jobs: int | None) -> int:
    """Tell how many processes are to code images.

    Args:
        items: the images; some of the first may be coded, to see how long they take.
        writer: codes them.
        jobs: how many are asked for; ``None`` for as many as suit.

    Raises:
        ArchiveError: it is no such number, or what is asked of them cannot be sent to processes.
    """
    if jobs is not None:
        jobs = whole_number(jobs, "jobs", ArchiveError)
        if jobs > 1 and (reason := _why_not(items, writer)):
            raise ArchiveError(f"{writer.where}: {reason}; use one process: --jobs 1")
        return jobs
    count = len(items) if isinstance(items, Sized) else 0
    if cores() < 2 or count < FEWEST or writer.options.target.threads or _why_not(items, writer):
        return 1
    return cores() if _seconds(items, writer) * count >= WORTH_SECONDS else 1


def _why_not(items: Iterable[Item], writer: SegmentWriter) -> str:
    """Why other processes cannot code the images; empty if they can."""
    if writer.options.target.max_bytes is not None:
        return "with max_bytes images are chosen among together"
    if not writer.is_reachable:
        return "its place is in the memory of this process"
    if iter(items) is items:
        return ""
    for item in islice(items, 1):
        if isinstance(item, Item) and digest_of(item) is None:
            return "its images cannot be sent to another process (they do not pickle)"
    try:
        pickle.dumps(writer)
    except Exception as error:  # whatever a stranger's codec raises
        return f"its codec cannot be sent to another process ({error})"
    return ""


def _seconds(items: Iterable[Item], writer: SegmentWriter) -> float:
    """About how long one image takes; none where that cannot be told."""
    begun, count = monotonic(), 0
    try:
        for place, item in enumerate(islice(items, _TRIED)):
            writer.try_out(item)
            if place == 0:  # which loads the networks
                begun = monotonic()
            else:
                count += 1
    except (KinpackError, OSError):
        pass
    return (monotonic() - begun) / count if count else 0.0
