"""PNG files: chunks whose checksum is wrong."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOTES = 1 << 24
"""Most bytes of chunks before the pixels that are looked at again."""


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Names, places of the content and lengths of the chunks of a file, as far as they go."""
    at = len(_SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield name, at + 8, length
        at += 12 + length


def chunk(file: BinaryIO, wanted: bytes, most: int = 64) -> bytes | None:
    """The content of a chunk before the pixels, ``most`` bytes at most; ``None`` without one."""
    for name, at, length in chunks(file):
        if name == b"IDAT":
            return None
        if name == wanted:
            file.seek(at)
            return file.read(min(length, most))
    return None


def without_spoilt_notes(file: BinaryIO) -> BinaryIO | None:
    """The file without the chunks that no pixel depends on and whose checksum is wrong.

    Returns:
        ``None`` where there are none, or where the chunks before the pixels are too large.
    """
    kept = [_SIGNATURE]
    total = spoilt = 0
    for name, at, length in chunks(file):
        if name == b"IDAT":
            if not spoilt:
                return None
            return _Joined(b"".join(kept), file, at - 8)
        total += 12 + length
        if total > _NOTES:
            return None
        file.seek(at - 8)
        whole = file.read(12 + length)
        if len(whole) < 12 + length:
            return None
        is_note = bool(name[0] & 0x20)
        if is_note and zlib.crc32(whole[4:-4]) != int.from_bytes(whole[-4:], "big"):
            spoilt += 1
        else:
            kept.append(whole)
    return None


class _Joined(io.BufferedIOBase, BinaryIO):
    """Another beginning, and a file from one place on."""

    def __init__(self, head: bytes, file: BinaryIO, start: int) -> None:
        self._head, self._file, self._start, self._at = head, file, start, 0

    def read(self, size: int | None = -1) -> bytes:
        size = -1 if size is None else size
        data = self._head[self._at :] if size < 0 else self._head[self._at : self._at + size]
        if size < 0 or len(data) < size:
            self._file.seek(self._start + max(0, self._at - len(self._head)))
            data += self._file.read(size if size < 0 else size - len(data))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 1:
            offset += self._at
        elif whence == 2:
            offset += self._file.seek(0, 2) - self._start + len(self._head)
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
