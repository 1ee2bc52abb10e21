"""Images as files: AVIF and WebP as they are stored, PNG of what else there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.codec.classic.stored_file import media_type, whole_file
from kinpack.codec.packets.packet import Packet
from kinpack.errors import PayloadError
from kinpack.pictures.images import Image
from kinpack.pictures.picture_writing import encode_image

PNG = "image/png"
SUFFIXES = {"image/avif": ".avif", "image/webp": ".webp", PNG: ".png"}
"""Of files, by their media types."""


class StoredFile(NamedTuple):
    """An image as a file.

    Attributes:
        media_type: as ``image/avif``.
        data: its bytes.
    """

    media_type: str
    data: bytes


def file_type(image: ImageEntry | Packet) -> str:
    """The media type of an image's file."""
    size = {"width": image.width, "height": image.height, "channels": image.channels}
    return media_type(image.kind, **size) or PNG


def stored_files(
    packets: Sequence[Packet],
    draw: Callable[[Sequence[int]], list[Image]],
    where: Callable[[int], str],
) -> list[StoredFile]:
    """Make files of packets; only those that become PNG are drawn.

    Args:
        packets: of images.
        draw: gives the images, uint8 (H, W, C), at some places in the list.
        where: gives what messages call the image at a place.

    Raises:
        PayloadError: a payload is damaged.
    """
    types = [file_type(packet) for packet in packets]
    drawn = [at for at, one in enumerate(types) if one == PNG]
    images = dict(zip(drawn, draw(drawn) if drawn else [], strict=True))
    files = []
    for at, (packet, sort) in enumerate(zip(packets, types, strict=True)):
        try:
            data = whole_file(packet)
        except PayloadError as error:
            raise PayloadError(f"{where(at)}: {error}") from error
        if data is None:
            data = encode_image(images[at], format="png", where=where(at))
        files.append(StoredFile(sort, data))
    return files
