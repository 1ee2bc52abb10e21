"""Calls to the system by path, under the names of ``os``: for Windows, which opens no folders.

A folder's handle is a descriptor of nothing whose number stands for the path. So what has that path
later is taken for the folder, and links are looked for before a call, not by it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_folders: dict[int, Path] = {}
_moving = threading.Lock()


def place(name: str | os.PathLike[str], within: int | None) -> Path:
    """Path of a name in a folder; without its handle the name is a path itself."""
    return Path(name) if within is None else _folders[within] / name


def open_folder(path: str | os.PathLike[str], within: int | None = None) -> int:
    """Open a folder as `handles.open_folder` does."""
    found = place(path, within)
    found.lstat()  # that there is something
    real = found.resolve()
    if within is not None and real != Path(os.path.normpath(found)):  # or a junction
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(found))
    if not real.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(found))
    handle = os.open(os.devnull, os.O_RDONLY)
    _folders[handle] = real
    return handle


def open(  # noqa: A001 (as in os)
    path: str | os.PathLike[str], flags: int, mode: int = 0o777, *, dir_fd: int | None = None
) -> int:
    """Open a file."""
    return os.open(place(path, dir_fd), flags, mode)


def close(handle: int) -> None:
    """Close a file or a folder."""
    _folders.pop(handle, None)
    os.close(handle)


def pread(descriptor: int, length: int, offset: int) -> bytes:
    """Read from a byte on; one thread after the other, for the place read from is moved."""
    with _moving:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)


def fstat(handle: int) -> os.stat_result:
    """Look at what is open."""
    return _folders[handle].stat() if handle in _folders else os.fstat(handle)


def fsync(handle: int) -> None:
    """Make the content of a file durable; names in a folder are left to the system."""
    if handle not in _folders:
        os.fsync(handle)


def stat(name: str | os.PathLike[str], *, dir_fd: int | None = None) -> os.stat_result:
    """Look at what has a name."""
    return place(name, dir_fd).stat()


def lstat(name: str | os.PathLike[str], *, dir_fd: int | None = None) -> os.stat_result:
    """Look at what has a name, a link itself."""
    return place(name, dir_fd).lstat()


def listdir(handle: int) -> list[str]:
    """List the names in a folder."""
    return [entry.name for entry in _folders[handle].iterdir()]


@contextmanager
def scandir(handle: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Go through the entries of a folder."""
    with os.scandir(_folders[handle]) as entries:
        yield entries


def mkdir(name: str, *, dir_fd: int | None = None) -> None:
    """Make a folder."""
    place(name, dir_fd).mkdir()


def rmdir(name: str, *, dir_fd: int | None = None) -> None:
    """Remove a folder."""
    place(name, dir_fd).rmdir()


def unlink(name: str, *, dir_fd: int | None = None) -> None:
    """Remove a file."""
    place(name, dir_fd).unlink()


def link(_: str, target: str, **__: Any) -> None:
    """Refuse to link: a rename does as well here, since it never replaces."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), target)


def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """Rename a file or folder if the name is free; on Windows the system itself never replaces."""
    new = place(target, dst_dir_fd)
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    place(source, src_dir_fd).rename(new)


def replace(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """Rename a file; what has the name gives way."""
    place(source, src_dir_fd).replace(place(target, dst_dir_fd))
