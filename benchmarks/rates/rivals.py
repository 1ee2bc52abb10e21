"""Ordinary codecs, as whole files and as payloads without the head that all their files share.

A payload is what must be kept of a file so that the file can be rebuilt, where all pictures have
one size and setting:

- AVIF: the frame, without boxes, temporal delimiter, sequence header and length;
- WebP: the VP8 frame without start code and size, and alpha if there is some;
- JPEG: the scan. For the payload the standard Huffman tables are used, which need not be kept;
  files have tables of their own, which makes them smaller.

Alpha is lossless and counted: WebP holds it, to the others it is added as kinpack codes it.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kinpack.codec.classic.alpha import encode_alpha, fill_transparent
from kinpack.errors import ImageError
from kinpack.metrics import psnr
from kinpack.pictures.images import Image, composite_on_white, load_image, to_pil

TEMPORAL_DELIMITER, SEQUENCE_HEADER = 2, 1
"""Types of open bitstream units (OBU) of AV1 that are the same in every file."""


def jpeg_payload(data: bytes) -> int:
    """Bytes of a JPEG's scan, without the end marker.

    Raises:
        ImageError: the file has no scan.
    """
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == 0xDA:
            return len(data) - (place + 2 + length) - 2
        place += 2 + length
    raise ImageError("a JPEG file without a scan; report it as a bug of the benchmark")


def webp_payload(data: bytes) -> int:
    """Bytes of a WebP's VP8 frame after start code and size, with its tag, and of its alpha."""
    place, total = 12, 0
    while place + 8 <= len(data):
        kind, length = (
            data[place : place + 4],
            int.from_bytes(data[place + 4 : place + 8], "little"),
        )
        if kind == b"VP8 ":
            total += length - 7
        elif kind in (b"ALPH", b"VP8L"):
            total += length
        place += 8 + length + length % 2
    return total


def avif_payload(data: bytes) -> int:
    """Bytes of the AV1 frames of an AVIF of one item, without the heads of their OBUs.

    Raises:
        ImageError: the file has no media data.
    """
    place = 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"mdat":
            return sum(
                size
                for kind, size in _units(data[place + 8 : place + length])
                if kind not in (TEMPORAL_DELIMITER, SEQUENCE_HEADER)
            )
        place += length
    raise ImageError("an AVIF file without media data; report it as a bug of the benchmark")


def _units(stream: bytes) -> list[tuple[int, int]]:
    """Type and length of each OBU of a stream that gives every length."""
    units, place = [], 0
    while place < len(stream):
        kind = stream[place] >> 3 & 15
        place += 1 + (stream[place] >> 2 & 1)
        size = shift = 0
        while True:
            byte = stream[place]
            place += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        units.append((kind, size))
        place += size
    return units


@dataclass(frozen=True)
class Rival:
    """A codec at one of its good settings.

    Attributes:
        format: Pillow's name of the format.
        options: Pillow's options for saving, without the quality.
        setting: the options in words.
        payload: gives the bytes of a file's payload.
        file_name: what its files are called in the results; None if they are not counted.
        payload_name: what its payloads are called; None if they are not counted.
        qualities: lowest and highest quality.
        holds_alpha: whether files hold alpha, and losslessly.
    """

    format: str
    options: dict[str, Any]
    setting: str
    payload: Callable[[bytes], int]
    file_name: str | None = None
    payload_name: str | None = None
    qualities: tuple[int, int] = (0, 100)
    holds_alpha: bool = False


WEBP = Rival(
    "WEBP",
    {"method": 6},
    "method 6",
    webp_payload,
    file_name="webp-file",
    payload_name="webp-payload",
    holds_alpha=True,
)
AVIF = Rival(
    "AVIF",
    {"speed": 4, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}, "max_threads": 1},
    "speed 4, 4:4:4, tune=psnr",
    avif_payload,
    file_name="avif-file",
    payload_name="avif-payload-s4",
    qualities=(0, 99),
)
AVIF_GREY = replace(
    AVIF,
    options={**AVIF.options, "subsampling": "4:0:0"},
    setting="speed 4, 4:0:0, tune=psnr",
)
"""For grey pictures: without the two empty planes that 4:4:4 codes."""
AVIF_SLOWEST = replace(
    AVIF,
    options={**AVIF.options, "speed": 0},
    setting="speed 0, 4:4:4, tune=psnr",
    file_name="avif-file-s0",
    payload_name="avif-payload-s0",
)
JPEG = Rival(
    "JPEG",
    {"optimize": True, "subsampling": "4:4:4"},
    "4:4:4, Huffman tables of each file",
    jpeg_payload,
    file_name="jpeg-file",
    qualities=(1, 98),
)
JPEG_SCAN = Rival(
    "JPEG",
    {"subsampling": "4:4:4"},
    "4:4:4, standard Huffman tables",
    jpeg_payload,
    payload_name="jpeg-payload",
    qualities=(1, 98),
)


