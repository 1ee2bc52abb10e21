"""A million images for the measurements of scale: real packets, each varied by its image's number.

Encoding so many would take hours and measure a codec. A few thousand pictures are encoded once,
and image n has the packet that a hash of n chooses, with four bytes of the payload and four of the
product code changed by another: so no two images are the same, nothing can be stored once for
several, and the lengths are real. A varied payload is not meant to be decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.data import Folders, load_pictures
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import Target
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.networks.container import DESCRIBER_FILE, read_container
from kinpack.pictures.images import Image, ImageLike, as_images
from kinpack.sources.items import Item

SEED = 6
QUALITY = 60
LABELS = 10
_ODD = 0x9E3779B97F4A7C15
"""Multiplied by an odd number, numbers stay different in their low 32 bits: nothing repeats."""


def made_up(count: int) -> list[Image]:
    """Pictures of 32×32 pixels: a few colours spread smoothly, and a little noise."""
    rng = np.random.default_rng(SEED)
    images = []
    for _ in range(count):
        corners = rng.uniform(0, 255, (2, 2, 3))
        across = np.linspace(0, 1, 32)[:, None]
        rows = corners[0] * (1 - across[:, None]) + corners[1] * across[:, None]
        smooth = rows[:, :1] * (1 - across) + rows[:, 1:] * across
        images.append((smooth + rng.normal(0, 9, smooth.shape)).clip(0, 255).astype(np.uint8))
    return images


def make_packets(path: Path, *, count: int, cifar: Path | None) -> dict[str, Any]:
    """Encode pictures with the codec ``classic``, and keep their packets in a file.

    Args:
        path: of the file, ``.npz``.
        count: packets to make at most.
        cifar: folder of CIFAR-10; ``None`` for pictures that are made up.

    Returns:
        JSON values: what the packets are.
    """
    if cifar is None:
        images = made_up(count)
    else:
        images = load_pictures("cifar10-toy", Folders(cifar=cifar)).images[:count]
    packets = Codec.load("classic").encode(images, quality=QUALITY, threads=1)
    codes = packed_codes(Describer.load("classic"), images, threads=1)
    lengths = [len(packet.payload) for packet in packets]
    np.savez(
        path,
        payloads=np.frombuffer(b"".join(packet.payload for packet in packets), np.uint8),
        ends=np.cumsum(lengths),
        codes=np.stack([np.frombuffer(code, np.uint8) for code in codes]),
        heads=np.array([[p.width, p.height, p.channels, p.kind, p.quality] for p in packets]),
    )
    return {
        "count": len(packets),
        "pictures": "made up, 32×32" if cifar is None else "cifar10-toy, 32×32",
        "codec": "classic",
        "quality": QUALITY,
        "payload_bytes_mean": float(np.mean(lengths)),
        "code_bytes": len(codes[0]),
    }


class Rows:
    """The images that every store keeps, by number.

    Args:
        path: the file of packets, as ``make_packets`` wrote it.

    Attributes:
        packets: those that were encoded, unvaried.
        codes: of these images.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            payloads, codes = file["payloads"].tobytes(), file["codes"]
            ends, heads = file["ends"].tolist(), file["heads"].tolist()
        self.packets = [
            Packet(
                width=width,
                height=height,
                channels=channels,
                kind=Kind(kind),
                quality=quality,
                payload=payloads[start:end],
            )
            for start, end, (width, height, channels, kind, quality) in zip(
                [0, *ends], ends, heads, strict=False
            )
        ]
        self.codes = [code.tobytes() for code in codes]

    def packet(self, number: int) -> Packet:
        """The packet of an image."""
        place, change = self._varied(number)
        base = self.packets[place]
        return Packet(
            width=base.width,
            height=base.height,
            channels=base.channels,
            kind=base.kind,
            quality=base.quality,
            payload=_changed(base.payload, change),
        )

    def code(self, number: int) -> bytes:
        """The packed product code of an image."""
        place, change = self._varied(number)
        return _changed(self.codes[place], change)

    def _varied(self, number: int) -> tuple[int, bytes]:
        """Which of the images that were encoded stands for another, and what is changed of it."""
        mixed = number * _ODD & 0xFFFFFFFFFFFFFFFF
        return (mixed >> 32) % len(self.packets), (mixed & 0xFFFFFFFF).to_bytes(4, "little")

    def payload_bytes(self, count: int) -> int:
        """Bytes of the payloads of the first images."""
        lengths = np.array([len(packet.payload) for packet in self.packets])
        mixed = np.arange(count, dtype=np.uint64) * np.uint64(_ODD)
        chosen = (mixed >> np.uint64(32)) % np.uint64(len(lengths))
        return int(lengths[chosen].sum())

    def name(self, number: int) -> str:
        """The id of an image: the path of a file in a folder for its label."""
        return f"{self.label(number)}/{number:07d}.webp"

    def label(self, number: int) -> str:
        """The label of an image."""
        return f"class-{(number * _ODD >> 40) % LABELS}"

    def items(self, first: int, count: int) -> Iterator[Item]:
        """Images as an archive takes them, with pixels from which ``ReplayingCoder`` tells them."""
        for number in range(first, first + count):
            yield Item(self.name(number), self.label(number), partial(pixels, number))


def _changed(data: bytes, change: bytes) -> bytes:
    """Data with its last bytes changed by others."""
    last = int.from_bytes(data[-4:], "little") ^ int.from_bytes(change, "little")
    return data[:-4] + last.to_bytes(4, "little")


def pixels(number: int) -> Image:
    """One pixel of four channels that stands for an image: its number."""
    return np.frombuffer(number.to_bytes(4, "little"), np.uint8).reshape(1, 1, 4)


def number_of(image: Image) -> int:
    """The number of an image that one pixel stands for."""
    return int.from_bytes(image.tobytes(), "little")


class ReplayingCoder:
    """The codec ``classic``, but for encoding, which looks packets up instead.

    Args:
        rows: the images.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._codec = Codec.load("classic")

    @property
    def codec_id(self) -> str:
        """SHA-256 of the codec file."""
        return self._codec.codec_id

    def to_bytes(self) -> bytes:
        """The codec file."""
        return self._codec.to_bytes()

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        """The packets of the images that one pixel each stands for."""
        return [self._rows.packet(number_of(image)) for image in images]

    def encode_measured(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """The packets; what they draw is nobody's picture here."""
        return self.encode(images), np.zeros(len(images))

    def rates(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        target: Target | None = None,
        **asked: Any,
    ) -> Rates:
        """What the codec itself says."""
        return self._codec.rates(images, qualities, target, **asked)

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw packets again."""
        return self._codec.decode(packets, threads=threads)


class ReplayingDescriber(Describer):
    """The describer ``classic``, but for describing, which looks codes up instead.

    Args:
        rows: the images.
    """

    def __init__(self, rows: Rows) -> None:
        data = Describer.load("classic").to_bytes()
        super().__init__(read_container(data, where="classic", kind=DESCRIBER_FILE), data)
        self._rows = rows

    def describe(
        self, images: Iterable[ImageLike], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """What the images' codes stand for."""
        codes = [self._rows.code(number_of(image)) for image in as_images(images)]
        packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)
        return self.quantiser.decode(self.quantiser.unpack(packed))
