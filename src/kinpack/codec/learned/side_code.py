"""Side codes: a few bytes before a message, from which the context of its latents begins.

A codec whose first latents are predicted from nothing else can describe a picture by a product code
of its own, which goes before the message. It is no code that is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError, PayloadError
from kinpack.pictures.images import Image


class Descriptor(Protocol):
    """What gives the vectors that a side code quantises."""

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Describe n images, uint8 (H, W, C) each, by vectors (n, D)."""


class SideCode:
    """Makes side codes, and takes them off payloads.

    Args:
        descriptor: describes images.
        quantiser: makes codes of what it gives.
    """

    def __init__(self, descriptor: Descriptor, quantiser: ProductQuantiser) -> None:
        self._descriptor, self.quantiser = descriptor, quantiser

    def codes(self, images: Sequence[Image]) -> NDArray[np.uint8]:
        """Sub-indices (n, M) of images, uint8 (H, W, C) each."""
        return self.quantiser.encode(self._descriptor.describe(images))

    def before(self, codes: NDArray[np.uint8], messages: Sequence[bytes]) -> list[bytes]:
        """Payloads of codes (n, M) and of the messages that they go before."""
        packed = self.quantiser.pack(codes)
        return [code.tobytes() + one for code, one in zip(packed, messages, strict=True)]

    def taken_off(self, payloads: Sequence[bytes]) -> tuple[NDArray[np.uint8], list[bytes]]:
        """Codes (n, M) and messages of payloads.

        Raises:
            PayloadError: one is too short, or its code names no word.
        """
        size = self.quantiser.code_bytes
        if any(len(payload) < size for payload in payloads):
            raise PayloadError.of("a payload", f"it is shorter than its code of {size} bytes")
        packed = np.frombuffer(b"".join(payload[:size] for payload in payloads), dtype=np.uint8)
        try:
            codes = self.quantiser.unpack(packed.reshape(-1, size))
        except CodecError as error:
            raise PayloadError.of("a payload", error) from error
        return codes, [payload[size:] for payload in payloads]