JPEG_XL = Rival(
    "JXL",
    {"effort": 7},
    "effort 7",
    len,
    file_name="jxl-file",
    qualities=(1, 99),
)
"""Whole files only; there where the package ``pillow-jxl-plugin`` is (`has_jpeg_xl`)."""


def has_jpeg_xl() -> bool:
    """Whether Pillow reads and writes JPEG XL; its plugin is loaded if it is installed."""
    try:
        import_module("pillow_jxl")
    except ImportError:
        return False
    return True


def jpeg_xl_version() -> str | None:
    """Version of the plugin, which has libjxl in it; None where it is not installed."""
    return version("pillow-jxl-plugin") if has_jpeg_xl() else None


@dataclass(frozen=True)
class Measured:
    """What pictures cost in one setting.

    Attributes:
        file_bytes: sum of the lengths of the files, and of alpha that they do not hold.
        payload_bytes: the same of the payloads.
        psnr_mean: mean over the pictures, in dB.
        seconds: wall time of coding and decoding.
    """

    file_bytes: int
    payload_bytes: int
    psnr_mean: float
    seconds: float = field(compare=False)


def measure(
    images: Sequence[Image], rival: Rival, quality: int, workers: Executor | None = None
) -> Measured:
    """Code pictures, each by itself, and decode them again.

    Args:
        images: uint8 (H, W, C) each; PSNR is of RGB, composited on white, or of grey.
        rival: the codec.
        quality: its quality.
        workers: where to run; None for the calling thread.
    """
    began = time.perf_counter()
    run = map if workers is None else workers.map
    coded = list(run(lambda image: _code(image, rival, quality), images))
    files, payloads, values = zip(*coded, strict=True)
    seconds = time.perf_counter() - began
    return Measured(sum(files), sum(payloads), float(np.mean(values)), seconds)


def _code(image: Image, rival: Rival, quality: int) -> tuple[int, int, float]:
    """Bytes of the file, bytes of the payload, and PSNR."""
    beside, colour = 0, image
    if image.shape[2] == 4 and not rival.holds_alpha:
        alpha = image[:, :, 3]
        beside, colour = len(encode_alpha(alpha)), fill_transparent(image[:, :, :3], alpha)
    data = _save(colour, rival, quality)
    with Pillow.open(io.BytesIO(data)) as decoded:
        drawn = load_image(decoded.convert({1: "L", 3: "RGB", 4: "RGBA"}[colour.shape[2]]))
    if colour is not image:
        drawn = np.dstack([drawn, image[:, :, 3]])
    value = psnr(_visible(image), _visible(drawn))
    return len(data) + beside, rival.payload(data) + beside, value


def _visible(image: Image) -> Image:
    return composite_on_white(image) if image.shape[2] == 4 else image


def _save(image: Image, rival: Rival, quality: int) -> bytes:
    buffer = io.BytesIO()
    to_pil(image).save(buffer, rival.format, quality=quality, **rival.options)
    return buffer.getvalue()


def measure_sheet(images: Sequence[Image], rival: Rival, quality: int) -> Measured:
    """Code pictures as the tiles of one contact sheet, as square as can be; no random access.

    Empty places of the last row repeat the last picture.

    Args:
        images: uint8 (H, W, C), all of one shape, grey or RGB.
        rival: the codec.
        quality: its quality.

    Returns:
        Bytes of the one file in both counts, and the mean of the tiles' PSNR.

    Raises:
        ImageError: the pictures differ in shape, or have alpha.
    """
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or images[0].shape[2] == 4:
        raise ImageError("a contact sheet takes pictures of one shape, grey or RGB; leave it out")
    began = time.perf_counter()
    height, width, channels = images[0].shape
    columns = math.isqrt(len(images) - 1) + 1
    rows = -(-len(images) // columns)
    tiles = np.stack([*images, *[images[-1]] * (rows * columns - len(images))])
    grid = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    data = _save(grid.reshape(rows * height, columns * width, channels), rival, quality)
    with Pillow.open(io.BytesIO(data)) as decoded:
        sheet = load_image(decoded.convert("L" if channels == 1 else "RGB"))
    drawn = sheet.reshape(rows, height, columns, width, channels).swapaxes(1, 2)
    drawn = drawn.reshape(-1, height, width, channels)
    value = float(np.mean([psnr(image, tile) for image, tile in zip(images, drawn, strict=False)]))
    return Measured(len(data), len(data), value, time.perf_counter() - began)


def png_bytes(images: Sequence[Image]) -> int:
    """Sum of the lengths of the pictures as optimised PNG files, which are exact."""
    total = 0
    for image in images:
        buffer = io.BytesIO()
        to_pil(image).save(buffer, "PNG", optimize=True)
        total += buffer.tell()
    return total
