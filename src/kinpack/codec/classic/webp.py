"""WebP payloads, lossy (VP8) and lossless (VP8L): the file without all that can be written again.

A file of libwebp's is ``RIFF``, its length, ``WEBP``, one chunk (name, length, data, a zero byte
where the length is odd). The payload is the chunk's data without the size of the picture:

- lossy: the three bytes of the frame tag, then what follows the seven bytes of start code, width
  and height;
- lossless: what follows the five bytes of signature, width, height, alpha hint and version; before
  it, for images with alpha only, a byte that is the hint (0 or 1).

This is part of the packet's format: it never changes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable

import numpy as np
import PIL.Image

from kinpack.errors import CodecError, PayloadError, see_memory
from kinpack.limits import DECODING
from kinpack.pictures.images import Image

_WHAT = "a WebP payload"
LONGEST_SIDE = 16383
"""Longest side of a WebP picture, in pixels."""

_START_CODE = b"\x9d\x01\x2a"
_SIGNATURE = 0x2F


def encode_webp(image: Image, *, webp_quality: int, method: int = 6) -> bytes:
    """Encode a picture with loss.

    Args:
        image: uint8 (H, W, 1) or (H, W, 3), sides up to 16,383.
        webp_quality: 0 (coarsest) to 100, as libwebp counts.
        method: 0 (fastest) to 6 (fewest bytes).

    Returns:
        The payload, of which `decode_webp` makes the picture again.
    """
    height, width, channels = image.shape
    colour = np.repeat(image, 3, axis=2) if channels == 1 else image
    file = _save(colour, lossless=False, quality=webp_quality, method=method)
    return strip_lossy(file, width=width, height=height)


def decode_webp(payload: bytes, *, width: int, height: int, channels: int) -> Image:
    """Draw the picture of a lossy payload.

    Args:
        payload: as `encode_webp` made it.
        width: pixels across.
        height: pixels down.
        channels: 1 or 3.

    Returns:
        uint8 (height, width, channels); grey is the green of what is drawn.

    Raises:
        PayloadError: The payload is damaged.
    """
    file = rebuild_lossy(payload, width=width, height=height)
    colour = _load(file, width, height, "RGB")
    return np.ascontiguousarray(colour[:, :, 1:2] if channels == 1 else colour)


def encode_webp_lossless(image: Image, *, methods: Iterable[int] = (3, 4)) -> bytes:
    """Encode an image exactly.

    Args:
        image: uint8 (H, W, C), C = 1, 3 or 4, sides up to 16,383. Colour is kept under alpha 0 too.
        methods: 0 (fastest) to 6 (slowest) each; the shortest result is kept. On thumbnails 3 and
            4 give fewer bytes than 5 and most often than 6, which takes ten times as long.

    Returns:
        The payload, of which `decode_webp_lossless` makes the image again.
    """
    height, width, channels = image.shape
    if channels == 1:  # in green alone, which costs less than three equal channels
        colour = np.zeros((height, width, 3), dtype=np.uint8)
        colour[:, :, 1:2] = image
    else:
        colour = image
    files = [_save(colour, lossless=True, quality=100, method=m, exact=True) for m in methods]
    return strip_lossless(min(files, key=len), width=width, height=height, channels=channels)


def decode_webp_lossless(payload: bytes, *, width: int, height: int, channels: int) -> Image:
    """Make the image of a lossless payload again.

    Args:
        payload: as `encode_webp_lossless` made it.
        width: pixels across.
        height: pixels down.
        channels: 1, 3 or 4.

    Returns:
        uint8 (height, width, channels).

    Raises:
        PayloadError: The payload is damaged.
    """
    file = rebuild_lossless(payload, width=width, height=height, channels=channels)
    colour = _load(file, width, height, "RGBA" if channels == 4 else "RGB")
    return np.ascontiguousarray(colour[:, :, 1:2] if channels == 1 else colour)


def strip_lossy(file: bytes, *, width: int, height: int) -> bytes:
    """Leave out of a lossy file what `rebuild_lossy` writes again.

    Raises:
        CodecError: The file is of another form than libwebp has written so far.
    """
    payload = file[20:23] + _chunk_data(file)[10:]
    if rebuild_lossy(payload, width=width, height=height) != file:
        raise CodecError(_UNKNOWN_FORM)
    return payload


def rebuild_lossy(payload: bytes, *, width: int, height: int) -> bytes:
    """Write the file of which `strip_lossy` made a payload, byte for byte.

    Raises:
        PayloadError: The payload is too short, or the size is more than WebP can hold.
    """
    _check_size(width, height)
    if len(payload) < 3:
        raise PayloadError.of(_WHAT, "it is too short")
    size = struct.pack("<HH", width, height)
    return _file(b"VP8 ", payload[:3] + _START_CODE + size + payload[3:])


def strip_lossless(file: bytes, *, width: int, height: int, channels: int) -> bytes:
    """Leave out of a lossless file what `rebuild_lossless` writes again.

    Raises:
        CodecError: The file is of another form than libwebp has written so far.
    """
    data = _chunk_data(file)
    hint = bytes([data[4] >> 4 & 1]) if channels == 4 else b""
    payload = hint + data[5:]
    if rebuild_lossless(payload, width=width, height=height, channels=channels) != file:
        raise CodecError(_UNKNOWN_FORM)
    return payload


def rebuild_lossless(payload: bytes, *, width: int, height: int, channels: int) -> bytes:
    """Write the file of which `strip_lossless` made a payload, byte for byte.

    Raises:
        PayloadError: The payload is too short, or the size is more than WebP can hold.
    """
    _check_size(width, height)
    hint = 0
    if channels == 4:
        if not payload or payload[0] > 1:
            raise PayloadError.of(_WHAT, "its first byte is neither 0 nor 1")
        hint, payload = payload[0], payload[1:]
    head = struct.pack("<BI", _SIGNATURE, width - 1 | height - 1 << 14 | hint << 28)
    return _file(b"VP8L", head + payload)


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise PayloadError.of(_WHAT, f"{width}×{height} pixels are more than it can hold")


def _file(name: bytes, data: bytes) -> bytes:
    padding = bytes(len(data) % 2)
    chunk = name + struct.pack("<I", len(data)) + data + padding
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _chunk_data(file: bytes) -> bytes:
    """The data of the only chunk."""
    (length,) = struct.unpack_from("<I", file, 16)
    return file[20 : 20 + length]


def _save(image: Image, **options: int | bool) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "WEBP", **options)
    return file.getvalue()


def _load(file: bytes, width: int, height: int, mode: str) -> Image:
    try:
        with PIL.Image.open(io.BytesIO(file), formats=["WEBP"]) as picture:
            if picture.size != (width, height):
                raise PayloadError.of(_WHAT, f"it holds {picture.width}×{picture.height} pixels")
            return np.asarray(picture if picture.mode == mode else picture.convert(mode))
    except PayloadError:
        raise
    except Exception as error:  # the decoder raises whatever comes to its mind
        see_memory(error, _WHAT, DECODING * width * height)
        raise PayloadError.of(_WHAT, error) from error


_UNKNOWN_FORM = "libwebp has written a file of a form that is not known; install Pillow 12 or 13"
