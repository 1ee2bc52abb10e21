"""Decoding: the images of packets of any kind, several at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_alpha import CausalAlpha, with_planes
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import Payloads, in_parts
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import PayloadError
from kinpack.limits import too_many
from kinpack.pictures.images import Image


class Decoder:
    """Draws the images of packets.

    Args:
        payloads: of the codec.
        quantiser: of the product codes.
        alpha: of alpha planes that the codec has learned to code; None for a codec that has not.
    """

    def __init__(
        self, payloads: Payloads, quantiser: ProductQuantiser, alpha: CausalAlpha | None = None
    ) -> None:
        self._payloads, self._alpha = payloads, alpha
        self._quantiser = quantiser

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw images; see ``Codec.decode``."""
        for packet in packets:
            if what := too_many(packet.width, packet.height):
                raise PayloadError(f"a packet of {len(packet.payload)} bytes states {what}")
        planes: dict[int, NDArray[np.uint8]] = {}
        if self._alpha is not None:
            packets, planes = self._alpha.taken_off(packets)
        images: list[Image | None] = [None] * len(packets)
        for payload, rows in self._payloads.by_payload(packets):
            some = [packets[i] for i in rows]
            codes = (
                self._quantiser.unpack_each([one.code for one in some])
                if payload.sees_codes
                else np.zeros((len(some), 0), np.uint8)
            )
            drawn = in_parts(payload.decode, some, codes, size=payload.at_once, threads=threads)
            for i, image in zip(rows, drawn, strict=True):
                images[i] = image
        whole = [image for image in images if image is not None]
        return with_planes(whole, planes) if planes else whole
