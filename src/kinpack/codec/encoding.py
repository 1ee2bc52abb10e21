"""Encoding: images to packets, at a quality or to a PSNR, and what qualities would cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.choice.choosing import Chooser
from kinpack.codec.choice.classic_trials import exactly
from kinpack.codec.decoding import Decoder
from kinpack.codec.packets.candidate import Choice, psnr_of, squared_error
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import in_parts
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import Target
from kinpack.describers.describing import OwnCode, product_codes
from kinpack.errors import CodecError, ImageError
from kinpack.limits import too_many
from kinpack.pictures.images import Image

_BATCH = 256
_DESCRIBED = 64  # images that a thread describes at a time


class Encoder:
    """Makes packets of images; the options are those of ``Codec.encode``.

    Args:
        chooser: makes and chooses payloads.
        own_code: gives each image its product code.
        decoder: draws packets, as anybody will.
    """

    def __init__(self, chooser: Chooser, own_code: OwnCode, decoder: Decoder) -> None:
        self._chooser, self._own_code, self._decoder = chooser, own_code, decoder

    def encode(self, images: Sequence[Image], target: Target) -> list[Packet]:
        """Encode images at a quality of all, or of each."""
        packets: list[Packet] = []
        for part, qualities in _parts(images, target):
            codes = self._codes(part, target.threads)
            choices = self._chooser.at_quality(part, codes, qualities, target)
            packets += self._packets(part, codes, choices)
        return packets

    def encode_to_psnr(
        self, images: Sequence[Image], least: float, target: Target
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """Encode images to a PSNR, see that they reach it, and keep exactly those that do not."""
        packets: list[Packet] = []
        reached = [np.zeros(0)]
        for part, _ in _parts(images, target):
            codes = self._codes(part, target.threads)
            choices = self._chooser.at_psnr(part, codes, least, target)
            made = self._packets(part, codes, choices)
            psnr = psnr_of_packets(part, made, self._decoder, threads=target.threads)
            for i in np.flatnonzero(psnr < least).tolist():
                exact = [exactly(part[i])]
                made[i : i + 1] = self._packets([part[i]], codes[i : i + 1], exact)
                psnr[i] = psnr_of_packets([part[i]], [made[i]], self._decoder, threads=1)[0]
                if psnr[i] < least:
                    raise CodecError(
                        "a lossless payload is not drawn exactly: the installed Pillow is faulty; "
                        "install the version that kinpack's constraints name"
                    )
            packets += made
            reached.append(psnr)
        return packets, np.concatenate(reached)

    def rates(self, images: Sequence[Image], qualities: Sequence[int], target: Target) -> Rates:
        """Size and PSNR at several qualities."""
        asked = [replace(target, quality=quality) for quality in qualities]
        rates = Rates.empty(len(images), len(qualities))
        first = 0
        for part, _ in _parts(images, target):
            codes = self._codes(part, target.threads)
            for j, one in enumerate(asked):
                each = one.qualities(len(part))
                choices = self._chooser.at_quality(part, codes, each, one, measured=True)
                for i, (image, (_, made)) in enumerate(zip(part, choices, strict=True), first):
                    rates.n_bytes[i, j], rates.kind[i, j] = len(made.payload), made.kind
                    rates.psnr[i, j] = made.psnr(image.shape[0] * image.shape[1])
            first += len(part)
        return rates

    def _codes(self, images: Sequence[Image], threads: int | None) -> NDArray[np.uint8]:
        """Sub-indices (n, M) of images, in parts as they are encoded."""
        return np.stack(
            in_parts(
                partial(product_codes, self._own_code), images, size=_DESCRIBED, threads=threads
            )
        )

    def _packets(
        self, images: Sequence[Image], codes: NDArray[np.uint8], choices: Sequence[Choice]
    ) -> list[Packet]:
        packed = self._own_code.quantiser.pack(codes)
        return [
            Packet(
                width=image.shape[1],
                height=image.shape[0],
                channels=image.shape[2],
                kind=choice.candidate.kind,
                quality=choice.quality,
                code=code.tobytes(),
                payload=choice.candidate.payload,
            )
            for image, code, choice in zip(images, packed, choices, strict=True)
        ]


def psnr_of_packets(
    images: Sequence[Image], packets: Sequence[Packet], decoder: Decoder, *, threads: int | None
) -> NDArray[np.float64]:
    """PSNR in dB, (n,), of what packets draw for images; infinite where it is exact."""
    drawn = decoder.decode(packets, threads=threads)
    return np.array(
        [
            psnr_of(squared_error(image, picture), image.shape[0] * image.shape[1])
            for image, picture in zip(images, drawn, strict=True)
        ]
    )


def _parts(images: Sequence[Image], target: Target) -> Iterator[tuple[Sequence[Image], list[int]]]:
    """Images and their qualities, so many at a time as are coded together."""
    if target.max_bytes is not None:
        raise CodecError("max_bytes is for a whole archive; add the images to one with it")
    qualities = target.qualities(len(images))
    for i, image in enumerate(images):  # what is encoded can be drawn again
        if what := too_many(image.shape[1], image.shape[0]):
            raise ImageError(f"image {i}: {what}")
    for first in range(0, len(images), _BATCH):
        yield images[first : first + _BATCH], qualities[first : first + _BATCH]
