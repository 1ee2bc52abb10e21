"""WebP files that are cut short."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import BinaryIO

import numpy as np
import PIL.Image

_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
_MOST_BYTES = 1 << 30
_NOISE = 32


class Completed(io.BytesIO):
    """A file that is cut short, and what stands for the rest of its picture.

    Args:
        data: what there is of the file, up to its cut.
        end: where the chunk of its picture would end.
        begin: stands for the first of the bytes that are missing; zeros do for the others.
        block: rows of pixels that a row of its blocks has.
    """

    def __init__(self, data: bytes, end: int, begin: bytes = b"", *, block: int) -> None:
        self.sound, self.end, self.block = data, end, block
        lacking = max(0, end - len(data))
        whole = data[:end] + begin[:lacking].ljust(lacking, b"\0")
        super().__init__(whole[:4] + struct.pack("<I", end - 8) + whole[8:])


def completed(file: BinaryIO) -> Completed | None:
    """The file as far as its picture, with zeros for what is missing.

    Returns:
        ``None`` where it is whole, or nothing of its picture is there.
    """
    file.seek(0)
    head = file.read(12)
    stated = 8 + int.from_bytes(head[4:8], "little")
    file.seek(0)
    data = file.read(min(stated, _MOST_BYTES))
    if len(data) >= stated or stated > _MOST_BYTES:
        return None
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        end = at + 8 + length + length % 2
        if name in _PICTURES:
            block = 1 if name == b"VP8L" else 16
            return Completed(data, end, block=block) if end <= _MOST_BYTES else None
        at = end
    return None


def load_cut(picture: PIL.Image.Image, file: Completed) -> float:
    """Take what is there of a picture that was opened of a completed file; the rest is grey.

    It is decoded with zeros, and with some noise before them, in place of what is missing: above
    the first row that differs all is sound. Noise alone would have too many bits a pixel, and end
    too early.

    Args:
        picture: opened; loaded afterwards.
        file: its file.

    Returns:
        The share that is missing, 0 to 1.

    Raises:
        OSError: nothing of it can be decoded.
    """
    picture.load()
    if len(file.sound) >= file.end:
        return 0.0
    first = picture.height
    for seed in (b"one", b"two", b"three", b"four"):
        noise = hashlib.shake_128(seed).digest(_NOISE)
        try:
            again = Completed(file.sound, file.end, noise, block=file.block)
            with PIL.Image.open(again, formats=["WEBP"]) as other:
                different = np.asarray(picture) != np.asarray(other)
        except OSError:  # which noise may be to a decoder
            continue
        rows = np.flatnonzero(different.reshape(picture.height, -1).any(axis=1))
        first = min(first, int(rows[0]) if len(rows) else picture.height)
    if first < picture.height:
        first -= first % file.block  # what is missing reaches a few rows up, by a filter
        grey = (128, 128, 128, 0)[: len(picture.getbands())]
        picture.paste(grey, (0, first, picture.width, picture.height))
    return 1 - first / picture.height
