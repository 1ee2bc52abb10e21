"""Payloads as the files that they are: AVIF and WebP, their heads put back."""

from __future__ import annotations

from kinpack.codec.classic import avif, webp
from kinpack.codec.classic.payloads import TILE
from kinpack.codec.packets.packet import Kind, Packet

AVIF, WEBP = "image/avif", "image/webp"


def media_type(kind: Kind, *, width: int, height: int, channels: int) -> str | None:
    """The sort of file that a payload is, but for its head; ``None`` where it is none.

    It is none where it has alpha, which lies beside the colour, is cut into tiles, or is lossless
    or learned.

    Args:
        kind: how the payload is coded.
        width: pixels across.
        height: pixels down.
        channels: 1 grey, 3 RGB, 4 RGBA.
    """
    if channels == 4 or max(width, height) > TILE:
        return None
    return {Kind.AVIF: AVIF, Kind.WEBP: WEBP}.get(kind)


def whole_file(packet: Packet) -> bytes | None:
    """Write the file of which a payload was made, byte for byte; ``None`` where there is none.

    Args:
        packet: one of those that ``media_type`` gives a sort for, or another.

    Raises:
        PayloadError: the payload is damaged.
    """
    size = {"width": packet.width, "height": packet.height}
    sort = media_type(packet.kind, **size, channels=packet.channels)
    if sort == AVIF:
        return avif.rebuild(packet.payload, **size, channels=packet.channels)
    return webp.rebuild_lossy(packet.payload, **size) if sort == WEBP else None
