"""How many processes code a source, and why others cannot."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sized
from itertools import islice

from kinpack.archive.adding.segment_writer import SegmentWriter
from kinpack.archive.adding.shard_names import digest_of
from kinpack.errors import ArchiveError
from kinpack.jobs.suiting import suiting
from kinpack.sources.items import Item


def job_count(items: Iterable[Item], writer: SegmentWriter, jobs: int | None) -> int:
    """Tell how many processes are to code images.

    Args:
        items: the images; some of the first may be coded, to see how long they take.
        writer: codes them.
        jobs: how many are asked for; ``None`` for as many as suit.

    Raises:
        KinpackError: it is no such number.
        ArchiveError: what is asked of other processes cannot be sent to them.
    """
    if jobs == 1:
        return 1
    reason = _why_not(items, writer)
    if reason and jobs is not None:
        suiting(jobs, 0, int)  # which sees that it is a number
        raise ArchiveError(f"{writer.where}: {reason}; use one process: --jobs 1")
    if jobs is None and (reason or iter(items) is items or writer.options.target.threads):
        return 1
    first = iter(items) if jobs is None else iter(())
    count = len(items) if isinstance(items, Sized) else 0
    return suiting(jobs, count, lambda _: writer.try_out(next(first)))


def _why_not(items: Iterable[Item], writer: SegmentWriter) -> str:
    """Why other processes cannot code the images; empty if they can."""
    if writer.options.target.max_bytes is not None:
        return "with max_bytes images are chosen among together"
    if not writer.is_reachable:
        return "its place is in the memory of this process"
    if iter(items) is not items:
        for item in islice(items, 1):
            if isinstance(item, Item) and digest_of(item) is None:
                return "its images cannot be sent to another process (they do not pickle)"
    try:
        pickle.dumps(writer)
    except Exception as error:  # whatever a stranger's codec raises
        return f"its codec cannot be sent to another process ({error})"
    return ""
