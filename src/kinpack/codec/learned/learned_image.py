"""Learned payloads of images of any sort: grey, RGB and RGBA over the RGB coder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_image import CausalImages
from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.learned.learned import LearnedCoder, Qualities
from kinpack.codec.packets.candidate import Candidate, squared_error
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import CodecError
from kinpack.pictures.images import Image

PART = 64
"""Images that a thread takes at a time."""

T = TypeVar("T")


class LearnedImages:
    """Puts grey and transparent images through a coder of RGB pictures.

    Grey is coded as RGB and averaged on the way back. Alpha is coded exactly, before the colour.

    Args:
        coder: of RGB pictures.
        causal: codes grey images pixel by pixel, where the codec has learned to; of both payloads
            the one that costs less is kept.
    """

    def __init__(self, coder: LearnedCoder, causal: CausalImages | None = None) -> None:
        self.coder, self._causal = coder, causal

    def encode(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        *,
        quality: Qualities,
        draw: bool = True,
        threads: int | None = None,
    ) -> list[Candidate]:
        """Encode images.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99, of all or of each.
            draw: whether the error is wanted; without it none is counted.
            threads: that work on parts of the images; None takes as many as there are cores.

        Returns:
            For each the payload and the squared error of what it draws.
        """
        q = np.broadcast_to(np.asarray(quality, dtype=np.int64), (len(images),))

        def part(rows: slice) -> list[Candidate]:
            return self._encode(images[rows], codes[rows], q[rows], draw)

        return in_parts(part, len(images), threads)

    def _encode(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        quality: NDArray[np.int64],
        draw: bool,
    ) -> list[Candidate]:
        grey = [i for i, image in enumerate(images) if self._causal and self._causal.takes(image)]
        # Costs are compared, so what both draw is needed.
        draw = draw or bool(grey)
        pictures = [_as_picture(image) for image in images]
        payloads, drawn = self.coder.encode(pictures, codes, quality=quality, draw=draw)
        made = []
        for i, (image, payload) in enumerate(zip(images, payloads, strict=True)):
            if image.shape[2] == 4:
                payload = join(encode_alpha(image[:, :, 3]), payload)
            error = squared_error(image, _of_sort(image, drawn[i])) if draw else 0.0
            made.append(Candidate(Kind.LEARNED, payload, error))
        if self._causal and grey:
            qualities = [int(quality[i]) for i in grey]
            others = self._causal.encode([images[i] for i in grey], codes[grey], qualities)
            for i, q, other in zip(grey, qualities, others, strict=True):
                made[i] = min(made[i], other, key=lambda one: one.cost(q))
        return made

    def decode(
        self,
        packets: Sequence[Packet],
        codes: NDArray[np.uint8],
        *,
        threads: int | None = None,
    ) -> list[Image]:
        """Draw the images of learned packets.

        Args:
            packets: with learned payloads.
            codes: (n, M) sub-indices of each.
            threads: that work on parts of the packets; None takes as many as there are cores.

        Returns:
            uint8 (H, W, C) images.

        Raises:
            PayloadError: a payload is damaged.
            CodecError: a packet is causal, and the codec has no such payloads.
        """
        images: list[Image | None] = [None] * len(packets)
        for causal in (False, True):
            chosen = [i for i, p in enumerate(packets) if (p.kind is Kind.CAUSAL) is causal]
            drawn = self._drawn([packets[i] for i in chosen], codes[chosen], causal, threads)
            for i, image in zip(chosen, drawn, strict=True):
                images[i] = image
        return [image for image in images if image is not None]

    def _drawn(
        self, packets: Sequence[Packet], codes: NDArray[np.uint8], causal: bool, threads: int | None
    ) -> list[Image]:
        decode = self._decode
        if causal and packets:
            if self._causal is None:
                raise CodecError(
                    "the codec has no causal payloads, but a packet is one: "
                    "use the codec it was made with"
                )
            decode = self._causal.decode
        return in_parts(lambda rows: decode(packets[rows], codes[rows]), len(packets), threads)

    def _decode(self, packets: Sequence[Packet], codes: NDArray[np.uint8]) -> list[Image]:
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


def in_parts(function: Callable[[slice], list[T]], n: int, threads: int | None) -> list[T]:
    """Apply a function to parts of n rows, in threads: while one codes, another's networks run.

    Args:
        function: gives a result for each row of a slice.
        n: rows.
        threads: most threads; None takes as many as there are cores.
    """
    rows = [slice(first, first + PART) for first in range(0, n, PART)]
    if threads == 1 or len(rows) < 2:
        return [result for one in rows for result in function(one)]
    with ThreadPoolExecutor(threads) as pool:
        return [result for results in pool.map(function, rows) for result in results]


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
