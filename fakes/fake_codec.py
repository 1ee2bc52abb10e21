"""A small exact codec for the archive's tests: zlib for payloads."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import Target
from kinpack.errors import ImageError, PayloadError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item


class FakeCodec:
    """The interface of ``Codec`` that an archive uses, without its weight."""

    def __init__(self, seed: int = 0) -> None:
        self._data = f"a fake codec for tests, seed {seed}".encode()
        self.codec_id = hashlib.sha256(self._data).hexdigest()
        self.n_bytes = len(self._data)

    def to_bytes(self) -> bytes:
        return self._data

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        qualities = Target.of(target, asked).qualities(len(images))
        return [
            Packet(
                width=image.shape[1],
                height=image.shape[0],
                channels=image.shape[2],
                kind=Kind.WEBP_LOSSLESS,
                quality=q,
                payload=zlib.compress(image.tobytes(), 1),
            )
            for image, q in zip(images, qualities, strict=True)
        ]

    def encode_measured(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        return self.encode(images, target, **asked), np.full(len(images), np.inf)

    def rates(
        self, images: Sequence[Image], qualities: Sequence[int], target: Target | None = None
    ) -> Rates:
        rates = Rates.empty(len(images), len(qualities))
        rates.n_bytes[:] = [[len(packet.payload)] for packet in self.encode(images)]
        rates.psnr[:], rates.kind[:] = np.inf, Kind.WEBP_LOSSLESS
        return rates

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        images = []
        for packet in packets:
            try:
                pixels = np.frombuffer(zlib.decompress(packet.payload), np.uint8)
                images.append(pixels.reshape(packet.height, packet.width, packet.channels))
            except (zlib.error, ValueError) as error:
                raise PayloadError(f"the payload is damaged: {error}") from error
        return images


@dataclass
class FakeSource:
    """Images by id; ``None`` is a broken picture."""

    images: list[tuple[str, str | None, Any]] = field(default_factory=list)
    name: str = "fake"

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Item]:
        for name, label, image in self.images:
            yield Item(name, label, partial(_load, name, image))


def _load(name: str, image: Image | None) -> Image:
    if image is None:
        raise ImageError(f"{name}: this is no picture")
    return image


def pictures(count: int, *, seed: int = 0, first: int = 0, side: int = 6) -> FakeSource:
    """Small random pictures of several sizes and channels, numbered from ``first`` on."""
    images = []
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        shape = (*rng.integers(1, side + 1, 2), (1, 3, 4)[number % 3])
        image = rng.integers(0, 256, shape, np.uint8)
        images.append((f"set/{number:05d}", (None, "cat", "dog")[number % 3], image))
    return FakeSource(images)
