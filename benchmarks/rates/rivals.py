"""Ordinary codecs, as whole files and as payloads without the head that all their files share.

A payload is what must be kept of a file so that the file can be rebuilt, where all pictures have
one size and setting. AVIF alone has one: the frame, without boxes, temporal delimiter, sequence
header and length.

Alpha is lossless and counted: WebP holds it, to the others it is added as kinpack codes it.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.measuring.measures import mean_likeness
from kinpack.codec.classic.alpha import encode_alpha, fill_transparent
from kinpack.errors import ImageError
from kinpack.pictures.images import Image, load_image, to_pil

TEMPORAL_DELIMITER, SEQUENCE_HEADER = 2, 1
"""Types of open bitstream units (OBU) of AV1 that are the same in every file."""


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
        file_name: what its files are called in the results; None if they are not counted.
        payload_name: what its payloads are called; None if they are not counted.
        qualities: lowest and highest quality.
        holds_alpha: whether files hold alpha, and losslessly.
        payload: gives the bytes of a file's payload; by default all of them.
    """

    format: str
    options: dict[str, Any]
    setting: str
    file_name: str | None = None
    payload_name: str | None = None
    qualities: tuple[int, int] = (0, 100)
    holds_alpha: bool = False
    payload: Callable[[bytes], int] = len


WEBP = Rival(
    "WEBP",
    {"method": 6},
    "method 6",
    file_name="webp-file",
    holds_alpha=True,
)
AVIF = Rival(
    "AVIF",
    {"speed": 4, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}, "max_threads": 1},
    "speed 4, 4:4:4, tune=psnr",
    file_name="avif-file",
    payload_name="avif-payload-s4",
    qualities=(0, 99),
    payload=avif_payload,
)


def grey(rival: Rival) -> Rival:
    """A rival for grey pictures: AVIF without the two empty planes that 4:4:4 codes."""
    if rival.format != "AVIF":
        return rival
    options = {**rival.options, "subsampling": "4:0:0"}
    return replace(rival, options=options, setting=rival.setting.replace("4:4:4", "4:0:0"))


def avif_at(speed: int) -> Rival:
    """AVIF at another speed."""
    return replace(
        AVIF,
        options={**AVIF.options, "speed": speed},
        setting=f"speed {speed}, 4:4:4, tune=psnr",
        file_name=f"avif-file-s{speed}",
        payload_name=f"avif-payload-s{speed}",
    )


AVIF_SLOWEST, AVIF_FASTER = avif_at(0), avif_at(6)
AVIF_GREY = grey(AVIF)
JPEG = Rival(
    "JPEG",
    {"optimize": True, "subsampling": "4:4:4"},
    "4:4:4, Huffman tables of each file",
    file_name="jpeg-file",
    qualities=(1, 98),
)
JPEG_XL = Rival(
    "JXL",
    {"effort": 7},
    "effort 7",
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
        means: of the measures, over the pictures, as `mean_likeness` gives them.
        seconds: wall time of coding and decoding.
    """

    file_bytes: int
    payload_bytes: int
    means: Mapping[str, float]
    seconds: float = field(compare=False)

    @property
    def psnr_mean(self) -> float:
        """Mean PSNR, in dB."""
        return self.means["psnr_mean"]


def measure(
    images: Sequence[Image],
    rival: Rival,
    quality: int,
    workers: Executor | None = None,
    *,
    wanted: Sequence[str] = ("psnr",),
) -> Measured:
    """Code pictures, each by itself, and decode them again.

    Args:
        images: uint8 (H, W, C) each.
        rival: the codec.
        quality: its quality.
        workers: where to run; None for the calling thread.
        wanted: measures to take.
    """
    began = time.perf_counter()
    run = map if workers is None else workers.map
    coded = list(run(lambda image: code(image, rival, quality), images))
    files, payloads, drawn = zip(*coded, strict=True)
    seconds = time.perf_counter() - began
    return Measured(sum(files), sum(payloads), mean_likeness(images, drawn, wanted), seconds)


def code(image: Image, rival: Rival, quality: int) -> tuple[int, int, Image]:
    """Bytes of the file, bytes of the payload, and what is drawn of it."""
    beside, colour = 0, image
    if image.shape[2] == 4 and not rival.holds_alpha:
        alpha = image[:, :, 3]
        beside, colour = len(encode_alpha(alpha)), fill_transparent(image[:, :, :3], alpha)
    data = _save(colour, rival, quality)
    with Pillow.open(io.BytesIO(data)) as decoded:
        drawn = load_image(decoded.convert({1: "L", 3: "RGB", 4: "RGBA"}[colour.shape[2]]))
    if colour is not image:
        drawn = np.dstack([drawn, image[:, :, 3]])
    return len(data) + beside, rival.payload(data) + beside, drawn


def _save(image: Image, rival: Rival, quality: int) -> bytes:
    buffer = io.BytesIO()
    to_pil(image).save(buffer, rival.format, quality=quality, **rival.options)
    return buffer.getvalue()


def measure_sheet(
    images: Sequence[Image], rival: Rival, quality: int, *, wanted: Sequence[str] = ("psnr",)
) -> Measured:
    """Code pictures as the tiles of one contact sheet, as square as can be; no random access.

    Empty places of the last row repeat the last picture.

    Args:
        images: uint8 (H, W, C), all of one shape, grey or RGB.
        rival: the codec.
        quality: its quality.
        wanted: measures to take, of the tiles.

    Returns:
        Bytes of the one file in both counts, and the means over the tiles.

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
    means = mean_likeness(images, drawn[: len(images)], wanted)
    return Measured(len(data), len(data), means, time.perf_counter() - began)
