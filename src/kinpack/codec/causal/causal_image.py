"""Grey images pixel by pixel: rounded, coded under their causal neighbourhood, and restored.

```
 image ─▶ multiples of Δ ─▶ causal coder ─▶ payload
                │
                ▼
            restoration, integers ─▶ image: where in its cell each value is likely to have been
```
Small drawings on an empty ground, with sharp edges, cost fewer bits so than by any transform;
larger photographs do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_coder import CausalCoder, alike
from kinpack.codec.causal.logistic_mixture import levels_of, values_of
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.payload import Candidate
from kinpack.codec.packets.self_test import SelfTest
from kinpack.errors import CodecError, PayloadError
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import run_tiled
from kinpack.networks.tiling import Tiling
from kinpack.pictures.images import Image, squared_error

MOST_PIXELS = 1 << 14
"""Most pixels of an image that is coded so: beyond, decoding wave by wave would take too long."""
LONGEST_SIDE = 4096
"""Longest side, in pixels, of an image that is coded so."""
PARTS_OF_STEP = 64
"""Parts of Δ in which the restoration counts."""
RESTORED_HALO = 8
"""Pixels that the restoration may see on each side."""

_RESTORATION = Tiling(tile=256, halo=RESTORED_HALO)
_TEST_SIZES = ((12, 12), (5, 9), (1, 1))
_TEST_QUALITIES = (60, 30, 90)


class CausalImages:
    """Encodes and decodes grey images: a `Payload`.

    Args:
        coder: of planes.
        restoration: integer network; input (n, 3, h, w): values, 255 where they are 0, 2Δ or 255;
            output (n, 1, h, w) what to add, in 1/64 of Δ.
        steps: (101,) Δ of each quality in grey levels.

    Raises:
        CodecError: a step is out of range, or the restoration another sort of network.
    """

    kinds = (Kind.CAUSAL,)
    at_once = 64

    def __init__(
        self,
        coder: CausalCoder,
        restoration: IntegerNetwork,
        steps: NDArray[np.int64],
    ) -> None:
        if steps.shape != (101,) or steps[1:].min() < 1 or steps[1:].max() > 255:
            raise CodecError("the codec's steps of grey levels are out of range; make it anew")
        restoration.check_fits(_RESTORATION, takes=3, gives=1)
        self._coder, self._restoration, self._steps = coder, restoration, steps

    @staticmethod
    def takes(image: Image) -> bool:
        """Whether an image may be coded so."""
        height, width, channels = image.shape
        small = height * width <= MOST_PIXELS and max(height, width) <= LONGEST_SIDE
        return bool(channels == 1 and small)

    def encode(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode grey images, uint8 (H, W, 1) each; the error is always counted."""
        made: dict[int, Candidate] = {}
        keys = {
            i: (image.shape, int(self._steps[quality]))
            for i, (image, quality) in enumerate(zip(images, qualities, strict=True))
        }
        for (_, step), rows in alike(keys, self.at_once):
            planes = np.stack([images[i][:, :, 0] for i in rows])
            messages = self._coder.encode(planes, step=step)
            drawn = self._restored(values_of(levels_of(planes, step), step), step)
            for i, message, picture in zip(rows, messages, drawn, strict=True):
                error = squared_error(images[i], picture[:, :, None])
                made[i] = Candidate(Kind.CAUSAL, message, error)
        return [made[i] for i in range(len(images))]

    def decode(self, packets: Sequence[Packet]) -> list[Image]:
        """Draw the images of packets.

        Args:
            packets: with causal payloads.

        Returns:
            uint8 (H, W, 1) images.

        Raises:
            PayloadError: a payload is damaged, or states another sort of image.
        """
        for packet in packets:
            if packet.channels != 1 or packet.width * packet.height > MOST_PIXELS:
                raise PayloadError(
                    f"a causal packet states {packet.width}×{packet.height} pixels of "
                    f"{packet.channels} channels; it is damaged"
                )
            if packet.quality > 99:
                raise PayloadError("a causal packet states quality 100; it is damaged")
        images: dict[int, Image] = {}
        keys = {
            i: ((packet.height, packet.width), int(self._steps[packet.quality]))
            for i, packet in enumerate(packets)
        }
        for (size, step), rows in alike(keys, self.at_once):
            messages = [packets[i].payload for i in rows]
            planes = self._coder.decode(messages, size=size, step=step)
            for i, picture in zip(rows, self._restored(planes, step), strict=True):
                images[i] = np.ascontiguousarray(picture[:, :, None])
        return [images[i] for i in range(len(packets))]

    def _restored(self, planes: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
        x = np.empty((len(planes), 3, *planes.shape[1:]), dtype=np.float32)
        x[:, 0], x[:, 1], x[:, 2] = planes, 255 * (planes == 0), min(2 * step, 255)
        said = run_tiled(self._restoration, x, _RESTORATION, channels=1)[:, 0]
        added = (said.astype(np.int64) * step + PARTS_OF_STEP // 2) // PARTS_OF_STEP
        return (planes + added).clip(0, 255).astype(np.uint8)


def causal_test(values: Any) -> SelfTest:
    """The test of causal payloads in a codec file's header.

    Args:
        values: as `make_causal_test` gave them.

    Raises:
        CodecError: the values do not fit together.
    """

    def packets(values: Mapping[str, Any]) -> list[Packet]:
        return _test_packets([bytes.fromhex(one) for one in values["payloads"]])

    return SelfTest.read(values, packets)


def make_causal_test(images: CausalImages) -> dict[str, Any]:
    """What a codec file's header keeps of test packets of synthetic pictures."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in _TEST_SIZES:
        y, x = np.arange(height)[:, None], np.arange(width)
        levels = 120 * ((x - y) % 7 > 2) + rng.normal(60, 25, (height, width)) * (x > 1)
        pictures.append(levels.clip(0, 255).astype(np.uint8)[:, :, None])
    payloads = [made.payload for made in images.encode(pictures, _TEST_QUALITIES)]
    test = SelfTest.of(_test_packets(payloads), images)
    return {"payloads": [payload.hex() for payload in payloads], "sha256": test.sha256}


def _test_packets(payloads: Sequence[bytes]) -> list[Packet]:
    return [
        Packet(width, height, 1, Kind.CAUSAL, quality, payload)
        for (height, width), quality, payload in zip(
            _TEST_SIZES, _TEST_QUALITIES, payloads, strict=True
        )
    ]
