"""Test packets of learned payloads: drawn when a codec is made, read whenever it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinpack.codec.learned.learned import LearnedImages, Picture
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.self_test import SelfTest

SIZES = ((32, 32), (9, 17), (40, 24), (1, 1))
"""(height, width) of the test pictures that `make_test` draws."""
QUALITIES = (60, 30, 90, 50)


def learned_test(values: Any) -> SelfTest:
    """The test in a codec file's header.

    Args:
        values: as `make_test` gave them.

    Raises:
        CodecError: the values do not fit together.
    """

    def packets(values: Mapping[str, Any]) -> list[Packet]:
        payloads = [bytes.fromhex(payload) for payload in values["payloads"]]
        return _packets(payloads, values["sizes"], values["qualities"])

    return SelfTest.read(values, packets)


def make_test(images: LearnedImages) -> dict[str, Any]:
    """What a codec file's header keeps of test packets of synthetic pictures.

    Args:
        images: encodes and decodes them.
    """
    rng = np.random.default_rng(0)
    pictures = [_picture(h, w, rng) for h, w in SIZES]
    payloads = [made.payload for made in images.encode(pictures, QUALITIES, draw=False)]
    packets = _packets(payloads, SIZES, QUALITIES)
    return {
        "payloads": [payload.hex() for payload in payloads],
        "sizes": [list(size) for size in SIZES],
        "qualities": list(QUALITIES),
        "sha256": SelfTest.of(packets, images).sha256,
    }


def _packets(
    payloads: Sequence[bytes], sizes: Sequence[Sequence[int]], qualities: Sequence[int]
) -> list[Packet]:
    return [
        Packet(int(w), int(h), 3, Kind.LEARNED, int(quality), payload)
        for payload, (h, w), quality in zip(payloads, sizes, qualities, strict=True)
    ]


def _picture(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Waves, an edge and noise."""
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = 90 * np.cos(x * rng.uniform(0.1, 0.6, 3) + y * rng.uniform(0.1, 0.6, 3))
    edge = 70 * ((x - width / 2) * rng.normal() > (y - height / 2) * rng.normal())
    levels = 110 + waves + edge + rng.normal(0, 12, (height, width, 3))
    picture: Picture = levels.clip(0, 255).astype(np.uint8)
    return picture
