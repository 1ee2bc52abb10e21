"""Staged files: a file is written beside its final name, and appears there whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kinpack.archive.stores.locks import is_same, lock_alone, release
from kinpack.archive.stores.noreplace import publish_alone
from kinpack.archive.stores.synchronised import synchronise_folder
from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError

_ATTEMPTS = 10


@contextmanager
def staged_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name, durably, at the end of the block.

    It grows as a locked file ``.<name>.partial`` beside the target. The lock goes with its process,
    however that ends, and the next one removes what is left of it.

    Args:
        target: the file's final path.

    Yields:
        The file, binary and empty; whatever leaves the block as an error leaves no file.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
    """
    part = target.with_name(f".{target.name}.partial")
    try:
        descriptor = _begin(part, target)
        try:
            if os.path.lexists(target):
                raise _existing(target)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            if not publish_alone(part, target):
                raise _existing(target)
            synchronise_folder(target.parent)
        except BaseException:
            if is_same(descriptor, part):
                with suppress(OSError):
                    part.unlink()
            raise
        finally:
            release(descriptor)
    except OSError as error:
        raise refusal(error, target, "write") from error


def _begin(part: Path, target: Path) -> int:
    """Make the file, after removing a dead writer's; gives its locked descriptor."""
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            made = True
        except FileExistsError:
            made = False
        if not made:
            _remove_dead(part, target)
            continue
        try:
            locked = lock_alone(descriptor)
            if locked is None or (locked and is_same(descriptor, part)):
                return descriptor  # else somebody took it for a dead writer's
        except BaseException:
            with suppress(OSError):
                part.unlink()
            release(descriptor)
            raise
        release(descriptor)
    raise ArchiveError(f"{target}: other processes create and remove it; try again")


def _remove_dead(part: Path, target: Path) -> None:
    """Remove what a dead writer left; never emptied, for it may have its final name as well."""
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArchiveError(
                f"{part}: this is in the way and not of kinpack's making; move it elsewhere"
            )
        if not lock_alone(descriptor):
            raise ArchiveError(
                f"{target}: another process is writing this file; wait for it, or remove {part} "
                "if there is none"
            )
        if is_same(descriptor, part):
            part.unlink()
    finally:
        release(descriptor)


def _existing(path: Path) -> ArchiveError:
    return ArchiveError(f"{path}: this path exists; choose another name, or remove it first")
