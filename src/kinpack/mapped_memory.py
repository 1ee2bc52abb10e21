"""Files mapped into memory: pages that the system reads when they are looked at, and takes back."""

from __future__ import annotations

import mmap
import os

import numpy as np


def map_file(descriptor: int, offset: int, length: int) -> memoryview | None:
    """Map a part of a file into memory; ``None`` where the system does not, or the file is shorter.

    Windows would not let the file be removed for as long as it is mapped.

    Args:
        descriptor: of the file, which may be closed then.
        offset: first byte of the part.
        length: bytes of the part, 1 or more.
    """
    if os.name != "posix" or os.fstat(descriptor).st_size < offset + length:
        return None
    before = offset % mmap.ALLOCATIONGRANULARITY
    try:
        whole = mmap.mmap(
            descriptor, before + length, access=mmap.ACCESS_READ, offset=offset - before
        )
    except (OSError, ValueError):
        return None
    return memoryview(whole)[before:]


def let_go(held: object) -> None:
    """Give back the memory of what is mapped, which is read again when it is needed.

    Args:
        held: a view of a mapped file, or an array that lies in one; of anything else nothing is
            done.
    """
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, memoryview):
        held = held.obj
    if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
