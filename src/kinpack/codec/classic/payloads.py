"""Classic payloads: AVIF, WebP or lossless WebP, whichever serves an image best.

A payload is the coded picture without the head that its size tells (`avif`, `webp`), after the
alpha part where a lossy image has alpha (`alpha`). An image with a side of more than `TILE` pixels
is cut into tiles, left to right and top to bottom, each of `TILE` × `TILE` pixels or what is left;
its payload is that of each tile in turn, its length before it (`varint`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from PIL import features

from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.classic.avif import decode_avif, encode_avif
from kinpack.codec.classic.library_check import check_library
from kinpack.codec.classic.own_quality import avif_quality, webp_quality
from kinpack.codec.classic.webp import (
    decode_webp,
    decode_webp_lossless,
    encode_webp,
    encode_webp_lossless,
)
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.payload import Candidate
from kinpack.entropy.varint import join_parts, split_parts
from kinpack.errors import CodecError, PayloadError
from kinpack.pictures.images import Image, sampled_colours, squared_error

TILE = 8192
"""Longest side, in pixels, of what is coded in one piece."""

DEFAULT_SPEED = 4
"""Speed of the AVIF encoder: 0 (slowest, fewest bytes) to 10."""

_LOSSLESS_FROM = 90  # quality from which exact pixels may cost less than nearly exact ones
_FEW_COLOURS = 32


def candidates(
    image: Image,
    *,
    quality: int,
    speed: int = DEFAULT_SPEED,
    squares: bool = False,
    setting: int | None = None,
    kinds: Sequence[Kind] | None = None,
) -> list[Candidate]:
    """Encode an image in each way that may cost least at a quality.

    Args:
        image: uint8 (H, W, C), C = 1 grey, 3 RGB, 4 RGBA, sides 1 to 65,535.
        quality: 1 to 100; 100 keeps every value, the colour under alpha 0 too.
        speed: of the AVIF encoder, 0 (slowest, fewest bytes) to 10.
        squares: whether it cuts blocks into squares alone, see `encode_avif`.
        setting: AVIF's own quality, 0 to 100; by default the one of about the PSNR aimed at.
        kinds: the classic ones to try; by default those that may cost least.

    Returns:
        At least one candidate, of each kind at most one. Alpha is exact in all of them.

    Raises:
        CodecError: The quality is out of range.
    """
    if not 1 <= quality <= 100:
        raise CodecError(f"quality {quality} is out of range: it goes from 1 to 100")
    kinds = _promising(image, quality) if kinds is None else list(kinds)
    for kind in kinds:
        check_library(kind)
    own = avif_quality(quality) if setting is None else setting
    avif = partial(encode_avif, avif_quality=own, speed=speed, squares=squares)
    tiles = [
        _encode_tile(np.ascontiguousarray(image[place]), kinds, quality, avif)
        for place in _places(*image.shape[:2])
    ]
    if len(tiles) == 1:
        return tiles[0]
    return [
        Candidate(
            kind,
            join_parts(c.payload for c in row),
            sum(c.error for c in row),
        )
        for kind, row in zip(kinds, zip(*tiles, strict=True), strict=True)
    ]


class ClassicImages:
    """Codes images as any codec can: a `Payload`."""

    kinds = (Kind.AVIF, Kind.WEBP, Kind.WEBP_LOSSLESS)
    at_once = 1  # the image libraries let go of the interpreter's lock

    def takes(self, image: Image) -> bool:
        """Whether an image may be coded so: any."""
        return True

    def encode(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode images in the way that costs least; the error is always counted."""
        return [
            min(candidates(image, quality=q), key=lambda one: one.cost(q))
            for image, q in zip(images, qualities, strict=True)
        ]

    def decode(self, packets: Sequence[Packet]) -> list[Image]:
        """Draw the images of classic packets."""
        return [_draw(packet) for packet in packets]


