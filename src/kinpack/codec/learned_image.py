"""Learned payloads of images of any sort: grey, RGB and RGBA over the RGB coder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.classic import Candidate, squared_error
from kinpack.codec.learned import LearnedCoder
from kinpack.codec.packet import Kind, Packet
from kinpack.images import Image


class LearnedImages:
    """Puts grey and transparent images through a coder of RGB pictures.

    Grey is coded as RGB and averaged on the way back. Alpha is coded exactly, before the colour.

    Args:
        coder: of RGB pictures.
    """

    def __init__(self, coder: LearnedCoder) -> None:
        self.coder = coder

    def encode(
        self, images: Sequence[Image], codes: NDArray[np.uint8], *, quality: int
    ) -> list[Candidate]:
        """Encode images.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99.

        Returns:
            For each the payload and the squared error of what it draws.
        """
        pictures = [_as_picture(image) for image in images]
        payloads, drawn = self.coder.encode(pictures, codes, quality=quality)
        made = []
        for image, payload, picture in zip(images, payloads, drawn, strict=True):
            if image.shape[2] == 4:
                alpha = image[:, :, 3]
                payload = join(encode_alpha(alpha), payload)
                picture = np.dstack([picture, alpha])
            elif image.shape[2] == 1:
                picture = _grey(picture)
            made.append(Candidate(Kind.LEARNED, payload, squared_error(image, picture)))
        return made

    def decode(
        self, packets: Sequence[Packet], codes: NDArray[np.uint8], *, quality: int
    ) -> list[Image]:
        """Draw the images of learned packets of one quality.

        Args:
            packets: with learned payloads.
            codes: (n, M) sub-indices of each.
            quality: that of all the packets.

        Returns:
            uint8 (H, W, C) images.

        Raises:
            PayloadError: a payload is damaged.
        """
        sizes = [(packet.height, packet.width) for packet in packets]
        parts = [split(p.payload) if p.channels == 4 else (b"", p.payload) for p in packets]
        pictures = self.coder.decode([c for _, c in parts], codes, sizes=sizes, quality=quality)
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
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _grey(picture: Image) -> Image:
    total: NDArray[np.uint16] = picture.astype(np.uint16).sum(2, keepdims=True, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8)
