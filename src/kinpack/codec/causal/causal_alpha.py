"""Alpha planes under a causal network that a codec has learned for them.

Such a plane is coded exactly: its alpha part is the byte 3 and the message of the causal coder at
Δ = 1. Where it is shorter it replaces a classic alpha part (`kinpack.codec.classic.alpha`), before
colours of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_coder import CausalCoder, alike
from kinpack.codec.causal.causal_image import MOST_PIXELS
from kinpack.codec.classic.alpha import join, split
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import Candidate
from kinpack.pictures.images import Image

CAUSAL = 3
"""First byte of an alpha part that is coded so."""

_AT_ONCE = 64


class CausalAlpha:
    """Puts alpha parts of its own before colours, and takes them off again: `AlphaPlanes`.

    Args:
        coder: of alpha planes.
    """

    def __init__(self, coder: CausalCoder) -> None:
        self._coder = coder

    def parts(self, images: Sequence[Image]) -> list[bytes]:
        """Alpha part of each image, uint8 (H, W, C); empty where there is none to be coded so."""
        made = [b""] * len(images)
        sizes = {i: image.shape[:2] for i, image in enumerate(images) if _has_plane(image)}
        for _, rows in alike(sizes, _AT_ONCE):
            planes = np.stack([images[i][:, :, 3] for i in rows])
            messages = self._coder.encode(planes, step=1)
            for i, message in zip(rows, messages, strict=True):
                made[i] = bytes([CAUSAL]) + message
        return made

    @staticmethod
    def shortened(candidate: Candidate, part: bytes) -> Candidate:
        """A candidate with this alpha part in the place of its own, where that is longer."""
        if not part or not candidate.kind.begins_with_alpha:
            return candidate
        alpha, colour = split(candidate.payload)
        if len(alpha) <= len(part):
            return candidate
        return replace(candidate, payload=join(part, colour))

    def taken_off(
        self, packets: Sequence[Packet]
    ) -> tuple[list[Packet], dict[int, NDArray[np.uint8]]]:
        """Packets with opaque planes in the place of those coded so, and these planes.

        Args:
            packets: of any kind.

        Returns:
            The packets, and alpha planes (H, W) by the number of their packet.

        Raises:
            PayloadError: a plane is damaged.
        """
        left = list(packets)
        planes: dict[int, NDArray[np.uint8]] = {}
        found: dict[int, bytes] = {}
        for i, packet in enumerate(packets):
            if packet.channels != 4 or not packet.kind.begins_with_alpha:
                continue
            if packet.width * packet.height > MOST_PIXELS:
                continue
            part, colour = split(packet.payload)
            if len(part) > 1 and part[0] == CAUSAL:
                found[i] = part[1:]
                left[i] = replace(packet, payload=join(b"", colour))
        sizes = {i: (packets[i].height, packets[i].width) for i in found}
        for size, rows in alike(sizes, _AT_ONCE):
            messages = [found[i] for i in rows]
            decoded = self._coder.decode(messages, size=size, step=1)
            planes.update(zip(rows, decoded, strict=True))
        return left, planes


def _has_plane(image: Image) -> bool:
    height, width, channels = image.shape
    if channels != 4 or height * width > MOST_PIXELS:
        return False
    alpha = image[:, :, 3]
    return bool((alpha != alpha[0, 0]).any())
