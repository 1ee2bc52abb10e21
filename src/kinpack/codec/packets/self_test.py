"""Test packets of a codec file: what they must decode to, told by a hash, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import Payload
from kinpack.errors import CodecError, KinpackError
from kinpack.pictures.images import Image

MOST_PIXELS = 1 << 16
"""Most pixels of all test packets together: they are decoded whenever a codec is first used."""


@dataclass(frozen=True)
class SelfTest:
    """Packets, and the SHA-256 of the pixels that they decode to.

    Attributes:
        packets: of one payload.
        sha256: of the pixels, one picture after the other in rows, in hexadecimal.
    """

    packets: tuple[Packet, ...]
    sha256: str

    @classmethod
    def of(cls, packets: Sequence[Packet], payload: Payload) -> Self:
        """Make a test of packets and what they decode to now."""
        return cls(tuple(packets), _sha256(payload.decode(packets)))

    @classmethod
    def read(cls, values: Any, packets_of: Callable[[Mapping[str, Any]], Sequence[Packet]]) -> Self:
        """Read a test as a codec file's header holds it.

        Args:
            values: the header's.
            packets_of: makes packets of them.

        Raises:
            CodecError: the values do not fit together.
        """
        try:
            made = cls(tuple(packets_of(values)), str(values["sha256"]))
        except (KeyError, TypeError, ValueError, OverflowError, KinpackError) as error:
            raise CodecError(
                f"the codec's test packets are unreadable ({error}); make it anew"
            ) from error
        pixels = sum(packet.width * packet.height for packet in made.packets)
        if not 0 < pixels <= MOST_PIXELS:
            raise CodecError("the codec's test packets are out of range; make it anew")
        return made

    def failure(self, payload: Payload) -> KinpackError | None:
        """What is wrong with a payload; None if it gives these pixels."""
        fault = "to what it says"
        try:
            if _sha256(payload.decode(self.packets)) == self.sha256:
                return None
        except CodecError as error:
            return error
        except KinpackError as error:
            fault = f"({error})"
        return CodecError(
            f"the codec does not decode its own test packets {fault}: the file is faulty; make it "
            "anew"
        )


def _sha256(pictures: Sequence[Image]) -> str:
    hashed = hashlib.sha256()
    for picture in pictures:
        hashed.update(np.ascontiguousarray(picture).tobytes())
    return hashed.hexdigest()
