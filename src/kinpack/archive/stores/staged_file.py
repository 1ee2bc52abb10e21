"""Staged files and folders grow beside their final name, and appear there whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kinpack.archive.stores.handles import (
    IrregularFileError,
    NoReplaceUnsupportedError,
    is_same,
    lock_alone,
    open_file,
    open_folder,
    publish_file,
    release,
    rename_alone,
)
from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError, shown


@contextmanager
def staged_file(target: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which gets its name, durably, at the end of the block.

    It grows beside the target as a locked file of a random name. The lock goes with its process,
    however that ends, and the next one removes what is left of it. A link that has the target's
    name is never followed.

    Args:
        target: the file's final path.
        replace: whether a file of that name gives way; else nothing may have the name.

    Yields:
        The file, binary and empty; whatever leaves the block as an error leaves no file.

    Raises:
        ArchiveError: the target exists, somebody is writing it, or the place cannot be written.
    """
    try:
        with _above(target) as within:
            if not replace:
                _refuse_existing(target, within)
            _remove_dead(target, within)
            part = f".{target.name}.{uuid.uuid4().hex}.partial"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(part, flags, 0o666, dir_fd=within)
            try:
                if lock_alone(descriptor) is False or not is_same(descriptor, part, within):
                    raise _busy(target, part)  # which took it for a dead writer's
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    yield file
                    file.flush()
                    os.fsync(descriptor)
                if replace:
                    os.replace(part, target.name, src_dir_fd=within, dst_dir_fd=within)
                elif not _publish(part, target.name, within):
                    raise _existing(target)
                os.fsync(within)
            finally:
                if is_same(descriptor, part, within):
                    with suppress(OSError):
                        os.unlink(part, dir_fd=within)
                release(descriptor)
    except OSError as error:
        raise refusal(error, shown(target), "write") from error


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name at the end of the block.

    Args:
        target: the folder's final path.

    Yields:
        The folder, of a random name and empty; whatever leaves the block as an error removes it.

    Raises:
        ArchiveError: the target exists, or the place cannot be written.
    """
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with _above(target) as within:
            _refuse_existing(target, within)
            os.mkdir(part.name, dir_fd=within)
            try:
                yield part
                _refuse_existing(target, within)  # all but an empty folder the system refuses, too
                os.rename(part.name, target.name, src_dir_fd=within, dst_dir_fd=within)
            except BaseException:
                shutil.rmtree(part.name, ignore_errors=True, dir_fd=within)
                raise
    except OSError as error:
        raise refusal(error, shown(target), "write") from error


@contextmanager
def _above(target: Path) -> Iterator[int]:
    """Handle of the folder in which a new name is given; links on the way there are followed."""
    within = open_folder(target.parent)
    try:
        yield within
    finally:
        release(within)


def _publish(part: str, final: str, within: int) -> bool:
    """Give a file its final name if that is free, and never have both: nobody cleans up here."""
    try:
        return rename_alone(part, final, within)
    except NoReplaceUnsupportedError:
        return publish_file(part, final, within)


def _remove_dead(target: Path, within: int) -> None:
    """Remove what dead writers of a file left; never emptied, for it may have its final name."""
    mark = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}\.partial")
    for name in filter(mark.fullmatch, os.listdir(within)):
        try:
            descriptor = open_file(name, within)
        except (FileNotFoundError, IrregularFileError):
            continue
        try:
            if not lock_alone(descriptor):
                raise _busy(target, name)
            if is_same(descriptor, name, within):
                os.unlink(name, dir_fd=within)
        finally:
            release(descriptor)


def _refuse_existing(target: Path, within: int) -> None:
    with suppress(FileNotFoundError):
        os.lstat(target.name, dir_fd=within)
        raise _existing(target)


def _busy(target: Path, part: str) -> ArchiveError:
    return ArchiveError(
        f"{shown(target)}: another process is writing this file; wait for it, or remove "
        f"{shown(target.with_name(part))} if there is none"
    )


def _existing(path: Path) -> ArchiveError:
    return ArchiveError(f"{shown(path)}: this path exists; choose another name, or remove it first")
