"""The error tree: every failure a user can cause or meet, each naming the place and the cure."""

from __future__ import annotations

import errno
import os
import re
from typing import Self


class KinpackError(Exception):
    """Base of all errors that kinpack raises on purpose.

    The message is one line: what is wrong, in which file or at which place, and what to do.
    """


class ImageError(KinpackError):
    """A picture cannot be read, or is not one."""


class SourceError(KinpackError):
    """A source of images is missing, empty or of an unknown sort."""


class CodecError(KinpackError):
    """A codec file is damaged, truncated, newer than this version, or does not fit the archive."""


class PayloadError(KinpackError):
    """A payload or a packet is damaged: its checksum or its content does not hold."""

    @classmethod
    def of(cls, what: str, why: object) -> Self:
        """Make the error of something that is damaged, in one line."""
        reason = " ".join(str(why).split()) or "it cannot be decoded"
        return cls(f"{what} is damaged: {reason}; restore the archive from a copy")


class ArchiveError(KinpackError):
    """An archive is missing, damaged, already there, or cannot be written."""


class NotFoundError(ArchiveError):
    """An id is not in the archive."""


class PositionError(NotFoundError, IndexError):
    """There are fewer images than a position asks for."""


class MissingExtraError(KinpackError):
    """An optional package is needed; the message says which extra installs it."""


LOW_MEMORY = "memory ran out; try again where more is free"
"""What is said of it."""

_NO_MEMORY = re.compile(
    r"bad_alloc|(cannot|failed to) allocate memory|pixel allocation failed|can't allocate lock",
    re.I,
)


def is_low_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of whatever library and type it is."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or bool(_NO_MEMORY.search(str(error)))
    )


def see_memory(error: BaseException, where: str, need: int = 0) -> None:
    """Let an error pass as ``MemoryError`` if it is one: memory that runs out is no damage.

    Args:
        error: what a library raised.
        where: what messages call what was read.
        need: bytes that it may have asked for, where it does not say what it lacked. They are asked
            for again, and not touched.

    Raises:
        MemoryError: that is what it says, or so much is not to be had.
    """
    lacks = is_low_memory(error)
    try:
        bytes(need)
    except MemoryError:
        lacks = True
    if lacks:
        raise MemoryError(f"{where}: {LOW_MEMORY}") from error


def shown(path: str | os.PathLike[str]) -> str:
    r"""Spell a path on one line of valid UTF-8, as messages do: odd bytes as ``\x..``."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(path))


def counted(count: int, noun: str, verbs: str = "") -> str:
    """A number of things in words: "1 image", "1,200 images".

    Args:
        count: of them.
        noun: what one is called.
        verbs: what follows for one, and for several, with "/" between, as "is/are".
    """
    one, _, several = verbs.partition("/")
    words = (f"{count:,}", noun + "s" * (count != 1), one if count == 1 else several)
    return " ".join(filter(None, words))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
