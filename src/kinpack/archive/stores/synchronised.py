"""Synchronised files and folders: what has been written so outlives a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from kinpack.archive.stores.locks import release


def synchronise_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the system refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        release(descriptor)


def write_synchronised(path: Path, data: bytes | memoryview) -> None:
    """Make a new file, whole, and its content durable, not yet its name.

    Raises:
        OSError: something has this name, or the system refuses.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        release(descriptor)
