"""JPEG XL files: how large a picture is, told before anything of it is decoded."""

from __future__ import annotations

import struct
from typing import BinaryIO

_STREAM = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_MOST_BOXES = 1000


def size(file: BinaryIO) -> tuple[int, int]:
    """Read the width and height in pixels from the head of a file, which is left at its beginning.

    Raises:
        ValueError: the head is damaged.
    """
    try:
        bits = _Bits(_head(file))
    finally:
        file.seek(0)
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.number()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return 8 * (bits.take(5) + 1) if small else bits.number(), height


class _Bits:
    """Reads numbers from bytes, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 16:
            raise ValueError("the head of a JPEG XL picture is cut short")
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value

    def number(self) -> int:
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


def _head(file: BinaryIO) -> bytes:
    """The first bytes of the code stream after its mark, wherever it begins; filled up with 0."""
    file.seek(0)
    if file.read(2) == _STREAM:
        return file.read(16).ljust(16, b"\0")
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, name = struct.unpack(">I4s", head[:8])
        begin = 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
            begin = 16
        if name in (b"jxlc", b"jxlp"):
            file.seek(at + begin + 4 * (name == b"jxlp"))
            if file.read(2) != _STREAM:
                break
            return file.read(16).ljust(16, b"\0")
        if length < begin:
            break
        at += length
    raise ValueError("no JPEG XL picture is in the file")
