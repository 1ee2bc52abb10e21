"""Handles: folders and files that are opened once, without following links, locked and named.

What is opened here stays what it is, whatever becomes of its name. Who writes holds a shared lock,
who cleans up an exclusive one; Windows has none. A finished file gets its name only if nothing has
that yet.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import stat
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinpack.archive.stores import by_path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

HANDLES = os.open in os.supports_dir_fd
"""Whether the system opens folders, and takes names relative to them."""

system = os
if not TYPE_CHECKING and not HANDLES:
    system = by_path

_RENAME_NOREPLACE = 1
_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_NO_SUCH_CALL = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP}
)
_NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
)
_LARGE = 1 << 20
_PAUSE = 0.05
_log = logging.getLogger(__name__)

WAIT_SECONDS = 30.0
"""So long a writer waits for others, where one at a time may write."""


def _flags(*names: str) -> int:
    """Flags of ``open``, as far as the system has them."""
    return sum(getattr(os, name, 0) for name in names)


_FOLDER = _flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC")
_FILE = _flags("O_CLOEXEC", "O_NOINHERIT", "O_BINARY")
_READ = _FILE | _flags("O_RDONLY", "O_NONBLOCK")


class IrregularFileError(OSError):
    """What should be a file is a folder, a pipe or a device."""


class NoReplaceUnsupportedError(OSError):
    """The file system offers neither hard links nor a rename without replacing."""


def open_folder(path: str | os.PathLike[str], within: int | None = None) -> int:
    """Open a folder, so that files in it can be named relative to the handle.

    Args:
        path: the folder. Without ``within`` it is what the user named, and may lead through links.
        within: handle of the folder in which ``path`` is a name, and then no link.

    Returns:
        The handle.

    Raises:
        OSError: there is none, a link has its name (``ELOOP``), or the system refuses.
    """
    if not HANDLES:
        return by_path.open_folder(path, within)
    if within is None:
        return os.open(path, _FOLDER)
    try:
        return os.open(path, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
    except NotADirectoryError:
        if stat.S_ISLNK(os.lstat(path, dir_fd=within).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        raise


def open_file(name: str | os.PathLike[str], within: int | None = None) -> int:
    """Open a regular file for reading; pipes and devices are refused and never waited for.

    Args:
        name: of the file. It may be a link to one: to read it changes nothing.
        within: handle of its folder; ``None`` where ``name`` is a path.

    Returns:
        The descriptor.

    Raises:
        IrregularFileError: it is no regular file.
        OSError: there is none, or the system refuses.
    """
    descriptor = system.open(name, _READ, dir_fd=within)
    try:
        check_regular(os.fstat(descriptor), name)
    except BaseException:
        release(descriptor)
        raise
    return descriptor


def create_file(name: str, within: int) -> int:
    """Make an empty file, and open it for reading and writing.

    Args:
        name: of the file.
        within: handle of its folder.

    Returns:
        The descriptor.

    Raises:
        OSError: something has this name, or the system refuses.
    """
    return system.open(name, _FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=within)


def check_regular(found: os.stat_result, name: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file.

    Raises:
        IrregularFileError: it is none.
    """
    if not stat.S_ISREG(found.st_mode):
        raise IrregularFileError(errno.EINVAL, "no regular file", name)


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """Read from a byte on, up to so many bytes; fewer where the file is shorter.

    Raises:
        OSError: the system refuses.
    """
    if length > _LARGE and os.fstat(descriptor).st_size < offset + length:
        return b""  # a length that a file only claims must not be allocated
    data = system.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    done = len(data)
    while done < length and (part := system.pread(descriptor, length - done, offset + done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)


def synchronise(folder: str, within: int) -> None:
    """Make the names in a folder durable.

    Args:
        folder: its name.
        within: handle of the folder in which that is one.

    Raises:
        OSError: the system refuses.
    """
    handle = open_folder(folder, within)
    try:
        system.fsync(handle)
    finally:
        release(handle)


def write_synchronised(name: str, data: bytes | memoryview, within: int) -> None:
    """Make a new file, whole, and its content durable, not yet its name.

    Args:
        name: of the file.
        data: its content.
        within: handle of its folder.

    Raises:
        OSError: something has this name, or the system refuses.
    """
    descriptor = create_file(name, within)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        release(descriptor)


def lock_alone(descriptor: int) -> bool | None:
    """Try to lock an open folder or file for oneself, without waiting.

    Args:
        descriptor: what is open; the lock goes when it is closed, also by a kill.

    Returns:
        True if locked, False if somebody else holds a lock, ``None`` where there are no locks.

    Raises:
        OSError: the system refuses.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def lock_shared(descriptor: int) -> None:
    """Lock an open folder together with others, waiting for whoever holds it alone.

    Args:
        descriptor: what is open; a lock that it holds alone becomes a shared one.

    Raises:
        OSError: the system refuses.
    """
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_same(descriptor: int, name: str, within: int) -> bool:
    """Tell whether a name in a folder is still that of what was opened, and no link.

    Args:
        descriptor: what was opened.
        name: its name.
        within: handle of the folder.
    """
    try:
        found = system.lstat(name, dir_fd=within)
        return os.path.samestat(system.fstat(descriptor), found)
    except OSError:
        return False


@cache
def _renameat2() -> Any:
    """The C library's ``renameat2``, or ``None`` where there is none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int
    return function


def _rename_call(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """Rename through ``renameat2``; raises ``NoReplaceUnsupportedError`` where it cannot."""
    if not HANDLES:
        by_path.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return
    function = _renameat2()
    if function is None:
        raise NoReplaceUnsupportedError(errno.ENOSYS, "no rename without replacing", target)
    names = src_dir_fd, os.fsencode(source), dst_dir_fd, os.fsencode(target)
    while function(*names, _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        if number == errno.EINTR:
            continue
        if number in _NO_SUCH_CALL:
            raise NoReplaceUnsupportedError(number, "no rename without replacing", target)
        raise OSError(number, os.strerror(number), target)


def publish_file(temporary: str, final: str, within: int, held: int | None = None) -> bool:
    """Give a finished temporary file its final name, if that name is free.

    A hard link decides the race where the file system has them, else a rename that refuses to
    replace. Where it has neither, nobody else must write meanwhile: a lock sees to that. Over a
    network a link may be made twice, since the first answer was lost: then the name is there
    already, and is this file's. Where the temporary name is left, it is the caller's to remove.

    Args:
        temporary: name of the finished file.
        final: the name to give it.
        within: handle of the folder of both.
        held: what everybody locks who writes there, open; it stays locked alone if need be.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        NoReplaceUnsupportedError: the file system has neither way, and no locks.
        BlockingIOError: it has neither way, and somebody else goes on writing.
        FileNotFoundError: somebody who wrote meanwhile took the temporary file for a dead one's.
        OSError: any other refusal of the system.
    """
    try:
        system.link(temporary, final, src_dir_fd=within, dst_dir_fd=within, follow_symlinks=False)
    except FileExistsError:
        with suppress(OSError):
            found = (system.lstat(name, dir_fd=within) for name in (temporary, final))
            return os.path.samestat(*found)
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return True
    try:
        return rename_alone(temporary, final, within)
    except NoReplaceUnsupportedError:
        if held is None or (alone := lock_alone(held)) is None:
            raise
    deadline = time.monotonic() + WAIT_SECONDS
    while not alone and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        alone = lock_alone(held)
    _note_lock(os.fstat(within).st_dev)
    with suppress(FileNotFoundError):
        system.lstat(final, dir_fd=within)
        return False
    if not alone:
        raise BlockingIOError(errno.EAGAIN, "somebody else is writing", final)
    system.rename(temporary, final, src_dir_fd=within, dst_dir_fd=within)
    return True


@cache
def _note_lock(_: int) -> None:
    """Tell, once for a file system, that one process at a time writes there."""
    _log.warning(
        "kinpack: this file system has neither hard links nor a rename that does not replace: one "
        "process at a time writes there, under a lock that holds on this machine alone"
    )


def rename_alone(temporary: str, final: str, within: int) -> bool:
    """Do as ``publish_file`` without a lock, but so that never both names are there.

    Raises:
        NoReplaceUnsupportedError: the file system has no rename that refuses to replace.
        OSError: any other refusal of the system.
    """
    try:
        _rename_call(temporary, final, src_dir_fd=within, dst_dir_fd=within)
    except FileExistsError:
        return False
    return True


def remove_tree(name: str, within: int) -> None:
    """Remove a folder and all that is in it, as far as the system lets it go."""
    if HANDLES:
        shutil.rmtree(name, ignore_errors=True, dir_fd=within)
    else:
        shutil.rmtree(by_path.place(name, within), ignore_errors=True)


def let_go(descriptor: int) -> None:
    """Close a file but keep its number, where nothing that is open is renamed or removed."""
    if not HANDLES:
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 (no path)
            os.dup2(nothing.fileno(), descriptor)


def leads_to(path: Path, descriptor: int) -> bool:
    """Tell whether a path still leads to what was opened there; yes where the system hides it.

    Args:
        path: links in it are followed.
        descriptor: what was opened.
    """
    try:
        return os.path.samestat(system.fstat(descriptor), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def release(descriptor: int) -> None:
    """Close what is open; whatever the system has to say of that changes nothing any more."""
    with suppress(OSError):
        system.close(descriptor)
