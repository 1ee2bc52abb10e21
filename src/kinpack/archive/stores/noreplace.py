"""Giving a file or a folder its final name only if nothing has that name yet."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
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


def _rename_call(source: Path, target: Path) -> None:
    """Rename through ``renameat2``; raises ``NoReplaceUnsupportedError`` where it cannot."""
    function = _renameat2()
    if function is None:
        raise NoReplaceUnsupportedError(errno.ENOSYS, "no rename without replacing", str(target))
    names = os.fsencode(source), _AT_FDCWD, os.fsencode(target)
    while function(_AT_FDCWD, *names, _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        if number == errno.EINTR:
            continue
        if number in _NO_SUCH_CALL:
            raise NoReplaceUnsupportedError(number, "no rename without replacing", str(target))
        raise OSError(number, os.strerror(number), str(target))


def publish_file(temporary: Path, final: Path) -> bool:
    """Give a finished temporary file its final name, if that name is free.

    A hard link decides the race where the file system has them, else a rename that refuses to
    replace. Over a network a link may be made twice, since the first answer was lost: then the name
    is there already, and is this file's. The temporary name is gone afterwards, whoever won, unless
    the system refuses even to remove it: then it is left for the next writer to clean up.

    Args:
        temporary: the finished file, on the same file system as ``final``.
        final: the name to give it.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        NoReplaceUnsupportedError: the file system has neither way.
        OSError: any other refusal of the system.
    """
    try:
        os.link(temporary, final)
    except FileExistsError:
        linked = _is_same(temporary, final)
        _remove(temporary)
        return linked
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        _remove(temporary)
        return True
    try:
        _rename_call(temporary, final)
    except FileExistsError:
        _remove(temporary)
        return False
    return True


def publish_alone(temporary: Path, final: Path) -> bool:
    """Do as ``publish_file``, but so that never both names are there, where the system can.

    For files in a folder that nobody cleans up. A rename that refuses to replace is tried first.

    Args:
        temporary: the finished file, on the same file system as ``final``.
        final: the name to give it.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        NoReplaceUnsupportedError: the file system has neither way.
        OSError: any other refusal of the system.
    """
    try:
        _rename_call(temporary, final)
    except FileExistsError:
        return False
    except NoReplaceUnsupportedError:
        return publish_file(temporary, final)
    return True


def publish_folder(temporary: Path, final: Path) -> bool:
    """Give a finished folder its final name, if that name is free.

    Where the system has no rename without replacing, a plain rename after a look serves: it can
    replace nothing but an empty folder that appeared in between.

    Args:
        temporary: the finished folder.
        final: the name to give it, in the same parent.

    Returns:
        True if the name was given, False if something had it already.

    Raises:
        OSError: any other refusal of the system.
    """
    try:
        _rename_call(temporary, final)
    except FileExistsError:
        return False
    except NoReplaceUnsupportedError:
        if os.path.lexists(final):
            return False
        try:
            temporary.rename(final)
        except (FileExistsError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return False
            raise
    return True


def _is_same(temporary: Path, final: Path) -> bool:
    """Whether two names are those of one file."""
    try:
        return os.path.samestat(os.lstat(temporary), os.lstat(final))
    except OSError:
        return False


def _remove(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()
