"""Payloads: the ways of coding a picture, what each makes, and the table of a codec's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.target import lam
from kinpack.errors import CodecError, PayloadError
from kinpack.limits import in_parts, most_pixels, too_many
from kinpack.pictures.images import Image


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to store an image.

    Attributes:
        kind: how the payload is coded.
        payload: the coded picture.
        error: squared error of what it draws, as `kinpack.pictures.images.squared_error` counts it.
    """

    kind: Kind
    payload: bytes
    error: float

    def cost(self, quality: float) -> float:
        """Bits, and what the error is worth in bits at a quality: the less, the better."""
        return 8 * len(self.payload) + lam(quality) * self.error

    def psnr(self, pixels: int) -> float:
        """PSNR in dB of what it draws, for an image of so many pixels; infinite where exact."""
        return psnr_of(self.error, pixels)


class Choice(NamedTuple):
    """A payload, and the quality at which it was made."""

    quality: int
    candidate: Candidate


def psnr_of(error: float, pixels: int) -> float:
    """PSNR in dB for a squared error as `squared_error` counts it; infinite without any."""
    return 10 * math.log10(255**2 * pixels / error) if error else math.inf


class Payload(Protocol):
    """A way of coding pictures."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of the payloads that it makes and draws."""

    @property
    def at_once(self) -> int:
        """Images that a thread takes at a time."""

    def takes(self, image: Image) -> bool:
        """Whether an image, uint8 (H, W, C), may be coded so."""

    def encode(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode images that it takes.

        Args:
            images: uint8 (H, W, C) each.
            qualities: 1 to 99, of each.
            draw: whether the error is wanted; without it none may be counted.

        Returns:
            For each the payload that costs least, and the squared error of what it draws.
        """

    def decode(self, packets: Sequence[Packet]) -> list[Image]:
        """Draw the images of packets of its kinds.

        Args:
            packets: with payloads that ``encode`` made.

        Returns:
            uint8 (H, W, C) each.

        Raises:
            PayloadError: a payload is damaged.
        """


class AlphaPlanes(Protocol):
    """A way of coding alpha planes, in the place of the classic one, before colours of any kind."""

    def parts(self, images: Sequence[Image]) -> list[bytes]:
        """Alpha part of each image, uint8 (H, W, C); empty where there is none to be coded so."""

    def shortened(self, candidate: Candidate, part: bytes) -> Candidate:
        """A candidate with this alpha part in the place of its own, where that is longer."""

    def taken_off(
        self, packets: Sequence[Packet]
    ) -> tuple[list[Packet], dict[int, NDArray[np.uint8]]]:
        """Packets with opaque planes in the place of those coded so, and these planes (H, W).

        Raises:
            PayloadError: a plane is damaged.
        """


class Payloads:
    """A codec's payloads by their kinds, each made when it is first needed.

    Args:
        name: the codec's, for messages.
        makers: what makes each, by its kinds, in the order in which they are tried; a maker gives
            None for one that the codec lacks.
        own: kinds of those that the codec has learned; none for a classic codec.
        alpha: codes alpha planes in fewer bytes; None for a codec that has not learned to.
    """

    def __init__(
        self,
        name: str,
        makers: Mapping[tuple[Kind, ...], Callable[[], Payload | None]],
        *,
        own: Sequence[tuple[Kind, ...]],
        alpha: AlphaPlanes | None = None,
    ) -> None:
        self._name, self._makers, self._own, self.alpha = name, makers, own, alpha
        self._made: dict[Kind, Payload | None] = {}

    @property
    def has_own(self) -> bool:
        """Whether the codec has learned payloads."""
        return bool(self._own)

    @cached_property
    def own(self) -> list[Payload]:
        """Those that the codec has learned, in their order."""
        made = (self._make(kinds[0]) for kinds in self._own)
        return [payload for payload in made if payload is not None]

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw the images of packets.

        Args:
            packets: of any kinds.
            threads: that work at a time; None takes as many as there are cores.

        Returns:
            uint8 (H, W, C) each.

        Raises:
            PayloadError: a payload is damaged, or states more pixels than the limit.
            CodecError: a packet is of a kind that the codec lacks.
        """
        groups: dict[Kind, list[int]] = {}
        limit = most_pixels()
        for i, packet in enumerate(packets):
            if packet.width * packet.height > limit:
                what = too_many(packet.width, packet.height)
                raise PayloadError(f"a packet of {len(packet.payload)} bytes states {what}")
            groups.setdefault(packet.kind, []).append(i)
        planes: dict[int, NDArray[np.uint8]] = {}
        if self.alpha is not None:
            packets, planes = self.alpha.taken_off(packets)
        images: dict[int, Image] = {}
        for kind, rows in groups.items():
            payload = self._made.get(kind) or self._make(kind)
            if payload is None:
                raise CodecError(
                    f"codec {self._name!r} has no {kind.name.lower()} payloads, but a packet is "
                    "one: use the codec it was made with"
                )
            some = [packets[i] for i in rows]
            drawn = in_parts(payload.decode, some, size=payload.at_once, threads=threads)
            images.update(zip(rows, drawn, strict=True))
        for i, plane in planes.items():
            if images[i].shape != (*plane.shape, 4):
                raise PayloadError("an alpha plane is of another size than its image: damaged")
            images[i][:, :, 3] = plane
        return [images[i] for i in range(len(packets))]

    def encode_own(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        *,
        draw: bool,
        threads: int | None,
    ) -> list[Candidate | None]:
        """Encode images as the codec has learned to, in whichever way costs least.

        Args:
            images: uint8 (H, W, C) each.
            qualities: 1 to 100, of each.
            draw: whether the error is wanted of a payload that has no rival.
            threads: that work at a time.

        Returns:
            One candidate for each image; None at quality 100, and where no payload takes it.
        """
        best: list[Candidate | None] = [None] * len(images)
        lossy = [i for i, quality in enumerate(qualities) if quality < 100]
        taken = [
            (payload, [i for i in lossy if payload.takes(images[i])])
            for payload in (self.own if lossy else ())
        ]
        draw = draw or any(rows for _, rows in taken[1:])  # costs are compared, with the errors
        for payload, rows in taken:
            made = in_parts(
                payload.encode,
                [images[i] for i in rows],
                [qualities[i] for i in rows],
                size=payload.at_once,
                threads=threads,
                draw=draw,
            )
            for i, one in zip(rows, made, strict=True):
                before, quality = best[i], qualities[i]
                if before is None or one.cost(quality) < before.cost(quality):
                    best[i] = one
        return best

    def _make(self, kind: Kind) -> Payload | None:
        """The payload of a kind; None if the codec has none."""
        if kind not in self._made:
            kinds = next((kinds for kinds in self._makers if kind in kinds), ())
            made = self._makers[kinds]() if kinds else None
            self._made.update(dict.fromkeys(kinds or (kind,), made))
        return self._made[kind]
