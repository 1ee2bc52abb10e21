"""What an archive tells of one image without reading its payload."""

from __future__ import annotations

from dataclasses import dataclass

from kinpack.codec.packets.packet import Kind


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """What an archive tells of one image without reading its payload.

    Attributes:
        id: its name, unique in the archive.
        label: its class, ``None`` if it has none.
        width: pixels across.
        height: pixels down.
        channels: 1 grey, 3 RGB, 4 RGBA.
        kind: how the payload is coded.
        quality: at which it was coded, 1 to 100.
        length: bytes of the payload.
    """

    id: str
    label: str | None
    width: int
    height: int
    channels: int
    kind: Kind
    quality: int
    length: int
