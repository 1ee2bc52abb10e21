"""Decoding: the images of packets, learned and classic, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kinpack.codec.causal.causal_alpha import CausalAlpha, with_planes
from kinpack.codec.choice.choosing import in_threads
from kinpack.codec.classic.payloads import decode_classic
from kinpack.codec.learned.learned_image import LearnedImages
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.describers.product_code import ProductQuantiser, unpack_codes
from kinpack.errors import CodecError, PayloadError
from kinpack.limits import too_many
from kinpack.pictures.images import Image

_BATCH = 256


class Decoder:
    """Draws the images of packets.

    Args:
        learned: gives the coder of learned payloads; None for a codec that has none.
        quantiser: of the product codes.
        name: the codec's, for messages.
        alpha: of alpha planes that the codec has learned to code; None for a codec that has not.
    """

    def __init__(
        self,
        learned: Callable[[], LearnedImages] | None,
        quantiser: ProductQuantiser,
        *,
        name: str,
        alpha: CausalAlpha | None = None,
    ) -> None:
        self._learned, self._quantiser, self._name = learned, quantiser, name
        self._alpha = alpha

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw images; see ``Codec.decode``."""
        for packet in packets:
            if what := too_many(packet.width, packet.height):
                raise PayloadError(f"a packet of {len(packet.payload)} bytes states {what}")
        if self._alpha is not None:
            packets, planes = self._alpha.taken_off(packets)
            if planes:
                return with_planes(self._decode(packets, threads), planes)
        return self._decode(packets, threads)

    def _decode(self, packets: Sequence[Packet], threads: int | None) -> list[Image]:
        images: list[Image | None] = [None] * len(packets)
        learned: list[int] = []
        classic: list[int] = []
        for i, packet in enumerate(packets):
            (learned if packet.kind in (Kind.LEARNED, Kind.CAUSAL) else classic).append(i)
        for first in range(0, len(learned), _BATCH):
            part = learned[first : first + _BATCH]
            drawn = self._draw_learned([packets[i] for i in part], threads)
            for i, image in zip(part, drawn, strict=True):
                images[i] = image
        drawn = in_threads(_decode_classic, [packets[i] for i in classic], threads=threads)
        for i, image in zip(classic, drawn, strict=True):
            images[i] = image
        return [image for image in images if image is not None]

    def _draw_learned(self, packets: Sequence[Packet], threads: int | None) -> list[Image]:
        if self._learned is None:
            raise CodecError(
                f"codec {self._name!r} has no learned payloads, but a packet is one: "
                "use the codec it was made with"
            )
        width = self._quantiser.code_bytes
        if any(len(packet.code) != width for packet in packets):
            raise PayloadError(f"a packet's code is not {width} bytes long; it is damaged")
        packed = np.frombuffer(b"".join(p.code for p in packets), dtype=np.uint8)
        codes = unpack_codes(packed.reshape(-1, width), self._quantiser.M, K=self._quantiser.K)
        return self._learned().decode(packets, codes, threads=threads)


def _decode_classic(packet: Packet) -> Image:
    return decode_classic(
        packet.kind,
        packet.payload,
        width=packet.width,
        height=packet.height,
        channels=packet.channels,
    )
