"""Picture files as people have them, made by hand where no program writes them so."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from kinpack.pictures.images import Image

PNG = b"\x89PNG\r\n\x1a\n"


def coded(picture: PIL.Image.Image, format_: str, **options: Any) -> bytes:
    """The file that Pillow writes of a picture."""
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes, *, wrong: bool = False) -> bytes:
    """A chunk of a PNG, with a wrong checksum on request."""
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body) ^ wrong)


def png(image: Image, *notes: bytes, after: bytes = b"") -> bytes:
    """A PNG of 8 bits with chunks of one's own before and after the pixels.

    Args:
        image: uint8 (H, W, C).
        notes: chunks between the head and the pixels.
        after: chunks between the pixels and the end.
    """
    height, width, channels = image.shape
    colours = {1: 0, 3: 2, 4: 6}[channels]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    body = chunk(b"IDAT", zlib.compress(rows))
    return PNG + head + b"".join(notes) + body + after + chunk(b"IEND", b"")


ADAM7 = (
    (slice(0, None, 8), slice(0, None, 8)),
    (slice(0, None, 8), slice(4, None, 8)),
    (slice(4, None, 8), slice(0, None, 4)),
    (slice(0, None, 4), slice(2, None, 4)),
    (slice(2, None, 4), slice(0, None, 2)),
    (slice(0, None, 2), slice(1, None, 2)),
    (slice(1, None, 2), slice(0, None, 1)),
)
"""The pixels of each pass of an interlaced PNG."""


def interlaced_png(image: Image) -> tuple[bytes, list[int]]:
    """An interlaced PNG of 8 bits, and the byte of the file at which each pass ends.

    Args:
        image: uint8 (H, W, C).
    """
    height, width, channels = image.shape
    colours = {1: 0, 3: 2, 4: 6}[channels]
    data = PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 1))
    ends, packer = [], zlib.compressobj()
    for at in ADAM7:
        rows = b"".join(b"\0" + row.tobytes() for row in image[at] if row.size)
        data += chunk(b"IDAT", packer.compress(rows) + packer.flush(zlib.Z_SYNC_FLUSH))
        ends.append(len(data))
    return data + chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""), ends


def tiff(*pages: tuple[NDArray[Any], Mapping[int, int | Sequence[int]]]) -> bytes:
    """A TIFF of uncompressed pages.

    Args:
        pages: samples (H, W) or (H, W, C) of any type, and tags of numbers beyond those that they
            need, or in their place.
    """
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for samples, more in pages:
        array = samples if samples.ndim == 3 else samples[:, :, None]
        height, width, channels = array.shape
        place = len(out)
        out += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        out += b"\0" * (len(out) % 2)
        kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
        tags: dict[int, int | Sequence[int]] = {
            256: width,
            257: height,
            258: [8 * array.dtype.itemsize] * channels,
            259: 1,
            262: 2 if channels >= 3 else 1,
            273: place,
            277: channels,
            278: height,
            279: array.nbytes,
            339: [kind] * channels,
        }
        if channels not in (1, 3):
            tags[338] = [0] * (channels - (3 if channels > 3 else 1))
        out = _with_directory(out, link, {**tags, **more})
        link = len(out) - 4
    return bytes(out)


def _with_directory(out: bytearray, link: int, tags: dict[int, int | Sequence[int]]) -> bytearray:
    entries = []
    for tag, value in sorted(tags.items()):
        values = [value] if isinstance(value, int) else list(value)
        short = tag not in (273, 279)
        data = b"".join(struct.pack("<H" if short else "<I", one) for one in values)
        if len(data) > 4:
            place = len(out)
            out += data + b"\0" * (len(data) % 2)
            data = struct.pack("<I", place)
        entries.append(
            struct.pack("<HHI", tag, 3 if short else 4, len(values)) + data.ljust(4, b"\0")
        )
    out[link : link + 4] = struct.pack("<I", len(out))
    return out + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
