"""Test packets of learned payloads: drawn when a codec is made, read whenever it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.learned import LearnedCoder, LearnedImages, Picture
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.self_test import SelfTest
from kinpack.describers.product_code import ProductQuantiser

SIZES = ((32, 32), (9, 17), (40, 24), (1, 1))
"""(height, width) of the test pictures that `make_test` draws."""
QUALITIES = (60, 30, 90, 50)


def learned_test(values: Any, quantiser: ProductQuantiser) -> SelfTest:
    """The test in a codec file's header.

    Args:
        values: as `make_test` gave them.
        quantiser: of the codec's product code.

    Raises:
        CodecError: the values do not fit together.
    """

    def packets(values: Mapping[str, Any]) -> list[Packet]:
        codes = np.array(values["codes"], dtype=np.uint8).reshape(-1, quantiser.M)
        payloads = [bytes.fromhex(payload) for payload in values["payloads"]]
        return _packets(payloads, quantiser.pack(codes), values["sizes"], values["qualities"])

    return SelfTest.read(values, packets)


def make_test(coder: LearnedCoder, quantiser: ProductQuantiser) -> dict[str, Any]:
    """What a codec file's header keeps of test packets of synthetic pictures.

    Args:
        coder: that encodes and decodes them.
        quantiser: of the codec's product code.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(quantiser.K, size=(len(SIZES), quantiser.M)).astype(np.uint8)
    pictures = [_picture(h, w, rng) for h, w in SIZES]
    payloads, _ = coder.encode(pictures, codes, quality=QUALITIES, draw=False)
    packets = _packets(payloads, quantiser.pack(codes), SIZES, QUALITIES)
    return {
        "payloads": [payload.hex() for payload in payloads],
        "codes": codes.tolist(),
        "sizes": [list(size) for size in SIZES],
        "qualities": list(QUALITIES),
        "sha256": SelfTest.of(packets, LearnedImages(coder, quantiser)).sha256,
    }


def _packets(
    payloads: Sequence[bytes],
    codes: NDArray[np.uint8],
    sizes: Sequence[Sequence[int]],
    qualities: Sequence[int],
) -> list[Packet]:
    return [
        Packet(int(w), int(h), 3, Kind.LEARNED, int(quality), code.tobytes(), payload)
        for payload, code, (h, w), quality in zip(payloads, codes, sizes, qualities, strict=True)
    ]


def _picture(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Waves, an edge and noise."""
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = 90 * np.cos(x * rng.uniform(0.1, 0.6, 3) + y * rng.uniform(0.1, 0.6, 3))
    edge = 70 * ((x - width / 2) * rng.normal() > (y - height / 2) * rng.normal())
    levels = 110 + waves + edge + rng.normal(0, 12, (height, width, 3))
    picture: Picture = levels.clip(0, 255).astype(np.uint8)
    return picture
