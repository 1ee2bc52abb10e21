"""Giving a file its final name only if nothing has that name yet."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from typing import Any

_RENAME_NOREPLACE = 1
_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_NO_SUCH_CALL = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP}
)


class NoReplaceUnsupportedError(OSError):
    """The file system offers neither hard links nor a rename without replacing."""


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


def publish_file(temporary: str, final: str, within: int) -> bool:
    """Give a finished temporary file its final name, if that name is free.

    A hard link decides the race where the file system has them, else a rename that refuses to
    replace. Over a network a link may be made twice, since the first answer was lost: then the name
    is there already, and is this file's. The temporary name is gone afterwards, whoever won, unless
    the system refuses even to remove it: then it is left for the next writer to clean up.

    Args:
        temporary: name of the finished file.
        final: the name to give it.
        within: handle of the folder of both.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        NoReplaceUnsupportedError: the file system has neither way.
        OSError: any other refusal of the system.
    """
    try:
        os.link(temporary, final, src_dir_fd=within, dst_dir_fd=within, follow_symlinks=False)
    except FileExistsError:
        linked = _is_same(temporary, final, within)
        _remove(temporary, within)
        return linked
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        _remove(temporary, within)
        return True
    try:
        _rename_call(temporary, final, src_dir_fd=within, dst_dir_fd=within)
    except FileExistsError:
        _remove(temporary, within)
        return False
    return True


def publish_alone(temporary: str, final: str, within: int) -> bool:
    """Do as ``publish_file``, but so that never both names are there, where the system can.

    For files in a folder that nobody cleans up. A rename that refuses to replace is tried first.

    Args:
        temporary: name of the finished file.
        final: the name to give it.
        within: handle of the folder of both.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        NoReplaceUnsupportedError: the file system has neither way.
        OSError: any other refusal of the system.
    """
    try:
        _rename_call(temporary, final, src_dir_fd=within, dst_dir_fd=within)
    except FileExistsError:
        return False
    except NoReplaceUnsupportedError:
        return publish_file(temporary, final, within)
    return True


def _is_same(temporary: str, final: str, within: int) -> bool:
    """Whether two names are those of one file."""
    try:
        found = (os.lstat(name, dir_fd=within) for name in (temporary, final))
        return os.path.samestat(*found)
    except OSError:
        return False


def _remove(temporary: str, within: int) -> None:
    with suppress(OSError):
        os.unlink(temporary, dir_fd=within)