def _draw(packet: Packet) -> Image:
    kind, payload = packet.kind, packet.payload
    check_library(kind)
    height, width, channels = packet.height, packet.width, packet.channels
    places = list(_places(height, width))
    if len(places) == 1:
        return _decode_tile(kind, payload, width, height, channels)
    image = np.empty((height, width, channels), dtype=np.uint8)
    for (rows, columns), part in zip(places, split_parts(payload, len(places)), strict=True):
        across, down = columns.stop - columns.start, rows.stop - rows.start
        image[rows, columns] = _decode_tile(kind, part, across, down, channels)
    return image


def lossy_kind() -> Kind:
    """The kind of lossy classic payload: AVIF, or WebP where Pillow was built without AVIF."""
    return Kind.AVIF if features.check("avif") else Kind.WEBP


def _promising(image: Image, quality: int) -> list[Kind]:
    """The kinds that have a chance to cost least.

    Of 295 CIFAR-10, Fashion-MNIST, emoji and photographic images at ten qualities, lossy WebP never
    cost least, so it only stands in where Pillow was built without AVIF; lossless WebP did from
    quality 90 on, and drawings of few colours are its home.
    """
    if quality == 100:
        return [Kind.WEBP_LOSSLESS]
    return [lossy_kind(), Kind.WEBP_LOSSLESS] if may_be_lossless(image, quality) else [lossy_kind()]


def may_be_lossless(image: Image, quality: float) -> bool:
    """Whether exact pixels may cost least at a quality: at a high one, or in drawings."""
    return quality >= _LOSSLESS_FROM or _has_few_colours(image)


def _has_few_colours(image: Image) -> bool:
    """Whether a sample of pixels has at most 32 colours, as drawings and tiny images do."""
    return sampled_colours(image) <= _FEW_COLOURS


def _places(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile."""
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield slice(top, min(top + TILE, height)), slice(left, min(left + TILE, width))


def _encode_tile(
    image: Image, kinds: list[Kind], quality: int, avif: Callable[[Image], bytes]
) -> list[Candidate]:
    height, width, channels = image.shape
    head, colour = b"", image
    if channels == 4 and kinds != [Kind.WEBP_LOSSLESS]:
        alpha = np.ascontiguousarray(image[:, :, 3])
        head = join(encode_alpha(alpha), b"")
        colour = fill_transparent(np.ascontiguousarray(image[:, :, :3]), alpha)
    made = []
    for kind in kinds:
        if kind is Kind.WEBP_LOSSLESS:
            exact = image if quality == 100 else _without_unseen(image)
            made.append(Candidate(kind, encode_webp_lossless(exact), 0.0))
            continue
        size = {"width": width, "height": height, "channels": colour.shape[2]}
        if kind is Kind.AVIF:
            part = avif(colour)
            drawn = decode_avif(part, **size)
        else:
            part = encode_webp(colour, webp_quality=webp_quality(quality))
            drawn = decode_webp(part, **size)
        if channels == 4:
            drawn = np.dstack([drawn, image[:, :, 3]])
        made.append(Candidate(kind, head + part, squared_error(image, drawn)))
    return made


def _decode_tile(kind: Kind, payload: bytes, width: int, height: int, channels: int) -> Image:
    if kind is Kind.WEBP_LOSSLESS:
        return decode_webp_lossless(payload, width=width, height=height, channels=channels)
    if kind not in (Kind.AVIF, Kind.WEBP):
        raise PayloadError(f"a payload of kind {kind.name} is no classic one; use its own codec")
    decode = decode_avif if kind is Kind.AVIF else decode_webp
    if channels != 4:
        return decode(payload, width=width, height=height, channels=channels)
    alpha_part, colour_part = split(payload)
    alpha = decode_alpha(alpha_part, width=width, height=height)
    return np.dstack([decode(colour_part, width=width, height=height, channels=3), alpha])


def _without_unseen(image: Image) -> Image:
    """The image with black under alpha 0: what is not seen then costs least."""
    if image.shape[2] != 4:
        return image
    return np.where(image[:, :, 3:] == 0, np.uint8(0), image)
