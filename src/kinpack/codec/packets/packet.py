"""A packet: everything that an archive keeps of one image's look."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from kinpack.errors import PayloadError

MAX_SIDE = 1 << 16
"""Longest side, in pixels, that a packet may state."""

_HEAD = struct.Struct("<BBBII")


class Kind(IntEnum):
    """How a payload is coded: the format's own tag, one byte, never reused for another meaning."""

    AVIF = 1
    WEBP = 2
    WEBP_LOSSLESS = 3
    LEARNED = 4
    CAUSAL = 5

    @property
    def begins_with_alpha(self) -> bool:
        """Whether payloads of RGBA images begin with an alpha part."""
        return self in (Kind.AVIF, Kind.WEBP, Kind.LEARNED)


@dataclass(frozen=True, slots=True)
class Packet:
    """One image, coded: what draws it.

    Attributes:
        width: pixels across, 1 to 65,535.
        height: pixels down, 1 to 65,535.
        channels: 1 grey, 3 RGB, 4 RGBA.
        kind: how ``payload`` is coded.
        quality: at which the image was coded, 1 to 100 (100 is lossless).
        payload: the coded picture.
    """

    width: int
    height: int
    channels: int
    kind: Kind
    quality: int
    payload: bytes

    def __post_init__(self) -> None:
        if not (0 < self.width < MAX_SIDE and 0 < self.height < MAX_SIDE):
            raise PayloadError(
                f"a packet states {self.width}×{self.height} pixels; "
                f"sides go from 1 to {MAX_SIDE - 1}"
            )
        if self.channels not in (1, 3, 4):
            raise PayloadError(f"a packet states {self.channels} channels; 1, 3 and 4 are known")
        if not 1 <= self.quality <= 100:
            raise PayloadError(f"a packet states quality {self.quality}; it goes from 1 to 100")

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the picture once it is drawn."""
        return self.width * self.height * self.channels

    def checksum(self) -> int:
        """CRC-32 over size, kind, quality and payload, as an unsigned 32-bit integer.

        The covered bytes are ``kind, quality, channels`` as one byte each, ``width`` and ``height``
        as little-endian 32-bit integers, then the payload.
        """
        head = _HEAD.pack(self.kind, self.quality, self.channels, self.width, self.height)
        return zlib.crc32(self.payload, zlib.crc32(head))
