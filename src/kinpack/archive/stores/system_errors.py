"""Refusals of the system: its errors, told with the place and what helps."""

from __future__ import annotations

import errno
import os

from kinpack.archive.stores.handles import IrregularFileError, NoReplaceUnsupportedError
from kinpack.errors import ArchiveError, see_memory

_CURES = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission denied; change its rights or choose another place",
    errno.EPERM: "permission denied; change its rights or choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n) or close some",
    errno.ELOOP: "a link is in the way, and none is followed there; put the folder itself there",
    errno.EAGAIN: "somebody else writes there, which one at a time may; try again later",
    errno.EIO: "the disk reports an error; check it, and copy the archive elsewhere",
}


def refusal(error: OSError, path: str | os.PathLike[str], action: str) -> ArchiveError:
    """The one-line error for a refusal of the system.

    Args:
        error: what the system raised.
        path: the file or folder it was about.
        action: what was tried, as in "cannot write".

    Returns:
        The error to raise, naming path and cure.
    """
    if isinstance(error, NoReplaceUnsupportedError):
        cure = (
            "the file system cannot create a file only if absent, and has no locks under which one "
            "process could write alone; choose another place"
        )
    elif isinstance(error, IrregularFileError):
        cure = "it is no regular file; restore the file from a copy"
    else:
        see_memory(error, os.fspath(path))
        reason = error.strerror or type(error).__name__
        cure = _CURES.get(error.errno or 0, f"{reason}; check the place and try again")
    return ArchiveError(f"{os.fspath(path)}: cannot {action}: {cure}")


def is_full(error: ArchiveError) -> bool:
    """Tell whether what was refused needs room that there is not."""
    return getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def existing(where: str) -> ArchiveError:
    """The error for a place where there is an archive already."""
    return ArchiveError(
        f"{where}: this path exists; use kinpack add to add to an archive, choose another name, or "
        "remove it first"
    )


def missing(where: str) -> ArchiveError:
    """The error for a file that ought to be there."""
    return ArchiveError(
        f"{where}: this file of the archive is missing; open the archive again if it was cleaned "
        "up meanwhile, else restore the file from a copy"
    )


def truncated(where: str, start: int, stop: int) -> ArchiveError:
    """The error for a file that ends before some bytes that it ought to have."""
    return ArchiveError(
        f"{where}: truncated: bytes {start} to {stop} are not all there; restore the file from a "
        "copy"
    )


def too_large(where: str, most: int) -> ArchiveError:
    """The error for a file of more bytes than any of its kind has."""
    return ArchiveError(
        f"{where}: damaged: it has more than {most:,} bytes, as no such file has; restore the file "
        "from a copy"
    )


def closed(where: str) -> ArchiveError:
    """The error for an archive that is used after it was closed."""
    return ArchiveError(f"{where}: the archive is closed; open it again")
