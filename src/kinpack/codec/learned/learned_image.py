"""Learned payloads of images of any sort: grey, RGB and RGBA over the RGB coder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.learned.learned import MAX_SIDE, LearnedCoder
from kinpack.codec.packets.candidate import Candidate, squared_error
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.pictures.images import Image


class LearnedImages:
    """Puts grey and transparent images through a coder of RGB pictures: a `Payload`.

    Grey is coded as RGB and averaged on the way back. Alpha is coded exactly, before the colour.

    Args:
        coder: of RGB pictures.
    """

    kinds = (Kind.LEARNED,)
    at_once = 64
    sees_codes = True

    def __init__(self, coder: LearnedCoder) -> None:
        self.coder = coder

    def takes(self, image: Image) -> bool:
        """Whether an image is small enough."""
        height, width, _ = image.shape
        return bool(max(height, width) <= MAX_SIDE)

    def encode(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode images; without ``draw`` no error is counted."""
        pictures = [_as_picture(image) for image in images]
        payloads, drawn = self.coder.encode(pictures, codes, quality=qualities, draw=draw)
        made = []
        for i, (image, payload) in enumerate(zip(images, payloads, strict=True)):
            if image.shape[2] == 4:
                payload = join(encode_alpha(image[:, :, 3]), payload)
            error = squared_error(image, _of_sort(image, drawn[i])) if draw else 0.0
            made.append(Candidate(Kind.LEARNED, payload, error))
        return made

    def decode(self, packets: Sequence[Packet], codes: NDArray[np.uint8]) -> list[Image]:
        """Draw the images of learned packets."""
        sizes = [(packet.height, packet.width) for packet in packets]
        parts = [split(p.payload) if p.channels == 4 else (b"", p.payload) for p in packets]
        qualities = [packet.quality for packet in packets]
        pictures = self.coder.decode([c for _, c in parts], codes, sizes=sizes, quality=qualities)
        images: list[Image] = []
        for packet, (alpha_part, _), picture in zip(packets, parts, pictures, strict=True):
            if packet.channels == 4:
                alpha = decode_alpha(alpha_part, width=packet.width, height=packet.height)
                images.append(np.dstack([picture, alpha]))
            elif packet.channels == 1:
                images.append(_grey(picture))
            else:
                images.append(np.ascontiguousarray(picture))
        return images


def _as_picture(image: Image) -> Image:
    if image.shape[2] == 4:
        return fill_transparent(image[:, :, :3], image[:, :, 3])
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _of_sort(image: Image, picture: Image) -> Image:
    """What is drawn for an image of its sort: grey, RGB, or RGBA with the image's own alpha."""
    if image.shape[2] == 4:
        return np.dstack([picture, image[:, :, 3]])
    return _grey(picture) if image.shape[2] == 1 else picture


def _grey(picture: Image) -> Image:
    total: NDArray[np.uint16] = picture.astype(np.uint16).sum(2, keepdims=True, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8)
