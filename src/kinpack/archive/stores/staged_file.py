"""Staged files and folders grow beside their final name, and appear there whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kinpack.archive.stores.handles import (
    HANDLES,
    IrregularFileError,
    NoReplaceUnsupportedError,
    create_file,
    is_same,
    let_go,
    lock_alone,
    open_file,
    open_folder,
    publish_file,
    release,
    remove_tree,
    rename_alone,
    system,
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
            descriptor = create_file(part, within)
            try:
                if lock_alone(descriptor) is False or not is_same(descriptor, part, within):
                    raise _busy(target, part)  # which took it for a dead writer's
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    yield file
                    file.flush()
                    system.fsync(descriptor)
                let_go(descriptor)
                if replace:
                    system.replace(part, target.name, src_dir_fd=within, dst_dir_fd=within)
                elif not _publish(part, target.name, within):
                    raise _existing(target)
                system.fsync(within)
            finally:
                let_go(descriptor)
                if not HANDLES or is_same(descriptor, part, within):
                    with suppress(OSError):
                        system.unlink(part, dir_fd=within)
                release(descriptor)
    except OSError as error:
        raise refusal(error, shown(target), "write") from error


@contextmanager
def staged_folder(target: Path) -> Iterator[tuple[Path, int]]:
    """A folder to fill, which gets its name at the end of the block.

    Args:
        target: the folder's final path.

    Yields:
        The folder, of a random name and empty, and its handle, which stays the folder's whatever
        becomes of its name; whatever leaves the block as an error removes the folder.

    Raises:
        ArchiveError: the target exists, the place cannot be written, or something else has the
            folder's name by now.
    """
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with _above(target) as within:
            _refuse_existing(target, within)
            system.mkdir(part.name, dir_fd=within)
            try:
                with _opened(part.name, within) as handle:
                    yield part, handle
                    if not is_same(handle, part.name, within):
                        raise ArchiveError(
                            f"{shown(part)}: somebody else has put something in its place; write "
                            "where others may not"
                        )
                _refuse_existing(target, within)  # all but an empty folder the system refuses, too
                system.rename(part.name, target.name, src_dir_fd=within, dst_dir_fd=within)
            except BaseException:
                remove_tree(part.name, within)
                raise
    except OSError as error:
        raise refusal(error, shown(target), "write") from error


def _above(target: Path) -> AbstractContextManager[int]:
    """Handle of the folder in which a new name is given; links on the way there are followed."""
    return _opened(target.parent)


@contextmanager
def _opened(folder: Path | str, within: int | None = None) -> Iterator[int]:
    """Handle of a folder, closed at the end of the block."""
    handle = open_folder(folder, within)
    try:
        yield handle
    finally:
        release(handle)


def _publish(part: str, final: str, within: int) -> bool:
    """Give a file its final name if that is free, and never have both: nobody cleans up here."""
    try:
        return rename_alone(part, final, within)
    except NoReplaceUnsupportedError:
        return publish_file(part, final, within, within)


def _remove_dead(target: Path, within: int) -> None:
    """Remove what dead writers of a file left; never emptied, for it may have its final name."""
    mark = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}\.partial")
    for name in filter(mark.fullmatch, system.listdir(within)):
        try:
            descriptor = open_file(name, within)
        except (FileNotFoundError, IrregularFileError):
            continue
        try:
            if not lock_alone(descriptor):
                raise _busy(target, name)
            if is_same(descriptor, name, within):
                system.unlink(name, dir_fd=within)
        finally:
            release(descriptor)


def _refuse_existing(target: Path, within: int) -> None:
    with suppress(FileNotFoundError):
        system.lstat(target.name, dir_fd=within)
        raise _existing(target)


def _busy(target: Path, part: str) -> ArchiveError:
    return ArchiveError(
        f"{shown(target)}: another process is writing this file; wait for it, or remove "
        f"{shown(target.with_name(part))} if there is none"
    )


def _existing(path: Path) -> ArchiveError:
    return ArchiveError(f"{shown(path)}: this path exists; choose another name, or remove it first")
