"""What is decoded to prove exactness, and every way in which it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from benchmarks.exactness.processor_switches import AT_HAND, Processor, emulated, switched
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image

Engine = Literal["onnxruntime", "numpy"]
ENGINES: tuple[Engine, ...] = ("onnxruntime", "numpy")
QUALITIES = (25, 55, 85)
ODD_SIZES = ((1, 1, 3), (1, 7, 3), (7, 5, 1), (31, 33, 3), (33, 65, 1), (100, 75, 3), (50, 50, 4))
"""Shapes (H, W, C) of further images."""
EMULATED_PACKETS = 24
DRAWINGS = 6
"""Grey images, and images with transparency, beside those of odd sizes."""


@dataclass(frozen=True)
class Way:
    """One way to decode.

    Attributes:
        engine: what runs the networks.
        threads: of the engine and of what else works side by side.
        batch: packets handed over at a time.
        optimise: whether onnxruntime may rearrange the graphs.
        processor: what it runs on.
    """

    engine: Engine
    threads: int = 1
    batch: int = 64
    optimise: bool = True
    processor: Processor = AT_HAND

    def to_dict(self) -> dict[str, Any]:
        """Return what the results say of it."""
        return {**asdict(self), "processor": self.processor.name}


def ways() -> list[Way]:
    """All ways on the processor at hand and its switched selves; the reference is the first."""
    listed = [
        Way(engine, threads, batch, optimise, processor)
        for processor in switched()
        for engine, threads, batch in product(ENGINES, (1, 2), (64, 1))
        for optimise in ((True, False) if engine == "onnxruntime" else (True,))
    ]
    return sorted(listed, key=lambda way: way != Way("onnxruntime"))


def emulated_ways() -> list[Way]:
    """Ways on emulated processors."""
    return [
        Way(engine, optimise=optimise, processor=processor)
        for processor in emulated()
        for engine in ENGINES
        for optimise in ((True, False) if engine == "onnxruntime" else (True,))
    ]


def odd_images(images: Sequence[Image]) -> list[Image]:
    """Images of odd sizes, cut from a mosaic of colour images of 32×32; alpha is a ramp."""
    mosaic = np.concatenate([np.concatenate(images[i : i + 3], axis=1) for i in range(0, 12, 3)])
    made = []
    for height, width, channels in ODD_SIZES:
        part = mosaic[:height, :width]
        if channels == 1:
            part = part[:, :, 1:2]
        if channels == 4:
            ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
            part = np.dstack([part, ramp.astype(np.uint8)])
        made.append(np.ascontiguousarray(part))
    return made


def drawings(images: Sequence[Image]) -> list[Image]:
    """Grey images, and images whose alpha plane is a silhouette with soft edges, of colour ones."""
    grey = [image[:, :, 1:2] for image in images[:DRAWINGS]]
    clear = [
        np.dstack([image, np.clip(4 * image[:, :, 0].astype(int) - 384, 0, 255).astype(np.uint8)])
        for image in images[:DRAWINGS]
    ]
    return [np.ascontiguousarray(image) for image in (*grey, *clear)]


def encoded(codec: Codec, images: Sequence[Image]) -> list[Packet]:
    """Learned and causal packets of images at all qualities, odd sizes and drawings first.

    Raises:
        KinpackError: a packet is a classic one.
    """
    whole = [*odd_images(images), *drawings(images), *images]
    packets = [
        packet
        for quality in QUALITIES
        for packet in codec.encode(whole, quality=quality, classic="never")
    ]
    if any(packet.kind not in (Kind.LEARNED, Kind.CAUSAL) for packet in packets):
        raise KinpackError(f"codec {codec.name!r} gives classic packets")
    return packets


def spread(packets: Sequence[Packet], count: int) -> list[int]:
    """Places of at most ``count`` packets, evenly spread, the first among them."""
    return sorted({round(x) for x in np.linspace(0, len(packets) - 1, count)})
