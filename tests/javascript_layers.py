"""Layers of the reader in JavaScript, drawn as a page does it; archives of given packets."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fakes.fake_codec import FakeCodec, FakeSource
from kinpack.archive.archive import Archive
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.target import Target
from kinpack.pictures.images import Image

Plane = NDArray[np.uint8]


class Given(FakeCodec):
    """A codec that stores the packets that it was given, in their order, under another's file."""

    def __init__(self, packets: Sequence[Packet], codec: bytes | None = None) -> None:
        super().__init__()
        self._left = list(packets)
        if codec is not None:
            self._data, self.codec_id = codec, hashlib.sha256(codec).hexdigest()
            self.n_bytes = len(codec)

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        taken, self._left = self._left[: len(images)], self._left[len(images) :]
        return taken


def archive_of(path: Path, packets: Sequence[Packet], codec: bytes | None = None) -> list[str]:
    """Make an archive of packets; their ids."""
    names = [f"{n:04}" for n in range(len(packets))]
    images = [np.zeros((one.height, one.width, one.channels), np.uint8) for one in packets]
    with Archive.create(path, Given(packets, codec), describer=None) as archive:
        archive.add(FakeSource([(n, None, image) for n, image in zip(names, images, strict=True)]))
    return names


def drawn(layers: list[dict[str, Any]], shape: tuple[int, ...]) -> Image:
    """Draw an image of its layers, as a page does it."""
    image = np.zeros(shape, np.uint8)
    for layer in layers:
        height, width = layer["height"], layer["width"]
        place = (
            slice(layer["top"], layer["top"] + height),
            slice(layer["left"], layer["left"] + width),
        )
        colour, alpha = layer["colour"], layer["alpha"]
        if colour["kind"] == "pixels":
            pixels = np.frombuffer(bytes.fromhex(colour["data"]), np.uint8)
            pixels = pixels.reshape(height, width, -1)
        else:
            pixels = file_pixels(colour)
            if colour["isGreen"]:
                pixels = pixels[:, :, 1:2]
        image[place][:, :, : pixels.shape[2]] = pixels[:, :, : shape[2]]
        if alpha is not None:
            image[place][:, :, 3] = plane_of(alpha, width, height)
    return image


def plane_of(alpha: dict[str, Any], width: int, height: int) -> Plane:
    if alpha["kind"] == "bytes":
        return np.frombuffer(bytes.fromhex(alpha["data"]), np.uint8).reshape(height, width)
    plane = file_pixels(alpha)[:, :, 1]
    return plane.T if alpha["transposed"] else plane


def file_pixels(part: dict[str, Any]) -> Image:
    picture = PIL.Image.open(io.BytesIO(bytes.fromhex(part["data"])))
    assert picture.get_format_mimetype() == part["mediaType"]
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
