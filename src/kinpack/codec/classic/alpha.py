"""Alpha planes: coded exactly, before the colour; and colour where nothing is seen of it.

The payload of a lossy image with alpha is an alpha part and a colour part. `join` writes the length
of the alpha part (`kinpack.codec.varint`), the alpha part and the colour part. The alpha part is

- empty where the whole plane is 255;
- one byte where the whole plane has that value;
- else a byte that says how, and the plane, coded. The byte is 0 for a lossless WebP payload of a
  grey image, 1 for raw deflate of the bytes row by row, 2 for raw LZMA of them (lc 1, lp 0, pb 0, a
  dictionary of 64 KiB; without its first byte, which is 0, and without its end marker). It is 4
  more where the plane is coded transposed.

This is part of the packet's format: it never changes.
"""

from __future__ import annotations

import lzma
import zlib

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.classic.webp import decode_webp_lossless, encode_webp_lossless
from kinpack.entropy.varint import read_varint, write_varint
from kinpack.errors import PayloadError
from kinpack.pictures.images import Image

_WHAT = "an alpha plane"
_WEBP, _DEFLATE, _LZMA = range(3)
_TRANSPOSED = 4

_LZMA_FILTERS: list[dict[str, int]] = [
    {
        "id": lzma.FILTER_LZMA1,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 16,
        "lc": 1,
        "lp": 0,
        "pb": 0,
    }
]
_SMALL = 1 << 18  # pixels beyond which only WebP is tried: the others are slow, and longer
_SMOOTHINGS = 4


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Code an alpha plane exactly.

    Args:
        alpha: (H, W) uint8, sides up to 16,383.

    Returns:
        The alpha part of a payload: the shortest of several.
    """
    value = int(alpha.flat[0])
    if (alpha == value).all():
        return b"" if value == 255 else bytes([value])
    parts = []
    for turned, plane in ((0, alpha), (_TRANSPOSED, alpha.T)):
        plane = np.ascontiguousarray(plane)
        as_image = plane[:, :, None]
        parts.append(bytes([_WEBP | turned]) + encode_webp_lossless(as_image, methods=(4,)))
        if plane.size <= _SMALL:
            parts.append(bytes([_DEFLATE | turned]) + _deflate(plane.tobytes()))
            parts.append(bytes([_LZMA | turned]) + _lzma(plane.tobytes()))
    return min(parts, key=len)


def decode_alpha(part: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Make an alpha plane again.

    Args:
        part: the alpha part of a payload.
        width: pixels across.
        height: pixels down.

    Returns:
        (height, width) uint8.

    Raises:
        PayloadError: The part is damaged.
    """
    if len(part) < 2:
        value = part[0] if part else 255
        return np.full((height, width), value, dtype=np.uint8)
    way, coded = part[0], part[1:]
    if way & ~_TRANSPOSED not in (_WEBP, _DEFLATE, _LZMA):
        raise PayloadError.of(_WHAT, "its first byte is of no known form")
    if way & _TRANSPOSED:
        width, height = height, width
    if way & 3 == _WEBP:
        plane = decode_webp_lossless(coded, width=width, height=height, channels=1)[:, :, 0]
    else:
        inflate = _inflate if way & 3 == _DEFLATE else _unlzma
        data = inflate(coded, width * height)
        if len(data) != width * height:
            raise PayloadError.of(_WHAT, f"it holds {len(data)} of {width * height} pixels")
        plane = np.frombuffer(data, dtype=np.uint8).reshape(height, width)
    return np.ascontiguousarray(plane.T if way & _TRANSPOSED else plane)


def join(alpha_part: bytes, colour_part: bytes) -> bytes:
    """The payload of an alpha part and a colour part."""
    return write_varint(len(alpha_part)) + alpha_part + colour_part


def split(payload: bytes) -> tuple[bytes, bytes]:
    """The alpha part and the colour part of a payload that `join` made.

    Raises:
        PayloadError: The payload ends within the alpha part.
    """
    length, place = read_varint(payload, 0)
    if place + length > len(payload):
        raise PayloadError.of(_WHAT, "the payload ends within it")
    return payload[place : place + length], payload[place + length :]


def fill_transparent(rgb: Image, alpha: NDArray[np.uint8]) -> Image:
    """Choose the colour under alpha 0, which nobody sees, so that it costs few bits.

    The visible colours are averaged into ever smaller pictures; coming back, each hole takes the
    colour of the picture half its size, and is smoothed.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8.

    Returns:
        (H, W, 3) uint8: ``rgb`` where alpha is not 0, smooth elsewhere; black where all is 0.
    """
    seen = alpha > 0
    if seen.all() or not seen.any():
        return rgb if seen.any() else np.zeros_like(rgb)
    filled = _fill(rgb.astype(np.float32), seen)
    rounded = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.where(seen[:, :, None], rgb, rounded))


def _fill(colour: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W, 3) colours, those of ``seen`` kept; at least one is seen."""
    if seen.all():
        return colour
    height, width = seen.shape
    even = ((0, height % 2), (0, width % 2))
    weight = np.pad(seen.astype(np.float32), even)
    total = np.pad(colour * seen[:, :, None], (*even, (0, 0)))
    weight = weight.reshape(-1, 2, weight.shape[1] // 2, 2).sum((1, 3))
    total = total.reshape(-1, 2, total.shape[1] // 2, 2, 3).sum((1, 3))
    smaller = _fill(total / np.maximum(weight, 1)[:, :, None], weight > 0)
    larger = smaller.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    filled = np.where(seen[:, :, None], colour, larger)
    for _ in range(_SMOOTHINGS):
        around = np.pad(filled, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        filled = np.where(seen[:, :, None], colour, mean / 4)
    return filled


def _deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return coder.compress(data) + coder.flush()


def _inflate(coded: bytes, length: int) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(coded, length)
    except zlib.error as error:
        raise PayloadError.of(_WHAT, error) from error


def _lzma(data: bytes) -> bytes:
    coded = lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    # The length is known, so the end marker and the coder's last bytes are not needed. One byte
    # more than this decoder asks for is kept, lest another one reads ahead.
    needed = len(coded)
    while needed > 1 and _unlzma(coded[1 : needed - 1], len(data)) == data:
        needed -= 1
    return coded[1 : needed + 1]


def _unlzma(coded: bytes, length: int) -> bytes:
    try:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
        return decoder.decompress(b"\0" + coded, length)
    except lzma.LZMAError as error:
        raise PayloadError.of(_WHAT, error) from error
